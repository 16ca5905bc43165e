"""A broker for the quotes tests: it answers when told, and counts what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import attrs
from alluse_cache.lru import LruCache, open_lru
from alluse_cache.settings import LruSettings

from alluse_core.errors import InstrumentNotFound
from alluse_core.model import DataType, Instrument, InstrumentDefinition, LinkState, Quote
from alluse_core.ports import BrokerCapabilities, QuoteSink
from alluse_core.quotes import Quotes
from alluse_core.settings import QuotesSettings
from alluse_core.telemetry import Registry
from alluse_core.testing import VirtualClock

AAPL = Instrument.stock("AAPL")
MSFT = Instrument.stock("MSFT")
UNKNOWN = Instrument.stock("NOSUCHNAME")


class FakeLine:
    def __init__(self, instrument: Instrument, sink: QuoteSink, alive_at: float) -> None:
        self.instrument = instrument
        self.sink = sink
        self.alive_at = alive_at
        self.closed = False

    def close(self) -> None:
        self.closed = True


class QuoteBroker:
    name = "fake"

    def __init__(self, clock: VirtualClock, capabilities: BrokerCapabilities) -> None:
        self.clock = clock
        self.capabilities = capabilities
        self.link = LinkState.UP
        self.asked: list[tuple[Instrument, ...]] = []
        self.answers: dict[Instrument, Quote] = {}
        self.lines: dict[Instrument, FakeLine] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    async def define(self, instrument: Instrument) -> InstrumentDefinition:
        if instrument is UNKNOWN:
            raise InstrumentNotFound("fake does not know it")
        return InstrumentDefinition(instrument, "1")

    async def snapshots(self, instruments: Sequence[Instrument]) -> Mapping[Instrument, Quote]:
        self.asked.append(tuple(instruments))
        await self.gate.wait()
        now = self.clock.monotonic()
        return {
            one: self.answers.get(one) or quote(one, at=now)
            for one in instruments
            if one is not UNKNOWN
        }

    def subscribe(self, instrument: Instrument, sink: QuoteSink) -> FakeLine:
        line = FakeLine(instrument, sink, self.clock.monotonic())
        self.lines[instrument] = line
        return line

    def tick(self, made: Quote) -> None:
        line = self.lines[made.instrument]
        line.alive_at = self.clock.monotonic()
        line.sink(attrs.evolve(made, confirmed_at=line.alive_at))

    @property
    def open_lines(self) -> set[Instrument]:
        return {instrument for instrument, line in self.lines.items() if not line.closed}


def quote(instrument: Instrument, bid: float = 100.0, ask: float = 100.1, **more: Any) -> Quote:
    at = more.pop("at", float("nan"))
    return Quote(
        instrument, bid, ask, confirmed_at=at, changed_at=at, data_type=DataType.LIVE, **more
    )


@attrs.define
class Desk:
    clock: VirtualClock
    broker: QuoteBroker
    cache: LruCache
    telemetry: Registry
    quotes: Quotes

    async def pass_time(self, seconds: float) -> None:
        """Let time pass as the runtime does: with a refresh each period."""
        left = seconds
        while left > 1e-9:
            step = min(left, self.quotes.refresh_period)
            await self.clock.advance(step)
            self.quotes.refresh(self.clock.monotonic())
            left -= step
        await self.clock.advance(0.0)

    def samples(self) -> dict[str, float]:
        return {
            str(sample.series): sample.value
            for sample in self.telemetry.collect(self.clock.monotonic())
        }


def make_desk(
    capabilities: BrokerCapabilities | None = None,
    needed: frozenset[Instrument] = frozenset(),
    **settings: Any,
) -> Desk:
    clock, telemetry = VirtualClock(), Registry()
    broker = QuoteBroker(clock, capabilities or BrokerCapabilities(streams=False))
    cache = open_lru(LruSettings(capacity=1000, implementation="python"), clock)
    quotes = Quotes(
        broker=broker,  # type: ignore[arg-type]  # the market data half of a broker
        cache=cache,
        clock=clock,
        telemetry=telemetry,
        settings=QuotesSettings(**settings),
        needed=lambda: needed,
    )
    return Desk(clock, broker, cache, telemetry, quotes)


def scenario(desk: Callable[[], Desk], body: Callable[[Desk], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        made = desk()
        await made.quotes.start()
        try:
            await body(made)
        finally:
            await made.quotes.stop()
        assert asyncio.all_tasks() == {asyncio.current_task()}, "a stopped service left tasks"

    asyncio.run(whole())


async def soon(work: Coroutine[Any, Any, Quote], desk: Desk) -> asyncio.Task[Quote]:
    task = asyncio.create_task(work)
    await desk.clock.advance(0.0)
    return task


async def alive(
    desk: Desk, seconds: float, *read: Instrument, peeked: Sequence[Instrument] = ()
) -> None:
    """Let time pass with all lines alive and silent.

    ``read`` is read all the while, and so is ``peeked``, by ``cached`` alone and with a quote
    each time.
    """
    for _ in range(int(seconds / 0.5)):
        for line in desk.broker.lines.values():
            line.alive_at = desk.clock.monotonic()
        await desk.pass_time(0.5)
        for line in desk.broker.lines.values():
            line.alive_at = desk.clock.monotonic()
        for instrument in read:
            await desk.quotes.get(instrument)
        for instrument in peeked:
            assert desk.quotes.cached(instrument) is not None


async def line_with_a_tick(desk: Desk, instrument: Instrument) -> None:
    read = await soon(desk.quotes.get(instrument), desk)
    desk.broker.tick(quote(instrument))
    await read
