"""An order while the exchange works on it."""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal

import attrs

from alluse_core.model.instrument import Side
from alluse_core.model.order import OrderState, OrderType
from alluse_paper.orders import ZERO, ExchangeOrder, Fill, NewOrder

UNTRANSMITTED = "not transmitted"


@attrs.define(eq=False)
class Working:
    """The exchange's own, changing record of one order.

    ``ahead`` is how much displayed size stands before it at its price; NaN while its price is
    behind the top of book, where nothing is displayed. ``aggressive``: it could trade at once
    when it came, so what is left of it walks along with the displayed prices while its limit
    allows; after that, as other orders, it trades at its own limit. ``allowance`` caps a
    bracket's exit at what the entry has filled. ``priority`` is its place in time among own
    orders.
    """

    number: int
    request: NewOrder
    placed_at: datetime
    state: OrderState = OrderState.SUBMITTED
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    reason: str = ""
    executions: list[Fill] = attrs.field(factory=list)
    changed_at: datetime | None = None
    arrived: bool = False
    transmitted: bool = True
    triggered: bool = False
    aggressive: bool = False
    in_book: bool = False
    ahead: float = math.nan
    allowance: Decimal | None = None
    priority: int = 0
    opens_at: float = -math.inf
    expires_at: float = math.inf
    commission: Decimal = ZERO
    trail_stop: Decimal | None = None

    @classmethod
    def of(cls, shown: ExchangeOrder, placed_at: datetime) -> Working:
        """Return the record of an order as it was shown, to go on with it."""
        fills = list(shown.executions)
        return cls(
            shown.number,
            shown.request,
            shown.placed_at or placed_at,
            shown.state,
            shown.filled,
            sum((fill.quantity * fill.price for fill in fills), ZERO),
            shown.reason,
            fills,
            shown.changed_at,
            arrived=True,
            transmitted=shown.reason != UNTRANSMITTED,
            triggered=shown.triggered,
            commission=sum((fill.paid for fill in fills), ZERO),
        )

    @property
    def remaining(self) -> Decimal:
        """What is not filled."""
        return self.request.quantity - self.filled

    @property
    def workable(self) -> Decimal:
        """What may fill now."""
        if self.allowance is None:
            return self.remaining
        return min(self.remaining, self.allowance)

    @property
    def is_open(self) -> bool:
        """Whether it may still fill."""
        return not self.state.is_terminal

    @property
    def is_stop(self) -> bool:
        """Whether it waits for its stop's trigger."""
        stops = (OrderType.STOP, OrderType.STOP_LIMIT)
        return self.request.order_type in stops and not self.triggered

    @property
    def stop(self) -> Decimal | None:
        """The price that triggers it: where it trails, what it has followed the market to."""
        return self.trail_stop if self.trail_stop is not None else self.request.stop_price

    @property
    def trails(self) -> bool:
        """Whether its stop follows the market."""
        return self.request.trail is not None or self.request.trail_percent is not None

    def follow(self, price: Decimal) -> bool:
        """Let a trailing stop follow ``price``; return whether the stop has moved.

        It moves only towards the market's better prices, and its limit with it.
        """
        request = self.request
        distance = request.trail
        if distance is None:
            distance = abs(price) * (request.trail_percent or ZERO) / 100
        sign = request.side.sign
        stop = price + sign * distance
        old = self.stop
        if old is not None and (stop - old) * sign >= 0:
            return False
        self.trail_stop = stop
        if request.trail_limit is not None:
            limit = stop + sign * request.trail_limit
            self.request = attrs.evolve(request, limit_price=limit)
        return True

    @property
    def limit(self) -> Decimal | None:
        """Its limit, or None where it takes any price."""
        if self.request.order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT):
            return self.request.limit_price
        return None

    def rank(self) -> tuple[float, int]:
        """Its place in price-time priority; lower trades first."""
        limit = self.limit
        price = math.inf if limit is None else self.request.side.sign * float(limit)
        return -price, self.priority

    def accepts(self, price: float) -> bool:
        """Whether its limit allows ``price``."""
        limit = self.limit
        if limit is None:
            return True
        return price <= float(limit) if self.request.side is Side.BUY else price >= float(limit)

    def snapshot(self) -> ExchangeOrder:
        """Return it as a value."""
        return ExchangeOrder(
            self.number,
            self.request
            if self.trail_stop is None
            else attrs.evolve(self.request, stop_price=self.trail_stop),
            self.state,
            self.filled,
            self.cost / self.filled if self.filled else ZERO,
            self.reason,
            self.triggered,
            tuple(self.executions),
            self.placed_at,
            self.changed_at,
        )
