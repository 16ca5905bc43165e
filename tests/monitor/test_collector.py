from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from alluse_core.model import LinkState, NodeIdentity, Sample, SeriesId
from alluse_core.monitor.collector import Collector
from alluse_core.monitor.sources import BrokersSource
from alluse_core.monitor.store import SqliteMetricStore
from alluse_core.telemetry import Registry
from alluse_core.testing import VirtualClock


class Source:
    def __init__(self, name: str, period: float = 1.0, value: float = 1.0) -> None:
        self.name = name
        self.period = period
        self.value = value
        self.asked: list[float] = []

    def collect(self, now: float) -> Iterator[Sample]:
        self.asked.append(now)
        yield Sample(SeriesId(self.name, "value"), self.value)


class Broken(Source):
    def collect(self, now: float) -> Iterator[Sample]:
        yield from super().collect(now)
        raise OSError("no such sensor")


def run(
    node: NodeIdentity, store: SqliteMetricStore, *sources: Source, ticks: int = 3
) -> Collector:
    clock = VirtualClock()
    collector = Collector(registry=Registry(), sources=sources, store=store, clock=clock, node=node)

    async def play() -> None:
        for _ in range(ticks):
            collector.tick()
            await clock.advance(1.0)

    asyncio.run(play())
    store.flush()
    return collector


def test_each_tick_is_one_batch_under_the_node_identity(
    node: NodeIdentity, store: SqliteMetricStore
) -> None:
    collector = run(node, store, Source("one"))
    found = list(store.batches())
    assert [(b.tenant, b.node, b.agent, b.incarnation) for b in found] == [("t", "n", "a", "1")] * 3
    assert found[-1].samples == collector.latest_samples()
    assert found[-1].samples[SeriesId("one", "value")] == 1.0
    assert isinstance(collector.time, datetime)


def test_a_source_is_asked_by_its_own_period(node: NodeIdentity, store: SqliteMetricStore) -> None:
    quick, slow = Source("quick"), Source("slow", period=5.0)
    run(node, store, quick, slow, ticks=11)
    assert len(quick.asked) == 11
    assert [at - slow.asked[0] for at in slow.asked] == [0.0, 5.0, 10.0]


def test_a_source_that_raises_is_named_and_counted_and_the_others_go_on(
    node: NodeIdentity, store: SqliteMetricStore, caplog: pytest.LogCaptureFixture
) -> None:
    collector = run(node, store, Broken("bad"), Source("good"))
    samples = {str(series): value for series, value in collector.latest_samples().items()}
    assert samples["good.value"] == 1.0
    assert "bad.value" not in samples
    assert samples["monitor.source_errors{source=bad}"] == 2.0
    assert len([r for r in caplog.records if "'bad'" in r.getMessage()]) == 1


def test_what_is_no_number_is_left_out_and_counted(
    node: NodeIdentity, store: SqliteMetricStore
) -> None:
    collector = run(node, store, Source("odd", value=math.nan), Source("far", value=math.inf))
    samples = {str(series): value for series, value in collector.latest_samples().items()}
    assert "odd.value" not in samples
    assert samples["monitor.samples_refused{source=far}"] == 2.0
    assert all(math.isfinite(value) for value in samples.values())


def test_a_reader_that_raises_costs_its_own_sample_only(
    node: NodeIdentity, store: SqliteMetricStore
) -> None:
    registry = Registry()
    registry.observe("a", "bad", lambda: 1 / 0)
    registry.observe("b", "good", lambda: 2.0)
    names = [str(sample.series) for sample in registry.collect(0.0)]
    assert names == ["b.good"]
    counted = {str(s.series): s.value for s in registry.collect(1.0)}
    assert counted["monitor.reader_errors{series=a.bad}"] >= 1.0


def test_time_spent_is_measured_for_each_source(
    node: NodeIdentity, store: SqliteMetricStore
) -> None:
    collector = run(node, store, Source("one"))
    names = {str(series) for series in collector.latest_samples()}
    assert "monitor.source_ms.max{source=one}" in names
    assert "monitor.tick_ms.p99" in names


def test_a_store_that_fails_does_not_end_collection(
    node: NodeIdentity, store: SqliteMetricStore
) -> None:
    collector = run(node, store)
    store.close()
    collector.tick()
    collector.tick()
    samples = {str(series): value for series, value in collector.latest_samples().items()}
    assert samples["monitor.source_errors{source=store}"] >= 1.0


def test_the_event_loop_and_the_collector_of_garbage_are_measured_and_left_alone_again(
    node: NodeIdentity, store: SqliteMetricStore
) -> None:
    import gc

    before = list(gc.callbacks)
    registry = Registry()
    collector = Collector(
        registry=registry, sources=(), store=store, clock=VirtualClock(), node=node
    )

    async def measure() -> None:
        await collector.start()
        gc.collect()
        while not registry.timer("event_loop", "lag_ms").current.count:
            await asyncio.sleep(0.01)
        await collector.stop()
        await collector.stop()

    asyncio.run(measure())
    assert registry.timer("python", "gc_pause_ms", generation=2).current.count >= 1
    assert gc.callbacks == before


def test_a_link_counts_as_up_only_while_orders_can_go(
    node: NodeIdentity, store: SqliteMetricStore
) -> None:
    class Linked:
        def __init__(self, link: LinkState) -> None:
            self.link = link

    brokers: Any = {state.value: Linked(state) for state in LinkState}
    found = {str(s.series): s.value for s in BrokersSource(brokers).collect(0.0)}
    assert found == {
        "broker.link_up{broker=down}": 0.0,
        "broker.link_up{broker=connecting}": 0.0,
        "broker.link_up{broker=degraded}": 0.0,
        "broker.link_up{broker=gated}": 1.0,
        "broker.link_up{broker=up}": 1.0,
    }
