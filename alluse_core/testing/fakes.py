"""Scripted stand-ins for the ports, for tests of what uses them."""

from __future__ import annotations

import asyncio
import copy
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar

import attrs

from alluse_core.clock import Clock, SystemClock
from alluse_core.errors import BrokerUnavailable, InstrumentNotFound, NotSent, RequestFailed
from alluse_core.model import (
    AccountMode,
    AccountValue,
    Bar,
    BrokerNotice,
    BrokerStatus,
    Commission,
    Evidence,
    Execution,
    Instrument,
    InstrumentDefinition,
    LinkReport,
    LinkState,
    OrderIdentity,
    OrderReport,
    OrderTerms,
    Position,
    Quote,
    Snapshot,
)
from alluse_core.ports import BrokerCapabilities, EvidenceSink, OrderMessage, QuoteSink

T = TypeVar("T")

_ZERO = Decimal(0)


@attrs.define(eq=False)
class BrokerOrder:
    """An order as the fake broker holds it."""

    message: OrderMessage
    identity: OrderIdentity
    status: BrokerStatus = BrokerStatus.WORKING
    filled: Decimal = _ZERO

    @property
    def remaining(self) -> Decimal:
        """What is not filled."""
        return self.message.order.quantity - self.filled

    @property
    def is_open(self) -> bool:
        """Whether it can still fill."""
        return self.status in (BrokerStatus.WORKING, BrokerStatus.HELD, BrokerStatus.PENDING)


class FakeSubscription:
    """A stream that the test drives with :meth:`FakeBroker.tick`."""

    def __init__(self, instrument: Instrument, sink: QuoteSink, close: Callable[[], None]) -> None:
        self.instrument = instrument
        self.sink = sink
        self.alive_at = float("nan")
        self._close = close

    def close(self) -> None:
        """End the stream."""
        self._close()


