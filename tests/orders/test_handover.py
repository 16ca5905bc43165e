"""When records go to the writer: sizes, costs, and whom the event loop steps aside for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from batches import Held, noted, opened
from desk_floor import run

from alluse_core.errors import JournalError
from alluse_core.orders import handover
from alluse_core.orders.committer import Commit
from alluse_core.orders.handover import Handover, Taken
from alluse_core.orders.records import Row

ROW = Row(0, "notice", "", "", "", "{}")


class Spy:
    """A handover with what it gave away, whom it told, and how often it stepped aside."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, concurrent: bool = True) -> None:
        self.disk = Held(concurrent=concurrent)
        self.written: list[int] = []
        self.told: list[tuple[Commit, int]] = []
        self.aside = 0
        self.failing = False
        self.handover = Handover(self.disk, self._write, self._done)
        self.handover.sync_seconds = 0.0001
        monkeypatch.setattr(handover, "time", SimpleNamespace(sleep=self._sleep))
        self.disk.open(self._write)

    def take(self, rows: int = 1, *, awaited: bool = False, lazy: bool = False) -> None:
        then = (lambda _: None) if awaited else None
        self.handover.take(Taken((ROW,) * rows, then, False), lazy=lazy)

    def _write(self, rows: Any) -> None:
        if self.failing:
            raise JournalError("disk full")
        self.written.append(len(rows))

    def _done(self, commit: Commit, batch: list[Taken]) -> None:
        self.told.append((commit, len(batch)))

    def _sleep(self, seconds: float) -> None:
        assert seconds == 0
        self.aside += 1


@pytest.mark.parametrize(("before", "sizes"), [(8, [1]), (9, [])])
def test_after_so_many_rows_it_is_quiet(
    monkeypatch: pytest.MonkeyPatch, before: int, sizes: list[int]
) -> None:
    async def scenario() -> None:
        spy = Spy(monkeypatch)
        spy.take(before)
        await asyncio.sleep(0)
        spy.disk.write()
        spy.take(awaited=True)
        assert spy.disk.sizes == sizes
        await asyncio.sleep(0)
        assert spy.disk.sizes == [1]

    run(scenario())


@pytest.mark.parametrize(("rows", "sizes"), [(99, []), (100, [100])])
def test_so_many_rows_are_worth_a_batch_before_the_turn_ends(
    monkeypatch: pytest.MonkeyPatch, rows: int, sizes: list[int]
) -> None:
    async def scenario() -> None:
        spy = Spy(monkeypatch)
        spy.take(rows - 1)
        spy.take(1)
        assert spy.disk.sizes == sizes
        if sizes:
            spy.take(99)
            assert spy.disk.sizes == sizes, "those that went do not count again"
        await asyncio.sleep(0)
        assert sum(spy.disk.sizes) == rows + (99 if sizes else 0)

    run(scenario())


@pytest.mark.parametrize(("seconds", "sizes"), [(0.00099, [1]), (0.001, [])])
def test_a_sync_of_a_millisecond_is_dear(
    monkeypatch: pytest.MonkeyPatch, seconds: float, sizes: list[int]
) -> None:
    async def scenario() -> None:
        spy = Spy(monkeypatch)
        spy.handover.sync_seconds = seconds
        spy.take(awaited=True)
        assert spy.disk.sizes == sizes
        await asyncio.sleep(0)

    run(scenario())


def test_two_batches_that_are_being_written_are_both_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        spy = Spy(monkeypatch)
        for _ in range(2):
            spy.take()
            await asyncio.sleep(0)
        (first, done), (second, _) = spy.disk.held
        done(Commit(len(first), 0.1, None))
        spy.take(awaited=True)
        assert spy.disk.sizes == [1, 1], "one of them is still being written"
        assert spy.told == [(Commit(1, 0.1, None), 1)]
        assert len(second) == 1

    run(scenario())


