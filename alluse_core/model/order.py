"""Orders, groups of orders, and what a broker says of them."""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import attrs

from alluse_core.errors import InvalidType, InvalidValue
from alluse_core.model.instrument import Instrument, Side
from alluse_core.model.number import decimal


class OrderType(StrEnum):
    """How an order is priced, by the codes IBKR uses for the same four FIX types."""

    MARKET = "MKT"
    LIMIT = "LMT"
    STOP = "STP"
    STOP_LIMIT = "STP LMT"


class TimeInForce(StrEnum):
    """How long an order lives (FIX 59)."""

    DAY = "DAY"
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTD = "GTD"
    OPG = "OPG"


class OrderState(StrEnum):
    """What is known of an order.

    INTENT -> DENIED | SUBMITTED -> ACCEPTED -> PARTIALLY_FILLED -> a terminal state. SUBMITTED
    means "may have left". HELD is alive at the broker and not working (locate, open,
    untransmitted). UNKNOWN means that evidence is missing: it counts fully towards exposure.
    """

    INTENT = "INTENT"
    DENIED = "DENIED"
    SUBMITTED = "SUBMITTED"
    HELD = "HELD"
    ACCEPTED = "ACCEPTED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    UNKNOWN = "UNKNOWN"

    @property
    def is_terminal(self) -> bool:
        """Whether no more is expected. A late fill is applied all the same."""
        return self in _TERMINAL


_TERMINAL = frozenset(
    {
        OrderState.DENIED,
        OrderState.FILLED,
        OrderState.CANCELED,
        OrderState.REJECTED,
        OrderState.EXPIRED,
    }
)


_FIELD_KINDS: tuple[tuple[str, type], ...] = (
    ("instrument", Instrument),
    ("side", Side),
    ("order_type", OrderType),
    ("time_in_force", TimeInForce),
    ("key", str),
    ("broker", str),
    ("account", str),
)


_KIND_HINTS = {
    "instrument": "Instrument.stock, .option and .future make one, Instrument.parse reads its id",
    "side": "Side.BUY or Side.SELL; Side(text) reads one",
    "order_type": "OrderType(text) reads one",
    "time_in_force": "TimeInForce(text) reads one",
}
_LONGEST_KEY = 200


def _optional_decimal(value: Decimal | str | int | None) -> Decimal | None:
    return None if value is None else decimal(value)


@attrs.frozen
class Order:
    """What an agent wants, before anybody has agreed to it.

    ``key`` is the agent's idempotency key, unique for ever: the same key with the same content
    is the same order, with other content a ``KeyConflict``. ``quantity`` is in units of the
    instrument and positive. ``broker`` and ``account`` may be left empty: the settings' default
    is filled in before the order is journaled. ``good_till`` belongs to GTD. ``reduce_only``
    denies the order where it could enlarge or flip the position. ``send_within``: seconds in which
    it must have left, instead of the settings' ``[orders] send_within``; it holds for exits too,
    ends with the process, and is no part of what a key stands for.
    """

    instrument: Instrument
    side: Side
    quantity: Decimal = attrs.field(converter=decimal)
    order_type: OrderType
    key: str
    limit_price: Decimal | None = attrs.field(default=None, converter=_optional_decimal)
    stop_price: Decimal | None = attrs.field(default=None, converter=_optional_decimal)
    time_in_force: TimeInForce = TimeInForce.DAY
    good_till: datetime | None = None
    outside_rth: bool = False
    reduce_only: bool = False
    broker: str = ""
    account: str = ""
    send_within: float | None = None

    def __attrs_post_init__(self) -> None:
        # A plain "BUY" equals Side.BUY and is not Side.BUY: whoever asks by identity, as the
        # hot paths do, would take the purchase for a sale.
        for name, kind in _FIELD_KINDS:
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise InvalidType(
                    f"an order's {name} is {kind.__name__}, not {value!r}",
                    hint=_KIND_HINTS.get(name, ""),
                )
        _check_key(self.key)
        if self.quantity <= 0:
            raise InvalidValue(
                f"an order's quantity is positive, not {self.quantity}",
                hint="the side says whether it is bought or sold",
            )
        needs_limit = self.order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT)
        needs_stop = self.order_type in (OrderType.STOP, OrderType.STOP_LIMIT)
        for name, price, needed in (
            ("limit_price", self.limit_price, needs_limit),
            ("stop_price", self.stop_price, needs_stop),
        ):
            if needed != (price is not None):
                verb = "needs" if needed else "takes no"
                raise InvalidValue(
                    f"a {self.order_type.value} order {verb} {name}",
                    hint="Order.market, .limit and .stop ask for what each type needs",
                )
        if (self.time_in_force is TimeInForce.GTD) != (self.good_till is not None):
            raise InvalidValue(
                "good_till belongs to a GTD order, and to no other",
                hint="name both: time_in_force=TimeInForce.GTD and good_till",
            )
        if self.good_till is not None and not isinstance(self.good_till, datetime):
            raise InvalidType(
                f"good_till is a datetime, not {self.good_till!r}",
                hint="such as datetime(..., tzinfo=UTC)",
            )
        if self.good_till is not None and self.good_till.tzinfo is None:
            raise InvalidValue(
                "good_till must carry a time zone", hint="such as datetime(..., tzinfo=UTC)"
            )
        if self.send_within is not None:
            _check_seconds(self.send_within)

    @classmethod
    def market(
        cls,
        instrument: Instrument,
        side: Side,
        quantity: Decimal | str | int,
        *,
        key: str,
        **more: Any,
    ) -> Order:
        """Return a market order; ``more`` are further fields of Order."""
        return cls(instrument, side, quantity, OrderType.MARKET, key, **more)

    @classmethod
    def limit(
        cls,
        instrument: Instrument,
        side: Side,
        quantity: Decimal | str | int,
        price: Decimal | str | int,
        *,
        key: str,
        **more: Any,
    ) -> Order:
        """Return a limit order; ``more`` are further fields of Order."""
        return cls(instrument, side, quantity, OrderType.LIMIT, key, limit_price=price, **more)

    @classmethod
    def stop(
        cls,
        instrument: Instrument,
        side: Side,
        quantity: Decimal | str | int,
        price: Decimal | str | int,
        *,
        key: str,
        limit_price: Decimal | str | int | None = None,
        **more: Any,
    ) -> Order:
        """Return a stop order, or a stop-limit order where ``limit_price`` is given."""
        kind = OrderType.STOP if limit_price is None else OrderType.STOP_LIMIT
        return cls(
            instrument, side, quantity, kind, key, limit_price=limit_price, stop_price=price, **more
        )


