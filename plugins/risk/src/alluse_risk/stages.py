"""Pre-trade controls: pure checks of an order against what may be looked at.

All fail closed, and only for orders that increase risk: what is proven to reduce it passes every
control but ``reduce_only``. A control tells how much of its limit the order uses; the share is
kept as the gauge ``risk_management.budget_used`` by control.
"""

from __future__ import annotations

import math
from decimal import Decimal

import attrs

from alluse_core.model import DataType, Instrument, Order, OrderType, Side
from alluse_core.ports import ALLOW, Decision, OrderView, StagePhase, deny
from alluse_core.telemetry import Gauge
from alluse_risk.exposure import reach
from alluse_risk.settings import (
    DuplicateOrderSettings,
    MaxQuantitySettings,
    MaxValueSettings,
    MessageRateSettings,
    PositionCapSettings,
    PriceCollarSettings,
    StaleQuoteSettings,
    UnknownCapSettings,
)


@attrs.frozen
class MaxQuantity:
    """No order is larger than the limit [E, F, N]."""

    settings: MaxQuantitySettings
    used: Gauge
    name: str = "max_quantity"
    phase: StagePhase = StagePhase.RISK

    def check(self, order: Order, view: OrderView) -> Decision:
        """Compare the quantity."""
        if view.reduces(order):
            return ALLOW
        limit = self.settings.limit
        self.used.value = _percent(order.quantity, limit)
        if order.quantity <= limit:
            return ALLOW
        return deny(
            f"quantity {order.quantity} is above {limit}",
            limit=limit,
            value=order.quantity,
            source="RTS 6 Art. 15",
        )


@attrs.frozen
class MaxValue:
    """No order is worth more than the limit, at the worst price it may trade at [E, N]."""

    settings: MaxValueSettings
    used: Gauge
    name: str = "max_value"
    phase: StagePhase = StagePhase.RISK

    def check(self, order: Order, view: OrderView) -> Decision:
        """Compare quantity x price x multiplier."""
        if view.reduces(order):
            return ALLOW
        limit = self.settings.limit
        price = _worst_price(order, view)
        if price is None:
            return deny(
                f"no price to value {order.instrument} with", limit=limit, source="RTS 6 Art. 15"
            )
        value = abs(price) * order.quantity * order.instrument.multiplier
        self.used.value = _percent(value, limit)
        if value <= limit:
            return ALLOW
        currency = order.instrument.currency
        return deny(
            f"value {value:.2f} {currency} is above {limit}",
            limit=limit,
            value=round(value, 2),
            source="RTS 6 Art. 15",
        )


@attrs.frozen
class PriceCollar:
    """An order's price stays near the market [E].

    Each of its prices must lie within the collar around the middle of the newest quote. A market
    order has no price of its own: it is denied where there is no quote to judge it by.
    """

    settings: PriceCollarSettings
    used: Gauge
    name: str = "price_collar"
    phase: StagePhase = StagePhase.RISK

    def check(self, order: Order, view: OrderView) -> Decision:
        """Compare each price with the middle."""
        if view.reduces(order):
            return ALLOW
        limit = self.settings.percent
        quote = view.quote(order.instrument)
        mid = math.nan if quote is None else quote.mid
        if math.isnan(mid) or mid == 0.0:
            return deny(
                f"no two-sided quote of {order.instrument} to hold the price against",
                limit=f"{limit} %",
                source="RTS 6 Art. 15",
            )
        middle = Decimal(mid)
        prices = [price for price in (order.limit_price, order.stop_price) if price is not None]
        away = max((abs(price - middle) / abs(middle) * 100 for price in prices), default=Decimal())
        self.used.value = _percent(away, limit)
        if away <= limit:
            return ALLOW
        return deny(
            f"a price {away:.2f} % from the market ({mid:.6g}) is outside the collar of {limit} %",
            limit=f"{limit} %",
            value=f"{away:.2f} %",
            source="RTS 6 Art. 15",
        )


@attrs.frozen
class MessageRate:
    """Not more than so many orders in so many seconds [E, N]."""

    settings: MessageRateSettings
    used: Gauge
    name: str = "message_rate"
    phase: StagePhase = StagePhase.RISK

    def check(self, order: Order, view: OrderView) -> Decision:
        """Count what was let through in the window."""
        if view.reduces(order):
            return ALLOW
        settings = self.settings
        own = 1 if view.group is None else len(view.group.orders)
        count = len(view.recent(settings.seconds)) + own
        self.used.value = _percent(count, settings.limit)
        if count <= settings.limit:
            return ALLOW
        return deny(
            f"{count} orders in {settings.seconds:g} s are more than {settings.limit}",
            limit=settings.limit,
            value=count,
            source="RTS 6 Art. 15",
        )


