from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alluse_core.clock import SystemClock
from alluse_core.cycles import Cycle, SchedulerDriver, VirtualDriver
from alluse_core.telemetry import Registry
from alluse_core.testing import VirtualClock


def sampled(registry: Registry) -> dict[str, float]:
    return {str(sample.series): sample.value for sample in registry.collect(0.0)}


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20.0):
        while not true():
            await asyncio.sleep(0.005)


def test_virtual_cycles_run_at_their_moments_sync_and_async() -> None:
    clock = VirtualClock()
    runs: list[tuple[str, float]] = []
    begun = clock.monotonic()

    def plain() -> None:
        runs.append(("plain", clock.monotonic() - begun))

    async def waiting() -> None:
        runs.append(("waiting", clock.monotonic() - begun))

    async def play() -> None:
        registry = Registry()
        driver = VirtualDriver(
            [Cycle("plain", 1.0, plain), Cycle("waiting", 2.0, waiting)], clock, registry
        )
        await driver.start()
        await clock.advance(4.0)
        await driver.stop()
        assert clock.sleepers == 0
        assert sampled(registry)["cycles.runs{cycle=plain}"] == 4.0

    asyncio.run(play())
    assert [at for name, at in runs if name == "plain"] == [1.0, 2.0, 3.0, 4.0]
    assert [at for name, at in runs if name == "waiting"] == [2.0, 4.0]


def test_a_week_of_seconds_is_kept_without_drift() -> None:
    clock = VirtualClock()
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1

    async def play() -> float:
        driver = VirtualDriver([Cycle("tick", 60.0, tick)], clock, Registry())
        await driver.start()
        begun = clock.monotonic()
        await clock.advance(86_400.0)
        await driver.stop()
        return begun

    asyncio.run(play())
    assert count == 1_440


def test_ticks_that_pass_during_a_run_are_merged_and_counted() -> None:
    clock = VirtualClock()
    begun = clock.monotonic()
    runs = []

    async def slow() -> None:
        runs.append(clock.monotonic() - begun)
        if len(runs) == 1:
            await clock.sleep(3.5)

    async def play() -> dict[str, float]:
        registry = Registry()
        driver = VirtualDriver([Cycle("slow", 1.0, slow)], clock, registry)
        await driver.start()
        await clock.advance(7.0)
        await driver.stop()
        return sampled(registry)

    found = asyncio.run(play())
    assert runs == [1.0, 4.5, 5.0, 6.0, 7.0]
    assert found["cycles.missed{cycle=slow}"] == 2.0
    assert found["cycles.overruns{cycle=slow}"] == 1.0
    assert found["cycles.lateness_ms.max{cycle=slow}"] == 2_500.0
    assert found["cycles.duration_ms.max{cycle=slow}"] == 3_500.0


def test_an_exception_is_counted_logged_once_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = VirtualClock()
    errors: list[Exception] = [ValueError("a"), ValueError("b"), KeyError("c")]

    def fail() -> None:
        if errors:
            raise errors.pop(0)

    async def play() -> dict[str, float]:
        registry = Registry()
        driver = VirtualDriver([Cycle("fail", 1.0, fail)], clock, registry)
        await driver.start()
        await clock.advance(5.0)
        await driver.stop()
        return sampled(registry)

    found = asyncio.run(play())
    assert found["cycles.errors{cycle=fail,error=ValueError}"] == 2.0
    assert found["cycles.errors{cycle=fail,error=KeyError}"] == 1.0
    assert found["cycles.runs{cycle=fail}"] == 5.0
    assert len(caplog.records) == 2


def test_a_leased_cycle_runs_only_where_the_lease_is() -> None:
    clock = VirtualClock()
    ran: list[str] = []

    class Elsewhere:
        async def lease(self, name: str) -> bool:
            return name == "mine"

    async def play() -> None:
        cycles = [
            Cycle("mine", 1.0, lambda: ran.append("mine"), leased=True),
            Cycle("theirs", 1.0, lambda: ran.append("theirs"), leased=True),
            Cycle("everywhere", 1.0, lambda: ran.append("everywhere")),
        ]
        driver = VirtualDriver(cycles, clock, Registry(), leadership=Elsewhere())
        await driver.start()
        await clock.advance(1.0)
        await driver.stop()

    asyncio.run(play())
    assert ran == ["mine", "everywhere"]


