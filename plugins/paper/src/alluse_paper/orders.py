"""Orders as the exchange knows them, and what it says of them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import attrs

from alluse_core.model.instrument import Instrument, Side
from alluse_core.model.order import OrderState, OrderType, TimeInForce, Verb

ZERO = Decimal(0)


class OcaRule(StrEnum):
    """What a fill of one order does to the others of its group (IBKR's ocaType 1, 2 and 3).

    With block, as the first two are, only one order of the group is at the venue at a time, so
    that together they never fill more than was wanted. Without, the others stand there too: word
    of a fill reaches them after the way there, and they may fill as well until then.
    """

    CANCEL = "cancel"
    REDUCE = "reduce"
    REDUCE_WITHOUT_BLOCK = "reduce without block"


class Cause(StrEnum):
    """Why an order exists."""

    ORDER = ""
    LIQUIDATION = "liquidation"
    EXERCISE = "exercise"
    ASSIGNMENT = "assignment"
    EXPIRY = "expiry"

    @property
    def is_settlement(self) -> bool:
        """Whether it moved positions past the market: no order was ever seen of it."""
        return self in (Cause.EXERCISE, Cause.ASSIGNMENT, Cause.EXPIRY)


@attrs.frozen
class NewOrder:
    """An order as it is handed to the exchange.

    ``quantity`` is positive. A price that the order type has no use for is ignored. ``parent``
    is the number of an order placed before: this one is held until the parent has filled, and
    works at most the parent's filled quantity. ``transmit`` False holds the order until a later
    order of the same bracket (or a replace) transmits it. Children of one parent are one OCA
    group (REDUCE) unless ``oca_group`` names another. ``client_tag`` is the caller's own, handed
    back untouched with every event.

    ``good_after`` holds the order until then. ``all_or_none`` fills whole or not at all. A stop
    with ``trail`` (units of price) or ``trail_percent`` follows the market at that distance;
    ``trail_limit`` is then how far a trailing stop-limit's limit lies beyond its stop.
    ``at_close`` holds it until the last second of its session. ``cause`` says why an order is
    nobody's wish: the account was liquidated, an option exercised, assigned or expired.
    """

    account: str
    instrument: Instrument
    side: Side
    quantity: Decimal
    order_type: OrderType
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    outside_rth: bool = False
    good_till: datetime | None = None
    oca_group: str = ""
    oca_rule: OcaRule = OcaRule.CANCEL
    parent: int | None = None
    transmit: bool = True
    client_tag: object = None
    good_after: datetime | None = None
    all_or_none: bool = False
    trail: Decimal | None = None
    trail_percent: Decimal | None = None
    trail_limit: Decimal | None = None
    at_close: bool = False
    cause: Cause = Cause.ORDER


@attrs.frozen
class Fill:
    """One execution. ``execution_id`` is unique, in IBKR's shape ``aaaaaaaa.bbbbbbbb.cc.dd``.

    ``cumulative`` and ``average_price`` are the order's after this fill. ``realized`` is the
    profit that closing brought, before commissions; ``commission`` is zero or more. ``legs`` are
    the executions that a combo's consists of: only they move positions, cost and realise.
    """

    execution_id: str
    number: int
    account: str
    instrument: Instrument
    side: Side
    quantity: Decimal
    price: Decimal
    time: datetime
    cumulative: Decimal
    average_price: Decimal
    commission: Decimal
    currency: str
    realized: Decimal
    liquidation: bool = False
    legs: tuple[Fill, ...] = ()

    @property
    def all(self) -> tuple[Fill, ...]:
        """This execution and those of its legs."""
        return (self, *self.legs)

    @property
    def paid(self) -> Decimal:
        """The commission of this execution and its legs."""
        return sum((each.commission for each in self.all), ZERO)


@attrs.frozen
class ExchangeOrder:
    """An order as it stood at one moment: a value; ask the exchange again for the present.

    ``number`` is account-wide unique and never used again (IBKR's permId). ``state`` is SUBMITTED
    on its way to the exchange, then HELD, ACCEPTED, PARTIALLY_FILLED, or terminal. ``request``
    carries the terms as replaced. ``triggered``: a stop's trigger has been hit.
    """

    number: int
    request: NewOrder
    state: OrderState
    filled: Decimal = ZERO
    average_price: Decimal = ZERO
    reason: str = ""
    triggered: bool = False
    executions: tuple[Fill, ...] = ()
    placed_at: datetime | None = None
    changed_at: datetime | None = None

    @property
    def remaining(self) -> Decimal:
        """What is not filled. Kept after a cancel: it says what was cancelled."""
        return self.request.quantity - self.filled

    @property
    def is_open(self) -> bool:
        """Whether the order may still fill."""
        return not self.state.is_terminal


@attrs.frozen
class OrderAccepted:
    """The order works (again, after a hold)."""

    order: ExchangeOrder


@attrs.frozen
class OrderHeld:
    """The order is alive and not working: untransmitted, waits for its parent, for shares to be
    located, for a time, or for the open. ``until`` is known for a time, and for the open in market
    time.
    """

    order: ExchangeOrder
    reason: str
    until: datetime | None = None


@attrs.frozen
class OrderFilled:
    """A fill; ``order`` is the order after it (PARTIALLY_FILLED or FILLED)."""

    order: ExchangeOrder
    execution: Fill


@attrs.frozen
class OrderCanceled:
    """The order is cancelled: ``requested`` by a cancel, or by the exchange with ``reason``."""

    order: ExchangeOrder
    reason: str
    requested: bool


@attrs.frozen
class OrderRejected:
    """The exchange did not take the order."""

    order: ExchangeOrder
    reason: str


@attrs.frozen
class OrderReplaced:
    """The terms are changed; ``order.request`` has the new ones."""

    order: ExchangeOrder


@attrs.frozen
class OrderExpired:
    """The order's time in force has ended."""

    order: ExchangeOrder
    reason: str


@attrs.frozen
class CommandRefused:
    """A replace or cancel came too late or asks for what cannot be; the order keeps its state."""

    order: ExchangeOrder
    verb: Verb
    reason: str


@attrs.frozen
class FillCorrected:
    """An execution was corrected: ``execution`` stands for ``was``, whose id differs only in what
    follows the last dot. A quantity of 0 means that the trade was busted.
    """

    order: ExchangeOrder
    execution: Fill
    was: Fill


ExchangeEvent = (
    OrderAccepted
    | OrderHeld
    | OrderFilled
    | OrderCanceled
    | OrderRejected
    | OrderReplaced
    | OrderExpired
    | CommandRefused
    | FillCorrected
)
