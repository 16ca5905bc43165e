"""What the simulated gateway serves for each second of its own processor time.

The gateway is a process of its own; its CPU time is read from the system before and after, so
that neither the client nor what else runs on the machine is counted, and the simulated exchange
is. ``ours`` tells the rate by the clock as well, which the client takes part in.
"""

from __future__ import annotations

import asyncio
import statistics
import struct
import sys
import time
from collections.abc import Iterator
from typing import Any

import attrs
import psutil

from alluse_core.model import Instrument
from benchmarks.child import serving
from benchmarks.gateway import AAPL, ASK, BID, _raw, _together
from benchmarks.measure import Result

LINES = 100
RESOLUTION = 0.01
"""Seconds in which the system counts a process's CPU time."""

SILENCE = 0.5
TICKS_GOAL, ORDERS_GOAL = 40_000, 2_000


@attrs.frozen
class Served:
    """One round: how many were served, in how many seconds of CPU and by the clock."""

    count: int
    cpu: float
    clock: float


def run(*, ticks: int = 100_000, orders: int = 1_500, rounds: int = 7) -> Iterator[Result]:
    """Yield ticks and orders served for each CPU second of the gateway."""
    yield from asyncio.run(_measure(ticks, orders, rounds))


async def _measure(ticks: int, orders: int, rounds: int) -> list[Result]:
    async with serving("benchmarks.served") as (child, port):
        process = _Process(child)
        of_ticks = await _ticks(process, port, ticks, rounds)
        of_orders = await _orders(process, port, orders, rounds)
    return [
        _result("P10", f"ticks served for each CPU second, {LINES} lines", of_ticks, TICKS_GOAL),
        _result("P11", "orders filled for each CPU second", of_orders, ORDERS_GOAL),
    ]


def _result(name: str, what: str, served: list[Served], goal: int) -> Result:
    ratios = sorted(each.count / max(each.cpu, RESOLUTION) / goal for each in served)
    clock = statistics.median(each.count / each.clock for each in served)
    value = statistics.median(ratios)
    return Result(
        name,
        what,
        value,
        1.0,
        True,
        f"{value * goal:,.0f} /s of one core; {clock:,.0f} /s by the clock",
        f"the goal, {goal:,} /s",
        len(served),
        (ratios[0], ratios[-1]),
    )


# --- the two loads ------------------------------------------------------------------------------


async def _orders(process: _Process, port: int, orders: int, rounds: int) -> list[Served]:
    served = []
    async with _raw(port) as peer:
        await _together(peer.trade, min(orders, 100), 50)
        for _ in range(rounds):
            before = process.cpu()
            seconds = await _together(peer.trade, orders, 50)
            served.append(Served(orders, process.cpu() - before, seconds))
    return served


async def _ticks(process: _Process, port: int, ticks: int, rounds: int) -> list[Served]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    offer = b"v157..176"
    writer.write(b"API\0" + struct.pack(">I", len(offer)) + offer)
    _send(writer, 71, 2, 98, "")
    for number, symbol in enumerate(_symbols()):
        contract = [0, symbol, "STK", "", "0.0", "", "", "SMART", "", "USD", "", ""]
        _send(writer, 1, 11, 1000 + number, *contract, 0, "", 0, 0, "")
    count = _TickCount(reader)
    await count.until(2 * LINES)
    served = []
    for _ in range(rounds + 1):
        before, started, first = process.cpu(), time.perf_counter(), count.seen
        process.ask(ticks)
        await count.until(first + ticks)
        # A quote makes more ticks than are asked for: what was sent belongs to this round.
        seconds = await count.silence() - started
        served.append(Served(count.seen - first, process.cpu() - before, seconds))
    writer.close()
    await writer.wait_closed()
    return served[1:]


