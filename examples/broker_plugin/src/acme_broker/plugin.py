"""Registers the broker ``acme`` with ALL-USE, and is it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from acme_broker.venue import BOOK, Resting, Venue
from alluse_core import Context, Provider, hookimpl
from alluse_core.errors import BrokerUnavailable, InstrumentNotFound, NotSent, RequestFailed
from alluse_core.model import (
    AccountMode,
    AccountValue,
    Bar,
    BrokerStatus,
    Commission,
    DataType,
    Execution,
    Instrument,
    InstrumentDefinition,
    LinkReport,
    LinkState,
    OrderIdentity,
    OrderReport,
    OrderTerms,
    OrderType,
    Position,
    Quote,
    Side,
    Snapshot,
)
from alluse_core.ports import Broker, BrokerCapabilities, OrderMessage, QuoteSink, Subscription

T = TypeVar("T")

ACCOUNT = "ACME-PAPER"


@hookimpl
def alluse_brokers() -> Iterable[Provider[Broker]]:
    """Offer the venue; the host opens it where the settings name it."""
    yield Provider("acme", AcmeBroker, help="an in-memory venue, to copy")


class Line:
    """A subscription. This venue's quotes stand still, so one quote is all there is."""

    def __init__(self, quote: Quote) -> None:
        self.instrument = quote.instrument
        self.alive_at = quote.confirmed_at

    def close(self) -> None:
        """End the stream."""


