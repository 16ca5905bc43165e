"""The last hour of every series, in memory."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from alluse_core.model import Sample, SeriesId
from alluse_core.ports import Frame
from alluse_core.telemetry import Registry

# How many ticks back a series is looked up that is not measured at each tick.
_REACH = 120
_NO_SAMPLES: Mapping[SeriesId, float] = {}


class History:
    """A :class:`~alluse_core.ports.MetricView` over the newest ticks.

    One ring of float64 for each series, one of times for all: 29 kB a series for an hour of
    seconds. Series that were absent for the whole ring are forgotten; of more than ``max_series``
    the new ones are refused and counted in :attr:`refused`.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        seconds: float = 3_600.0,
        period: float = 1.0,
        max_series: int = 5_000,
    ) -> None:
        self._registry = registry
        self._slots = max(2, math.ceil(seconds / period) + 1)
        self._max_series = max_series
        self._times = array("d", [math.nan]) * self._slots
        self._walls = array("d", [math.nan]) * self._slots
        self._rings: dict[SeriesId, array[float]] = {}
        self._born: dict[SeriesId, int] = {}
        self._seen: dict[SeriesId, int] = {}
        self._by_metric: dict[tuple[str, str], list[SeriesId]] = {}
        self._current: dict[tuple[str, str], dict[SeriesId, float]] = {}
        self._tick = -1
        self._now = math.nan
        self._time = datetime.fromtimestamp(0, UTC)
        self.refused = 0

    def begin(self, now: float, time: datetime) -> None:
        """Open the next tick, at monotonic ``now`` and wall-clock ``time``."""
        self._tick += 1
        slot = self._tick % self._slots
        self._now, self._time = now, time
        self._times[slot] = now
        self._walls[slot] = time.timestamp()
        self._current = {}
        for ring in self._rings.values():
            ring[slot] = math.nan
        if slot == 0:
            self._forget_silent()

    def add(self, samples: Iterable[Sample]) -> None:
        """Put samples into the open tick; a second value of one series replaces the first."""
        slot = self._tick % self._slots
        for sample in samples:
            series = sample.series
            ring = self._rings.get(series)
            if ring is None:
                ring = self._make(series)
                if ring is None:
                    self.refused += 1
                    continue
            ring[slot] = sample.value
            self._seen[series] = self._tick
            metric = (series.component, series.metric)
            self._current.setdefault(metric, {})[series] = sample.value

    def samples(self) -> dict[SeriesId, float]:
        """Return all samples of the open tick."""
        return {series: value for of in self._current.values() for series, value in of.items()}

    @property
    def now(self) -> float:
        """Monotonic seconds of the open tick."""
        return self._now

    @property
    def time(self) -> datetime:
        """Wall-clock time of the open tick."""
        return self._time

    def latest(self, component: str, metric: str) -> Mapping[SeriesId, float]:
        """Return the open tick's samples of a metric, over all labels; empty where none."""
        return self._current.get((component, metric), _NO_SAMPLES)

    def window(self, series: SeriesId, seconds: float) -> Sequence[tuple[float, float]]:
        """Return (monotonic time, value) of the last ``seconds``, oldest first."""
        ring = self._rings.get(series)
        if ring is None:
            return []
        since = self._now - seconds
        found = []
        for tick in range(self._tick, self._oldest() - 1, -1):
            slot = tick % self._slots
            if self._times[slot] <= since:
                break
            if not math.isnan(ring[slot]):
                found.append((self._times[slot], ring[slot]))
        found.reverse()
        return found

    def increase(
        self, component: str, metric: str, seconds: float, *, from_start: bool = False
    ) -> float | None:
        """Return by how much a counter grew, summed over labels; None where it has no samples.

        A counter that appears while this process runs began at 0. One that was there at the
        first tick is counted from that tick on. A counter that fell was reset to 0. ``from_start``
        counts what came before the first tick as well, where the span reaches back that far: a
        counter of this process was 0 when it began.
        """
        grown = self._grown(component, metric, seconds, from_start=from_start)
        return None if grown is None else grown[0]

    def rate(self, component: str, metric: str, seconds: float) -> float | None:
        """Return the increase a second over the last ``seconds``, or over as many as there are.

        None where the counter has no samples, or there is but one tick.
        """
        grown = self._grown(component, metric, seconds)
        return grown[0] / grown[1] if grown is not None and grown[1] > 0 else None

    def quantile(
        self, component: str, metric: str, share: float, seconds: float
    ) -> tuple[float, int] | None:
        """Return (quantile, count) of a timer, all labels merged; None where it has nothing.

        Reaches as far back as timers keep slices: 60 ticks.
        """
        timers = self._registry.timers(component, metric)
        if not timers:
            return None
        first, *others = (timer.window(seconds, self._now) for timer in timers)
        merged = first.merge(others) if others else first
        count = merged.count
        return (merged.quantile(share), count) if count else None

    def frame(self, seconds: float) -> Frame:
        """Return copies of the last ``seconds`` of all series, for an analyzer."""
        ticks = [t for t in self._ticks() if self._times[t % self._slots] >= self._now - seconds]
        slots = [tick % self._slots for tick in ticks]
        times = array("d", (self._walls[slot] for slot in slots))
        rings = self._rings.items()
        values = [array("d", (ring[slot] for slot in slots)) for _, ring in rings]
        step = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else math.nan
        return Frame(
            memoryview(times),
            tuple(series for series, _ in rings),
            tuple(memoryview(line) for line in values),
            step,
        )

    def __len__(self) -> int:
        """Return how many series are held."""
        return len(self._rings)

    def _make(self, series: SeriesId) -> array[float] | None:
        if len(self._rings) >= self._max_series:
            return None
        ring = self._rings[series] = array("d", [math.nan]) * self._slots
        self._born[series] = self._tick
        self._by_metric.setdefault((series.component, series.metric), []).append(series)
        return ring

    def _forget_silent(self) -> None:
        for series in [s for s, seen in self._seen.items() if seen <= self._tick - self._slots]:
            del self._rings[series], self._born[series], self._seen[series]
            metric = (series.component, series.metric)
            self._by_metric[metric].remove(series)
            if not self._by_metric[metric]:
                del self._by_metric[metric]

    def _oldest(self) -> int:
        return max(0, self._tick - self._slots + 1)

    def _ticks(self) -> Iterator[int]:
        return iter(range(self._oldest(), self._tick + 1))

    def _grown(
        self, component: str, metric: str, seconds: float, *, from_start: bool = False
    ) -> tuple[float, float] | None:
        members = self._by_metric.get((component, metric))
        if not members:
            return None
        since = self._now - seconds
        base = self._at_or_before(since)
        whole = from_start and base == 0 and self._times[0] > since
        grown = 0.0
        for series in members:
            newest = self._value_at(series, self._tick)
            oldest = 0.0 if whole else self._value_at(series, base)
            if newest is None:
                continue
            if oldest is None:
                oldest = 0.0 if self._born[series] > 0 else self._first_value(series)
            grown += newest - oldest if newest >= oldest else newest
        return grown, self._now - self._times[base % self._slots]

    def _at_or_before(self, moment: float) -> int:
        low, high = self._oldest(), self._tick
        while low < high:
            middle = (low + high + 1) // 2
            if self._times[middle % self._slots] <= moment:
                low = middle
            else:
                high = middle - 1
        return low

    def _value_at(self, series: SeriesId, tick: int) -> float | None:
        ring = self._rings[series]
        first = max(self._oldest(), tick - _REACH, self._born[series])
        for at in range(tick, first - 1, -1):
            value = ring[at % self._slots]
            if not math.isnan(value):
                return value
        return None

    def _first_value(self, series: SeriesId) -> float:
        ring = self._rings[series]
        return next(
            (ring[t % self._slots] for t in self._ticks() if not math.isnan(ring[t % self._slots])),
            0.0,
        )
