"""Windows put samples on an even grid and roll them up."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from alluse_core.analysis.windows import Window, rollups
from alluse_core.model import SeriesId
from alluse_core.ports import Batch

START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
A, B = SeriesId("x", "a"), SeriesId("x", "b")


def batch(second: float, **values: float) -> Batch:
    samples = {SeriesId("x", name): value for name, value in values.items()}
    return Batch("t", "n", "g", "i", START + timedelta(seconds=second), samples)


def columns(window: Window) -> dict[str, list[float]]:
    frame = window.frame()
    return {
        series.metric: list(values)
        for series, values in zip(frame.series, frame.values, strict=True)
    }


def test_a_missing_tick_is_nan_and_nothing_is_interpolated() -> None:
    window = Window(60)
    window.extend([batch(0, a=1.0, b=5.0), batch(3, a=4.0)])
    frame = window.frame()
    assert [time - START.timestamp() for time in frame.times] == [0, 1, 2, 3]
    assert columns(window)["a"] == pytest.approx([1, math.nan, math.nan, 4], nan_ok=True)
    assert columns(window)["b"] == pytest.approx([5, math.nan, math.nan, math.nan], nan_ok=True)


def test_ticks_that_come_a_little_late_keep_one_slot_each() -> None:
    window = Window(60)
    window.extend(batch(second + 0.3 * (second % 2), a=float(second)) for second in range(10))
    assert columns(window)["a"] == list(range(10))


def test_the_window_forgets_what_is_older_than_it_and_series_that_are_gone() -> None:
    window = Window(10)
    window.extend([batch(0, b=1.0)])
    window.extend(batch(second, a=float(second)) for second in range(1, 40))
    frame = window.frame()
    assert [series.metric for series in frame.series] == ["a"]
    assert list(frame.values[0]) == list(range(30, 40))
    assert frame.times[0] == START.timestamp() + 30


def test_a_clock_that_jumps_a_day_does_not_cost_a_day_of_memory() -> None:
    window = Window(10)
    window.extend([batch(0, a=1.0), batch(86_400, a=2.0)])
    assert columns(window) == {"a": [2.0]}


def test_a_sample_from_before_the_window_is_left_out() -> None:
    window = Window(10)
    window.extend([batch(5, a=5.0), batch(2, a=2.0), batch(6, a=6.0)])
    assert columns(window)["a"] == [5.0, 6.0]


def test_a_frame_is_a_copy_that_later_ticks_do_not_change() -> None:
    window = Window(10)
    window.extend([batch(0, a=1.0)])
    frame = window.frame()
    window.extend([batch(0, a=9.0)])
    assert list(frame.values[0]) == [1.0]


def test_rollups_count_only_what_is_there_and_merge_without_loss() -> None:
    times = [float(second) for second in range(180)]
    values = [math.nan if second == 70 else float(second % 7) for second in range(180)]
    rolled = rollups(times, values)
    assert [item.count for item in rolled] == [60, 59, 60]
    merged = rolled[0].merge(rolled[1]).merge(rolled[2])
    held = [value for value in values if not math.isnan(value)]
    mean = sum(held) / len(held)
    assert merged.count == 179
    assert merged.mean == pytest.approx(mean)
    expected = sum((value - mean) ** 2 for value in held) / (len(held) - 1)
    assert merged.variance == pytest.approx(expected)
    assert (merged.minimum, merged.maximum) == (0.0, 6.0)


def test_a_period_without_a_sample_has_no_rollup() -> None:
    assert rollups([0.0, 130.0], [1.0, 2.0])[1].start == 120.0
    assert rollups([0.0], [math.nan]) == []
    assert math.isnan(rollups([0.0], [1.0])[0].variance)
