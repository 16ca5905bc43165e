"""The pacer under virtual time."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alluse_core.orders.pacing import SlidingWindowPacer
from alluse_core.ports import Priority
from alluse_core.telemetry import Registry
from alluse_core.testing import VirtualClock

REQUESTS = st.lists(
    st.tuples(
        st.floats(0, 3, allow_nan=False),
        st.sampled_from(list(Priority)),
        st.integers(1, 5),
    ),
    max_size=40,
)


async def _play(
    rate: int, requests: list[tuple[float, Priority, int]]
) -> list[tuple[float, Priority, int, int]]:
    clock = VirtualClock()
    pacer = SlidingWindowPacer(clock, rate)
    sent: list[tuple[float, Priority, int, int]] = []

    async def one(number: int, at: float, priority: Priority, messages: int) -> None:
        await clock.sleep(at)
        await pacer.turn(priority, messages)
        sent.append((clock.monotonic(), priority, messages, number))

    tasks = [asyncio.ensure_future(one(n, *request)) for n, request in enumerate(requests)]
    for _ in range(400):
        await clock.advance(0.25)
        if all(task.done() for task in tasks):
            break
    assert all(task.done() for task in tasks), "everybody gets a turn"
    return sent


@given(st.integers(5, 20), REQUESTS)
@settings(max_examples=25, deadline=None)
def test_no_sliding_second_holds_more_than_the_rate(
    rate: int, requests: list[tuple[float, Priority, int]]
) -> None:
    sent = asyncio.run(_play(rate, requests))
    assert len(sent) == len(requests)
    for start, *_ in sent:
        within = sum(messages for at, _, messages, _ in sent if start <= at <= start + 1.0)
        assert within <= rate


def test_turns_go_by_priority_and_in_order_within_one() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        pacer = SlidingWindowPacer(clock, 1)
        order: list[str] = []

        async def one(name: str, priority: Priority) -> None:
            await pacer.turn(priority)
            order.append(name)

        await pacer.turn(Priority.DATA)
        names = [
            ("data", Priority.DATA),
            ("order 1", Priority.ORDER),
            ("order 2", Priority.ORDER),
            ("exit", Priority.EXIT),
            ("cancel", Priority.CANCEL),
        ]
        tasks = [asyncio.ensure_future(one(*each)) for each in names]
        await clock.advance(10)
        await asyncio.gather(*tasks)
        assert order == ["cancel", "exit", "order 1", "order 2", "data"]

    asyncio.run(scenario())


def test_a_waiter_that_gives_up_takes_no_turn() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        pacer = SlidingWindowPacer(clock, 1)
        await pacer.turn(Priority.ORDER)
        gone = asyncio.ensure_future(pacer.turn(Priority.CANCEL))
        next_one = asyncio.ensure_future(pacer.turn(Priority.ORDER))
        await clock.advance(0.1)
        assert pacer.waiting == 2
        gone.cancel()
        await clock.advance(1.0)
        assert 1.0 < await next_one < 1.03

    asyncio.run(scenario())


def test_no_rate_never_waits_and_a_turn_beyond_the_rate_is_an_error() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        pacer = SlidingWindowPacer(clock)
        for _ in range(1000):
            assert await pacer.turn(Priority.DATA) == 0.0
        pacer.limit(10)
        with pytest.raises(ValueError, match="never fit"):
            await pacer.turn(Priority.ORDER, 11)
        for wrong in (-1.0, 0.5, float("nan")):
            with pytest.raises(ValueError):
                pacer.limit(wrong)

    asyncio.run(scenario())


def test_the_busiest_sliding_second_is_published_with_what_is_left() -> None:
    async def scenario() -> None:
        clock, registry = VirtualClock(), Registry()
        pacer = SlidingWindowPacer(clock, 10)
        pacer.instrument(registry, "main")
        for _ in range(4):
            await pacer.turn(Priority.ORDER)
        found = {sample.series.metric: sample.value for sample in registry.collect(0.0)}
        assert found == {"messages_sliding_second_max": 4.0, "pacing_headroom_percent": 60.0}
        await clock.advance(5)
        found = {sample.series.metric: sample.value for sample in registry.collect(5.0)}
        assert found == {"messages_sliding_second_max": 0.0, "pacing_headroom_percent": 100.0}

    asyncio.run(scenario())


def test_without_a_limit_no_headroom_is_claimed() -> None:
    registry = Registry()
    SlidingWindowPacer(VirtualClock(), 0).instrument(registry, "main")
    assert list(registry.collect(0.0)) == []


@given(st.lists(st.floats(0.0, 0.05), min_size=150, max_size=150))
@settings(max_examples=25, deadline=None)
def test_fifty_a_second_holds_although_messages_arrive_late_by_up_to_50_ms(
    lateness: list[float],
) -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        pacer = SlidingWindowPacer(clock, 50)
        sent: list[float] = []

        async def send() -> None:
            await pacer.turn(Priority.ORDER)
            sent.append(clock.monotonic())

        tasks = [asyncio.ensure_future(send()) for _ in lateness]
        while not all(task.done() for task in tasks):
            await clock.advance(0.1)
        # A stream keeps its order: none arrives before the one in front of it.
        arrived: list[float] = []
        for at, late in zip(sent, lateness, strict=True):
            arrived.append(max(at + late, arrived[-1] if arrived else 0.0))
        most = max(sum(at <= other < at + 1.0 for other in arrived) for at in arrived)
        assert most <= 50
        assert sent[-1] - sent[0] < 150 / 38

    asyncio.run(scenario())


def test_a_broker_that_says_too_fast_is_sent_half_as_much_and_more_again_later() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        pacer = SlidingWindowPacer(clock, 40)

        async def sent_within(seconds: float) -> int:
            sent = 0

            async def send() -> None:
                nonlocal sent
                while True:
                    await pacer.turn(Priority.ORDER)
                    sent += 1

            task = asyncio.ensure_future(send())
            for _ in range(int(seconds / 0.05)):
                await clock.advance(0.05)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await clock.advance(1.1)
            return sent

        full = await sent_within(1.0)
        for _ in range(2):
            pacer.back_off()
        assert await sent_within(1.0) <= 11
        for _ in range(9):
            pacer.back_off()
        assert await sent_within(1.0) <= 6, "five a second are left"
        assert await asyncio.wait_for(pacer.turn(Priority.ORDER, 1), 1) == 0.0
        for _ in range(4):
            await clock.advance(61.0)
            await pacer.turn(Priority.ORDER)
        await clock.advance(1.1)
        assert await sent_within(1.0) >= full - 1

    asyncio.run(scenario())


def test_a_group_that_needs_more_than_the_lowered_rate_still_goes_in_one_turn() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        pacer = SlidingWindowPacer(clock, 40)
        for _ in range(9):
            pacer.back_off()
        turn = asyncio.ensure_future(pacer.turn(Priority.ORDER, 12))
        await clock.advance(3.0)
        assert turn.done()

    asyncio.run(scenario())
