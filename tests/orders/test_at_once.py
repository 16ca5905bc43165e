"""A single order in a quiet time waits for no turn of the event loop; records in no hurry do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from batches import Held, Stopwatch, noted, slow_files
from desk_floor import NODE, Floor, buy, floor, run
from hypothesis import given, settings
from hypothesis import strategies as st

from alluse_core.errors import JournalError
from alluse_core.model import OrderState
from alluse_core.orders.committer import Commit
from alluse_core.orders.journal import Journal
from alluse_core.orders.pacing import SlidingWindowPacer
from alluse_core.orders.storage import Storage
from alluse_core.ports import Priority
from alluse_core.testing import VirtualClock


def _journal(path: Path, disk: Held, sync_seconds: float = 0.0001) -> Journal:
    clock = Stopwatch()
    storage = Storage(open_file=slow_files(clock, sync_seconds))
    return Journal(path / "journal.db", clock=clock, node=NODE, committer=disk, storage=storage)


def _nobody(_: object) -> None:
    """Wait for a batch, and do nothing with what became of it."""


def test_what_is_waited_for_is_handed_over_at_once_where_little_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = Held(concurrent=True)
        journal = _journal(tmp_path, disk)
        journal.append(noted(journal))
        assert disk.sizes == [], "nobody waits for it"
        journal.append(noted(journal), noted(journal), then=_nobody)
        assert disk.sizes == [3]
        journal.append(noted(journal), then=_nobody)
        assert disk.sizes == [3], "one is being written: what the turn brings joins the next"
        await asyncio.sleep(0)
        assert disk.sizes == [3, 1]
        disk.write()
        assert journal.committed == 4
        journal.append(*[noted(journal)] * 9, then=_nobody)
        assert disk.sizes == [9]
        disk.write()
        journal.append(noted(journal), then=_nobody)
        journal.append(noted(journal), then=_nobody)
        assert disk.sizes == [], "after a large batch more is expected"
        await asyncio.sleep(0)
        assert disk.sizes == [2]
        disk.write()
        journal.append(noted(journal), then=_nobody)
        assert disk.sizes == [1], "and after a small one it is quiet again"
        disk.write()
        journal.close()

    run(scenario())


@pytest.mark.parametrize(
    ("concurrent", "sync_seconds"), [(False, 0.0001), (True, 0.004)], ids=["inline", "slow disk"]
)
def test_where_the_loop_would_wait_or_a_sync_is_dear_the_turn_is_one_batch(
    tmp_path: Path, concurrent: bool, sync_seconds: float
) -> None:
    async def scenario() -> None:
        disk = Held(concurrent=concurrent)
        journal = _journal(tmp_path, disk, sync_seconds)
        journal.append(noted(journal), then=_nobody)
        journal.append(noted(journal), then=_nobody)
        assert disk.sizes == []
        await asyncio.sleep(0)
        assert disk.sizes == [2]
        disk.write()
        journal.close()

    run(scenario())


def test_what_is_in_no_hurry_joins_the_next_batch(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = Held()
        journal = _journal(tmp_path, disk)
        journal.append(noted(journal), lazy=True)
        await asyncio.sleep(0)
        assert disk.sizes == []
        journal.append(noted(journal))
        journal.append(noted(journal), lazy=True)
        await asyncio.sleep(0)
        assert disk.sizes == [3]
        disk.write()
        journal.close()

    run(scenario())


def test_what_is_in_no_hurry_is_written_by_itself_soon_and_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = Held()
        journal = _journal(tmp_path, disk)
        for expected in (1, 2):
            journal.append(noted(journal), lazy=True)
            while not disk.held:
                await asyncio.sleep(0.001)
            disk.write()
            assert journal.committed == expected
        journal.append(noted(journal), lazy=True)
        journal.close()
        assert journal.committed == 3, "a close waits for nothing"

    run(scenario())


def test_what_is_in_no_hurry_and_fails_is_kept(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = Held()
        journal = _journal(tmp_path, disk)
        journal.append(noted(journal), lazy=True)
        while not disk.held:
            await asyncio.sleep(0.001)
        ((rows, done),) = disk.held
        disk.held.clear()
        done(Commit(len(rows), 0.25, JournalError("disk full")))
        assert journal.trouble == "disk full"
        journal.retry()
        await asyncio.sleep(0)
        assert disk.sizes == [1]
        disk.write()
        assert (journal.committed, journal.failure) == (1, None)
        journal.close()

    run(scenario())


# --- lanes ---------------------------------------------------------------------------------------


def _placed(desk: Floor) -> list[str]:
    sent: list[Any] = [what for kind, what in desk.broker.sent if kind == "place"]
    return [message.order.key for messages in sent for message in messages]


async def _asked(desk: Floor, *keys: str) -> list[asyncio.Task[Any]]:
    tasks = [asyncio.create_task(desk.orders.submit(buy(key, 1))) for key in keys]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


def test_an_order_is_sent_in_the_turn_in_which_it_became_durable(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = Held(holding=False)
        async with floor(tmp_path, committer=disk) as desk:
            disk.holding = True
            tasks = await _asked(desk, "one", "two")
            assert _placed(desk) == [], "nothing is sent before it is durable"
            disk.write()
            assert _placed(desk) == ["one", "two"]
            tickets = await asyncio.gather(*tasks)
            assert [ticket.state for ticket in tickets] == [OrderState.ACCEPTED] * 2
            disk.holding = False
            disk.write()

    run(scenario())


def test_an_order_that_the_pacer_holds_back_is_not_overtaken(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = Held(holding=False)
        async with floor(tmp_path, committer=disk, rate=1) as desk:
            disk.holding = True
            tasks = await _asked(desk, "one", "two")
            disk.write()
            assert _placed(desk) == ["one"]
            disk.holding = False
            tasks += await _asked(desk, "three")
            assert _placed(desk) == ["one"]
            await desk.settle(5)
            assert _placed(desk) == ["one", "two", "three"]
            await asyncio.gather(*tasks)

    run(scenario())


REQUESTS = st.lists(st.tuples(st.floats(0, 2), st.integers(1, 6)), max_size=30)


@given(rate=st.sampled_from([0, 1, 5, 50]), calls=REQUESTS)
@settings(max_examples=100, deadline=None)
def test_what_passes_at_once_is_what_a_turn_would_not_have_kept_waiting(
    rate: int, calls: list[tuple[float, int]]
) -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        pacer, twin = SlidingWindowPacer(clock, rate), SlidingWindowPacer(clock, rate)
        for pause, messages in calls:
            await clock.advance(pause)
            if rate and messages > rate:
                assert not pacer.passes(messages)
                continue
            turn = asyncio.ensure_future(twin.turn(Priority.ORDER, messages))
            await asyncio.sleep(0)
            at_once = turn.done()
            assert pacer.passes(messages) is at_once
            if not at_once:
                turn.cancel()
                await asyncio.gather(turn, return_exceptions=True)
                await clock.advance(10)

    asyncio.run(scenario())


def test_nobody_passes_at_once_before_one_that_waits() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        pacer = SlidingWindowPacer(clock, 5)
        for _ in range(5):
            assert pacer.passes(1)
        waiting = asyncio.ensure_future(pacer.turn(Priority.ORDER, 5))
        await asyncio.sleep(0)
        await clock.advance(0.5)
        assert not pacer.passes(1)
        await clock.advance(2)
        assert waiting.done()

    asyncio.run(scenario())