def _check_seconds(given: object) -> None:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise InvalidType(
            f"an order's send_within is a number of seconds, not {given!r}",
            hint="leave it out, and the settings' [orders] send_within holds",
        )
    if not 0 < given < math.inf:
        raise InvalidValue(
            f"an order's send_within is positive and finite, not {given}",
            hint="leave it out, and the settings' [orders] send_within holds",
        )


def _check_key(key: str) -> None:
    if not key.strip() or not key.isprintable() or len(key) > _LONGEST_KEY:
        raise InvalidValue(
            f"an order's key is 1 to {_LONGEST_KEY} printable characters, not all of them blanks",
            hint="name what it is for, such as 'rebalance-42/AAPL'; it is unique for ever",
        )


class GroupKind(StrEnum):
    """How the orders of a group hang together."""

    BRACKET = "bracket"
    OCA = "oca"


@attrs.frozen
class OrderGroup:
    """Orders that are one intent: reserved together, sent in one turn, over one connection.

    In a BRACKET the first order is the entry and the others close what it opens; what one of them
    fills comes off the others. In an OCA group each order cancels the rest when it fills. (A combo
    is one order on a combo instrument.) ``key`` names the group; each order keeps its own key.
    """

    kind: GroupKind
    key: str
    orders: tuple[Order, ...]

    def __attrs_post_init__(self) -> None:
        # A plain "bracket" equals GroupKind.BRACKET and is not it: the exits would be sent as
        # orders that the entry's own fill cancels.
        if not isinstance(self.kind, GroupKind):
            raise InvalidType(
                f"a group's kind is a GroupKind, not {self.kind!r}",
                hint="use OrderGroup.bracket or OrderGroup.oca",
            )
        if not all(isinstance(order, Order) for order in self.orders):
            raise InvalidType(
                "a group is made of orders", hint="give it Order objects, such as Order.limit"
            )
        if not self.key.strip() or not self.key.isprintable():
            raise InvalidValue(
                "a group's key is one or more printable characters, not all of them blanks",
                hint="name what it is for, such as 'rebalance-42/exits'",
            )
        if len(self.orders) < 2:
            raise InvalidValue(
                "a group has at least two orders",
                hint="a bracket has a take_profit or a stop; submit a single order as it is",
            )
        if len({order.key for order in self.orders}) != len(self.orders):
            raise InvalidValue(
                "the orders of a group have keys of their own", hint="give each another key"
            )
        if len({(order.broker, order.account) for order in self.orders}) != 1:
            raise InvalidValue(
                "the orders of a group go to one broker and account",
                hint="name the same ones on each, or on none",
            )

    @classmethod
    def bracket(
        cls,
        entry: Order,
        *,
        take_profit: Decimal | str | int | None = None,
        stop: Decimal | str | int | None = None,
        time_in_force: TimeInForce = TimeInForce.GTC,
    ) -> OrderGroup:
        """Return ``entry`` with the orders that will close it, at least one of the two.

        The exits' keys are the entry's with ``/profit`` and ``/stop``.
        """
        exits = []
        more: dict[str, Any] = {
            "time_in_force": time_in_force,
            "broker": entry.broker,
            "account": entry.account,
            "outside_rth": entry.outside_rth,
        }
        side, quantity = entry.side.opposite, entry.quantity
        if take_profit is not None:
            key = f"{entry.key}/profit"
            exits.append(
                Order.limit(entry.instrument, side, quantity, take_profit, key=key, **more)
            )
        if stop is not None:
            key = f"{entry.key}/stop"
            exits.append(Order.stop(entry.instrument, side, quantity, stop, key=key, **more))
        return cls(GroupKind.BRACKET, f"{entry.key}/bracket", (entry, *exits))

    @classmethod
    def oca(cls, *orders: Order, key: str) -> OrderGroup:
        """Return orders of which one fill cancels the others."""
        return cls(GroupKind.OCA, key, orders)


