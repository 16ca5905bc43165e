"""The rows of the table of error codes: a condition, a verdict, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable

import attrs

from alluse_core.model import OrderState, Outcome, Verb

_LOOKED_AT = 2_000
"""How much of a message a rule reads: its pattern must not cost the order path more than that."""


def _names(verb: Verb | None) -> tuple[Verb | None, ...]:
    return (verb, None) if verb is not None and verb.is_question else (verb,)


def _codes(codes: Iterable[int]) -> frozenset[int]:
    return frozenset(codes)


@attrs.frozen
class Rule:
    """One row of the table; ``reason`` says why it decides so.

    ``verbs`` None fits any; a set fits only those, where None in the set means that the error is
    about no order, so it fits questions too. ``text`` must occur in the message, in any case;
    ``pattern`` must be found in it. ``states`` None fits any state of the order, also none.
    ``added``: it is not ALL-USE's own, and may make an outcome more careful but never less; see
    :func:`~.outcomes.explain`.
    """

    codes: frozenset[int] = attrs.field(converter=_codes)
    outcome: Outcome
    verbs: frozenset[Verb | None] | None = None
    text: str = ""
    reason: str = ""
    pattern: re.Pattern[str] | None = None
    states: frozenset[OrderState] | None = None
    added: bool = False

    def fits(
        self, code: int, text: str, verb: Verb | None, state: OrderState | None = None
    ) -> bool:
        """Return whether this row speaks about the error."""
        if code not in self.codes:
            return False
        read = text[:_LOOKED_AT]
        return (
            (self.verbs is None or not self.verbs.isdisjoint(_names(verb)))
            and (self.states is None or state in self.states)
            and self.text.lower() in read.lower()
            and (self.pattern is None or self.pattern.search(read) is not None)
        )
