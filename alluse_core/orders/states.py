"""The state machines of orders and of commands: pure functions, tables, no clock, no I/O.

An event that cannot follow is never swallowed: :func:`step` says so, and the caller records it.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum

import attrs

from alluse_core.model import BrokerStatus, OrderReport, OrderState

S = OrderState


class Event(StrEnum):
    """What can happen to an order.

    The first four are our own doing; LOSE says that evidence was asked for and did not settle it;
    REVIVE that the broker lists as open what had ended. The rest are the broker's words.
    """

    SUBMIT = "SUBMIT"
    DENY = "DENY"
    WITHDRAW = "WITHDRAW"
    NOT_SENT = "NOT_SENT"
    PENDING = "PENDING"
    HOLD = "HOLD"
    WORK = "WORK"
    PART_FILL = "PART_FILL"
    FILL = "FILL"
    CANCEL = "CANCEL"
    REJECT = "REJECT"
    EXPIRE = "EXPIRE"
    LOSE = "LOSE"
    REVIVE = "REVIVE"


E = Event


@attrs.frozen
class Step:
    """The state after an event. ``possible`` false: record and count it, and ask for evidence."""

    state: OrderState
    possible: bool = True


_LIVE = {
    E.PART_FILL: S.PARTIALLY_FILLED,
    E.FILL: S.FILLED,
    E.CANCEL: S.CANCELED,
    E.REJECT: S.REJECTED,
    E.EXPIRE: S.EXPIRED,
    E.LOSE: S.UNKNOWN,
}

_FOLLOWS: Mapping[OrderState, Mapping[Event, OrderState]] = {
    S.INTENT: {E.SUBMIT: S.SUBMITTED, E.DENY: S.DENIED},
    S.DENIED: {E.DENY: S.DENIED},
    S.SUBMITTED: {
        **_LIVE,
        E.WITHDRAW: S.CANCELED,
        E.NOT_SENT: S.DENIED,
        E.PENDING: S.SUBMITTED,
        E.HOLD: S.HELD,
        E.WORK: S.ACCEPTED,
        E.REVIVE: S.ACCEPTED,
    },
    S.HELD: {
        **_LIVE,
        E.PENDING: S.HELD,
        E.HOLD: S.HELD,
        E.WORK: S.ACCEPTED,
        E.REVIVE: S.ACCEPTED,
    },
    S.ACCEPTED: {
        **_LIVE,
        E.PENDING: S.ACCEPTED,
        E.HOLD: S.HELD,
        E.WORK: S.ACCEPTED,
        E.REVIVE: S.ACCEPTED,
    },
    S.PARTIALLY_FILLED: {
        **_LIVE,
        # What is rejected after a fill is the rest of it.
        E.REJECT: S.CANCELED,
        E.PENDING: S.PARTIALLY_FILLED,
        E.HOLD: S.PARTIALLY_FILLED,
        E.WORK: S.PARTIALLY_FILLED,
        E.REVIVE: S.PARTIALLY_FILLED,
    },
    S.UNKNOWN: {
        **_LIVE,
        E.PENDING: S.UNKNOWN,
        E.HOLD: S.HELD,
        E.WORK: S.ACCEPTED,
        E.REVIVE: S.ACCEPTED,
    },
    # Callbacks come late and in any order: what a filled order was before says nothing new.
    S.FILLED: {
        E.PENDING: S.FILLED,
        E.HOLD: S.FILLED,
        E.WORK: S.FILLED,
        E.PART_FILL: S.FILLED,
        E.FILL: S.FILLED,
    },
    # A fill after a cancel counts.
    S.CANCELED: {E.CANCEL: S.CANCELED, E.PART_FILL: S.CANCELED, E.FILL: S.FILLED},
    S.REJECTED: {E.REJECT: S.REJECTED, E.CANCEL: S.REJECTED},
    S.EXPIRED: {
        E.EXPIRE: S.EXPIRED,
        E.CANCEL: S.EXPIRED,
        E.PART_FILL: S.EXPIRED,
        E.FILL: S.FILLED,
    },
}

# The broker's fills and its list of open orders outweigh what was believed, and are alarmed.
_CONTRADICTS: Mapping[tuple[OrderState, Event], OrderState] = {
    (S.DENIED, E.PART_FILL): S.UNKNOWN,
    (S.DENIED, E.FILL): S.FILLED,
    (S.REJECTED, E.PART_FILL): S.UNKNOWN,
    (S.REJECTED, E.FILL): S.FILLED,
    **{
        (state, E.REVIVE): S.ACCEPTED
        for state in (S.DENIED, S.REJECTED, S.CANCELED, S.EXPIRED, S.FILLED)
    },
}


def step(state: OrderState, event: Event) -> Step:
    """Return the state that follows. Never raises; an impossible event says so."""
    follows = _FOLLOWS[state].get(event)
    if follows is not None:
        return Step(follows)
    return Step(_CONTRADICTS.get((state, event), state), possible=False)


_EVENTS = {
    BrokerStatus.PENDING: E.PENDING,
    BrokerStatus.HELD: E.HOLD,
    BrokerStatus.WORKING: E.WORK,
    BrokerStatus.PENDING_CANCEL: E.WORK,
    BrokerStatus.FILLED: E.FILL,
    BrokerStatus.CANCELED: E.CANCEL,
    BrokerStatus.REJECTED: E.REJECT,
    BrokerStatus.EXPIRED: E.EXPIRE,
}
_ALIVE = frozenset({E.PENDING, E.HOLD, E.WORK})


def event_of(report: OrderReport, quantity: Decimal) -> Event:
    """Return what a report says of an order of ``quantity``.

    A status of "filled" that leaves a remainder, or a fill beside a live status, is a part fill;
    a cancel of what is filled whole is a fill. A remainder that is told outweighs ``quantity``,
    which a change may have enlarged unheard.
    """
    event = _EVENTS[report.status]
    filled = report.filled or Decimal(0)
    if event is E.FILL and report.remaining:
        return E.PART_FILL
    if event in _ALIVE and filled > 0:
        return E.FILL if filled >= quantity and not report.remaining else E.PART_FILL
    if event is E.CANCEL and filled >= quantity and not report.remaining:
        return E.FILL
    return event


# --- commands -----------------------------------------------------------------------------------


class CommandState(StrEnum):
    """What is known of a modify or cancel.

    QUEUED and SENT are what PENDING_REPLACE and PENDING_CANCEL consist of. LOST: no answer, and
    the evidence did not tell; it counts as possibly carried out.
    """

    QUEUED = "QUEUED"
    SENT = "SENT"
    CONFIRMED = "CONFIRMED"
    REFUSED = "REFUSED"
    WITHDRAWN = "WITHDRAWN"
    LOST = "LOST"

    @property
    def is_pending(self) -> bool:
        """Whether an answer is due."""
        return self in (CommandState.QUEUED, CommandState.SENT)


class CommandEvent(StrEnum):
    """What can happen to a command.

    ENDED: the order ended in another way. LATE_ECHO: it was carried out after all, where a list
    with the old terms, or a message, had let one think that it was refused.
    """

    SEND = "SEND"
    DEFER = "DEFER"
    CONFIRM = "CONFIRM"
    REFUSE = "REFUSE"
    WITHDRAW = "WITHDRAW"
    ENDED = "ENDED"
    LOSE = "LOSE"
    LATE_ECHO = "LATE_ECHO"


C, V = CommandState, CommandEvent

_COMMANDS: Mapping[tuple[CommandState, CommandEvent], CommandState] = {
    (C.QUEUED, V.SEND): C.SENT,
    (C.QUEUED, V.DEFER): C.QUEUED,
    (C.QUEUED, V.WITHDRAW): C.WITHDRAWN,
    (C.QUEUED, V.REFUSE): C.REFUSED,
    (C.QUEUED, V.ENDED): C.WITHDRAWN,
    (C.SENT, V.DEFER): C.QUEUED,
    (C.SENT, V.CONFIRM): C.CONFIRMED,
    (C.SENT, V.REFUSE): C.REFUSED,
    (C.SENT, V.ENDED): C.REFUSED,
    (C.SENT, V.LOSE): C.LOST,
    (C.LOST, V.CONFIRM): C.CONFIRMED,
    (C.LOST, V.REFUSE): C.REFUSED,
    (C.LOST, V.ENDED): C.REFUSED,
    (C.LOST, V.LOSE): C.LOST,
    (C.REFUSED, V.LATE_ECHO): C.CONFIRMED,
}


def command_step(state: CommandState, event: CommandEvent) -> CommandState | None:
    """Return the state that follows; None where the event cannot happen in this state."""
    return _COMMANDS.get((state, event))
