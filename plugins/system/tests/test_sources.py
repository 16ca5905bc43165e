from __future__ import annotations

import asyncio
import math
import threading
from collections import namedtuple
from pathlib import Path

import pytest
from alluse_system.cpu import CpuShares
from alluse_system.host import HostSource, HostTrafficSource
from alluse_system.limits import cgroup_memory
from alluse_system.plugin import alluse_metric_sources
from alluse_system.process import ProcessFilesSource, ProcessSource

from alluse_core.model import NodeIdentity, Sample
from alluse_core.monitor.collector import Collector
from alluse_core.monitor.reader import SqliteMetricReader
from alluse_core.monitor.store import SqliteMetricStore
from alluse_core.ports import MetricSource
from alluse_core.telemetry import Registry
from alluse_core.testing import VirtualClock


def sources(tmp_path: Path) -> list[MetricSource]:
    return [ProcessSource(), ProcessFilesSource(), HostSource(tmp_path), HostTrafficSource()]


def collected(source: MetricSource) -> dict[str, float]:
    samples: list[Sample] = []
    source.collect(1.0)
    list(source.collect(1.0))
    burn = sum(math.sqrt(n) for n in range(200_000))
    assert burn > 0
    samples = list(source.collect(2.0))
    found = {str(sample.series): sample.value for sample in samples}
    assert len(found) == len(samples), "a series came twice"
    return found


def test_there_are_at_least_sixty_series_and_all_are_finite(tmp_path: Path) -> None:
    found = [collected(source) for source in sources(tmp_path)]
    merged = {name: value for each in found for name, value in each.items()}
    assert len(merged) == sum(len(each) for each in found), "two sources measure one series"
    assert len(merged) >= 60
    assert all(math.isfinite(value) for value in merged.values())


def test_the_headline_metrics_have_their_names(tmp_path: Path) -> None:
    names = set(collected(ProcessSource())) | set(collected(HostSource(tmp_path)))
    assert {
        "system_resources.memory_usage_mb",
        "system_resources.cpu_percent",
        "system_resources.disk_usage_percent",
        "system_resources.process_cpu_percent",
        "system_resources.memory_used_mb{scope=host}",
        "system_resources.memory_limit_mb{scope=host}",
    } <= names


def test_shares_of_time_are_absent_until_there_are_two_readings(tmp_path: Path) -> None:
    first = {str(s.series) for s in HostSource(tmp_path).collect(1.0)}
    assert not any("cpu" in name for name in first)
    alone = {str(s.series) for s in ProcessSource().collect(1.0)}
    assert "system_resources.process_cpu_percent" not in alone


def test_a_thread_more_is_a_thread_more() -> None:
    source = ProcessSource()
    before = collected(source)["process.threads"]
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert collected(source)["process.threads"] == before + 1
    finally:
        done.set()
        thread.join()


def test_memory_that_is_taken_is_measured() -> None:
    source = ProcessSource()
    before = collected(source)["system_resources.memory_usage_mb"]
    taken = bytearray(b"x" * (64 * 2**20))
    assert collected(source)["system_resources.memory_usage_mb"] - before > 50
    assert len(taken) > 0


def test_shares_follow_the_counts_and_do_not_count_guests_twice() -> None:
    Times = namedtuple("Times", "user idle iowait guest")
    shares = CpuShares()
    assert shares.since_last(Times(10.0, 10.0, 0.0, 5.0)) == {}
    found = shares.since_last(Times(13.0, 16.0, 1.0, 8.0))
    assert found == {"user": 30.0, "idle": 60.0, "iowait": 10.0, "busy": 30.0}
    assert shares.since_last(Times(13.0, 16.0, 1.0, 8.0)) == {}


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/a/b\n", {"a/b": ("memory.", "100", "max"), "a": ("memory.", "300", "1000")}, 0.3),
        ("0::/a\n", {"a": ("memory.", "100", "max")}, None),
        ("0::/\n", {"": ("memory.", "500", "1000")}, 0.5),
        ("4:cpu,memory:/x\n", {"memory/x": ("v1", "10", "40")}, 0.25),
        ("4:memory:/x\n", {"memory/x": ("v1", "10", str(2**63 - 4096))}, None),
        ("3:cpu:/x\n", {}, None),
    ],
)
def test_the_tightest_cgroup_counts(
    tmp_path: Path,
    membership: str,
    files: dict[str, tuple[str, str, str]],
    expected: float | None,
) -> None:
    for folder, (version, used, limit) in files.items():
        place = tmp_path / folder
        place.mkdir(parents=True, exist_ok=True)
        first = version == "v1"
        (place / ("memory.usage_in_bytes" if first else "memory.current")).write_text(used)
        (place / ("memory.limit_in_bytes" if first else "memory.max")).write_text(limit)
    (tmp_path / "self").write_text(membership)
    found = cgroup_memory(tmp_path, tmp_path / "self")
    assert (found[0] / found[1] if found else None) == expected


def test_no_cgroup_file_is_no_limit(tmp_path: Path) -> None:
    assert cgroup_memory(tmp_path, tmp_path / "none") is None


def test_sources_are_offered_under_the_names_they_have(tmp_path: Path) -> None:
    offered = [provider.name for provider in alluse_metric_sources()]
    assert offered == [source.name for source in sources(tmp_path)]


def test_a_bare_collector_with_these_sources_passes_a_hundred_series_each_second(
    tmp_path: Path,
) -> None:
    clock = VirtualClock()
    store = SqliteMetricStore(tmp_path / "metrics.db")
    collector = Collector(
        registry=Registry(),
        sources=sources(tmp_path),
        store=store,
        clock=clock,
        node=NodeIdentity("t", "n", "a", "1"),
    )

    async def run() -> None:
        for _ in range(8):
            collector.tick()
            await clock.advance(1.0)

    asyncio.run(run())
    store.close()
    with SqliteMetricReader(tmp_path / "metrics.db") as reader:
        counts = [len(batch.samples) for batch in reader.batches()]
    assert all(count >= 100 for count in counts[2:]), counts
