"""P7: orders that are durable before they are sent, over a trivial broker in this process.

75 agents submit one order after the other; the broker takes each and says nothing. The same
machinery runs in turn over a journal that writes nothing: the difference of the two medians of
submit-to-wire is what durability adds, and it is held against the device's own fdatasync in the
same run. It is measured a second time as on a device that takes 10 ms for a sync, as disks without
a protected write cache do: each sync is made so much longer, by a sleep in the writer's thread.

As in ``alluse run``, what is alive when trading begins is left out of Python's collections.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs

from alluse_core.clock import SystemClock
from alluse_core.collector import startup_frozen
from alluse_core.model import Instrument, NodeIdentity, Order, Side
from alluse_core.orders.committer import Commit, Committer, Done, ThreadCommitter, Write
from alluse_core.orders.journal import Journal
from alluse_core.orders.pacing import SlidingWindowPacer
from alluse_core.orders.records import Row
from alluse_core.orders.service import Orders
from alluse_core.orders.storage import DISK, Storage, SystemFile
from alluse_core.ports import OrderMessage
from alluse_core.settings import OrdersSettings
from alluse_core.telemetry import Registry
from alluse_core.testing.fakes import FakeBroker
from benchmarks.measure import Result

QUICK = {"orders": 150, "rounds": 1, "syncs": 5}

AAPL = Instrument.stock("AAPL")
# The broker never answers: that is not to be asked about, nor counted against it, while measuring.
SETTINGS = OrdersSettings(stages=(), breaker_failures=0, acknowledge_within=3_600.0)
GOAL_RATE = 10_000.0
GOAL_ADDED = 1.5
AGENTS = 75
SLOW_SYNC = 0.010


class TakingBroker(FakeBroker):
    """Takes every order and says nothing: what is measured ends where the bytes would leave."""

    def place(self, messages: Sequence[OrderMessage]) -> None:
        """Take."""


class NoCommitter:
    """Writes nothing, and says so in the next turn of the loop: the machinery without its disk."""

    concurrent = True

    def open(self, write: Write) -> None:
        """Begin."""

    def commit(self, rows: Sequence[Row], done: Done) -> None:
        """Forget the rows."""
        asyncio.get_running_loop().call_soon(done, Commit(len(rows), 0.0, None))

    def close(self) -> None:
        """End."""


class SlowCommitter(ThreadCommitter):
    """The writer's thread, as on a device of which each sync takes 10 ms more."""

    def open(self, write: Write) -> None:
        """Begin."""

        def slowly(rows: Sequence[Row]) -> None:
            write(rows)
            time.sleep(SLOW_SYNC)

        super().open(slowly)


class SlowFile(SystemFile):
    """The anchor's file on that device."""

    def sync(self) -> None:
        """Sync."""
        super().sync()
        time.sleep(SLOW_SYNC)


@attrs.define
class Desk:
    """An order service and what it measures."""

    orders: Orders
    journal: Journal
    registry: Registry
    serial: int = 0

    async def round(self, count: int) -> tuple[float, float]:
        """Submit ``count`` orders by 75 agents; return (orders/s, median submit-to-wire in s)."""
        timer = self.registry.timer("trading_system", "submit_to_wire_ms")
        timer.rotate(time.monotonic())
        left = iter(range(count))
        self.serial += 1
        started = time.perf_counter()
        await asyncio.gather(*(self._agent(f"{self.serial}/{n}", left) for n in range(AGENTS)))
        spent = time.perf_counter() - started
        return count / spent, timer.rotate(time.monotonic()).quantile(0.5) / 1e3

    async def _agent(self, name: str, left: Iterator[int]) -> None:
        submit, price = self.orders.submit, Decimal(100)
        for number in left:
            await submit(Order.limit(AAPL, Side.BUY, 1, price, key=f"{name}/{number}"))


def run(*, orders: int = 4_000, rounds: int = 5, syncs: int = 100) -> Iterator[Result]:
    """Yield the throughput, and what durability adds to the median latency on two devices."""
    with TemporaryDirectory(dir=Path.cwd()) as folder:
        found = asyncio.run(_measure(Path(folder), orders, rounds, syncs, 0.0))
        yield _rate(found.rates, orders)
        yield _added("P7 added", found)
    with TemporaryDirectory(dir=Path.cwd()) as folder:
        found = asyncio.run(_measure(Path(folder), orders, rounds, syncs, SLOW_SYNC))
        yield _added("P7 slow device", found)


