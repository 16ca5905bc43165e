"""Where running code counts what it does; read once a tick by the monitor.

Recording costs an attribute add (counter, gauge) or a dictionary add (timer) and takes no lock:
an instrument belongs to the thread that records into it, or tolerates a lost count where the
owner says so.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator

from alluse_core.model import Sample, SeriesId, labels
from alluse_core.telemetry.histogram import Histogram

QUANTILES = (("p50", 0.50), ("p90", 0.90), ("p99", 0.99))


class Counter:
    """A count that only grows. Add with ``counter.value += n``."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Gauge:
    """A number that goes up and down; NaN until first set, and then absent from samples."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = math.nan


class Timer:
    """A histogram of durations or sizes, kept as one slice per tick.

    ``record`` is the open slice's own: read the attribute each time, a kept one records into
    the past. :meth:`window` merges the newest slices, so that a rule can
    ask for the p99 of the last 30 s. At most ``slices`` are kept.
    """

    __slots__ = ("_past", "current", "record", "total_count")

    def __init__(self, slices: int = 60) -> None:
        self._past: deque[tuple[float, Histogram]] = deque(maxlen=slices)
        self.total_count = 0
        self.current = Histogram()
        self.record: Callable[[float], None] = self.current.record

    def rotate(self, now: float) -> Histogram:
        """Close the current slice at monotonic ``now`` and return it."""
        closed = self.current
        self.current = Histogram()
        self.record = self.current.record
        self.total_count += closed.count
        self._past.append((now, closed))
        return closed

    def window(self, seconds: float, now: float) -> Histogram:
        """Return what the slices closed since ``now - seconds`` and the open one hold."""
        since = now - seconds
        return self.current.merge(closed for at, closed in self._past if at > since)


class Registry:
    """All instruments of one runtime, by component, name, unit and labels.

    Asking twice for the same series gives the same instrument. :meth:`collect` yields one sample
    a counter and gauge, and for a timer its count so far and the quantiles, maximum and mean of
    the slice that it closes. What was never recorded yields nothing.
    """

    def __init__(self) -> None:
        self._counters: dict[SeriesId, Counter] = {}
        self._gauges: dict[SeriesId, Gauge] = {}
        self._timers: dict[SeriesId, Timer] = {}
        self._readers: dict[SeriesId, Callable[[], float | None]] = {}

    def counter(self, component: str, metric: str, unit: str = "", **labelled: object) -> Counter:
        """Return the counter of this series, made on first use."""
        series = SeriesId(component, metric, labels(**labelled), unit)
        return self._counters.setdefault(series, Counter())

    def gauge(self, component: str, metric: str, unit: str = "", **labelled: object) -> Gauge:
        """Return the gauge of this series, made on first use."""
        series = SeriesId(component, metric, labels(**labelled), unit)
        return self._gauges.setdefault(series, Gauge())

    def timer(self, component: str, metric: str, unit: str = "ms", **labelled: object) -> Timer:
        """Return the timer of this series, made on first use. Record in ``unit``."""
        series = SeriesId(component, metric, labels(**labelled), unit)
        return self._timers.setdefault(series, Timer())

    def observe(
        self,
        component: str,
        metric: str,
        read: Callable[[], float | None],
        unit: str = "",
        **labelled: object,
    ) -> None:
        """Read this series by calling ``read`` at each tick; None or NaN: absent this tick."""
        self._readers[SeriesId(component, metric, labels(**labelled), unit)] = read

    def collect(self, now: float) -> Iterator[Sample]:
        """Yield this tick's samples and close the timers' slices. Call it from one place only."""
        # Copies: another thread may make an instrument meanwhile.
        for series, counter in list(self._counters.items()):
            yield Sample(series, float(counter.value))
        for series, gauge in list(self._gauges.items()):
            if not math.isnan(gauge.value):
                yield Sample(series, gauge.value)
        for series, read in list(self._readers.items()):
            value = self._read(series, read)
            if value is not None and not math.isnan(value):
                yield Sample(series, value)
        for series, timer in list(self._timers.items()):
            yield from _timer_samples(series, timer, now)

    def timers(self, component: str, metric: str) -> list[Timer]:
        """Return the timers of a metric, over all labels; empty where none was made."""
        return [
            timer
            for series, timer in list(self._timers.items())
            if series.metric == metric and series.component == component
        ]

    def _read(self, series: SeriesId, read: Callable[[], float | None]) -> float | None:
        try:
            value = read()
            return None if value is None else float(value)
        except Exception:  # noqa: BLE001 - one reader's fault must not cost the tick; it is counted
            self.counter("monitor", "reader_errors", series=str(series)).value += 1
            return None


def _timer_samples(series: SeriesId, timer: Timer, now: float) -> Iterator[Sample]:
    closed = timer.rotate(now)
    if timer.total_count:
        yield Sample(_derived(series, "count", ""), float(timer.total_count))
    if not closed.buckets:
        return
    values = closed.quantiles(*(share for _, share in QUANTILES))
    for (name, _), value in zip(QUANTILES, values, strict=True):
        yield Sample(_derived(series, name, series.unit), value)
    yield Sample(_derived(series, "max", series.unit), closed.maximum)
    yield Sample(_derived(series, "mean", series.unit), closed.mean)


def _derived(series: SeriesId, suffix: str, unit: str) -> SeriesId:
    return SeriesId(series.component, f"{series.metric}.{suffix}", series.labels, unit)
