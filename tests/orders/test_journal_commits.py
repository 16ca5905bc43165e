"""Batches of the journal: what fails to be written is told, kept and written later."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from batches import Failing, Held, Stopwatch, noted, opened, slow_files
from desk_floor import NODE, run

from alluse_core.errors import JournalError
from alluse_core.orders.chain import Anchor, Head
from alluse_core.orders.committer import Commit, InlineCommitter, ThreadCommitter
from alluse_core.orders.journal import Journal, JournalReader, verify
from alluse_core.orders.records import Kind
from alluse_core.orders.storage import Storage
from alluse_core.telemetry import Registry


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_failed_batch_is_told_kept_and_written_with_the_next(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk, registry = Failing(), Registry()
        journal = opened(tmp_path / "journal.db", committer=disk)
        journal.instrument(registry)
        disk.broken = True
        told: list[JournalError | None] = []
        journal.append(noted(journal, Kind.START))
        journal.append(noted(journal, Kind.IDS), then=told.append)
        with pytest.raises(JournalError, match="disk full"):
            await journal.flushed()
        assert [str(error) for error in told] == ["disk full"]
        assert journal.trouble == "disk full"
        assert journal.committed == 0
        batches = registry.timer("journal", "batch_size", "").rotate(0.0)
        assert (batches.count, batches.mean) == (1, 2.0)
        waits = registry.timer("journal", "commit_ms").rotate(0.0)
        assert (waits.count, waits.mean) == (1, 250.0)
        assert registry.counter("journal", "failures").value == 1
        assert not (tmp_path / "journal.db.reserve").exists(), "it is what exits are written into"
        disk.broken = False
        journal.retry()
        await journal.flushed()
        assert journal.committed == 1
        assert journal.trouble == "the disk was full and the reserve is not back"
        journal.retry()
        assert journal.trouble == ""
        assert (tmp_path / "journal.db.reserve").exists()
        with journal.read() as reader:
            assert [entry.kind for entry in reader.entries()] == ["start"]
        journal.close()

    run(scenario())


def test_what_is_taken_while_a_batch_fails_is_written_after_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = Held()
        journal = opened(tmp_path / "journal.db", committer=disk)
        journal.append(noted(journal, Kind.START))
        await asyncio.sleep(0)
        journal.append(noted(journal, Kind.NOTICE))
        journal.append(noted(journal, Kind.IDS))
        ((rows, done),) = disk.held
        done(Commit(len(rows), 0.25, JournalError("disk full")))
        await asyncio.sleep(0)
        _, (rows, done) = disk.held
        assert [row.kind for row in rows] == ["start", "notice", "ids"]
        done(Commit(len(rows), 0.25, None))
        assert (journal.committed, journal.failure) == (3, None)
        journal.close()

    run(scenario())


def test_a_reserve_that_does_not_come_back_keeps_new_risk_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        disk = Failing()
        journal = opened(tmp_path / "journal.db", committer=disk)
        disk.broken = True
        journal.append(noted(journal))
        with pytest.raises(JournalError):
            await journal.flushed()
        disk.broken = False
        journal.retry()
        await journal.flushed()
        monkeypatch.setattr(os, "posix_fallocate", _full)
        journal.retry()
        assert journal.trouble
        monkeypatch.undo()
        journal.retry()
        assert not journal.trouble
        journal.close()

    run(scenario())


def test_who_gave_up_waiting_does_not_disturb_the_journal(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = opened(tmp_path / "journal.db")
        journal.append(noted(journal))
        task = asyncio.ensure_future(journal.flushed())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        await journal.flushed()
        assert task.cancelled()
        assert journal.committed == 1
        journal.close()

    run(scenario())


def test_a_database_that_fails_in_a_batch_is_rolled_back_and_said(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal.db")
    journal.append(noted(journal))
    head = journal._head
    other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    journal._connection.execute("PRAGMA busy_timeout = 0")
    other.execute("BEGIN IMMEDIATE")
    journal.append(noted(journal))
    assert "1 records could not be written: database is locked" in journal.trouble
    assert journal._head == head
    other.execute("ROLLBACK")
    other.close()
    journal.append(noted(journal))
    assert journal.failure is None
    assert journal.committed == 3, "what failed came with the next batch"
    journal.close()
    with JournalReader(tmp_path / "journal.db") as reader:
        assert [entry.sequence for entry in reader.entries()] == [1, 2, 3]


class _BadAnchor(Anchor):
    """An anchor whose disk fails."""

    def write(self, head: Head, now: float) -> None:
        _full()

    def close(self) -> None:
        super().close()
        _full()


def test_an_anchor_that_fails_stops_new_risk_and_the_records_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = opened(path)
    journal.append(noted(journal))
    journal._anchor.close()
    journal._anchor = _BadAnchor(tmp_path / "other")
    journal.append(noted(journal))
    assert journal.trouble == "the journal's anchor cannot be written: No space left on device"
    assert (journal.failure, journal.committed) == (None, 2)
    with pytest.raises(JournalError, match="the anchor cannot be synced"):
        journal.close()
    found = verify(path)
    assert (found.ok, found.records) == (True, 2), "the anchor is behind, never ahead"


def test_an_anchor_that_fails_without_a_number_is_named_by_its_words(tmp_path: Path) -> None:
    class Gone(Anchor):
        def write(self, head: Head, now: float) -> None:
            raise OSError("the disk is gone")

    journal = opened(tmp_path / "journal.db")
    journal._anchor.close()
    journal._anchor = Gone(tmp_path / "other")
    journal.append(noted(journal))
    assert journal.trouble == "the journal's anchor cannot be written: the disk is gone"
    journal._anchor.close()
    journal._anchor = Anchor(tmp_path / "journal.db.anchor")
    journal.retry()
    assert journal.trouble == "", "the next batch, though empty, writes it again"
    journal.close()
    assert verify(tmp_path / "journal.db").ok


def test_what_arrives_while_the_disk_syncs_becomes_one_batch_and_everybody_is_told() -> None:
    written: list[list[Any]] = []
    syncing, release = threading.Event(), threading.Event()

    def write(rows: Any) -> None:
        written.append(list(rows))
        syncing.set()
        release.wait(5)

    async def scenario() -> None:
        committer = ThreadCommitter()
        committer.open(write)
        told: list[tuple[str, Commit]] = []
        for name in ("first", "second", "third"):
            committer.commit([name, name], lambda commit, name=name: told.append((name, commit)))  # type: ignore[misc]
            syncing.wait(5)
        release.set()
        committer.close()
        await asyncio.sleep(0.01)
        assert written == [["first"] * 2, ["second"] * 2 + ["third"] * 2]
        assert [name for name, _ in told] == ["first", "second", "third"]
        assert [commit.records for _, commit in told] == [2, 4, 4]
        assert all(commit.error is None and commit.seconds > 0 for _, commit in told)

    run(scenario())


@pytest.mark.parametrize(("seconds", "waits"), [(0.0001, False), (0.004, True)])
def test_a_long_turn_is_written_while_it_goes_on_where_a_sync_costs_little(
    tmp_path: Path, seconds: float, waits: bool
) -> None:
    async def scenario() -> None:
        disk, clock = Held(concurrent=True), Stopwatch()
        storage = Storage(open_file=slow_files(clock, seconds))
        path = tmp_path / "journal.db"
        journal = Journal(path, clock=clock, node=NODE, committer=disk, storage=storage)
        sizes = [120, 1, 100, 300, 2]
        for size in sizes:
            journal.append(*[noted(journal)] * size)
        assert (disk.held == []) is waits
        await asyncio.sleep(0)
        handed = [len(rows) for rows, _ in disk.held]
        assert sum(handed) == sum(sizes)
        ends = [sum(sizes[:end]) for end in range(len(sizes) + 1)]
        assert all(sum(handed[:end]) in ends for end in range(len(handed))), "no call is cut apart"
        for rows, done in disk.held:
            journal._write(rows)
            done(Commit(len(rows), 0.25, None))
        journal.close()
        assert verify(path).records == sum(sizes)

    run(scenario())


def test_nobody_is_told_of_a_batch_before_the_call_that_appends_returns(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = opened(tmp_path / "journal.db")
        told: list[int] = []
        for number in range(3):
            journal.append(*[noted(journal)] * 200, then=lambda _, n=number: told.append(n))  # type: ignore[misc]
            assert told == []
        await asyncio.sleep(0)
        assert told == [0, 1, 2]
        journal.close()

    run(scenario())


class _Gone(sqlite3.Connection):
    """A connection that fails where it is told to."""

    failing = ""

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if self.failing and statement.startswith(self.failing):
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(statement, *values)


def _through(made: list[_Gone]) -> Storage:
    def connect(path: Path) -> sqlite3.Connection:
        made.append(sqlite3.connect(path, isolation_level=None, factory=_Gone))
        # As a build of SQLite may have it.
        made[-1].execute("PRAGMA synchronous = NORMAL")
        return made[-1]

    return Storage(connect=connect)


@pytest.mark.parametrize("failing", ["INSERT", "COMMIT"])
def test_of_a_large_batch_that_fails_nothing_stays_and_the_next_is_written(
    tmp_path: Path, failing: str
) -> None:
    made: list[_Gone] = []
    journal = opened(tmp_path / "journal.db", storage=_through(made))
    made[0].failing = failing
    journal.append(*[noted(journal)] * 1_000)
    assert "1000 records could not be written: disk I/O error" in journal.trouble
    made[0].failing = ""
    with journal.read() as reader:
        assert list(reader.entries()) == []
    journal.append(noted(journal))
    assert journal.committed == 1_001
    journal.close()
    assert verify(tmp_path / "journal.db").ok


def test_each_commit_is_synced_whatever_this_sqlite_does_by_itself(tmp_path: Path) -> None:
    made: list[_Gone] = []
    journal = opened(tmp_path / "journal.db", storage=_through(made))
    (level,) = made[0].execute("PRAGMA synchronous").fetchone()
    assert level == 2
    journal.close()


@pytest.mark.parametrize("what", ["another format", "no database"])
def test_a_file_that_is_refused_is_let_go(tmp_path: Path, what: str) -> None:
    made: list[_Gone] = []
    path = tmp_path / "journal.db"
    if what == "no database":
        path.write_bytes(b"0123456789abcdef" * 100)

        def connect(path: Path) -> sqlite3.Connection:
            made.append(sqlite3.connect(path, isolation_level=None, factory=_Gone))
            return made[-1]

        storage = Storage(connect=connect)
    else:
        with contextlib.closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA user_version = 99")
        storage = _through(made)
    with pytest.raises(JournalError):
        opened(path, storage=storage)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        made[0].execute("SELECT 1")


def test_a_retry_with_nothing_to_retry_writes_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = Held()
        journal = opened(tmp_path / "journal.db", committer=disk)
        journal.retry()
        await asyncio.sleep(0)
        assert disk.held == []
        journal.append(noted(journal))
        await asyncio.sleep(0)
        ((rows, done),) = disk.held
        done(Commit(len(rows), 0.25, JournalError("disk full")))
        with contextlib.suppress(JournalError):
            journal.close()
        journal.retry()

    run(scenario())


def test_a_commit_tells_how_long_it_took() -> None:
    told: list[Commit] = []
    committer = InlineCommitter()
    committer.open(lambda _: None)
    began = time.perf_counter()
    committer.commit([], told.append)
    elapsed = time.perf_counter() - began
    assert 0 <= told[0].seconds <= elapsed
