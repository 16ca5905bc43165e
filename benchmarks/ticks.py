"""P9: ticks through the IBKR adapter, beside raw ib_insync.

Both sides stream the same lines of the same gateway process in turn, over one connection each,
and take the same events. Ours makes one quote for each line that a read of the socket touched and
hands it to a sink; the peer is ``IB.reqMktData``, which updates a Ticker. What is compared is the
CPU time of this process for each message, since the gateway, in a process of its own, and not the
client sets the pace.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs

from alluse_core.model import Instrument, Quote
from benchmarks.child import serving
from benchmarks.measure import Result, Turns

QUICK = {"lines": 3, "events": 5, "rounds": 1}

FIRST_BID, STEP, SIZE = 100.0, 0.01, 500.0


@attrs.frozen
class Side:
    """One client: ``begin`` streams all lines, ``newest`` is the last line's bid, ``end`` ends it.

    ``received`` counts its messages so far.
    """

    begin: Callable[[], Awaitable[None]]
    newest: Callable[[], float]
    received: Callable[[], int]
    end: Callable[[], Awaitable[None]]


class Market:
    """The gateway process: makes events when it is told to."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._shown = 0

    async def play(self, events: int) -> float:
        """Have ``events`` shown on every line, and return the bid of the last one."""
        assert self._process.stdin is not None
        self._shown += events
        self._process.stdin.write(f"{events}\n".encode())
        await self._process.stdin.drain()
        return bid_of(self._shown)


def bid_of(number: int) -> float:
    """Return the bid that event ``number`` shows; no two neighbours are equal."""
    return round(FIRST_BID + STEP * (number % 1000), 2)


def symbols(lines: int) -> list[Instrument]:
    """Return what is streamed."""
    return [Instrument.stock(f"T{number}") for number in range(lines)]


def run(*, lines: int = 100, events: int = 200, rounds: int = 9) -> Iterator[Result]:
    """Yield P9: ``rounds`` turns of ``events`` events on each of ``lines`` lines."""
    yield asyncio.run(_measure(lines, events, rounds))


async def _measure(lines: int, events: int, rounds: int) -> Result:
    with TemporaryDirectory() as folder:
        async with (
            serving("benchmarks.ticks", str(lines)) as (process, port),
            _raw(port, lines) as raw,
            _ours(port, lines, Path(folder)) as ours,
        ):
            market = Market(process)
            for side in (ours, raw):
                await _take(side, market, events)
            times: dict[int, list[float]] = {0: [], 1: []}
            counts = set()
            for number in range(rounds):
                for which in (0, 1) if number % 2 == 0 else (1, 0):
                    seconds, messages = await _take((ours, raw)[which], market, events)
                    times[which].append(seconds / messages)
                    counts.add(messages)
    # A line's first ticks may come before or after its turn begins.
    if max(counts) - min(counts) > 8 * lines:
        raise AssertionError(f"the sides did not get the same messages: {sorted(counts)}")
    return _result(Turns(tuple(times[0]), tuple(times[1])), max(counts), lines)


async def _take(side: Side, market: Market, events: int) -> tuple[float, int]:
    """Return the CPU seconds and the messages that ``events`` events on each line took."""
    await side.begin()
    before, started = side.received(), time.process_time()
    last = await market.play(events)
    async with asyncio.timeout(60.0):
        while side.newest() != last:
            await asyncio.sleep(0.01)
    spent, messages = time.process_time() - started, side.received() - before
    await side.end()
    return spent, messages


def _result(turns: Turns, messages: int, lines: int) -> Result:
    ratios = sorted(1 / ratio for ratio in turns.ratios)
    rates = [1 / statistics.median(side) for side in (turns.ours, turns.peer)]
    return Result(
        "P9",
        f"ticks taken for each CPU second, {lines} lines, {messages:,} messages a round",
        statistics.median(ratios),
        0.8,
        True,
        f"{rates[0]:,.0f} messages/s, whole quotes to a sink",
        f"ib_insync IB: {rates[1]:,.0f} messages/s",
        len(ratios),
        (ratios[0], ratios[-1]),
    )