def test_the_loop_steps_aside_once_for_a_batch_that_somebody_waits_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        spy = Spy(monkeypatch)
        spy.take()
        await asyncio.sleep(0)
        assert spy.aside == 0, "nobody waits for it"
        spy.disk.write()
        spy.take(awaited=True)
        assert (spy.disk.sizes, spy.aside) == ([1], 0)
        await asyncio.sleep(0)
        assert spy.aside == 1, "at the end of the turn"
        spy.take()
        await asyncio.sleep(0)
        assert (spy.disk.sizes, spy.aside) == ([1, 1], 1)
        spy.take(99)
        spy.take(1, awaited=True)
        assert (spy.disk.sizes, spy.aside) == ([1, 1, 100], 2), "and at once in a long turn"
        spy.take(3)
        await asyncio.sleep(0)
        assert (spy.disk.sizes, spy.aside) == ([1, 1, 100, 3], 2)

    run(scenario())


def test_it_steps_aside_for_nobody_where_the_loop_itself_writes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        spy = Spy(monkeypatch, concurrent=False)
        spy.take(120, awaited=True)
        assert spy.disk.sizes == []
        await asyncio.sleep(0)
        assert (spy.disk.sizes, spy.aside) == ([120], 0)

    run(scenario())


def test_a_timer_is_set_for_what_is_in_no_hurry_and_only_where_none_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        spy, loop = Spy(monkeypatch), asyncio.get_running_loop()
        timers: list[tuple[float, Any]] = []
        monkeypatch.setattr(loop, "call_later", lambda after, then: timers.append((after, then)))
        spy.take(lazy=True)
        spy.take(lazy=True)
        ((after, ring),) = timers
        assert after == 0.02
        ring()
        assert spy.disk.sizes == [2]
        spy.take(lazy=True)
        assert len(timers) == 2, "it has rung"
        timers[1][1]()
        spy.take()
        spy.take(lazy=True)
        assert len(timers) == 2, "the turn's end is nearer"
        await asyncio.sleep(0)
        assert spy.disk.sizes == [2, 1, 2]

    run(scenario())


def test_what_is_in_no_hurry_does_not_go_ahead_of_the_timer_however_much_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        spy = Spy(monkeypatch)
        spy.take(150, lazy=True)
        await asyncio.sleep(0)
        assert spy.disk.sizes == []
        spy.take()
        assert spy.disk.sizes == [151]

    run(scenario())


@pytest.mark.parametrize("lazy", [True, False])
def test_where_no_loop_runs_it_is_written_at_once(
    monkeypatch: pytest.MonkeyPatch, lazy: bool
) -> None:
    spy = Spy(monkeypatch)
    spy.take(2, awaited=True, lazy=lazy)
    assert (spy.written, spy.disk.sizes) == ([2], [])
    assert spy.told == [(Commit(2, 0.0, None), 1)]
    spy.failing = True
    spy.take(lazy=lazy)
    (commit, batch) = spy.told[1]
    assert (commit.records, commit.seconds, str(commit.error), batch) == (1, 0.0, "disk full", 1)
    spy.failing = False

    async def later() -> None:
        spy.take(3)
        await asyncio.sleep(0)
        assert spy.disk.sizes == [3], "a loop that runs now is used"

    run(later())


def test_what_failed_comes_first_again_with_the_next_batch_or_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        spy = Spy(monkeypatch)
        failed = [Taken((ROW._replace(key="failed"),), None, False)]
        spy.handover.put_back(failed, soon=False)
        await asyncio.sleep(0)
        assert spy.disk.sizes == []
        spy.take()
        await asyncio.sleep(0)
        assert [row.key for row in spy.disk.held[0][0]] == ["failed", ""]
        spy.handover.put_back(failed, soon=True)
        await asyncio.sleep(0)
        assert spy.disk.sizes == [2, 1]

    run(scenario())


def test_a_turn_that_ends_after_the_close_hands_nothing_over(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = opened(tmp_path / "journal.db")
        journal.append(noted(journal))
        journal.close()
        journal._handover.put_back([Taken((ROW,), None, False)], soon=False)
        await asyncio.sleep(0)
        assert journal.failure is None
        assert journal.committed == 1

    run(scenario())
