"""P8: orders through the simulated gateway, beside raw ib_insync; P10, P11: what it serves.

Both sides trade through the same gateway process (its rate limit lifted, our pacer off) over one
order connection each, and an order is done when it is known to be filled. Ours is the whole way:
pipeline, durable journal, IBKR plugin, evidence, outcome. The peer's is ``IB.placeOrder`` and
``trade.isDone()``, which promises nothing after a crash.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs

from alluse_core.model import Evidence, Instrument, NodeIdentity, Order, OrderState, Side
from benchmarks.bare import Commit, bare_commits
from benchmarks.child import serving
from benchmarks.measure import Result, Turns

QUICK = {"orders": 8, "agents": 1, "rounds": 1, "singles": 3, "ticks": 2_000}

AAPL = Instrument.stock("AAPL")
BID, ASK, LIMIT = 100.0, 100.1, 101.0
ALLOWED_SECONDS = 0.0003
"""What the machinery may add to an order's latency beside the device's own time."""

Trade = Callable[[int], Awaitable[None]]


@attrs.frozen
class Ours:
    """Our side: how it trades, and how to wait until all that an order left behind is written."""

    trade: Trade
    rest: Callable[[], Awaitable[None]]


@attrs.frozen
class Peer:
    """The other side: how it trades, and whether it is told of its account's positions."""

    trade: Trade
    listen: Callable[[bool], None]


def run(
    *,
    orders: int = 1_500,
    agents: int = 75,
    rounds: int = 7,
    singles: int = 100,
    ticks: int = 100_000,
) -> Iterator[Result]:
    """Yield the throughput of ``agents`` agents at once, the latency of a single one, and what
    the gateway serves by itself."""
    yield from asyncio.run(_measure(orders, agents, rounds, singles))
    from benchmarks import served

    yield from served.run(ticks=ticks, orders=orders, rounds=rounds)


async def _measure(orders: int, agents: int, rounds: int, singles: int) -> list[Result]:
    with TemporaryDirectory() as folder:
        path = Path(folder)
        async with (
            serving("benchmarks.gateway") as (_, port),
            _raw(port) as peer,
            _ours(port, path) as ours,
        ):
            throughput = await _throughput(ours.trade, peer, orders, agents, rounds)
            with bare_commits(path / "bare.db") as commit:
                singly = await _latency(ours, peer, commit, singles, path / "device")
    return [_throughput_result(throughput, orders, agents), *_latency_results(singly)]


async def _throughput(ours: Trade, peer: Peer, orders: int, agents: int, rounds: int) -> Turns:
    """Time both sides in turn, each after a short round that is not timed.

    The peer hears of its account in its own turns alone: its ``IB`` is subscribed to positions,
    and would decode in our turns what our fills do to them.
    """
    times: dict[int, list[float]] = {0: [], 1: []}
    for number in range(rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            side = (ours, peer.trade)[which]
            peer.listen(which == 1)
            await _together(side, agents, agents)
            times[which].append(await _together(side, orders, agents) / orders)
    peer.listen(True)
    return Turns(tuple(times[0]), tuple(times[1]))


async def _together(trade: Trade, orders: int, agents: int) -> float:
    """Return the seconds that ``agents`` agents took for ``orders`` orders, one after another."""
    left = iter(range(orders))

    async def agent() -> None:
        for number in left:
            await trade(number)

    started = time.perf_counter()
    async with asyncio.timeout(120.0), asyncio.TaskGroup() as group:
        for _ in range(agents):
            group.create_task(agent())
    return time.perf_counter() - started


@attrs.frozen
class Singly:
    """Seconds of single orders, of bare commits and of the device's fdatasync, round by round."""

    turns: Turns
    commits: tuple[float, ...]
    device: tuple[float, ...]


async def _latency(ours: Ours, peer: Peer, commit: Commit, singles: int, device: Path) -> Singly:
    """Time one order of each side, one bare commit and one fdatasync in turn.

    What an order leaves behind (evidence to be written, positions to be told) is over before
    the next turn, and belongs to nobody's time.
    """
    times: tuple[list[float], ...] = ([], [], [], [])
    peer.listen(False)
    with device.open("wb", buffering=0) as file:

        async def sync(_: int) -> None:
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())

        async def bare(_: int) -> None:
            await commit()

        for number in range(singles):
            for side, taken in zip((ours.trade, peer.trade, bare, sync), times, strict=True):
                started = time.perf_counter()
                await side(number)
                taken.append(time.perf_counter() - started)
                await ours.rest()
    mine, other, commits, durable = map(tuple, times)
    return Singly(Turns(mine, other), commits, durable)


def _throughput_result(turns: Turns, orders: int, agents: int) -> Result:
    rates = [1 / statistics.median(side) for side in (turns.ours, turns.peer)]
    ratios = sorted(1 / ratio for ratio in turns.ratios)
    return Result(
        "P8",
        f"orders filled through the gateway, {agents} agents, {orders:,} orders a round",
        statistics.median(ratios),
        1.0,
        True,
        f"{rates[0]:,.0f} orders/s, durable before sent",
        f"ib_insync IB: {rates[1]:,.0f} orders/s",
        len(ratios),
        (ratios[0], ratios[-1]),
    )


