from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from alluse_core.model import Sample, SeriesId
from alluse_core.monitor.headlines import Headlines
from alluse_core.monitor.history import History
from alluse_core.telemetry import Registry

START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
SENT = SeriesId("trading_system", "orders_submitted")


class Ticks:
    """Ticks of one second over a registry."""

    def __init__(self, seconds: float = 60.0, max_series: int = 5_000) -> None:
        self.registry = Registry()
        self.history = History(self.registry, seconds=seconds, max_series=max_series)
        self.at = 99.0

    def tick(self, *samples: Sample, seconds: float = 1.0) -> None:
        self.at += seconds
        self.history.begin(self.at, START + timedelta(seconds=self.at - 100))
        self.history.add(self.registry.collect(self.at))
        self.history.add(samples)

    def headline(self, metric: str) -> float | None:
        found = Headlines(self.history).collect(self.at)
        return {f"{s.series.component}.{s.series.metric}": s.value for s in found}.get(metric)


def test_latest_holds_this_tick_only() -> None:
    ticks = Ticks()
    ticks.tick(Sample(SENT, 1.0))
    assert ticks.history.latest("trading_system", "orders_submitted") == {SENT: 1.0}
    ticks.tick()
    assert ticks.history.latest("trading_system", "orders_submitted") == {}


def test_a_window_is_in_rising_time_without_what_was_absent() -> None:
    ticks = Ticks()
    for value in (1.0, None, 3.0, 4.0):
        ticks.tick(*([] if value is None else [Sample(SENT, value)]))
    assert ticks.history.window(SENT, 2.0) == [(102.0, 3.0), (103.0, 4.0)]
    assert ticks.history.window(SENT, 99.0) == [(100.0, 1.0), (102.0, 3.0), (103.0, 4.0)]
    assert ticks.history.window(SeriesId("no", "such"), 9.0) == []


def test_the_ring_forgets_what_is_older_than_it_is_long() -> None:
    ticks = Ticks(seconds=5)
    for value in range(20):
        ticks.tick(Sample(SENT, float(value)))
    assert ticks.history.window(SENT, 999.0) == [(114.0 + i, 14.0 + i) for i in range(6)]


def test_a_series_absent_for_the_whole_ring_is_forgotten() -> None:
    ticks = Ticks(seconds=5)
    ticks.tick(Sample(SENT, 1.0))
    for _ in range(20):
        ticks.tick()
    assert len(ticks.history) == 0
    assert ticks.history.increase("trading_system", "orders_submitted", 5.0) is None


def test_more_series_than_allowed_are_refused_and_counted() -> None:
    ticks = Ticks(max_series=3)
    ticks.tick(*(Sample(SeriesId("c", str(i)), 1.0) for i in range(5)))
    assert (len(ticks.history), ticks.history.refused) == (3, 2)


def test_an_increase_sums_labels_and_counts_from_before_the_window() -> None:
    ticks = Ticks()
    one = ticks.registry.counter("c", "n", broker="one")
    two = ticks.registry.counter("c", "n", broker="two")
    for _ in range(10):
        one.value += 1
        two.value += 10
        ticks.tick()
    assert ticks.history.increase("c", "n", 3.0) == 33
    assert ticks.history.increase("c", "n", 99.0) == 99
    assert ticks.history.rate("c", "n", 3.0) == 11.0
    assert ticks.history.rate("c", "n", 99.0) == 11.0


def test_a_counter_that_appears_later_began_at_zero() -> None:
    ticks = Ticks()
    ticks.tick()
    ticks.registry.counter("c", "n").value += 4
    ticks.tick()
    assert ticks.history.increase("c", "n", 10.0) == 4


def test_what_was_counted_before_the_first_tick_is_told_where_it_is_asked_for() -> None:
    ticks = Ticks()
    counter = ticks.registry.counter("c", "n")
    counter.value = 76
    ticks.tick()
    assert ticks.history.increase("c", "n", 60.0) == 0
    assert ticks.history.increase("c", "n", 60.0, from_start=True) == 76
    for _ in range(9):
        counter.value += 1
        ticks.tick()
    assert ticks.history.increase("c", "n", 60.0) == 9
    assert ticks.history.increase("c", "n", 60.0, from_start=True) == 85
    # The span begins after the first tick: what came before it is not in it.
    assert ticks.history.increase("c", "n", 3.0, from_start=True) == 3
    assert ticks.history.rate("c", "n", 60.0) == 1.0