class _TickCount:
    """Counts tickPrice and tickSize messages without decoding them."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self.seen = 0
        self._last = 0.0
        self._reader = reader
        self._data = b""

    async def until(self, count: int) -> None:
        while self.seen < count:
            async with asyncio.timeout(60.0):
                read = await self._reader.read(1 << 20)
            if not read:
                raise RuntimeError("the gateway closed the connection")
            self._take(self._data + read)
            self._last = time.perf_counter()

    async def silence(self) -> float:
        """Read until nothing comes for half a second; return when the last came."""
        while True:
            try:
                async with asyncio.timeout(SILENCE):
                    read = await self._reader.read(1 << 20)
            except TimeoutError:
                return self._last
            self._take(self._data + read)
            self._last = time.perf_counter()

    def _take(self, data: bytes) -> None:
        at = 0
        while len(data) - at >= 4:
            end = at + 4 + int.from_bytes(data[at : at + 4], "big")
            if end > len(data):
                break
            self.seen += data[at + 4 : at + 6] in (b"1\0", b"2\0")
            at = end
        self._data = data[at:]


def _send(writer: asyncio.StreamWriter, *values: object) -> None:
    payload = "".join(f"{value}\0" for value in values).encode()
    writer.write(struct.pack(">I", len(payload)) + payload)


def _symbols() -> list[str]:
    return ["AAPL", *(f"S{number:03}" for number in range(LINES - 1))]


# --- the gateway, in a process of its own -------------------------------------------------------


class _Process:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._usage = psutil.Process(process.pid)

    def cpu(self) -> float:
        """Return the CPU seconds that the process has used."""
        used = self._usage.cpu_times()
        return float(used.user + used.system)

    def ask(self, ticks: int) -> None:
        """Let the market move until about ``ticks`` more ticks are due."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{ticks}\n".encode())


async def _serve() -> None:
    """Serve until standard input ends; each line of it asks for so many ticks."""
    from alluse_gateway import SimulatedGateway
    from alluse_paper.exchange import Exchange
    from alluse_paper.fill_model import FillModel
    from alluse_paper.market import Listing

    from alluse_core.clock import SystemClock

    instruments = [Instrument.stock(symbol) for symbol in _symbols()]
    model = FillModel(latency_ms=0, enforce_hours=False, check_margin=False)
    listings = [Listing.of(each, primary_exchange="NASDAQ") for each in instruments]
    exchange = Exchange(SystemClock(), listings, fill_model=model)
    _quotes(exchange, instruments, 0)
    lines: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        lines.put_nowait(sys.stdin.readline())

    asyncio.get_running_loop().add_reader(sys.stdin, read)
    gateway = SimulatedGateway(
        exchange, rate_limit=0, sampling=0, lines=LINES + 1, ledger_keep=1000
    )
    async with gateway:
        print(gateway.port, flush=True)
        turn = 0
        while True:
            try:
                async with asyncio.timeout(0.2):
                    asked = await lines.get()
            except TimeoutError:
                # What was taken from the book comes back, so that orders always find enough.
                _quotes(exchange, instruments[:1], turn)
                continue
            if not asked:
                return
            turn = await _move(gateway, exchange, instruments, turn, int(asked))


async def _move(
    gateway: Any, exchange: Any, instruments: list[Instrument], turn: int, ticks: int
) -> int:
    # A quote of four changed numbers is four ticks: two prices, which carry sizes, and two sizes.
    left = ticks
    while left > 0:
        if any(session.congested for session in gateway.sessions):
            await asyncio.sleep(0.001)
            continue
        turn += 1
        _quotes(exchange, instruments, turn)
        left -= 2 * len(instruments)
        await asyncio.sleep(0)
    return turn


def _quotes(exchange: Any, instruments: list[Instrument], turn: int) -> None:
    from alluse_paper.market import QuoteEvent

    moved, size = 0.01 * (turn % 50), 1e6 + 100 * (turn % 7)
    now = time.time()
    for each in instruments:
        exchange.on_market(QuoteEvent(each, now, BID - moved, size, ASK - moved, size))


if __name__ == "__main__":
    assert AAPL.symbol == _symbols()[0]
    asyncio.run(_serve())