# --- the two sides ------------------------------------------------------------------------------


@asynccontextmanager
async def _raw(port: int, lines: int) -> AsyncIterator[Side]:
    from ib_insync import IB, Stock

    client: Any = IB()  # type: ignore[no-untyped-call]
    client.client.MaxRequests = 0
    await client.connectAsync("127.0.0.1", port, clientId=99)
    contracts = [Stock(item.symbol, "SMART", "USD") for item in symbols(lines)]
    await client.qualifyContractsAsync(*contracts)
    tickers: list[Any] = []

    async def begin() -> None:
        tickers[:] = [client.reqMktData(contract) for contract in contracts]
        # The answer comes behind the first ticks of every line.
        await client.reqCurrentTimeAsync()

    async def end() -> None:
        for contract in contracts:
            client.cancelMktData(contract)
        await client.reqCurrentTimeAsync()

    try:
        yield Side(
            begin,
            lambda: float(tickers[-1].bid),
            lambda: int(client.client.connectionStats().numMsgRecv),
            end,
        )
    finally:
        client.disconnect()


@asynccontextmanager
async def _ours(port: int, lines: int, folder: Path) -> AsyncIterator[Side]:
    from alluse_ibkr.broker import IbkrBroker
    from alluse_ibkr.settings import IbkrSettings

    from alluse_core.clock import SystemClock
    from alluse_core.telemetry import Registry
    from alluse_core.testing import make_context

    clock, telemetry = SystemClock(), Registry()
    broker = IbkrBroker(
        make_context(
            name="main",
            clock=clock,
            telemetry=telemetry,
            settings=IbkrSettings(port=port, max_lines=lines),
            state_dir=folder,
        )
    )
    await broker.connect()
    instruments = symbols(lines)
    for instrument in instruments:
        await broker.define(instrument)
    newest: dict[Instrument, Quote] = {}
    streams: list[Any] = []

    def take(quote: Quote) -> None:
        newest[quote.instrument] = quote

    def received() -> int:
        return next(
            int(sample.value)
            for sample in telemetry.collect(clock.monotonic())
            if sample.series.metric == "messages_received"
            and ("role", "data") in sample.series.labels
        )

    async def begin() -> None:
        newest.clear()
        streams[:] = [broker.subscribe(instrument, take) for instrument in instruments]
        async with asyncio.timeout(30.0):
            while len(newest) < lines:
                await asyncio.sleep(0.01)

    async def end() -> None:
        for stream in streams:
            stream.close()
        await asyncio.sleep(0.05)

    try:
        yield Side(begin, lambda: newest[instruments[-1]].bid, received, end)
    finally:
        await broker.close()


# --- the gateway, in a process of its own -------------------------------------------------------


async def _serve(lines: int) -> None:
    """Serve until standard input ends, showing as many events as each of its lines says."""
    from alluse_gateway import SimulatedGateway
    from alluse_paper.exchange import Exchange
    from alluse_paper.fill_model import FillModel
    from alluse_paper.market import Listing, QuoteEvent

    from alluse_core.clock import SystemClock

    instruments = symbols(lines)
    model = FillModel(latency_ms=0, enforce_hours=False, check_margin=False)
    exchange = Exchange(SystemClock(), [Listing.of(item) for item in instruments], fill_model=model)

    def show(number: int) -> None:
        bid = bid_of(number)
        for item in instruments:
            event = QuoteEvent(item, time.time(), bid, SIZE, bid + 2 * STEP, SIZE)
            exchange.on_market(event)

    show(0)
    shown = 0
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async with SimulatedGateway(
        exchange, rate_limit=0, sampling=0, lines=2 * lines, ledger_keep=1000
    ) as running:
        print(running.port, flush=True)
        while line := await orders.readline():
            for _ in range(int(line)):
                shown += 1
                show(shown)
                await asyncio.sleep(0)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
