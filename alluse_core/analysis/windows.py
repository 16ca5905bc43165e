"""Metric history as buffers on an even grid, and its one-minute rollups."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence

import attrs

from alluse_core.model import SeriesId
from alluse_core.ports import Batch, Frame


class Window:
    """The newest ``seconds`` of samples, one slot every ``step`` seconds, NaN where absent.

    Memory is 8 bytes a slot and series, and at most a quarter more than the window holds.
    """

    def __init__(self, seconds: float, step: float = 1.0) -> None:
        self._capacity = max(2, round(seconds / step))
        self._step = step
        self._columns: dict[SeriesId, array[float]] = {}
        self._first: int | None = None
        self._length = 0

    def extend(self, batches: Iterable[Batch]) -> None:
        """Take batches. Two in one slot: the later wins. Older than the window: left out."""
        for batch in batches:
            self._take(batch)

    def _take(self, batch: Batch) -> None:
        slot = round(batch.time.timestamp() / self._step)
        if self._first is None or slot - self._first > 4 * self._capacity:
            # After a gap of several windows nothing old is left in view; padding it would cost
            # memory in proportion to the gap.
            self._columns.clear()
            self._first, self._length = slot, 0
        index = slot - self._first
        if index < 0:
            return
        self._length = max(self._length, index + 1)
        for series, value in batch.samples.items():
            column = self._columns.setdefault(series, array("d"))
            _pad(column, index + 1)
            column[index] = value
        if self._length > self._capacity + self._capacity // 4:
            self._trim()

    def _trim(self) -> None:
        surplus = self._length - self._capacity
        if surplus <= 0 or self._first is None:
            return
        for series in list(self._columns):
            del self._columns[series][:surplus]
            if not self._columns[series]:
                del self._columns[series]
        self._first += surplus
        self._length -= surplus

    def frame(self) -> Frame:
        """Return a copy of the window; series without a single sample in it are left out."""
        self._trim()
        first = self._first or 0
        times = array("d", ((first + index) * self._step for index in range(self._length)))
        named: list[tuple[SeriesId, array[float]]] = []
        for series in sorted(self._columns, key=str):
            column = self._columns[series]
            if all(map(math.isnan, column)):
                continue
            copied = array("d", column)
            _pad(copied, self._length)
            named.append((series, copied))
        return make_frame(times, named, self._step)


def make_frame(
    times: array[float], columns: Iterable[tuple[SeriesId, array[float]]], step: float
) -> Frame:
    """Return a frame over arrays of float64, all as long as ``times``."""
    named = tuple(columns)
    return Frame(
        times=memoryview(times),
        series=tuple(series for series, _ in named),
        values=tuple(memoryview(column) for _, column in named),
        step=step,
    )


def _pad(column: array[float], length: int) -> None:
    missing = length - len(column)
    if missing > 0:
        column.extend([math.nan] * missing)


@attrs.frozen
class Rollup:
    """What one period of a series comes down to; two of them merge without loss.

    ``start`` is Unix seconds. Percentiles are not in here: they cannot be merged.
    """

    start: float
    count: int
    total: float
    sum_of_squares: float
    minimum: float
    maximum: float

    @property
    def mean(self) -> float:
        """The arithmetic mean."""
        return self.total / self.count

    @property
    def variance(self) -> float:
        """The sample variance; NaN below two samples."""
        if self.count < 2:
            return math.nan
        return max(0.0, (self.sum_of_squares - self.total * self.mean) / (self.count - 1))

    def merge(self, later: Rollup) -> Rollup:
        """Return both periods as one."""
        return Rollup(
            min(self.start, later.start),
            self.count + later.count,
            self.total + later.total,
            self.sum_of_squares + later.sum_of_squares,
            min(self.minimum, later.minimum),
            max(self.maximum, later.maximum),
        )


def rollups(times: Sequence[float], values: Sequence[float], period: float = 60.0) -> list[Rollup]:
    """Return one rollup for each period that has a sample, in rising time.

    Periods start at multiples of ``period`` seconds since 1970. NaN is absence and is not counted.
    """
    grouped: dict[float, list[float]] = {}
    for time, value in zip(times, values, strict=True):
        if not math.isnan(value):
            grouped.setdefault(time // period * period, []).append(value)
    return [
        Rollup(
            start,
            len(group),
            math.fsum(group),
            math.fsum(value * value for value in group),
            min(group),
            max(group),
        )
        for start, group in sorted(grouped.items())
    ]