def test_stopping_cancels_a_run_and_leaves_no_task() -> None:
    clock = VirtualClock()
    ended = []

    async def long() -> None:
        try:
            await clock.sleep(1_000.0)
        finally:
            ended.append(True)

    async def play() -> None:
        driver = VirtualDriver([Cycle("long", 1.0, long)], clock, Registry())
        await driver.start()
        await clock.advance(2.0)
        await driver.stop()
        await driver.stop()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(play())
    assert ended == [True]


def test_a_period_must_be_positive() -> None:
    with pytest.raises(ValueError, match="period"):
        Cycle("never", 0.0, lambda: None)


def test_apscheduler_drives_cycles_and_leaves_nothing_behind() -> None:
    quick: list[float] = []
    stopped = []

    async def waiting() -> None:
        try:
            await asyncio.sleep(60.0)
        finally:
            stopped.append(True)

    def fail() -> None:
        raise ValueError("always")

    async def play() -> dict[str, float]:
        registry = Registry()
        cycles = [
            Cycle("quick", 0.02, lambda: quick.append(time.monotonic())),
            Cycle("waiting", 0.02, waiting),
            Cycle("fail", 0.02, fail),
        ]
        driver = SchedulerDriver(cycles, SystemClock(), registry)
        await driver.start()
        await until(lambda: len(quick) >= 5)
        await driver.stop()
        await driver.stop()
        count = len(quick)
        assert len(asyncio.all_tasks()) == 1
        await asyncio.sleep(0.06)
        assert len(quick) == count
        return sampled(registry)

    found = asyncio.run(play())
    assert stopped == [True]
    assert found["cycles.runs{cycle=quick}"] == len(quick)
    assert found["cycles.errors{cycle=fail,error=ValueError}"] >= 2.0
    assert found["cycles.runs{cycle=waiting}"] == 1.0
    assert found["cycles.skipped_while_running"] >= 1.0


def test_a_blocked_loop_merges_ticks_and_says_how_late_they_were() -> None:
    runs: list[float] = []

    def block() -> None:
        runs.append(time.monotonic())
        if len(runs) == 1:
            time.sleep(0.2)  # stands for what blocks the loop

    async def play() -> dict[str, float]:
        registry = Registry()
        driver = SchedulerDriver([Cycle("block", 0.02, block)], SystemClock(), registry)
        await driver.start()
        await until(lambda: len(runs) >= 3)
        await driver.stop()
        return sampled(registry)

    found = asyncio.run(play())
    assert found["cycles.missed{cycle=block}"] >= 7.0
    assert found["cycles.lateness_ms.max{cycle=block}"] >= 150.0


@pytest.mark.parametrize("jump", [-3_600.0, 3_600.0])
def test_cycles_go_on_when_the_wall_clock_jumps_an_hour(
    monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    shift = timedelta(0)

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + shift

    class Clock(SystemClock):
        def now(self) -> datetime:
            return datetime.now(UTC) + shift

    for module in ("apscheduler.schedulers.base", "alluse_core.cycles"):
        monkeypatch.setattr(f"{module}.datetime", Jumping)
    runs: list[float] = []

    async def play() -> dict[str, float]:
        nonlocal shift
        registry = Registry()
        cycle = Cycle("tick", 0.02, lambda: runs.append(time.monotonic()))
        driver = SchedulerDriver([cycle], Clock(), registry, watch_every=0.05)
        await driver.start()
        await until(lambda: len(runs) >= 3)
        shift = timedelta(seconds=jump)
        seen = len(runs)
        await until(lambda: len(runs) >= seen + 5)
        await until(lambda: sampled(registry).get("cycles.clock_jumps", 0.0) >= 1.0)
        await driver.stop()
        return sampled(registry)

    found = asyncio.run(play())
    assert found["cycles.clock_jumps"] == 1.0
    assert found["cycles.runs{cycle=tick}"] < 1_000.0