@attrs.define
class Rounds:
    """What each round gave: orders/s, and in seconds the medians of submit-to-wire with a journal
    and without, and of the device's fdatasync."""

    rates: list[float] = attrs.field(factory=list)
    durable: list[float] = attrs.field(factory=list)
    bare: list[float] = attrs.field(factory=list)
    device: list[float] = attrs.field(factory=list)


async def _measure(folder: Path, orders: int, rounds: int, syncs: int, slower: float) -> Rounds:
    committer = SlowCommitter() if slower else ThreadCommitter()
    storage = Storage(open_file=SlowFile) if slower else DISK
    durable = await _desk(folder / "durable.db", committer, storage)
    fleeting = await _desk(folder / "fleeting.db", NoCommitter())
    found = Rounds()
    for desk in (durable, fleeting):
        await desk.round(AGENTS)
    with startup_frozen():
        for _ in range(rounds):
            found.device.append(_fdatasync(folder / "device", syncs) + slower)
            rate, latency = await durable.round(orders)
            found.rates.append(rate)
            found.durable.append(latency)
            found.bare.append((await fleeting.round(orders))[1])
    for desk in (durable, fleeting):
        await desk.orders.stop()
        desk.journal.close()
    return found


async def _desk(path: Path, committer: Committer, storage: Storage = DISK) -> Desk:
    clock, registry = SystemClock(), Registry()
    node = NodeIdentity("bench", "bench", "bench", "bench")
    journal = Journal(path, clock=clock, node=node, committer=committer, storage=storage)
    made: list[Orders] = []
    broker = TakingBroker(lambda item: made[0].evidence(item) if made else None, clock=clock)
    service = Orders(
        brokers={broker.name: broker},
        pacers={broker.name: SlidingWindowPacer(clock)},
        stages=(),
        journal=journal,
        clock=clock,
        telemetry=registry,
        settings=SETTINGS,
        node=node,
        quote=lambda _: None,
        definition=lambda _, __: None,
    )
    made.append(service)
    await broker.connect()
    await service.start()
    return Desk(service, journal, registry)


def _fdatasync(path: Path, count: int) -> float:
    """Return the median seconds of writing a page over itself and syncing it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        page, times = bytes(4096), []
        os.pwrite(file, page, 0)
        os.fsync(file)
        for _ in range(count):
            started = time.perf_counter()
            os.pwrite(file, page, 0)
            os.fdatasync(file)
            times.append(time.perf_counter() - started)
        return statistics.median(times)
    finally:
        os.close(file)


def _rate(rates: list[float], orders: int) -> Result:
    shares = [rate / GOAL_RATE for rate in rates]
    return Result(
        "P7",
        f"orders durable before sent, {AGENTS} agents, {orders:,} orders a round, x10,000/s",
        statistics.median(shares),
        1.0,
        True,
        f"{statistics.median(rates):,.0f} orders/s, taken by a broker in this process",
        "the goal of 10,000 orders/s",
        len(rates),
        (min(shares), max(shares)),
    )


def _added(name: str, found: Rounds) -> Result:
    added = [slow - fast for slow, fast in zip(found.durable, found.bare, strict=True)]
    ratios = [more / sync for more, sync in zip(added, found.device, strict=True)]
    return Result(
        name,
        "what durability adds to the median of submit-to-wire, over the device's fdatasync",
        statistics.median(ratios),
        GOAL_ADDED,
        False,
        f"{statistics.median(added) * 1e3:.2f} ms added"
        f" ({statistics.median(found.durable) * 1e3:.2f} ms with the journal,"
        f" {statistics.median(found.bare) * 1e3:.2f} ms without)",
        f"fdatasync p50 {statistics.median(found.device) * 1e3:.2f} ms",
        len(ratios),
        (min(ratios), max(ratios)),
    )


def main() -> int:
    """Print P7 alone; ``--json`` for programs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.orders")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    results = list(run(**QUICK) if options.quick else run())
    if options.json:
        print(json.dumps([attrs.asdict(each) | {"met": each.met} for each in results], indent=2))
    else:
        for each in results:
            print(f"{each.id}: {each.ours}; {each.peer}; {each.value:.2f}, goal {each.goal}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
