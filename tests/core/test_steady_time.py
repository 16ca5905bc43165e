"""Steady time: what a process stood still does not pass on a loop of its tests."""

from __future__ import annotations

import asyncio
import time

import pytest

from alluse_core.clock import SystemClock
from alluse_core.testing.steady import MOST, SteadyLoop, SteadyTime, steady_time

PAUSE = 0.3


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    question = await reader.readline()
    time.sleep(PAUSE)  # the whole process stands still between the question and the answer
    await asyncio.sleep(0.001)
    writer.write(question)
    writer.close()


async def _asked() -> bytes:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        writer.write(b"who\n")
        async with asyncio.timeout(PAUSE / 2):
            return await reader.readline()
    finally:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()


def test_a_time_out_does_not_end_because_the_process_stood_still() -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(_asked())
    with steady_time():
        assert asyncio.run(_asked()) == b"who\n"


def test_a_time_out_ends_all_the_same_where_nothing_comes() -> None:
    async def story() -> float:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await asyncio.Event().wait()
        return time.monotonic() - began

    with steady_time():
        assert asyncio.run(story()) >= 0.05


def test_the_clock_of_the_machine_agrees_with_the_loop_and_both_never_go_back() -> None:
    async def story() -> list[float]:
        loop, clock = asyncio.get_running_loop(), SystemClock()
        assert isinstance(loop, SteadyLoop)
        times = [loop.time(), clock.monotonic()]
        time.sleep(PAUSE)
        times += [clock.monotonic(), loop.time()]
        await asyncio.sleep(0.05)
        times += [loop.time(), clock.monotonic()]
        return times

    with steady_time():
        times = asyncio.run(story())
    assert times == sorted(times)
    assert times[3] - times[0] <= MOST, "the pause did not pass"
    assert times[4] - times[3] >= 0.05 - MOST, "the sleep did"


def test_the_wall_clock_falls_behind_by_what_did_not_pass() -> None:
    async def story() -> float:
        clock = SystemClock()
        before = clock.now()
        time.sleep(PAUSE)
        return (clock.now() - before).total_seconds()

    with steady_time():
        assert asyncio.run(story()) <= 2 * MOST


def test_what_was_allowed_passes_and_what_was_not_is_forgotten() -> None:
    steady = SteadyTime()
    steady.allow(0.01)
    before = steady()
    time.sleep(0.05)
    assert steady() - before <= 0.01
    steady.allow(10.0)
    time.sleep(0.05)
    assert steady() - before >= 0.05


def test_outside_of_steady_time_the_clock_is_the_machines_own() -> None:
    with steady_time():
        assert SystemClock.monotonic is not time.monotonic
    assert SystemClock.monotonic is time.monotonic
    assert SystemClock().monotonic is time.monotonic
