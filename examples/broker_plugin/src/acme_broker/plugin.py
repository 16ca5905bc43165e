"""Registers the broker ``acme`` with ALL-USE, and is it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from acme_broker import translate
from acme_broker.venue import ACCOUNT, BOOK, Resting, Venue
from alluse_core import Context, Provider, hookimpl
from alluse_core.errors import BrokerUnavailable, InstrumentNotFound, NotSent, RequestFailed
from alluse_core.model import (
    AccountMode,
    AccountValue,
    Bar,
    Execution,
    Instrument,
    InstrumentDefinition,
    LinkReport,
    LinkState,
    OrderIdentity,
    OrderReport,
    OrderType,
    Position,
    Quote,
    Snapshot,
)
from alluse_core.ports import Broker, BrokerCapabilities, OrderMessage, QuoteSink, Subscription

T = TypeVar("T")


@hookimpl
def alluse_brokers() -> Iterable[Provider[Broker]]:
    """Offer the venue; the host opens it where the settings name it."""
    yield Provider("acme", AcmeBroker, help="an in-memory venue, to copy")


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
                reason = "this venue takes limit orders on its own symbols"
                self._tell(translate.refusal(self.name, message.order_ref, reason))
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
            self._tell(translate.commission(self.name, fill))
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
        held = self._venue.holdings.items()
        return self._snapshot(translate.position(self.name, *each) for each in held)

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
        return translate.Line(quote)

    async def bars(
        self, instrument: Instrument, end: datetime | None, duration: timedelta, size: timedelta
    ) -> Sequence[Bar]:
        raise RequestFailed("acme keeps no history")

    async def probe(self) -> float:
        started = self._clock.monotonic()
        self._must_be_up(BrokerUnavailable)
        return self._clock.monotonic() - started

    # --- what the methods share ---------------------------------------------------------------

    def _must_be_up(self, error: type[NotSent] | type[BrokerUnavailable]) -> None:
        if self.link is not LinkState.UP:
            raise error(f"{self.name} is not connected", hint="connect first")

    def _orders(self) -> Iterable[Resting]:
        self._must_be_up(BrokerUnavailable)
        return self._venue.orders.values()

    def _snapshot(self, rows: Iterable[T]) -> Snapshot[T]:
        return Snapshot(tuple(rows), self._clock.now(), complete=True)

    def _status(self, order: Resting) -> OrderReport:
        return translate.status(self.name, order)

    def _execution(self, order: Resting) -> Execution:
        return translate.execution(self.name, order, self._clock.now())

    def _quote(self, instrument: Instrument) -> Quote:
        return translate.quote(self.name, instrument, self._clock.monotonic())
