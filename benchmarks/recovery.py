"""How long the IBKR plugin takes to work again after a fault, with its default settings.

Three faults, each injected into the simulated gateway and timed from that moment: both sockets
reset; the gateway away for ``away`` seconds; a length prefix that is wrong and possible, behind
which both clients stay "connected" and hear nothing. Timed: the order link is up; orders that
increase risk are allowed (all evidence was asked for again); the first fresh quote. The goal is
what the settings promise: two heartbeats to notice silence, the longest first wait before a
reconnect, and a second for the rest.
"""

from __future__ import annotations

import asyncio
import statistics
import struct
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import attrs

from alluse_core.model import Evidence, Instrument, LinkState, NodeIdentity, Quote
from benchmarks.measure import Result

if TYPE_CHECKING:
    from alluse_gateway import SimulatedGateway

QUICK = {"drops": 1, "restarts": 1, "desyncs": 0, "away": 0.1, "first_wait": 0.05}

AAPL = Instrument.stock("AAPL")
LONGEST = 60.0
ALLOWED_SECONDS = 1.0


@attrs.frozen
class Recovery:
    """Seconds from a fault to: link up, orders allowed, first fresh quote."""

    link: float
    orders: float
    quote: float


@attrs.define
class Trader:
    """A broker with its order room and one stream."""

    broker: Any
    allowed: Callable[[], bool]
    quotes: list[Quote] = attrs.field(factory=list)


def run(
    *,
    drops: int = 9,
    restarts: int = 7,
    desyncs: int = 5,
    away: float = 2.0,
    first_wait: float = 1.0,
) -> Iterator[Result]:
    """Yield one result for each fault. ``first_wait`` is reconnect_min, 1 s by default."""
    yield from asyncio.run(_measure(drops, restarts, desyncs, away, first_wait))


async def _measure(
    drops: int, restarts: int, desyncs: int, away: float, first_wait: float
) -> list[Result]:
    from alluse_ibkr.settings import IbkrSettings

    settings = IbkrSettings(reconnect_min=first_wait)
    silence = 2 * settings.heartbeat
    known = first_wait + ALLOWED_SECONDS
    with TemporaryDirectory() as folder:
        async with _gateway() as gate, _trader(gate.port, Path(folder), first_wait) as trader:

            async def restart() -> None:
                await gate.control.pause_listening()
                gate.control.drop(abort=True)
                await asyncio.sleep(away)
                await gate.control.resume_listening()

            async def drop() -> None:
                gate.control.drop(abort=True)

            async def desync() -> None:
                for session in tuple(gate.sessions):
                    session.send(struct.pack(">I", 1_000_000))

            faults = (
                ("drop", "both sockets reset", drop, drops, known),
                ("restart", f"gateway away for {away:g} s", restart, restarts, 2 * away + known),
                ("desync", "a wrong length prefix", desync, desyncs, silence + known),
            )
            return [
                _result(name, what, [await _once(trader, fault) for _ in range(times)], goal)
                for name, what, fault, times, goal in faults
                if times
            ]


async def _once(trader: Trader, fault: Callable[[], Coroutine[Any, Any, None]]) -> Recovery:
    """Inject a fault and time the recovery; a quote counts if the next socket brought it."""
    connects = [each.meters.connects.value for each in trader.broker.connections]
    began = time.monotonic()
    ending = asyncio.ensure_future(fault())

    def anew(place: int) -> bool:
        return bool(trader.broker.connections[place].meters.connects.value > connects[place])

    async def since(condition: Callable[[], bool]) -> float:
        while not condition():
            if time.monotonic() - began > LONGEST:
                raise AssertionError(f"no recovery within {LONGEST:g} s")
            await asyncio.sleep(0.002)
        return time.monotonic() - began

    async def fresh() -> float:
        await since(lambda: anew(1))
        seen = len(trader.quotes)
        return await since(lambda: len(trader.quotes) > seen)

    link, orders, quote = await asyncio.gather(
        since(lambda: anew(0) and trader.broker.link is LinkState.UP),
        since(lambda: anew(0) and trader.allowed()),
        fresh(),
    )
    await ending
    await asyncio.sleep(0.1)
    return Recovery(link, orders, quote)


