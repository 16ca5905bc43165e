"""A close of the journal writes what it took, ends what it began, and says what failed."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from batches import Failing, noted, opened
from desk_floor import run

from alluse_core.errors import JournalError
from alluse_core.orders.chain import Anchor, Head
from alluse_core.orders.committer import InlineCommitter, ThreadCommitter
from alluse_core.orders.journal import JournalReader, verify


def test_a_closed_journal_takes_nothing_and_closes_again(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal.db")
    reader = journal.read()
    reserve = tmp_path / "journal.db.reserve"
    assert reserve.stat().st_size == 1 << 20
    journal.close()
    journal.close()
    assert not reserve.exists()
    with pytest.raises(sqlite3.ProgrammingError):
        list(reader.connection.execute("SELECT 1"))
    with pytest.raises(JournalError, match="closed"):
        journal.append(noted(journal))
    anchor = Anchor(tmp_path / "anchor")
    anchor.write(Head(1, b"x"), 1.0)
    anchor.close()
    anchor.close()
    with pytest.raises(OSError, match="closed"):
        anchor.write(Head(2, b"y"), 2.0)


def test_a_journal_whose_reserve_is_spent_closes(tmp_path: Path) -> None:
    disk = Failing()
    journal = opened(tmp_path / "journal.db", committer=disk)
    journal._release_reserve()
    assert journal.reserve_spent
    journal.close()


def test_what_was_taken_before_the_close_is_on_disk(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = opened(tmp_path / "journal.db")
        told: list[JournalError | None] = []
        journal.append(noted(journal), then=told.append)
        journal.close()
        assert told == [None]
        await asyncio.sleep(0)
        with JournalReader(tmp_path / "journal.db") as reader:
            assert len(list(reader.entries())) == 1

    run(scenario())


def test_a_close_waits_for_the_writer_thread_and_ends_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = opened(tmp_path / "journal.db", committer=ThreadCommitter())
        (thread,) = [each for each in threading.enumerate() if each.name == "alluse-journal"]
        assert thread.daemon, "a process that dies does not wait for it"
        journal.append(noted(journal))
        await asyncio.sleep(0)
        journal.close()
        assert not [each for each in threading.enumerate() if each.name == "alluse-journal"]
        assert verify(tmp_path / "journal.db").records == 1

    run(scenario())


def test_a_close_that_cannot_write_raises_what_failed(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal.db")
    journal.append(noted(journal))
    other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    journal._connection.execute("PRAGMA busy_timeout = 0")
    other.execute("BEGIN IMMEDIATE")
    journal.append(noted(journal))
    with pytest.raises(JournalError, match="locked"):
        journal.close()
    other.execute("ROLLBACK")
    other.close()


def test_a_journal_that_is_closed_before_the_turn_ends_is_left_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        heard: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: heard.append(told))
        journal = opened(tmp_path / "journal.db", committer=ThreadCommitter())
        journal.append(noted(journal))
        journal.close()
        await asyncio.sleep(0)
        assert heard == []

    run(scenario())


@pytest.mark.parametrize("kind", [InlineCommitter, ThreadCommitter])
def test_a_closed_committer_refuses_and_closes_again(
    kind: type[InlineCommitter] | type[ThreadCommitter],
) -> None:
    async def scenario() -> None:
        written: list[int] = []
        committer = kind()
        committer.open(lambda rows: written.append(len(rows)))
        committer.close()
        committer.close()
        with pytest.raises(JournalError, match="closed"):
            committer.commit([], lambda _: None)
        assert written == []

    run(scenario())


def test_a_batch_is_on_disk_also_when_its_event_loop_has_ended() -> None:
    written: list[int] = []
    release = threading.Event()

    def write(rows: Any) -> None:
        release.wait(5)
        written.append(len(rows))

    committer = ThreadCommitter()
    committer.open(write)

    async def hand_over() -> None:
        committer.commit([None], lambda _: None)  # type: ignore[list-item]

    asyncio.run(hand_over())
    release.set()
    committer.close()
    assert written == [1]
