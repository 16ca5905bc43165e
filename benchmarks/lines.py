"""P5b: which instruments hold IBKR's 100 market data lines, and what that does to the answers.

Virtual time: the real quotes service, cache and pacer over a broker that keeps IBKR's rules (100
lines, ticks sampled each 250 ms, one instrument a request, 50 messages a second, snapshots that
take a line and up to 11 s). Each policy serves the same reads: a watch list, a portfolio that is
polled, option chains that are scanned, and a long tail. Contracts are known beforehand, and no
orders take messages. Fresh: answered at once by a quote current within 1 s, of an option 5 s.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import attrs
from alluse_cache.settings import LruSettings

from alluse_core.errors import QuoteUnavailable, RequestFailed
from alluse_core.host import Host
from alluse_core.model import (
    DataType,
    Instrument,
    InstrumentDefinition,
    LinkState,
    Quote,
    SecurityType,
)
from alluse_core.orders.pacing import SlidingWindowPacer
from alluse_core.ports import Broker, BrokerCapabilities, Priority, QuoteSink
from alluse_core.quotes import Quotes
from alluse_core.quotes.plan import Choose, LineUse, Plan, Route, choose
from alluse_core.settings import QuotesSettings
from alluse_core.telemetry import Registry
from alluse_core.testing import make_context
from benchmarks.measure import Result

LINES = 100
SAMPLING = 0.25
OPTION_AGE = 5.0
QUICK = {"seconds": 8.0, "seeds": 1, "warm_up": 8.0}
_STEP = 0.05
_POLLED = (5, 10, 20, 40)
"""How many lines each fixed choice leaves to everything else; the best one is the peer."""

Read = tuple[float, Instrument]


def run(*, seconds: float = 240.0, seeds: int = 3, warm_up: float = 60.0) -> Iterator[Result]:
    """Yield fresh answers against LRU's, and against the best fixed choice known afterwards."""
    rounds = [_round(seed, seconds, warm_up) for seed in range(1, seeds + 1)]
    ratios = sorted(ours.fresh / max(lru.fresh, 1e-9) for ours, lru, _ in rounds)
    gaps = sorted(100 * (best.fresh - ours.fresh) for ours, _, best in rounds)
    ours, lru, best = (Score.mean([row[side] for row in rounds]) for side in range(3))
    yield Result(
        "P5b",
        "fresh answers under IBKR's line rules, against LRU of lines (virtual time)",
        ratios[len(ratios) // 2],
        2.0,
        True,
        str(ours),
        f"LRU of lines: {lru}",
        seeds,
        (ratios[0], ratios[-1]),
    )
    yield Result(
        "P5b (fixed)",
        "points of fresh answers below the best fixed choice of lines known afterwards",
        gaps[len(gaps) // 2],
        5.0,
        False,
        str(ours),
        f"the best fixed choice: {best}",
        seeds,
        (gaps[0], gaps[-1]),
    )


@attrs.frozen
class Score:
    """What one policy gave. Shares of all reads; ``p99`` seconds among reads that got a quote."""

    fresh: float
    within_a_second: float
    failed: float
    p99: float
    opened: float

    @classmethod
    def mean(cls, scores: Sequence[Score]) -> Score:
        """Return the mean of several."""
        names = [field.name for field in attrs.fields(cls)]
        return cls(*(sum(getattr(s, name) for s in scores) / len(scores) for name in names))

    def __str__(self) -> str:
        return (
            f"{self.fresh:.1%} fresh at once, {self.within_a_second:.1%} within 1 s,"
            f" {self.failed:.1%} without an answer, p99 wait {self.p99:.2f} s,"
            f" {self.opened:.1f} lines opened a second"
        )


# --- the reads ----------------------------------------------------------------------------------


def workload(seed: int, seconds: float) -> list[Read]:
    """Return (time, instrument) in order: about 60 reads a second of some 6,000 instruments."""
    order = random.Random(seed)
    reads: list[Read] = []
    watch = [Instrument.stock(f"W{n}") for n in range(150)]
    weights = [1 / (n + 1) ** 0.8 for n in range(len(watch))]
    tail = [Instrument.stock(f"T{n}") for n in range(5_000)]
    reads += [(at, order.choices(watch, weights)[0]) for at in _poisson(order, 40.0, seconds)]
    reads += [(at, order.choice(tail)) for at in _poisson(order, 2.0, seconds)]
    for number in range(40):
        phase = order.uniform(0, 5.0)
        held = Instrument.stock(f"P{number}")
        reads += [(phase + 5.0 * turn, held) for turn in range(int((seconds - phase) / 5.0) + 1)]
    chains = [_chain(f"W{n}") for n in range(8)]
    for start in range(0, int(seconds), 20):
        chain = order.choices(chains, [1 / (n + 1) for n in range(8)])[0]
        reads += [(start + 10.0 * n / len(chain), option) for n, option in enumerate(chain)]
    return sorted((read for read in reads if read[0] < seconds), key=lambda read: read[0])


def _chain(symbol: str) -> list[Instrument]:
    return [
        Instrument.option(symbol, date(2030, month, 18), 50 + strike, right)
        for month in (1, 2, 3)
        for strike in range(20)
        for right in ("C", "P")
    ]


def _poisson(order: random.Random, rate: float, seconds: float) -> Iterator[float]:
    at = order.expovariate(rate)
    while at < seconds:
        yield at
        at += order.expovariate(rate)


# --- the policies -------------------------------------------------------------------------------


def lru(capabilities: BrokerCapabilities, *, lines: Iterable[LineUse], **state: Any) -> Plan:
    """Give every missing instrument a line, from the one that was read longest ago."""
    if state["held"]:
        return Plan(Route.WAIT)
    if state["used"] < capabilities.quote_lines:
        return Plan(Route.LINE)
    return Plan(Route.LINE, max(lines, key=lambda line: line.idle).instrument)


class Fixed:
    """Give these instruments a line for good; everything else is polled through what is left."""

    def __init__(self, chosen: Iterable[Instrument]) -> None:
        self._chosen = frozenset(chosen)

    def __call__(
        self, capabilities: BrokerCapabilities, *, lines: Iterable[LineUse], **state: Any
    ) -> Plan:
        """Decide; see plan.choose."""
        if state["held"]:
            return Plan(Route.WAIT)
        held = list(lines)
        others = [line for line in held if line.instrument not in self._chosen]
        chosen = state["instrument"] in self._chosen
        room = capabilities.quote_lines - len(self._chosen)
        if state["used"] < capabilities.quote_lines and (chosen or len(others) < room):
            return Plan(Route.LINE)
        free = [line for line in others if line.answered]
        if not free:
            return Plan(Route.WAIT)
        return Plan(Route.LINE, max(free, key=lambda line: line.idle).instrument)


# --- the simulation -----------------------------------------------------------------------------


class StepClock:
    """A clock that moves in steps, and wakes at each step all whose time has come."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._serial = 0

    def now(self) -> datetime:
        """Return the virtual wall-clock time."""
        return datetime(2026, 1, 5, tzinfo=UTC) + timedelta(seconds=self.time)

    def monotonic(self) -> float:
        """Return virtual monotonic seconds."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has moved by ``seconds``."""
        future = asyncio.get_running_loop().create_future()
        self._serial += 1
        heapq.heappush(self._sleepers, (self.time + seconds, self._serial, future))
        await future

    async def step(self) -> None:
        """Move on by one step."""
        end = self.time + _STEP
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, future = heapq.heappop(self._sleepers)
            self.time = max(self.time, at)
            if not future.done():
                future.set_result(None)
                for _ in range(6):
                    await asyncio.sleep(0)
        self.time = end
        for _ in range(6):
            await asyncio.sleep(0)


@attrs.define(eq=False)
class SimulatedLine:
    """One subscription of the simulated broker."""

    broker: LinesBroker
    instrument: Instrument
    sink: QuoteSink
    due: float = float("inf")
    closed: bool = False

    @property
    def alive_at(self) -> float:
        """Return now: the connection stays up."""
        return self.broker.clock.monotonic()

    def close(self) -> None:
        """Give the line back; that is a message too."""
        if not self.closed:
            self.closed = True
            self.broker.lines.discard(self)
            self.broker.send(None)


class LinesBroker:
    """A broker with IBKR's rules of market data."""

    name = "simulated"
    link = LinkState.UP
    capabilities = BrokerCapabilities(
        messages_per_second=50.0, quote_lines=LINES, snapshot_batch=1, snapshot_seconds=11.0
    )

    def __init__(self, clock: StepClock, seed: int) -> None:
        self.clock = clock
        self.lines: set[SimulatedLine] = set()
        self._snapshots = 0
        self._order = random.Random(seed)
        self._pacer = SlidingWindowPacer(clock, 50.0)
        self._tasks: set[asyncio.Task[None]] = set()

    async def define(self, instrument: Instrument) -> InstrumentDefinition:
        """Return a definition at once: contracts are kept on disk."""
        return InstrumentDefinition(instrument, "1")

    def subscribe(self, instrument: Instrument, sink: QuoteSink) -> SimulatedLine:
        """Open a line. Raises RequestFailed (101) where none is free."""
        self._check()
        line = SimulatedLine(self, instrument, sink)
        self.lines.add(line)
        self.send(line)
        return line

    async def snapshots(self, instruments: Sequence[Instrument]) -> Mapping[Instrument, Quote]:
        """Ask for a snapshot each: it takes a line until its end comes."""
        self._check()
        self._snapshots += 1
        try:
            await self._pacer.turn(Priority.DATA)
            await self.clock.sleep(self._order.uniform(1.0, 11.0))
        finally:
            self._snapshots -= 1
        return {instrument: self._quote(instrument) for instrument in instruments}

    def send(self, line: SimulatedLine | None) -> None:
        """Send a message when its turn comes; a new line's first tick follows it."""
        task = asyncio.ensure_future(self._send(line))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def tick(self) -> None:
        """Send what is due."""
        now = self.clock.monotonic()
        for line in tuple(self.lines):
            if line.due <= now:
                line.due += SAMPLING
                line.sink(self._quote(line.instrument))

    async def close(self) -> None:
        """End what still waits."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _send(self, line: SimulatedLine | None) -> None:
        await self._pacer.turn(Priority.DATA)
        if line is not None:
            line.due = self.clock.monotonic() + self._order.uniform(0.05, 0.05 + SAMPLING)

    def _check(self) -> None:
        if len(self.lines) + self._snapshots >= LINES:
            raise RequestFailed("all lines are in use", code=101)

    def _quote(self, instrument: Instrument) -> Quote:
        now = self.clock.monotonic()
        return Quote(
            instrument, 1.0, 1.01, confirmed_at=now, changed_at=now, data_type=DataType.LIVE
        )


def _round(seed: int, seconds: float, warm_up: float) -> tuple[Score, Score, Score]:
    reads = workload(seed, warm_up + seconds)
    worth = [instrument for instrument, _ in _worth(reads).most_common(LINES)]
    fixed = [Fixed(worth[: LINES - polled]) for polled in _POLLED]
    return (
        play(reads, choose, seed, warm_up),
        play(reads, cast("Choose", lru), seed, warm_up),
        max(
            (play(reads, cast("Choose", one), seed, warm_up) for one in fixed),
            key=lambda s: s.fresh,
        ),
    )


def _worth(reads: Iterable[Read]) -> Counter[Instrument]:
    """Count the reads that no read shortly before could have answered."""
    counts: Counter[Instrument] = Counter()
    last: dict[Instrument, float] = {}
    for at, instrument in reads:
        age = OPTION_AGE if instrument.security_type is SecurityType.OPTION else 1.0
        if at - last.get(instrument, float("-inf")) > age:
            counts[instrument] += 1
            last[instrument] = at
    return counts


def play(reads: Sequence[Read], policy: Choose, seed: int, warm_up: float) -> Score:
    """Serve ``reads`` under a policy; those of the first ``warm_up`` seconds are not scored."""
    with TemporaryDirectory() as folder:
        return asyncio.run(_play(reads, policy, seed, warm_up, Path(folder)))


async def _play(
    reads: Sequence[Read], policy: Choose, seed: int, warm_up: float, folder: Path
) -> Score:
    clock, telemetry = StepClock(), Registry()
    broker = LinesBroker(clock, seed)
    context = make_context(
        name="lru", settings=LruSettings(), clock=clock, telemetry=telemetry, state_dir=folder
    )
    quotes = Quotes(
        broker=cast("Broker", broker),
        cache=Host(safe_mode=True).open("cache", "lru", context),
        clock=clock,
        telemetry=telemetry,
        settings=QuotesSettings(workers=64),
        choose=policy,
    )
    await quotes.start()
    waits: list[float | None] = []
    begin, opened = clock.time, 0.0

    async def read(instrument: Instrument, scored: bool) -> None:
        option = instrument.security_type is SecurityType.OPTION
        asked, wait = clock.time, None
        try:
            await quotes.get(instrument, OPTION_AGE if option else None)
            wait = clock.time - asked
        except (QuoteUnavailable, RequestFailed):
            pass
        if scored:
            waits.append(wait)

    open_reads: set[asyncio.Task[None]] = set()
    end = reads[-1][0] + 15.0
    position, refreshed = 0, begin
    while clock.time - begin < end:
        while position < len(reads) and reads[position][0] <= clock.time - begin:
            at, instrument = reads[position]
            position += 1
            if at >= warm_up and not opened:
                opened = _counted(telemetry, clock)
            task = asyncio.ensure_future(read(instrument, at >= warm_up))
            open_reads.add(task)
            task.add_done_callback(open_reads.discard)
        await clock.step()
        broker.tick()
        if clock.time - refreshed >= quotes.refresh_period:
            refreshed = clock.time
            quotes.refresh(clock.time)
    opened = _counted(telemetry, clock) - opened
    await quotes.stop()
    await asyncio.gather(*open_reads)
    await broker.close()
    return _score(waits, opened / (end - warm_up))


def _counted(telemetry: Registry, clock: StepClock) -> float:
    for sample in telemetry.collect(clock.monotonic()):
        if sample.series.metric == "lines_opened":
            return sample.value
    return 0.0


def _score(waits: Sequence[float | None], opened: float) -> Score:
    answered = sorted(wait for wait in waits if wait is not None)
    total = max(1, len(waits))
    return Score(
        fresh=sum(wait == 0.0 for wait in answered) / total,
        within_a_second=sum(wait <= 1.0 for wait in answered) / total,
        failed=(len(waits) - len(answered)) / total,
        p99=answered[int(0.99 * (len(answered) - 1))] if answered else 0.0,
        opened=opened,
    )