class AcmeBroker:
    """A :class:`~alluse_core.ports.Broker` for the venue in memory."""

    client_id = 0
    order_id_floor = 0
    capabilities = BrokerCapabilities(snapshot_batch=50, snapshot_seconds=0.01)

    def __init__(self, context: Context) -> None:
        self.name = context.name
        self.link = LinkState.DOWN
        self.accounts: tuple[str, ...] = ()
        self._clock = context.clock
        self._tell = context.evidence
        self._venue = Venue()

    async def connect(self) -> None:
        self.accounts = (ACCOUNT,)
        self._set_link(LinkState.UP)

    async def close(self) -> None:
        if self.link is not LinkState.DOWN:
            self._set_link(LinkState.DOWN)

    def _set_link(self, state: LinkState) -> None:
        self.link = state
        self._tell(LinkReport(self.name, state))

    def account_mode(self, account: str) -> AccountMode:
        return AccountMode.PAPER if account.endswith("-PAPER") else AccountMode.UNKNOWN

    # --- orders: synchronous, or provably not sent ------------------------------------------

    def place(self, messages: Sequence[OrderMessage]) -> None:
        self._must_be_up(NotSent)
        for message in messages:
            order = message.order
            if order.order_type is not OrderType.LIMIT or order.instrument.symbol not in BOOK:
                identity = OrderIdentity(order_ref=message.order_ref)
                reason = "this venue takes limit orders on its own symbols"
                self._tell(OrderReport(self.name, identity, BrokerStatus.REJECTED, reason=reason))
                continue
            price = float(order.limit_price or 0)
            sign, symbol = order.side.sign, order.instrument.symbol
            self._venue.send(message.order_ref, symbol, sign, order.quantity, price)
            self._report(self._venue.orders[message.order_ref])

    def modify(self, message: OrderMessage, identity: OrderIdentity) -> None:
        self.place([message])

    def cancel(self, identity: OrderIdentity) -> None:
        self._must_be_up(NotSent)
        self._venue.cancel(identity.order_ref)
        if identity.order_ref in self._venue.orders:
            self._report(self._venue.orders[identity.order_ref])

    def _report(self, order: Resting) -> None:
        if order.status == "filled":
            fill = self._execution(order)
            self._tell(fill)
            self._tell(Commission(self.name, fill.execution_id, Decimal("0.35"), "USD"))
        self._tell(self._status(order))

    # --- evidence on request: raise, never an empty answer ----------------------------------

    async def open_orders(self) -> Snapshot[OrderReport]:
        return self._snapshot(self._status(o) for o in self._orders() if o.status == "working")

    async def completed_orders(self) -> Snapshot[OrderReport]:
        return self._snapshot(self._status(o) for o in self._orders() if o.status != "working")

    async def executions(self) -> Snapshot[Execution]:
        return self._snapshot(self._execution(o) for o in self._orders() if o.status == "filled")

    async def positions(self) -> Snapshot[Position]:
        self._must_be_up(BrokerUnavailable)
        return self._snapshot(
            Position(self.name, ACCOUNT, Instrument.stock(symbol), Decimal(held), Decimal(0))
            for symbol, held in self._venue.holdings.items()
        )

    async def account_values(self) -> Snapshot[AccountValue]:
        self._must_be_up(BrokerUnavailable)
        value = AccountValue(self.name, ACCOUNT, "NetLiquidation", Decimal(1_000_000), "USD")
        return self._snapshot([value])

    # --- instruments and quotes -------------------------------------------------------------

    async def define(self, instrument: Instrument) -> InstrumentDefinition:
        self._must_be_up(BrokerUnavailable)
        if instrument.symbol not in BOOK:
            raise InstrumentNotFound(f"acme does not know {instrument}", hint=f"it has {[*BOOK]}")
        return InstrumentDefinition(instrument, broker_id=instrument.symbol)

    async def snapshots(self, instruments: Sequence[Instrument]) -> Mapping[Instrument, Quote]:
        self._must_be_up(BrokerUnavailable)
        return {one: self._quote(one) for one in instruments if one.symbol in BOOK}

    def subscribe(self, instrument: Instrument, sink: QuoteSink) -> Subscription:
        quote = self._quote(instrument)
        sink(quote)
        return Line(quote)

    async def bars(
        self, instrument: Instrument, end: datetime | None, duration: timedelta, size: timedelta
    ) -> Sequence[Bar]:
        raise RequestFailed("acme keeps no history")

    async def probe(self) -> float:
        started = self._clock.monotonic()
        self._must_be_up(BrokerUnavailable)
        return self._clock.monotonic() - started

    # --- from the venue's terms to ALL-USE's ------------------------------------------------

    def _must_be_up(self, error: type[NotSent] | type[BrokerUnavailable]) -> None:
        if self.link is not LinkState.UP:
            raise error(f"{self.name} is not connected", hint="connect first")

    def _orders(self) -> Iterable[Resting]:
        self._must_be_up(BrokerUnavailable)
        return self._venue.orders.values()

    def _snapshot(self, rows: Iterable[T]) -> Snapshot[T]:
        return Snapshot(tuple(rows), self._clock.now(), complete=True)

    def _quote(self, instrument: Instrument) -> Quote:
        bid, ask = BOOK[instrument.symbol]
        now = self._clock.monotonic()
        return Quote(
            instrument,
            bid,
            ask,
            changed_at=now,
            confirmed_at=now,
            data_type=DataType.LIVE,
            source=self.name,
        )

    def _status(self, order: Resting) -> OrderReport:
        filled = order.quantity if order.status == "filled" else Decimal(0)
        remaining = order.quantity - filled
        side = Side.BUY if order.sign > 0 else Side.SELL
        terms = OrderTerms(
            Instrument.stock(order.symbol),
            side,
            order.quantity,
            "LMT",
            Decimal(str(order.price)),
            None,
            "DAY",
            ACCOUNT,
            False,
        )
        status = BrokerStatus(order.status)
        identity = OrderIdentity(order.reference, perm_id=order.number)
        return OrderReport(self.name, identity, status, filled, remaining, terms=terms)

    def _execution(self, order: Resting) -> Execution:
        return Execution(
            self.name,
            OrderIdentity(order.reference, perm_id=order.number),
            f"{order.number}.1",
            ACCOUNT,
            Instrument.stock(order.symbol),
            Side.BUY if order.sign > 0 else Side.SELL,
            order.quantity,
            Decimal(str(order.price)),
            self._clock.now(),
        )
