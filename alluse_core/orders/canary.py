"""Caps for the first orders and hours of a new version, until a person lifts them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from alluse_core.errors import OrderError
from alluse_core.model import Order
from alluse_core.orders.desk import Desk
from alluse_core.orders.persons import refuse_no_name
from alluse_core.orders.reader import Entry
from alluse_core.orders.records import Kind
from alluse_core.orders.view import QuoteLookup
from alluse_core.ports import Decision, deny
from alluse_core.settings import CanarySettings

_SOURCE = "[orders.canary]"


class Canary:
    """Counts the orders of one version of one agent, and denies what is beyond its caps."""

    def __init__(
        self, desk: Desk, settings: CanarySettings, agent: str, quotes: QuoteLookup
    ) -> None:
        self._desk = desk
        self._settings = settings
        self._quotes = quotes
        self.name = f"{agent}/{settings.version}"
        self.since: datetime | None = None
        self.began_at = 0
        self.taken = 0
        self.lifted = not settings.version

    def restore(self, entries: Iterable[Entry]) -> None:
        """Take what the journal says of this version."""
        for entry in entries:
            if entry.kind == Kind.CONTROL and entry.body.get("canary") == self.name:
                if entry.body["action"] == "canary lifted":
                    self.lifted = True
                else:
                    self.since, self.began_at = entry.time, entry.sequence

    def begin(self) -> None:
        """Begin to count, at the first start of a version."""
        if self.since is None and not self.lifted:
            self.since = self._desk.clock.now()
            self._write("canary", "")

    def check(self, order: Order, new: int = 1) -> Decision | None:
        """Return the denial of an order beyond the caps, None where it is within them.

        ``new`` is how many orders its intent adds: all those of a group, none where one changes.
        """
        if self.lifted:
            return None
        caps = self._settings
        if caps.max_quantity and order.quantity > caps.max_quantity:
            return self._deny("its quantity", caps.max_quantity, order.quantity)
        if caps.max_orders and new and self.taken + new > caps.max_orders:
            return self._deny("the number of orders", caps.max_orders, self.taken + new)
        if caps.max_value:
            price = self._price(order)
            if price is None:
                return self._deny("no price is known, so its value", caps.max_value, "unknown")
            value = abs(price) * order.quantity * order.instrument.multiplier
            if value > caps.max_value:
                return self._deny("its value", caps.max_value, value)
        return None

    def took(self, orders: int) -> None:
        """Count orders that were let through."""
        self.taken += orders

    def lift(self, by: str) -> None:
        """End the caps. Raises UsageError without a name, OrderError where it is too early."""
        refuse_no_name(by, "lifting the canary's caps")
        if self.lifted:
            raise OrderError(f"{self.name} has no caps to lift")
        caps, now = self._settings, self._desk.clock.now()
        until = (self.since or now) + timedelta(hours=caps.hours)
        if self.taken < caps.orders or now < until:
            raise OrderError(
                f"{self.name} has sent {self.taken} of {caps.orders} orders, and its caps hold"
                f" until {until:%Y-%m-%d %H:%M} UTC at least",
                hint="change [orders.canary] orders or hours to shorten that",
            )
        self.lifted = True
        self._write("canary lifted", by)

    def _price(self, order: Order) -> Decimal | None:
        if order.limit_price is not None or order.stop_price is not None:
            prices = (order.limit_price, order.stop_price)
            return max((abs(price) for price in prices if price is not None), default=None)
        quote = self._quotes(order.instrument)
        if quote is None or quote.ask != quote.ask:
            return None
        return Decimal(str(quote.ask))

    def _deny(self, what: str, limit: object, value: object) -> Decision:
        reason = f"{what} is beyond the cap of the new version {self.name}"
        return deny(reason, limit=limit, value=value, source=_SOURCE)

    def _write(self, action: str, by: str) -> None:
        journal = self._desk.journal
        body = {"action": action, "canary": self.name, "by": by, "orders": self.taken}
        journal.append(journal.scribe.row(Kind.CONTROL, body))