def _result(name: str, what: str, found: list[Recovery], goal: float) -> Result:
    slowest = [max(each.link, each.orders, each.quote) for each in found]
    parts = ", ".join(
        f"{words} p50 {statistics.median(values):.2f} max {max(values):.2f} s"
        for words, values in (
            ("link up", [each.link for each in found]),
            ("orders allowed", [each.orders for each in found]),
            ("fresh quote", [each.quote for each in found]),
        )
    )
    return Result(
        f"recovery ({name})",
        f"seconds from the fault until all works again: {what}",
        statistics.median(slowest),
        goal,
        False,
        parts,
        f"what the settings allow, {goal:g} s",
        len(found),
        (min(slowest), max(slowest)),
    )


# --- the two sides ------------------------------------------------------------------------------


@asynccontextmanager
async def _gateway() -> AsyncIterator[SimulatedGateway]:
    from alluse_gateway import SimulatedGateway
    from alluse_paper.exchange import Exchange
    from alluse_paper.fill_model import FillModel
    from alluse_paper.market import Listing, QuoteEvent

    from alluse_core.clock import SystemClock

    model = FillModel(latency_ms=0, enforce_hours=False)
    listings = [Listing.of(AAPL, primary_exchange="NASDAQ")]
    exchange = Exchange(SystemClock(), listings, fill_model=model)

    async def market() -> None:
        cents = 0
        while True:
            cents = (cents + 1) % 100
            bid = 100.0 + cents / 100
            exchange.on_market(QuoteEvent(AAPL, time.time(), bid, 100, bid + 0.01, 100))
            await asyncio.sleep(0.02)

    async with SimulatedGateway(exchange, sampling=0) as running:
        ticking = asyncio.ensure_future(market())
        try:
            yield running
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)


@asynccontextmanager
async def _trader(port: int, folder: Path, first_wait: float) -> AsyncIterator[Trader]:
    from alluse_ibkr.broker import IbkrBroker
    from alluse_ibkr.settings import IbkrSettings

    from alluse_core.clock import SystemClock
    from alluse_core.orders.journal import Journal
    from alluse_core.orders.pacing import SlidingWindowPacer
    from alluse_core.orders.service import Orders
    from alluse_core.settings import OrdersSettings
    from alluse_core.telemetry import Registry
    from alluse_core.testing import make_context

    clock, telemetry = SystemClock(), Registry()
    pacer = SlidingWindowPacer(clock, 50)
    node = NodeIdentity("bench", "bench", "bench", "bench")
    sinks: list[Callable[[Evidence], None]] = []
    context = make_context(
        name="main",
        clock=clock,
        telemetry=telemetry,
        settings=IbkrSettings(port=port, reconnect_min=first_wait),
        state_dir=folder,
        evidence=lambda item: sinks[0](item),
    )
    broker = IbkrBroker(attrs.evolve(context, pacer=pacer))
    journal = Journal(folder / "journal.db", clock=clock, node=node)
    service = Orders(
        brokers={"main": broker},
        pacers={"main": pacer},
        stages=(),
        journal=journal,
        clock=clock,
        telemetry=telemetry,
        settings=OrdersSettings(stages=()),
        node=node,
        quote=lambda _: None,
        definition=lambda *_: None,
    )
    sinks.append(service.evidence)
    await broker.connect()
    await broker.define(AAPL)
    await service.start()

    def allowed() -> bool:
        return any(
            sample.series.metric == "new_risk_allowed" and sample.value == 1.0
            for sample in telemetry.collect(clock.monotonic())
        )

    trader = Trader(broker, allowed)
    broker.subscribe(AAPL, trader.quotes.append)
    try:
        while not (trader.quotes and allowed()):
            await asyncio.sleep(0.01)
        yield trader
    finally:
        await service.stop()
        await broker.close()
        journal.close()
