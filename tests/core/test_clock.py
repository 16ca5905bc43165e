"""The clocks: the machine's, and the one that tests move."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime, timedelta

import pytest

from alluse_core.clock import SystemClock
from alluse_core.testing import VirtualClock


def test_the_system_clock_is_aware_utc_and_never_goes_back() -> None:
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() <= clock.monotonic()
    asyncio.run(clock.sleep(0))


def test_time_stands_still_until_it_is_told_to_move() -> None:
    async def story() -> None:
        clock = VirtualClock()
        before = (clock.now(), clock.monotonic())
        await asyncio.sleep(0)
        assert (clock.now(), clock.monotonic()) == before
        await clock.advance(10)
        assert clock.monotonic() - before[1] == 10
        assert clock.now() - before[0] == timedelta(seconds=10)

    asyncio.run(story())


def test_sleepers_wake_in_order_each_at_its_own_moment() -> None:
    async def story() -> None:
        clock = VirtualClock()
        start = clock.monotonic()
        woken: list[tuple[str, float]] = []

        async def sleeper(name: str, *naps: float) -> None:
            for nap in naps:
                await clock.sleep(nap)
                woken.append((name, clock.monotonic() - start))

        tasks = [
            asyncio.create_task(sleeper("slow", 3)),
            asyncio.create_task(sleeper("twice", 1, 1)),
            asyncio.create_task(sleeper("late", 60)),
        ]
        await clock.advance(10)
        assert woken == [("twice", 1.0), ("twice", 2.0), ("slow", 3.0)]
        assert clock.sleepers == 1
        await clock.advance(50)
        assert woken[-1] == ("late", 60.0)
        await asyncio.gather(*tasks)

    asyncio.run(story())


def test_sleepers_of_one_moment_wake_in_the_order_they_lay_down() -> None:
    async def story() -> None:
        clock = VirtualClock()
        woken: list[int] = []

        async def sleeper(number: int) -> None:
            await clock.sleep(5)
            woken.append(number)

        tasks = [asyncio.create_task(sleeper(number)) for number in range(20)]
        await clock.advance(5)
        await asyncio.gather(*tasks)
        assert woken == list(range(20))

    asyncio.run(story())


def test_a_sleeper_that_was_cancelled_is_forgotten() -> None:
    async def story() -> None:
        clock = VirtualClock()
        task = asyncio.create_task(clock.sleep(5))
        await clock.advance(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert clock.sleepers == 0
        await clock.advance(10)

    asyncio.run(story())


def test_small_steps_add_up_on_the_wall_clock_too() -> None:
    async def story() -> None:
        clock = VirtualClock()
        start = clock.now()
        for _ in range(100):
            await clock.advance(1e-7)
        assert clock.now() - start == timedelta(microseconds=10)

    asyncio.run(story())


def test_the_wall_clock_may_jump_and_monotonic_time_does_not_notice() -> None:
    async def story() -> None:
        clock = VirtualClock(datetime(2026, 3, 8, 6, 59, 59, tzinfo=UTC))
        before = clock.monotonic()
        clock.jump_wall(-3600)
        assert clock.now() == datetime(2026, 3, 8, 5, 59, 59, tzinfo=UTC)
        assert clock.monotonic() == before
        await clock.advance(1)
        assert clock.now() == datetime(2026, 3, 8, 6, 0, 0, tzinfo=UTC)

    asyncio.run(story())


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf])
def test_time_moves_forward_by_a_finite_step_only(seconds: float) -> None:
    async def story() -> None:
        clock = VirtualClock()
        before = clock.monotonic()
        with pytest.raises(ValueError, match="forward"):
            await clock.advance(seconds)
        assert clock.monotonic() == before

    asyncio.run(story())


def test_two_who_move_time_at_once_never_move_it_back() -> None:
    async def story() -> None:
        clock = VirtualClock()
        seen: list[float] = []

        async def watch() -> None:
            while True:
                seen.append(clock.monotonic())
                await asyncio.sleep(0)

        watcher = asyncio.create_task(watch())
        sleeper = asyncio.create_task(clock.sleep(3))
        await asyncio.gather(clock.advance(5), clock.advance(10))
        watcher.cancel()
        await sleeper
        assert seen == sorted(seen)

    asyncio.run(story())


def test_a_sleep_of_nothing_gives_the_others_a_turn() -> None:
    async def story() -> None:
        clock = VirtualClock()
        await clock.sleep(0)
        await clock.sleep(-1)
        assert clock.sleepers == 0

    asyncio.run(story())