@attrs.frozen
class DuplicateOrder:
    """The same order does not come twice within the window [S].

    The same means instrument, side, type, prices, quantity and account; its key is another one.
    """

    settings: DuplicateOrderSettings
    name: str = "duplicate_order"
    phase: StagePhase = StagePhase.RISK

    def check(self, order: Order, view: OrderView) -> Decision:
        """Look for the same terms."""
        if view.reduces(order):
            return ALLOW
        for at, earlier in view.recent(self.settings.seconds):
            if earlier.key != order.key and _terms(earlier) == _terms(order):
                return deny(
                    f"the same order was sent {view.now - at:.3f} s ago as {earlier.key!r}",
                    limit=f"{self.settings.seconds:g} s",
                    value=f"{view.now - at:.3f} s",
                    source="SEC 15c3-5",
                )
        return ALLOW


@attrs.frozen
class StaleQuote:
    """New risk is taken on a live, confirmed, two-sided quote only [F]."""

    settings: StaleQuoteSettings
    used: Gauge
    name: str = "stale_quote"
    phase: StagePhase = StagePhase.RISK

    def check(self, order: Order, view: OrderView) -> Decision:
        """Judge the newest quote held."""
        if view.reduces(order):
            return ALLOW
        limit = self.settings.max_age
        reason = self._flaw(order.instrument, view)
        if not reason:
            return ALLOW
        return deny(reason, limit=f"{limit:g} s", source="FIA 2015")

    def _flaw(self, instrument: Instrument, view: OrderView) -> str:
        quote = view.quote(instrument)
        if quote is None:
            return f"no quote of {instrument} is held"
        if quote.halted:
            return f"{instrument} is halted"
        if quote.data_type is not DataType.LIVE:
            return f"the quote of {instrument} is {quote.data_type.value}, not live"
        if not quote.priceable:
            return f"the quote of {instrument} is {quote.condition.value.replace('_', '-')}"
        age = quote.age(view.now)
        if math.isnan(age):
            return f"the quote of {instrument} was never confirmed"
        self.used.value = _percent(age, self.settings.max_age)
        if age > self.settings.max_age:
            return f"the quote of {instrument} was confirmed {age:.1f} s ago"
        return ""


@attrs.frozen
class PositionCap:
    """The position stays under the cap even if everything that works on its side fills [F, U].

    UNKNOWN orders count as working.
    """

    settings: PositionCapSettings
    used: Gauge
    name: str = "position_cap"
    phase: StagePhase = StagePhase.RISK

    def check(self, order: Order, view: OrderView) -> Decision:
        """Add position, working orders of the side, and this order."""
        if view.reduces(order):
            return ALLOW
        limit = self.settings.limit
        position, working = view.position(order.instrument), view.working(order.instrument)
        after = reach(order.side, position, working) + order.side.sign * order.quantity
        self.used.value = _percent(abs(after), limit)
        if abs(after) <= limit:
            return ALLOW
        return deny(
            f"the position could become {after}, beyond {limit}",
            limit=limit,
            value=after,
            source="FIA 2015",
        )


@attrs.frozen
class UnknownCap:
    """No new risk while more orders are UNKNOWN than the limit."""

    settings: UnknownCapSettings
    name: str = "unknown_cap"
    phase: StagePhase = StagePhase.RISK

    def check(self, order: Order, view: OrderView) -> Decision:
        """Count UNKNOWN orders."""
        if view.reduces(order):
            return ALLOW
        count, limit = view.unknown_count(), self.settings.limit
        if count <= limit:
            return ALLOW
        return deny(
            f"{count} orders are UNKNOWN; new risk waits until they are settled",
            limit=limit,
            value=count,
            source="house rule",
        )


@attrs.frozen
class ReduceOnly:
    """An order that says it only reduces is held to it [N]."""

    name: str = "reduce_only"
    phase: StagePhase = StagePhase.VALIDATE

    def check(self, order: Order, view: OrderView) -> Decision:
        """Ask for the proof."""
        if not order.reduce_only or view.reduces(order):
            return ALLOW
        return deny(
            f"{order.side.value} {order.quantity} could enlarge or flip the position of"
            f" {view.position(order.instrument)}",
            value=order.quantity,
            source="nautilus_trader",
        )


def _percent(value: Decimal | float, limit: Decimal | float) -> float:
    return float(value) / float(limit) * 100.0


def _worst_price(order: Order, view: OrderView) -> Decimal | None:
    """Return the price an order may cost at most; a market order's is the quote's other side."""
    prices = [price for price in (order.limit_price, order.stop_price) if price is not None]
    if order.order_type is OrderType.MARKET or (
        order.side is Side.SELL and order.order_type is OrderType.LIMIT
    ):
        # A sale may trade above its limit: what it is worth follows the market as well.
        quote = view.quote(order.instrument)
        touch = math.nan if quote is None else quote.touch(order.side)
        if not math.isnan(touch):
            prices.append(Decimal(touch))
    return max(prices, key=abs, default=None)


def _terms(order: Order) -> tuple[object, ...]:
    return (
        order.instrument,
        order.side,
        order.order_type,
        order.quantity,
        order.limit_price,
        order.stop_price,
        order.account,
    )
