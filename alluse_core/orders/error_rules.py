"""The rows of the table of error codes: a condition, a verdict, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

import attrs

from alluse_core.model import OrderState, Verb

_LOOKED_AT = 2_000
"""How much of a message a rule reads: its pattern must not cost the order path more than that."""


class ErrorClass(StrEnum):
    """What kind of statement an error is."""

    INFO = "info"
    """A statement: nothing is refused."""
    DEFINITE_REJECT = "definite_reject"
    """The order did not enter, or was thrown out."""
    COMMAND_REJECT = "command_reject"
    """A command or request was refused; an order that was live stays."""
    HELD = "held"
    """Alive at the broker and waiting; it counts as exposure."""
    NOT_FOUND = "not_found"
    """Whoever answered does not know the order: no proof of anything."""
    AMBIGUOUS = "ambiguous"
    """The order may be live or not."""
    PACING = "pacing"
    """Too many messages."""
    LINK = "link"
    """The broker lost, or has again, the link to its servers."""
    SOCKET = "socket"
    """The socket to the broker."""
    STREAM = "stream"
    """A stream of market data."""
    SESSION = "session"
    """The client id or the login is used elsewhere."""
    LOCAL_DENY = "local_deny"
    """Nothing was sent."""
    UNCLASSIFIED = "unclassified"
    """No rule knows it: evidence first, and a person is to classify it."""


class Action(StrEnum):
    """What to do. None of these resends an order."""

    LOG = "log"
    """Write it down; compare the broker's echo with the intent."""
    TERMINAL = "terminal"
    """The order ended, with the text as its reason."""
    TERMINAL_ALARM = "terminal_alarm"
    """The order ended although nobody asked for it: tell a person."""
    KEEP_STATE = "keep_state"
    """The command failed; the order is what it was before it."""
    HOLD = "hold"
    """The order is alive at the broker and waits; it counts as exposure."""
    PROVE = "prove"
    """Ask for evidence; this word alone ends nothing."""
    UNKNOWN = "unknown"
    """The order is UNKNOWN unless evidence settles it."""
    BACK_OFF = "back_off"
    """Send less; the same message again only where it provably did not leave."""
    GATE = "gate"
    """Stop new risk; keep the socket."""
    RECONCILE = "reconcile"
    """The link is back with its data: ask for all evidence."""
    RECONCILE_RESUBSCRIBE = "reconcile_resubscribe"
    """The link is back without its data: ask for all evidence, make all subscriptions again."""
    RECONNECT = "reconnect"
    """Make the socket again, then ask for all evidence."""
    RESUBSCRIBE = "resubscribe"
    """Make this one stream again."""
    MARK_DATA = "mark_data"
    """Quotes may be old until the broker says otherwise; orders go on."""
    STREAM_REFUSED = "stream_refused"
    """This stream will not come; asking again unchanged will not help."""
    GATE_AND_PAGE = "gate_and_page"
    """Stop new risk and tell a person."""
    DENY = "deny"
    """Nothing was sent."""


class Phase(StrEnum):
    """How far the message that the error is about had got."""

    UNSENT = "unsent"
    SENT = "sent"
    ANSWERED = "answered"


@attrs.frozen
class Outcome:
    """The verdict. ``evidence_needed``: ask the broker before anything is believed."""

    error_class: ErrorClass
    action: Action
    evidence_needed: bool = False


def _codes(codes: Iterable[int]) -> frozenset[int]:
    return frozenset(codes)


@attrs.frozen
class Rule:
    """One row of the table; ``reason`` says why it decides so.

    ``verbs`` None fits any; a set fits only those, where None in the set means that the error is
    about no order. ``text`` must occur in the message, in any case; ``pattern`` must be found in
    it. ``states`` None fits any state of the order, also none. ``added``: it is not ALL-USE's own,
    and may make an outcome more careful but never less; see :func:`~.outcomes.explain`.
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
            (self.verbs is None or verb in self.verbs)
            and (self.states is None or state in self.states)
            and self.text.lower() in read.lower()
            and (self.pattern is None or self.pattern.search(read) is not None)
        )
