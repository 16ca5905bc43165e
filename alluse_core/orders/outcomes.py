"""What a broker's error code means for an order, and what must be done about it.

The same number means different things by verb: 110 kills a new order, not the order that is
being changed. The published :data:`TABLE` is data: rules are tried in order and the first that
fits decides, so a user puts rules of their own in front: ``classify(..., table=(mine, *TABLE))``.

Codes are Interactive Brokers' (TWS API, system messages and error codes); a broker with other
codes brings its own table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

import attrs

from alluse_core.model import LinkState, OrderState, Verb


class ErrorClass(StrEnum):
    """What kind of statement an error is."""

    INFO = "info"
    DEFINITE_REJECT = "definite_reject"
    COMMAND_REJECT = "command_reject"
    HELD = "held"
    NOT_FOUND = "not_found"
    AMBIGUOUS = "ambiguous"
    PACING = "pacing"
    LINK = "link"
    SOCKET = "socket"
    STREAM = "stream"
    SESSION = "session"
    LOCAL_DENY = "local_deny"
    UNCLASSIFIED = "unclassified"


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
    """One row of the table.

    ``verbs`` None fits any; a set fits only those, where None in the set means that the error is
    about no order. ``text`` must occur in the message, in any case.
    """

    codes: frozenset[int] = attrs.field(converter=_codes)
    outcome: Outcome
    verbs: frozenset[Verb | None] | None = None
    text: str = ""

    def fits(self, code: int, text: str, verb: Verb | None) -> bool:
        """Return whether this row speaks about the error."""
        return (
            code in self.codes
            and (self.verbs is None or verb in self.verbs)
            and self.text.lower() in text.lower()
        )


_PLACE = frozenset({Verb.PLACE})
_COMMANDS = frozenset({Verb.MODIFY, Verb.CANCEL})
_CANCEL = frozenset({Verb.CANCEL})
_NO_ORDER = frozenset({None})

_REFUSED_CODES = (106, 107, 109, 110, 111, 113, 200, 201, 203, 321, 388, 430, 434, 460, 463, 10268)

TABLE: tuple[Rule, ...] = (
    # Statements that change nothing. 399 and 10349 may announce that the terms were changed.
    Rule(
        (
            165,
            399,
            2100,
            2104,
            2106,
            2107,
            2108,
            2109,
            2119,
            2137,
            2152,
            2158,
            2159,
            2174,
            2176,
            10167,
            10349,
        ),
        Outcome(ErrorClass.INFO, Action.LOG),
    ),
    # 202 confirms a cancel; unasked, the broker or the venue threw the order out.
    Rule((202,), Outcome(ErrorClass.INFO, Action.LOG), _CANCEL),
    Rule((202,), Outcome(ErrorClass.DEFINITE_REJECT, Action.TERMINAL_ALARM, True)),
    Rule((404,), Outcome(ErrorClass.HELD, Action.HOLD)),
    # Refusals: final for a new order, and only for the command where the order was live before.
    Rule(_REFUSED_CODES, Outcome(ErrorClass.DEFINITE_REJECT, Action.TERMINAL), _PLACE),
    Rule(_REFUSED_CODES, Outcome(ErrorClass.COMMAND_REJECT, Action.KEEP_STATE, True), _COMMANDS),
    Rule(_REFUSED_CODES, Outcome(ErrorClass.COMMAND_REJECT, Action.LOG), _NO_ORDER),
    Rule(
        (104, 105, 136, 161, 10148),
        Outcome(ErrorClass.COMMAND_REJECT, Action.KEEP_STATE, True),
    ),
    Rule((135, 10147), Outcome(ErrorClass.NOT_FOUND, Action.PROVE, True)),
    # The server stumbled over what it had read, or has seen the id before: it may be live.
    Rule((103, 320, 322), Outcome(ErrorClass.AMBIGUOUS, Action.UNKNOWN, True)),
    Rule((100,), Outcome(ErrorClass.PACING, Action.BACK_OFF, True)),
    Rule((162,), Outcome(ErrorClass.PACING, Action.BACK_OFF), text="pacing"),
    Rule((162, 300, 366), Outcome(ErrorClass.COMMAND_REJECT, Action.LOG)),
    Rule((420,), Outcome(ErrorClass.PACING, Action.BACK_OFF)),
    Rule((1100,), Outcome(ErrorClass.LINK, Action.GATE)),
    Rule((1101,), Outcome(ErrorClass.LINK, Action.RECONCILE_RESUBSCRIBE, True)),
    Rule((1102,), Outcome(ErrorClass.LINK, Action.RECONCILE, True)),
    Rule((502, 503, 504, 507, 1300), Outcome(ErrorClass.SOCKET, Action.RECONNECT, True)),
    Rule((2103, 2105, 2110, 2157), Outcome(ErrorClass.STREAM, Action.MARK_DATA)),
    Rule((10197,), Outcome(ErrorClass.STREAM, Action.GATE_AND_PAGE)),
    Rule((316, 317, 10182, 10225), Outcome(ErrorClass.STREAM, Action.RESUBSCRIBE)),
    Rule(
        (101, 309, 354, 10089, 10090, 10091, 10168, 10186, 10187, 10190),
        Outcome(ErrorClass.STREAM, Action.STREAM_REFUSED),
    ),
    Rule((326,), Outcome(ErrorClass.SESSION, Action.GATE_AND_PAGE)),
)

_NOT_SENT = Outcome(ErrorClass.LOCAL_DENY, Action.DENY)
_NO_ANSWER = Outcome(ErrorClass.AMBIGUOUS, Action.UNKNOWN, True)
_NEW_CODE = Outcome(ErrorClass.UNCLASSIFIED, Action.PROVE, True)
_CONTRADICTION = Outcome(ErrorClass.COMMAND_REJECT, Action.KEEP_STATE, True)

_EXECUTED = frozenset({OrderState.FILLED, OrderState.PARTIALLY_FILLED})
_ACCEPTED = frozenset({OrderState.ACCEPTED, OrderState.HELD})


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
    where none is; None where the error is about no order. ``order_state`` is the order's state
    when the error came.
    """
    if code is None:
        return _NOT_SENT if phase is Phase.UNSENT else _NO_ANSWER
    found = next((rule.outcome for rule in table if rule.fits(code, text, verb)), _NEW_CODE)
    if verb is None:
        return found
    if found.error_class is ErrorClass.DEFINITE_REJECT:
        found = _reject_of(found, order_state)
    if found.error_class is ErrorClass.PACING and phase is Phase.UNSENT:
        return attrs.evolve(found, evidence_needed=False)
    if link is not LinkState.UP and found.error_class is not ErrorClass.INFO:
        # During an outage an answer may be the terminal's own, not the venue's: a change that it
        # refused may yet have left (nautilus #4564: two live orders for one).
        return attrs.evolve(found, evidence_needed=True)
    return found


def _reject_of(found: Outcome, state: OrderState | None) -> Outcome:
    """Weigh a refusal against what is known: it cannot undo fills."""
    if state is not None and (state in _EXECUTED or state.is_terminal):
        return _CONTRADICTION
    if state in _ACCEPTED:
        return attrs.evolve(found, evidence_needed=True)
    return found