class FakeBroker:
    """A broker in this process whose every answer a test decides. It implements ports.Broker.

    By default it accepts each order at once (``mode = "accept"``). ``"fill"`` fills it whole at
    its limit price (or ``price``); ``"market"`` fills it where it crosses the quote that
    :meth:`tick` set, and lets it rest otherwise; ``"reject"`` says 201; ``"silent"`` takes it and
    says nothing; ``"lose"`` acts as if the bytes vanished: neither an answer nor an order.
    ``sent`` lists what was handed over, in order: ("place" | "modify" | "cancel", what).

    A fill of an order whose group reduces takes as much off the others of the group.

    ``say`` sends any evidence; ``fill``, ``cancel_by_broker`` and ``reject`` act on one order by
    its orderRef. ``lists_fail`` makes queries fail; ``lists_complete`` false leaves out their end
    mark.
    """

    def __init__(
        self,
        evidence: EvidenceSink,
        *,
        name: str = "fake",
        clock: Clock | None = None,
        accounts: Sequence[str] = ("DU1",),
        capabilities: BrokerCapabilities | None = None,
    ) -> None:
        self.name = name
        self.clock: Clock = clock or SystemClock()
        self.capabilities = capabilities or BrokerCapabilities(numeric_order_ids=True)
        self.accounts: Sequence[str] = ()
        self.client_id = 1
        self.order_id_floor = 1
        self.link = LinkState.DOWN
        self.mode = "accept"
        self.answers_cancels = True
        self.answers_modifies = True
        self.price = Decimal(100)
        self.sent: list[tuple[str, object]] = []
        self.orders: dict[str, BrokerOrder] = {}
        self.fills: list[Execution] = []
        self.foreign: list[OrderReport] = []
        self.held: dict[tuple[str, Instrument], Decimal] = {}
        self.values: list[AccountValue] = []
        self.quotes: dict[Instrument, Quote] = {}
        self.unlisted: set[Instrument] = set()
        self.subscriptions: list[FakeSubscription] = []
        self.lists_fail = False
        self.lists_complete = True
        self.queries = 0
        self._own_accounts = tuple(accounts)
        self._evidence = evidence
        self._perm_ids = itertools.count(9_001)
        self._numbers = itertools.count(1)

    # --- the link -------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Connect."""
        self.accounts = self._own_accounts
        self.turn(LinkState.UP)

    async def close(self) -> None:
        """End."""
        if self.link is not LinkState.DOWN:
            self.turn(LinkState.DOWN)

    def turn(self, state: LinkState, reason: str = "") -> None:
        """Change the link and say so."""
        self.link = state
        self.say(LinkReport(self.name, state, reason))

    def account_mode(self, account: str) -> AccountMode:
        """Judge as IBKR's names do: DU and DF are paper, U is live."""
        if account.startswith("D"):
            return AccountMode.PAPER
        return AccountMode.LIVE if account.startswith("U") else AccountMode.UNKNOWN

    def say(self, item: Evidence) -> None:
        """Send evidence."""
        self._evidence(item)

    # --- orders ---------------------------------------------------------------------------------

    def place(self, messages: Sequence[OrderMessage]) -> None:
        """Take orders as ``mode`` says."""
        self._refuse_without_link()
        self.sent.append(("place", tuple(messages)))
        if self.mode == "lose":
            return
        made = [self._take(message) for message in messages]
        if self.mode == "silent":
            return
        for order in made:
            self._answer(order)

    def modify(self, message: OrderMessage, identity: OrderIdentity) -> None:
        """Take new terms; answered with an echo unless ``answers_modifies`` is false."""
        self._refuse_without_link()
        self.sent.append(("modify", message))
        order = self.orders.get(message.order_ref)
        if order is None or not self.answers_modifies:
            return
        if not order.is_open or message.order.quantity <= order.filled:
            self.say(BrokerNotice(self.name, 104, "Cannot modify a filled order.", identity))
            return
        order.message = message
        self.report(order)

    def cancel(self, identity: OrderIdentity) -> None:
        """Cancel at once unless ``answers_cancels`` is false."""
        self._refuse_without_link()
        self.sent.append(("cancel", identity))
        order = self.orders.get(identity.order_ref)
        if order is None:
            text = "OrderId that needs to be cancelled is not found"
            self.say(BrokerNotice(self.name, 10147, text, identity, identity.order_id))
        elif self.answers_cancels and order.is_open:
            self.cancel_by_broker(identity.order_ref)

    def fill(
        self,
        order_ref: str,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        execution_id: str = "",
    ) -> Execution:
        """Fill an order, whole where no quantity is given; return the execution."""
        order = self.orders[order_ref]
        wanted = order.message.order
        amount = order.remaining if quantity is None else quantity
        fill = Execution(
            self.name,
            order.identity,
            execution_id or f"{next(self._numbers):08x}.01.01",
            wanted.account,
            wanted.instrument,
            wanted.side,
            amount,
            price or wanted.limit_price or self.price,
            self.clock.now(),
        )
        order.filled += amount
        if order.remaining <= 0:
            order.status = BrokerStatus.FILLED
        place = (wanted.account, wanted.instrument)
        self.held[place] = self.held.get(place, _ZERO) + amount * wanted.side.sign
        self.fills.append(fill)
        self.say(fill)
        self.say(Commission(self.name, fill.execution_id, Decimal("1.00"), "USD"))
        self.report(order)
        if order.message.oca_reduces:
            self._reduce(order, amount)
        return fill

    def _reduce(self, filled: BrokerOrder, amount: Decimal) -> None:
        group = filled.message.oca_group
        for other in list(self.orders.values()):
            if other is filled or other.message.oca_group != group or not other.is_open:
                continue
            left = other.message.order.quantity - amount
            if filled.is_open and left > other.filled:
                smaller = attrs.evolve(other.message.order, quantity=left)
                other.message = attrs.evolve(other.message, order=smaller)
                self.report(other)
            else:
                self.cancel_by_broker(other.message.order_ref)

    def cancel_by_broker(self, order_ref: str, reason: str = "") -> None:
        """End an order as cancelled."""
        order = self.orders[order_ref]
        order.status = BrokerStatus.CANCELED
        self.report(order, reason)

    def reject(self, order_ref: str, text: str = "Order rejected") -> None:
        """Refuse an order with 201."""
        order = self.orders[order_ref]
        order.status = BrokerStatus.REJECTED
        identity = order.identity
        self.say(BrokerNotice(self.name, 201, text, identity, identity.order_id))

    def report(self, order: BrokerOrder, reason: str = "") -> None:
        """Send the order's status as it is now."""
        self.say(self.report_of(order, reason))

    def report_of(self, order: BrokerOrder, reason: str = "") -> OrderReport:
        """Return the order's status as it is now."""
        wanted = order.message.order
        terms = OrderTerms(
            wanted.instrument,
            wanted.side,
            wanted.quantity,
            wanted.order_type.value,
            wanted.limit_price,
            wanted.stop_price,
            wanted.time_in_force.value,
            wanted.account,
            wanted.outside_rth,
        )
        return OrderReport(
            self.name,
            order.identity,
            order.status,
            order.filled,
            order.remaining,
            terms=terms,
            reason=reason,
        )

    def _take(self, message: OrderMessage) -> BrokerOrder:
        identity = OrderIdentity(
            message.order_ref, next(self._perm_ids), message.order_id, self.client_id
        )
        self.order_id_floor = max(self.order_id_floor, message.order_id + 1)
        order = self.orders[message.order_ref] = BrokerOrder(message, identity)
        return order

    def _answer(self, order: BrokerOrder) -> None:
        if self.mode == "reject":
            self.reject(order.message.order_ref)
        elif self.mode == "fill" or (self.mode == "market" and self._crosses(order)):
            self.fill(order.message.order_ref)
        else:
            self.report(order)

    def _crosses(self, order: BrokerOrder) -> bool:
        wanted = order.message.order
        quote = self.quotes.get(wanted.instrument)
        touch = math.nan if quote is None else quote.touch(wanted.side)
        if wanted.stop_price is not None or math.isnan(touch):
            return False
        limit = touch if wanted.limit_price is None else float(wanted.limit_price)
        return (limit - touch) * wanted.side.sign >= 0

    def _refuse_without_link(self) -> None:
        if self.link in (LinkState.DOWN, LinkState.CONNECTING):
            raise NotSent(f"{self.name} is not connected")

    # --- questions ------------------------------------------------------------------------------

    async def open_orders(self) -> Snapshot[OrderReport]:
        """Return what is open."""
        rows = [self.report_of(order) for order in self.orders.values() if order.is_open]
        return await self._answered([*rows, *self.foreign])

    async def completed_orders(self) -> Snapshot[OrderReport]:
        """Return what ended."""
        return await self._answered(
            [self.report_of(order) for order in self.orders.values() if not order.is_open]
        )

    async def executions(self) -> Snapshot[Execution]:
        """Return all fills."""
        return await self._answered(self.fills)

    async def positions(self) -> Snapshot[Position]:
        """Return what is held."""
        return await self._answered(
            [
                Position(self.name, account, instrument, quantity, self.price)
                for (account, instrument), quantity in self.held.items()
            ]
        )

    async def account_values(self) -> Snapshot[AccountValue]:
        """Return ``values``."""
        return await self._answered(self.values)

    async def _answered(self, rows: Sequence[T]) -> Snapshot[T]:
        self.queries += 1
        found = tuple(rows)
        await asyncio.sleep(0)
        if not self.link.works:
            raise BrokerUnavailable(f"{self.name} is not connected")
        if self.lists_fail:
            raise RequestFailed("the fake was told to fail")
        return Snapshot(found, self.clock.now(), self.lists_complete)

    # --- market data ----------------------------------------------------------------------------

    async def define(self, instrument: Instrument) -> InstrumentDefinition:
        """Return a definition with a tick of a cent; ``unlisted`` instruments are not found."""
        if instrument in self.unlisted:
            raise InstrumentNotFound(f"the fake was told not to know {instrument}")
        return InstrumentDefinition(instrument, instrument.id)

    async def snapshots(self, instruments: Sequence[Instrument]) -> Mapping[Instrument, Quote]:
        """Return what ``quotes`` holds."""
        if not self.link.works:
            raise BrokerUnavailable(f"{self.name} is not connected")
        return {each: self.quotes[each] for each in instruments if each in self.quotes}

    def subscribe(self, instrument: Instrument, sink: QuoteSink) -> FakeSubscription:
        """Stream what :meth:`tick` is given, beginning with what is held."""

        def close() -> None:
            if stream in self.subscriptions:
                self.subscriptions.remove(stream)

        stream = FakeSubscription(instrument, sink, close)
        self.subscriptions.append(stream)
        if instrument in self.quotes:
            stream.alive_at = self.clock.monotonic()
            sink(copy.copy(self.quotes[instrument]))
        return stream

    def tick(self, quote: Quote) -> None:
        """Take a quote as current now, and hand it to its subscribers."""
        quote.confirmed_at, quote.source = self.clock.monotonic(), self.name
        self.quotes[quote.instrument] = quote
        for stream in list(self.subscriptions):
            if stream.instrument is quote.instrument:
                stream.alive_at = self.clock.monotonic()
                stream.sink(quote)

    async def bars(
        self, instrument: Instrument, end: datetime | None, duration: timedelta, size: timedelta
    ) -> Sequence[Bar]:
        """Return no bars."""
        return []

    async def probe(self) -> float:
        """Answer at once, if connected."""
        started = self.clock.monotonic()
        if not self.link.works:
            raise BrokerUnavailable(f"{self.name} is not connected")
        return self.clock.monotonic() - started
