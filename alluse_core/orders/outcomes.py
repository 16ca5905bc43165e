"""What a broker's error code means for an order, and what must be done about it.

The same number means different things by verb: 110 kills a new order, not the order that is
being changed. The published :data:`TABLE` is data: rules are tried in order and the first that
fits decides, so a user's rules (``[[orders.errors]]``) stand in front of it.

Whatever the rules say, three things hold. None of the actions sends an order again. A rule that
was added never takes away the question for evidence that the table asks. And it never turns a
code that the table knows into the end of an order where the table does not.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from alluse_core.model import Action, ErrorClass, LinkState, OrderState, Outcome, Phase, Verb
from alluse_core.orders.error_codes import TABLE
from alluse_core.orders.error_rules import Rule

__all__ = [
    "NO_PROOF",
    "TABLE",
    "Action",
    "ErrorClass",
    "Explanation",
    "Outcome",
    "Phase",
    "Rule",
    "classify",
    "explain",
]

NO_PROOF = frozenset(ErrorClass) - {ErrorClass.DEFINITE_REJECT}
"""Classes that say nothing of an order's end; no added rule can make them say it."""

_NOT_SENT = Outcome(ErrorClass.LOCAL_DENY, Action.DENY)
_NO_ANSWER = Outcome(ErrorClass.AMBIGUOUS, Action.UNKNOWN, True)
_NEW_CODE = Outcome(ErrorClass.UNCLASSIFIED, Action.PROVE, True)
_CONTRADICTION = Outcome(ErrorClass.COMMAND_REJECT, Action.KEEP_STATE, True)

_ENDS = ErrorClass.DEFINITE_REJECT
_EXECUTED = frozenset({OrderState.FILLED, OrderState.PARTIALLY_FILLED})
_ACCEPTED = frozenset({OrderState.ACCEPTED, OrderState.HELD})


@attrs.frozen
class Explanation:
    """An outcome with what decided it: the rule (None: no rule knows the code), then each reason.

    The last reason is the one that the outcome rests on.
    """

    outcome: Outcome
    rule: Rule | None
    reasons: tuple[str, ...]


def classify(
    code: int | None,
    text: str = "",
    verb: Verb | None = None,
    phase: Phase = Phase.SENT,
    order_state: OrderState | None = None,
    link: LinkState = LinkState.UP,
    *,
    table: Sequence[Rule] = TABLE,
) -> Outcome:
    """Return what an error means.

    ``code`` None stands for the absence of the broker's word: a time-out, a reset, an answer that
    could not be read. ``verb`` is the command in flight for the order that the error names, PLACE
    where none is; None where the error is about no order, or the question that it refuses.
    ``order_state`` is the order's state
    when the error came.
    """
    return explain(code, text, verb, phase, order_state, link, table=table).outcome


def explain(
    code: int | None,
    text: str = "",
    verb: Verb | None = None,
    phase: Phase = Phase.SENT,
    order_state: OrderState | None = None,
    link: LinkState = LinkState.UP,
    *,
    table: Sequence[Rule] = TABLE,
) -> Explanation:
    """Return what an error means and why; the arguments are those of :func:`classify`."""
    if code is None:
        if phase is Phase.UNSENT:
            return Explanation(_NOT_SENT, None, ("nothing left this process",))
        return Explanation(_NO_ANSWER, None, ("no answer came: the message may have arrived",))
    rule = next((each for each in table if each.fits(code, text, verb, order_state)), None)
    if rule is None:
        return Explanation(_NEW_CODE, None, ("no rule knows this code: evidence is asked for",))
    found, reasons = rule.outcome, [rule.reason or "the rule says so"]
    if rule.added:
        found = _kept_careful(found, code, text, verb, order_state, table, reasons)
    if verb is not None and not verb.is_question:
        found = _weighed(found, phase, order_state, link, reasons)
    return Explanation(found, rule, tuple(reasons))


def _kept_careful(
    found: Outcome,
    code: int,
    text: str,
    verb: Verb | None,
    state: OrderState | None,
    table: Sequence[Rule],
    reasons: list[str],
) -> Outcome:
    """Hold an added rule to what the table itself says of the code."""
    own = next(
        (each for each in table if not each.added and each.fits(code, text, verb, state)), None
    )
    if own is None:
        return found
    if found.error_class is _ENDS and own.outcome.error_class in NO_PROOF:
        reasons.append(f"but an added rule cannot end an order by this code: {own.reason}")
        return own.outcome
    if own.outcome.evidence_needed and not found.evidence_needed:
        reasons.append("the table asks for evidence, and so it is asked for")
        return attrs.evolve(found, evidence_needed=True)
    return found


def _weighed(
    found: Outcome,
    phase: Phase,
    state: OrderState | None,
    link: LinkState,
    reasons: list[str],
) -> Outcome:
    """Weigh what a rule says against how far the message got, the order and the link."""
    if found.error_class is ErrorClass.DEFINITE_REJECT:
        found = _reject_of(found, state, reasons)
    if found.error_class is ErrorClass.PACING and phase is Phase.UNSENT:
        reasons.append("it provably did not leave")
        return attrs.evolve(found, evidence_needed=False)
    if link is not LinkState.UP and found.error_class is not ErrorClass.INFO:
        # During an outage an answer may be the terminal's own, not the venue's: a change that it
        # refused may yet have left (nautilus #4564: two live orders for one).
        reasons.append("the link is not up: the answer may be the terminal's own, not the venue's")
        return attrs.evolve(found, evidence_needed=True)
    return found


def _reject_of(found: Outcome, state: OrderState | None, reasons: list[str]) -> Outcome:
    """Weigh a refusal against what is known: it cannot undo fills."""
    if state is not None and (state in _EXECUTED or state.is_terminal):
        reasons.append(f"an order that is {state.value} cannot be refused any more")
        return _CONTRADICTION
    if state in _ACCEPTED:
        reasons.append("the broker had accepted the order before")
        return attrs.evolve(found, evidence_needed=True)
    return found
