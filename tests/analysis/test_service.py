"""The cycle names what is broken, survives its worker, and never makes anybody wait."""

from __future__ import annotations

import asyncio
import importlib.util
import math
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from alluse_core.analysis.executors import AnalysisExecutor, InlineExecutor, WorkerProcess
from alluse_core.analysis.job import AnalyzerSpec, Job, Outcome
from alluse_core.analysis.loader import specify
from alluse_core.analysis.service import Analysis
from alluse_core.analysis.windows import Window
from alluse_core.errors import PluginError
from alluse_core.model import Finding, SeriesId
from alluse_core.ports import Batch
from alluse_core.providers import Provider
from alluse_core.settings import AnalysisSettings
from alluse_core.telemetry import Registry
from alluse_core.testing import VirtualClock

MODULE = "analyzers_for_tests"
A = SeriesId("x", "a", (("symbol", "IBM"),), "ms")


@pytest.fixture
def offers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    folder = Path(__file__).parent
    monkeypatch.syspath_prepend(str(folder))
    spec = importlib.util.spec_from_file_location(MODULE, folder / f"{MODULE}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, MODULE, module)
    spec.loader.exec_module(module)
    return module


def spec_of(name: str, **settings: Any) -> AnalyzerSpec:
    return AnalyzerSpec(name, f"{MODULE}:alluse_analyzers", settings)


class FakeStore:
    """Only what the cycle uses of a MetricStore."""

    def __init__(self, clock: VirtualClock, ticks: int) -> None:
        start = clock.now() - timedelta(seconds=ticks)
        self.kept = [
            Batch("t", "n", "g", "i", start + timedelta(seconds=i), {A: float(i)})
            for i in range(ticks)
        ]
        self.saved: list[tuple[datetime, Sequence[Finding]]] = []
        self.reads: list[datetime | None] = []

    def batches(
        self, start: datetime | None = None, end: datetime | None = None
    ) -> Iterator[Batch]:
        self.reads.append(start)
        return (item for item in self.kept if start is None or item.time >= start)

    def save_findings(self, time: datetime, findings: Sequence[Finding]) -> None:
        self.saved.append((time, findings))


class Bench:
    def __init__(self, *specs: AnalyzerSpec, executor: AnalysisExecutor, ticks: int = 5) -> None:
        self.clock = VirtualClock()
        self.store = FakeStore(self.clock, ticks)
        self.registry = Registry()
        self.analysis = Analysis(
            specs=specs,
            store=self.store,  # type: ignore[arg-type]
            clock=self.clock,
            telemetry=self.registry,
            settings=AnalysisSettings(),
            executor=executor,
        )

    def metric(self, name: str) -> float:
        return sum(s.value for s in self.registry.collect(0.0) if s.series.metric == name)


def test_findings_are_kept_with_the_time_of_the_cycle(offers: ModuleType) -> None:
    bench = Bench(spec_of("mean", scale=2.0), executor=InlineExecutor())
    asyncio.run(bench.analysis.tick())
    ((time, findings),) = bench.store.saved
    assert time == bench.clock.now()
    assert findings[0].facts["mean"] == 4.0


def test_a_broken_analyzer_is_named_and_the_others_run(offers: ModuleType) -> None:
    bench = Bench(spec_of("broken"), spec_of("mean"), executor=InlineExecutor())
    asyncio.run(bench.analysis.tick())
    assert bench.analysis.last is not None
    assert [f.analyzer for f in bench.analysis.last.failures] == ["broken"]
    assert "a bug of a plugin" in bench.analysis.last.failures[0].error
    assert [finding.analyzer for _, found in bench.store.saved for finding in found] == ["mean"]
    assert bench.metric("failures") == 1


def test_a_setting_of_the_wrong_type_fails_that_analyzer_alone(offers: ModuleType) -> None:
    bench = Bench(spec_of("mean", scale="2"), spec_of("mean"), executor=InlineExecutor())
    asyncio.run(bench.analysis.tick())
    assert bench.analysis.last is not None
    assert "analyzers.mean.scale" in bench.analysis.last.failures[0].error
    assert len(bench.analysis.last.findings) == 1


def test_a_second_cycle_reads_only_what_is_new(offers: ModuleType) -> None:
    bench = Bench(spec_of("mean"), executor=InlineExecutor())
    asyncio.run(bench.analysis.tick())
    newest = bench.store.kept[-1]
    bench.store.kept.append(
        Batch("t", "n", "g", "i", newest.time + timedelta(seconds=1), {A: 11.0})
    )
    asyncio.run(bench.analysis.tick())
    assert bench.store.reads[1] == newest.time
    assert bench.store.saved[1][1][0].facts["mean"] == pytest.approx((0 + 1 + 2 + 3 + 4 + 11) / 6)


def test_too_few_ticks_start_no_work(offers: ModuleType) -> None:
    bench = Bench(spec_of("mean"), executor=InlineExecutor(), ticks=1)
    asyncio.run(bench.analysis.tick())
    assert bench.analysis.last is None


def test_a_tick_while_one_is_running_is_skipped_and_counted() -> None:
    class Slow(InlineExecutor):
        def __init__(self) -> None:
            self.release = asyncio.Event()

        async def run(self, job: Job) -> Outcome:
            await self.release.wait()
            return Outcome()

    async def story() -> None:
        slow = Slow()
        bench = Bench(executor=slow)
        first = asyncio.create_task(bench.analysis.tick())
        await asyncio.sleep(0)
        await bench.analysis.tick()
        assert bench.metric("skipped") == 1
        slow.release.set()
        await first
        await bench.analysis.tick()
        assert bench.metric("cycles") == 2

    asyncio.run(story())


def job(*specs: AnalyzerSpec) -> Job:
    clock = VirtualClock()
    window = Window(60)
    window.extend(FakeStore(clock, 5).batches())
    return Job(specs, window.frame())


def test_catching_up_waits_for_a_running_cycle_and_then_analyses_what_came_since() -> None:
    class Slow(InlineExecutor):
        def __init__(self) -> None:
            self.go = asyncio.Event()
            self.lengths: list[int] = []

        async def run(self, job: Job) -> Outcome:
            await self.go.wait()
            self.lengths.append(len(job.frame.times))
            return Outcome()

    async def story() -> None:
        executor = Slow()
        bench = Bench(executor=executor)
        running = asyncio.create_task(bench.analysis.tick())
        await asyncio.sleep(0)
        catching = asyncio.create_task(bench.analysis.catch_up())
        await asyncio.sleep(0)
        newest = bench.store.kept[-1]
        later = newest.time + timedelta(seconds=1)
        bench.store.kept.append(Batch("t", "n", "g", "i", later, newest.samples))
        executor.go.set()
        await asyncio.gather(running, catching)
        assert executor.lengths == [5, 6]

    asyncio.run(story())


def test_a_worker_process_finds_the_same_as_inline_and_survives_prints(offers: ModuleType) -> None:
    work = job(spec_of("mean", scale=3.0), spec_of("broken"))

    async def story() -> tuple[Outcome, Outcome]:
        worker = WorkerProcess(timeout=60)
        try:
            return await worker.run(work), await InlineExecutor().run(work)
        finally:
            await worker.close()

    there, here = asyncio.run(story())
    assert there.failures == here.failures
    assert [f.series for f in there.findings] == [A]
    assert there.findings[0].facts == {"mean": 6.0, "nothing": None}
    assert math.isnan(there.findings[0].points["values"][1])


def test_a_worker_that_dies_is_counted_and_started_again(offers: ModuleType) -> None:
    async def story() -> None:
        worker = WorkerProcess(timeout=60)
        try:
            lost = await worker.run(job(spec_of("deadly"), spec_of("mean")))
            assert lost.findings == ()
            assert "worker process ended" in lost.failures[0].error
            assert worker.restarts == 1
            assert len((await worker.run(job(spec_of("mean")))).findings) == 1
        finally:
            await worker.close()

    asyncio.run(story())


def test_specify_leads_back_to_the_provider(offers: ModuleType) -> None:
    provider = next(iter(offers.alluse_analyzers()))
    spec = specify(provider, offers.MeanSettings(scale=4.0))
    assert spec == spec_of("mean", scale=4.0)


def test_an_analyzer_that_lives_in_this_process_alone_is_refused() -> None:
    with pytest.raises(PluginError, match="cannot be found by a worker"):
        specify(Provider("here", lambda context: None))