def test_what_came_before_the_first_tick_leaves_the_window_and_the_ring() -> None:
    ticks = Ticks(seconds=20)
    counter = ticks.registry.counter("c", "n")
    counter.value = 76
    for second in range(60):
        ticks.tick()
        expected = 76 if second < 10 else 0
        assert ticks.history.increase("c", "n", 10.0, from_start=True) == expected, second


def test_a_counter_that_fell_was_reset() -> None:
    ticks = Ticks()
    for value in (100.0, 5.0):
        ticks.tick(Sample(SENT, value))
    assert ticks.history.increase("trading_system", "orders_submitted", 10.0) == 5.0


def test_nothing_measured_is_none_and_not_zero() -> None:
    ticks = Ticks()
    ticks.tick()
    assert ticks.history.increase("c", "n", 10.0) is None
    assert ticks.history.rate("c", "n", 10.0) is None
    assert ticks.history.quantile("c", "n", 0.5, 10.0) is None
    ticks.registry.timer("c", "n")
    assert ticks.history.quantile("c", "n", 0.5, 10.0) is None


def test_a_quantile_merges_labels_over_the_window() -> None:
    ticks = Ticks()
    for second in range(20):
        ticks.registry.timer("c", "ms", broker="one").record(float(second))
        ticks.registry.timer("c", "ms", broker="two").record(1000.0)
        ticks.tick()
    found = ticks.history.quantile("c", "ms", 0.25, 10.0)
    assert found is not None
    assert found[0] == pytest.approx(14.0, rel=0.01)
    assert found[1] == 20


def test_a_frame_holds_aligned_buffers_with_nan_for_absent() -> None:
    ticks = Ticks()
    ticks.tick(Sample(SENT, 1.0))
    ticks.tick()
    ticks.tick(Sample(SENT, 3.0))
    frame = ticks.history.frame(100.0)
    assert frame.series == (SENT,)
    assert list(frame.times) == [START.timestamp() + i for i in range(3)]
    assert frame.values[0][0] == 1.0
    assert math.isnan(frame.values[0][1])
    assert frame.step == 1.0


def test_headlines_are_absent_while_nothing_was_measured() -> None:
    ticks = Ticks()
    for _ in range(3):
        ticks.tick()
    assert list(Headlines(ticks.history).collect(ticks.at)) == []
    ticks.registry.counter("trading_system", "orders_submitted")
    ticks.registry.counter("trading_system", "orders_rejected")
    ticks.registry.counter("trading_system", "orders_unknown")
    ticks.registry.counter("market_data_system", "cache_hits")
    ticks.registry.counter("market_data_system", "cache_misses")
    ticks.tick()
    ticks.tick()
    assert ticks.headline("trading_system.error_rate") is None
    assert ticks.headline("market_data_system.cache_hit_rate") is None
    assert ticks.headline("trading_system.throughput_ops_sec") == 0.0


def test_headlines_are_what_their_definitions_say() -> None:
    ticks = Ticks()
    ticks.tick()
    counter = ticks.registry.counter
    for _ in range(10):
        counter("trading_system", "orders_submitted").value += 8
        counter("trading_system", "orders_rejected").value += 1
        counter("trading_system", "orders_unknown").value += 1
        counter("market_data_system", "reads_served").value += 500
        counter("market_data_system", "cache_hits").value += 9
        counter("market_data_system", "cache_misses").value += 1
        ticks.registry.timer("trading_system", "latency_ms").record(2.0)
        ticks.registry.timer("market_data_system", "latency_ms").record(0.5)
        ticks.registry.timer("ibkr_integration", "operation_latency_ms", operation="x").record(9.0)
        ticks.tick()
    counter("ibkr_integration", "connection_attempts").value += 4
    counter("ibkr_integration", "connection_leases").value += 300
    counter("ibkr_integration", "connects", role="orders").value += 2
    counter("ibkr_integration", "connects", role="data").value += 1
    ticks.tick()
    assert ticks.headline("trading_system.error_rate") == 25.0
    assert ticks.headline("trading_system.latency_ms") == pytest.approx(2.0, rel=0.01)
    assert ticks.headline("trading_system.throughput_ops_sec") == pytest.approx(7.2)
    assert ticks.headline("market_data_system.throughput_ops_sec") == pytest.approx(450.0)
    assert ticks.headline("market_data_system.latency_ms") == pytest.approx(0.5, rel=0.01)
    assert ticks.headline("market_data_system.cache_hit_rate") == 90.0
    assert ticks.headline("ibkr_integration.connection_success_rate") == 75.0
    assert ticks.headline("ibkr_integration.operation_latency_ms") == pytest.approx(9.0, rel=0.01)
    assert ticks.headline("ibkr_integration.reuse_ratio") == 99.0