def _latency_results(singly: Singly) -> list[Result]:
    turns, commits, device = singly.turns, singly.commits, statistics.median(singly.device)
    ours, peer = statistics.median(turns.ours), statistics.median(turns.peer)
    allowed = device + ALLOWED_SECONDS
    added = [(mine - other) / allowed for mine, other in zip(turns.ours, turns.peer, strict=True)]
    bare = statistics.median(commits)
    return [
        Result(
            "P8 (latency)",
            f"time added to an order, of fdatasync + 0.3 ms ({allowed * 1e3:.2f} ms)",
            max(1e-9, (ours - peer) / allowed),
            1.0,
            False,
            f"p50 {ours * 1e3:.2f} ms",
            f"ib_insync IB: p50 {peer * 1e3:.2f} ms; fdatasync {device * 1e3:.2f} ms",
            len(added),
            (min(added), max(added)),
        ),
        Result(
            "P8 (bare)",
            "one row committed by a thread, and nothing else, of the same time",
            bare / allowed,
            1.0,
            False,
            f"p50 {bare * 1e3:.2f} ms",
            f"fdatasync {device * 1e3:.2f} ms",
            len(commits),
            (min(commits) / allowed, max(commits) / allowed),
        ),
    ]


# --- the two sides ------------------------------------------------------------------------------


@asynccontextmanager
async def _raw(port: int) -> AsyncIterator[Peer]:
    from ib_insync import IB, LimitOrder, Stock

    client: Any = IB()  # type: ignore[no-untyped-call]
    # Its own throttle of 45 messages a second is off, as the gateway's limit and our pacer are.
    client.client.MaxRequests = 0
    await client.connectAsync("127.0.0.1", port, clientId=99)
    contract = Stock("AAPL", "SMART", "USD")
    await client.qualifyContractsAsync(contract)

    async def trade(number: int) -> None:
        placed: Any = client.placeOrder(contract, LimitOrder("BUY", 1, LIMIT, tif="DAY"))
        while not placed.isDone():
            await placed.statusEvent

    def listen(wanted: bool) -> None:
        (client.client.reqPositions if wanted else client.client.cancelPositions)()

    try:
        yield Peer(trade, listen)
    finally:
        client.disconnect()


@asynccontextmanager
async def _ours(port: int, folder: Path) -> AsyncIterator[Ours]:
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
    node = NodeIdentity("bench", "bench", "bench", "bench")
    sinks: list[Callable[[Evidence], None]] = []
    broker = IbkrBroker(
        make_context(
            name="main",
            clock=clock,
            telemetry=telemetry,
            settings=IbkrSettings(port=port),
            state_dir=folder,
            evidence=lambda item: sinks[0](item),
        )
    )
    journal = Journal(folder / "journal.db", clock=clock, node=node)
    service = Orders(
        brokers={"main": broker},
        pacers={"main": SlidingWindowPacer(clock, 0)},
        stages=(),
        journal=journal,
        clock=clock,
        telemetry=telemetry,
        settings=OrdersSettings(stages=(), pacing=False),
        node=node,
        quote=lambda _: None,
        definition=lambda *_: None,
    )
    sinks.append(service.evidence)
    await broker.connect()
    await broker.define(AAPL)
    await service.start()
    keys = iter(range(10**9))

    async def trade(number: int) -> None:
        order = Order.limit(AAPL, Side.BUY, 1, str(LIMIT), key=f"bench-{next(keys)}")
        outcome = await (await service.submit(order)).outcome(30.0)
        if outcome.state is not OrderState.FILLED:
            raise AssertionError(
                f"an order ended {outcome.state.value}: {outcome.reason} {outcome.evidence}"
            )

    try:
        yield Ours(trade, service.flush)
    finally:
        await service.stop()
        await broker.close()
        journal.close()


# --- the gateway, in a process of its own -------------------------------------------------------


async def _serve() -> None:
    """Serve until standard input ends; print the port first."""
    from alluse_gateway import SimulatedGateway
    from alluse_paper.exchange import Exchange
    from alluse_paper.fill_model import FillModel
    from alluse_paper.market import Listing, QuoteEvent

    from alluse_core.clock import SystemClock

    model = FillModel(latency_ms=0, enforce_hours=False, check_margin=False)
    listings = [Listing.of(AAPL, primary_exchange="NASDAQ")]
    exchange = Exchange(SystemClock(), listings, fill_model=model)

    def show() -> None:
        exchange.on_market(QuoteEvent(AAPL, time.time(), BID, 1e6, ASK, 1e6))

    show()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    async with SimulatedGateway(exchange, rate_limit=0, ledger_keep=1000) as running:
        print(running.port, flush=True)
        while not ended.is_set():
            # What was taken from the book comes back, so that both sides always find enough.
            show()
            try:
                async with asyncio.timeout(0.2):
                    await ended.wait()
            except TimeoutError:
                continue


if __name__ == "__main__":
    asyncio.run(_serve())
