"""The registry: the same series, the same instrument; and nothing that nobody measured."""

from __future__ import annotations

import math
from typing import Any

import pytest

from alluse_core.model import SeriesId, labels
from alluse_core.telemetry import Registry, Timer


def samples(registry: Registry, now: float = 0.0) -> dict[str, float]:
    return {str(sample.series): sample.value for sample in registry.collect(now)}


def test_asking_twice_gives_the_same_instrument_whatever_the_order_of_labels() -> None:
    registry = Registry()
    assert registry.counter("a", "b", x=1, y=2) is registry.counter("a", "b", y="2", x="1")
    assert registry.counter("a", "b", x=1) is not registry.counter("a", "b", x=2)
    assert registry.gauge("a", "g") is registry.gauge("a", "g")
    assert registry.timer("a", "t") is registry.timer("a", "t")


def test_two_registries_share_nothing() -> None:
    Registry().counter("a", "b").value += 1
    assert samples(Registry()) == {}


def test_a_counter_is_there_from_the_start_and_a_gauge_once_it_is_set() -> None:
    registry = Registry()
    counter, gauge = registry.counter("a", "sent"), registry.gauge("a", "depth")
    assert samples(registry) == {"a.sent": 0.0}
    counter.value += 3
    gauge.value = 7.5
    assert samples(registry) == {"a.sent": 3.0, "a.depth": 7.5}
    gauge.value = math.nan
    assert "a.depth" not in samples(registry)


def test_a_timer_that_recorded_nothing_yields_nothing() -> None:
    registry = Registry()
    registry.timer("a", "latency")
    assert samples(registry) == {}


def test_a_timer_yields_its_slice_and_then_only_its_count() -> None:
    registry = Registry()
    timer = registry.timer("a", "latency", "ms", verb="place")
    for value in (1.0, 2.0, 3.0, 4.0):
        timer.record(value)
    first = samples(registry, 1.0)
    assert first["a.latency.count{verb=place}"] == 4
    assert first["a.latency.max{verb=place}"] == 4.0
    assert first["a.latency.mean{verb=place}"] == 2.5
    assert first["a.latency.p50{verb=place}"] == pytest.approx(2.0, rel=0.004)
    assert set(samples(registry, 2.0)) == {"a.latency.count{verb=place}"}


def test_a_window_holds_the_slices_closed_since_and_the_open_one() -> None:
    timer = Timer()
    for second in range(5):
        timer.record(float(second + 1))
        timer.rotate(float(second))
    timer.record(100.0)
    assert timer.window(2.0, 4.0).count == 3  # the slices closed at 3 and 4, and the open one
    assert timer.window(2.0, 4.0).maximum == 100.0
    assert timer.window(1000.0, 4.0).count == 6
    assert timer.total_count == 5


def test_a_timer_keeps_a_bounded_number_of_slices() -> None:
    timer = Timer(slices=3)
    for second in range(10):
        timer.record(1.0)
        timer.rotate(float(second))
    assert timer.window(1e9, 10.0).count == 3
    assert timer.total_count == 10


@pytest.mark.parametrize("absent", [None, math.nan])
def test_a_reader_that_has_nothing_to_say_is_absent(absent: float | None) -> None:
    registry = Registry()
    registry.observe("a", "size", lambda: absent)
    assert samples(registry) == {}


@pytest.mark.parametrize("answer", ["many", [], object()])
def test_a_reader_that_answers_nonsense_costs_its_own_sample_only(answer: Any) -> None:
    registry = Registry()
    registry.observe("a", "bad", lambda: answer)
    registry.observe("a", "good", lambda: 1)
    assert samples(registry) == {"a.good": 1.0}
    assert samples(registry)["monitor.reader_errors{series=a.bad}"] >= 1


def test_a_reader_that_raises_costs_its_own_sample_only_and_is_counted() -> None:
    registry = Registry()

    def fail() -> float:
        raise RuntimeError("away")

    registry.observe("a", "bad", fail)
    registry.counter("a", "good").value += 1
    assert samples(registry) == {"a.good": 1.0}
    assert samples(registry)["monitor.reader_errors{series=a.bad}"] >= 1


def test_timers_are_found_over_all_labels() -> None:
    registry = Registry()
    made = [registry.timer("a", "t", verb=verb) for verb in ("place", "cancel")]
    registry.timer("b", "t")
    assert registry.timers("a", "t") == made
    assert registry.timers("a", "nothing") == []


def test_series_are_told_apart_by_unit_and_labels_are_sorted_text() -> None:
    assert SeriesId("a", "m", unit="ms") != SeriesId("a", "m", unit="s")
    assert labels(b=2, a=1) == (("a", "1"), ("b", "2"))
    assert str(SeriesId("a", "m", labels(b=2, a=1))) == "a.m{a=1,b=2}"