# --- what the broker says -----------------------------------------------------------------------


class BrokerStatus(StrEnum):
    """A broker's word on an order, reduced to what the state machine tells apart."""

    PENDING = "pending"
    HELD = "held"
    WORKING = "working"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    PENDING_CANCEL = "pending_cancel"


@attrs.frozen
class OrderIdentity:
    """The names one order goes by. Only ``order_ref`` and ``perm_id`` outlive a connection.

    ``order_id`` belongs to ``client_id`` and may be used again after a gateway restart; 0 and
    ``""`` mean that the message did not carry the name.
    """

    order_ref: str = ""
    perm_id: int = 0
    order_id: int = 0
    client_id: int = 0


@attrs.frozen
class OrderTerms:
    """An order as the broker echoed it, to be compared with the intent."""

    instrument: Instrument | None
    side: Side
    quantity: Decimal
    order_type: str
    limit_price: Decimal | None
    stop_price: Decimal | None
    time_in_force: str
    account: str
    outside_rth: bool


@attrs.frozen
class OrderReport:
    """A broker's statement of an order's status: evidence.

    ``filled`` and ``remaining`` are None where the message did not carry them.
    """

    broker: str
    identity: OrderIdentity
    status: BrokerStatus
    filled: Decimal | None = None
    remaining: Decimal | None = None
    average_price: Decimal | None = None
    terms: OrderTerms | None = None
    reason: str = ""
    raw_status: str = ""


@attrs.frozen
class Execution:
    """One fill: evidence. ``execution_id`` is unique; a correction changes its last part.

    ``liquidation`` is true where the broker itself closed the position.
    """

    broker: str
    identity: OrderIdentity
    execution_id: str
    account: str
    instrument: Instrument
    side: Side
    quantity: Decimal
    price: Decimal
    time: datetime
    liquidation: bool = False

    @property
    def change(self) -> Decimal:
        """What it adds to the position: below zero for a sale."""
        return self.quantity * self.side.sign


@attrs.frozen
class Commission:
    """What a fill cost; may come before its execution, or never. ``realized`` may be None."""

    broker: str
    execution_id: str
    amount: Decimal
    currency: str
    realized: Decimal | None = None


class Verb(StrEnum):
    """What a message to the broker asked for: something of an order, or DEFINE and HISTORY."""

    PLACE = "place"
    MODIFY = "modify"
    CANCEL = "cancel"
    DEFINE = "define"
    HISTORY = "history"

    @property
    def is_question(self) -> bool:
        """Whether it asks for an instrument's definition or past, and is about no order."""
        return self in (Verb.DEFINE, Verb.HISTORY)


@attrs.frozen
class BrokerNotice:
    """A coded message of the broker's about an order or about itself. Not evidence of a state.

    ``identity`` is None where the notice is about no order. ``request_id`` is the broker's own
    number for whatever the notice is about.
    """

    broker: str
    code: int
    text: str
    identity: OrderIdentity | None = None
    request_id: int = -1


class LinkState(StrEnum):
    """Whether the broker can be reached.

    DEGRADED: the socket is up while the broker's own uplink is not (IBKR 1100), so new risk is
    gated. GATED: all of it works, and the broker wants no new risk for now (a restart window);
    what reduces risk passes.
    """

    DOWN = "down"
    CONNECTING = "connecting"
    DEGRADED = "degraded"
    GATED = "gated"
    UP = "up"

    @property
    def works(self) -> bool:
        """Whether messages reach the venue, so that positions can be closed and evidence had."""
        return self in (LinkState.GATED, LinkState.UP)


@attrs.frozen
class LinkReport:
    """A change of the link. ``data_lost``: subscriptions must be made again."""

    broker: str
    state: LinkState
    reason: str = ""
    code: int | None = None
    data_lost: bool = False


Evidence = OrderReport | Execution | Commission | BrokerNotice | LinkReport
