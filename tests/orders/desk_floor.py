"""A whole order service over a fake broker in virtual time, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs

from alluse_core.model import (
    DataType,
    Instrument,
    InstrumentDefinition,
    NodeIdentity,
    Order,
    OrderReport,
    Quote,
    Side,
)
from alluse_core.orders.committer import Committer, Done, InlineCommitter
from alluse_core.orders.journal import Journal
from alluse_core.orders.pacing import SlidingWindowPacer
from alluse_core.orders.records import Row
from alluse_core.orders.service import Orders
from alluse_core.orders.storage import DISK, Storage
from alluse_core.orders.ticket import Ticket
from alluse_core.ports import BrokerCapabilities, Decision, OrderStage, OrderView, StagePhase
from alluse_core.settings import OrdersSettings
from alluse_core.telemetry import Registry
from alluse_core.testing import VirtualClock
from alluse_core.testing.fakes import FakeBroker

AAPL = Instrument.stock("AAPL")
NODE = NodeIdentity("tenant", "node", "agent", "incarnation-1")


class HeldDisk(InlineCommitter):
    """A disk that takes its time: what it got is written when the test lets it go."""

    def __init__(self) -> None:
        super().__init__()
        self.holds = False
        self._waiting: list[tuple[Sequence[Row], Done]] = []

    def commit(self, rows: Sequence[Row], done: Done) -> None:
        if self.holds:
            self._waiting.append((rows, done))
        else:
            super().commit(rows, done)

    def release(self) -> None:
        self.holds = False
        waiting, self._waiting = self._waiting, []
        for rows, done in waiting:
            super().commit(rows, done)


@attrs.define
class Floor:
    """Everything a test wants to touch."""

    orders: Orders
    broker: FakeBroker
    clock: VirtualClock
    journal: Journal
    registry: Registry
    pacer: SlidingWindowPacer

    async def settle(self, seconds: float = 0.0) -> None:
        """Let everything that can happen now happen, and ``seconds`` pass."""
        await self.clock.advance(seconds)

    def count(self, metric: str, **labels: object) -> int:
        """Return a counter of the order path."""
        return int(self.registry.counter("trading_system", metric, **labels).value)


@attrs.frozen
class Stage:
    """A stage that answers what the test says."""

    answer: Callable[[Order, OrderView], Decision]
    name: str = "test_stage"
    phase: StagePhase = StagePhase.RISK

    def check(self, order: Order, view: OrderView) -> Decision:
        return self.answer(order, view)


def quote_of(instrument: Instrument) -> Quote:
    return Quote(instrument, 99.0, 101.0, data_type=DataType.LIVE)


@asynccontextmanager
async def floor(
    folder: Path,
    *,
    stages: tuple[OrderStage, ...] = (),
    committer: Committer | None = None,
    settings: OrdersSettings | None = None,
    rate: float = 0.0,
    broker: FakeBroker | None = None,
    accounts: tuple[str, ...] = ("DU1",),
    node: NodeIdentity = NODE,
    clock: VirtualClock | None = None,
    definition: InstrumentDefinition | None = None,
    storage: Storage = DISK,
) -> AsyncIterator[Floor]:
    """Yield a started order service; a broker that is handed in keeps its orders."""
    clock = clock or VirtualClock()
    registry = Registry()
    sink: list[Orders] = []

    def evidence(item: Any) -> None:
        if sink:
            sink[0].evidence(item)

    venue = broker or FakeBroker(
        evidence,
        clock=clock,
        accounts=accounts,
        capabilities=BrokerCapabilities(numeric_order_ids=True, messages_per_second=rate),
    )
    venue._evidence = evidence
    pacer = SlidingWindowPacer(clock, rate)
    journal = Journal(
        folder / "journal.db",
        clock=clock,
        node=node,
        committer=committer or InlineCommitter(),
        storage=storage,
    )
    orders = Orders(
        brokers={venue.name: venue},
        pacers={venue.name: pacer},
        stages=stages,
        journal=journal,
        clock=clock,
        telemetry=registry,
        settings=settings or OrdersSettings(stages=(), settle_seconds=0.0),
        node=node,
        quote=quote_of,
        definition=lambda _, __: definition,
    )
    sink.append(orders)
    await venue.connect()
    try:
        await orders.start()
        yield Floor(orders, venue, clock, journal, registry, pacer)
    finally:
        await orders.stop()
        journal.close()


def run(scenario: Coroutine[Any, Any, Any]) -> None:
    """Run a scenario; a stuck one fails."""

    async def bounded() -> None:
        async with asyncio.timeout(120):
            await scenario

    asyncio.run(bounded())


def buy(key: str, quantity: int = 100, price: str = "100", **more: Any) -> Order:
    return Order.limit(AAPL, Side.BUY, quantity, price, key=key, **more)


def sell(key: str, quantity: int = 100, price: str = "100", **more: Any) -> Order:
    return Order.limit(AAPL, Side.SELL, quantity, price, key=key, **more)


async def placed(desk: Floor, order: Order | None = None) -> Ticket:
    """Submit an order and let it arrive."""
    ticket = await desk.orders.submit(order or buy("one"))
    await desk.settle()
    return ticket


def heard(desk: Floor, key: str = "one") -> OrderReport:
    """Return what the broker would say of an order now."""
    return desk.broker.report_of(desk.broker.orders[desk.orders.get(key).order_ref])


def terms_of(report: OrderReport, **changes: object) -> OrderReport:
    """Return a report with other terms."""
    assert report.terms is not None
    return attrs.evolve(report, terms=attrs.evolve(report.terms, **changes))


@contextmanager
def deaf(broker: FakeBroker, *heard: type) -> Iterator[None]:
    """Lose all that a broker says meanwhile, but what is of one of these types."""
    hear = broker._evidence
    broker._evidence = lambda item: hear(item) if isinstance(item, heard) else None
    try:
        yield
    finally:
        broker._evidence = hear


def amount(number: int | str) -> Decimal:
    return Decimal(number)


def hours_pass(desk: Floor, hours: float) -> None:
    """Let time pass in one step: what wakes every second stays asleep."""
    desk.clock._monotonic += hours * 3600


def answered_by(desk: Floor, question: str, answer: Any) -> None:
    """Have the broker answer a question so once; then as before."""
    usual = getattr(desk.broker, question)

    async def once() -> Any:
        setattr(desk.broker, question, usual)
        return await answer(await usual())

    setattr(desk.broker, question, once)
