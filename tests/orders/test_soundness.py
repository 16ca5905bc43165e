"""A journal whose indexes or pages do not match its records is told, and looked up right again."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from damage import memory_folder, small_pages
from signed_journal import closed_journal, edit, ended, event, live, opened, opened_problem, stories

from alluse_core.orders import history, soundness
from alluse_core.orders.checkpoint import checkpoint_path, read_checkpoint
from alluse_core.orders.journal import Journal
from alluse_core.orders.reader import JournalReader
from alluse_core.orders.verification import verify


@pytest.fixture
def path() -> Iterator[Path]:
    """A closed journal: record 1 to 2 are of an order that lives, 3 to 62 of twenty that ended."""
    with closed_journal() as path:
        yield path


# --- indexes that miss records -------------------------------------------------------------------


def _indexed(path: Path, condition: str) -> None:
    """Say that the index of orderRefs holds other records than it does."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA writable_schema = ON")
    sql = f"CREATE INDEX record_ref ON record (ref) WHERE {condition}"
    connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'record_ref'", (sql,))
    connection.commit()
    connection.close()


def test_an_index_that_misses_records_is_found_and_made_anew(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _indexed(path, "kind = 'none'")
    journal = opened(path)
    live(journal, "missed")
    journal.close()
    _indexed(path, "kind = 'order'")
    with JournalReader(path) as reader:
        assert reader.key_of("ref-missed") is None
    assert verify(path).problem == ("the file is not sound: row 63 missing from index record_ref")
    assert opened_problem(path, whole_below=100) == ""
    assert "made anew: row 63 missing" in caplog.text
    with JournalReader(path) as reader:
        assert reader.key_of("ref-missed") == "missed"
    assert verify(path).ok


def test_where_records_are_damaged_nothing_is_made_anew(path: Path) -> None:
    _indexed(path, "kind = 'none'")
    journal = opened(path)
    live(journal, "missed")
    journal.close()
    _indexed(path, "kind = 'order'")
    edit(path, "UPDATE record SET state = 'FILLED' WHERE seq = 20")
    assert opened_problem(path, whole_below=100) == "record 20 is not what was written"
    with JournalReader(path) as reader:
        assert reader.key_of("ref-missed") is None


def test_a_walk_finds_the_records_of_a_key_whatever_its_index_says(path: Path) -> None:
    def indexed(condition: str) -> None:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA writable_schema = ON")
        sql = f"CREATE INDEX record_key ON record (key, seq) WHERE {condition}"
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'record_key'", (sql,))
        connection.commit()
        connection.close()

    indexed("key = 'nobody'")
    journal = opened(path)
    event(journal, "ended-3", "ACCEPTED")
    journal.close()
    indexed("key <> ''")
    journal = opened(path, whole_below=100)
    assert stories(journal)["ended-3"] == [12, 13, 14, 63]
    journal.close()


def test_a_file_that_stays_unsound_is_a_problem(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "unsoundness", lambda _: "page 3 is never used")
    assert opened_problem(path, whole_below=100) == "the file is not sound: page 3 is never used"
    assert opened_problem(path) == "", "behind a checkpoint it is asked after the start"


# --- the look behind a checkpoint ----------------------------------------------------------------


def _looked(journal: Journal) -> None:
    """Wait until the journal has looked at its indexes."""
    journal.sign_off()
    for thread in threading.enumerate():
        if thread.name == "alluse-journal-check":
            thread.join(30)
    journal.sign_off()


def test_an_index_behind_a_checkpoint_that_misses_records_stops_new_risk_soon(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _indexed(path, "kind = 'none'")
    journal = opened(path)
    live(journal, "missed")
    journal.close()
    _indexed(path, "kind = 'order'")
    journal = opened(path)
    assert journal.problem == "", "a start from a checkpoint has not looked"
    _looked(journal)
    said = "the file is not sound: row 63 missing from index record_ref"
    assert journal.problem == f"{said}; a new start makes its indexes anew"
    assert "do not match its records: row 63 missing" in caplog.text
    journal.close()
    assert opened_problem(path) == ""
    with JournalReader(path) as reader:
        assert reader.key_of("ref-missed") == "missed"
    assert verify(path).ok


def test_sound_indexes_are_looked_at_once_and_trading_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[object] = []

    def look(connection: sqlite3.Connection) -> str:
        looked.append(connection)
        return unsoundness(connection)

    unsoundness = soundness.unsoundness
    monkeypatch.setattr(soundness, "unsoundness", look)
    journal = opened(path)
    _looked(journal)
    assert journal.problem == ""
    ended(journal, 2, start=500)
    journal.sign_off()
    assert len(looked) == 1
    journal.close()
    journal = opened(path, whole_below=1_000)
    journal.sign_off()
    assert len(looked) == 1, "a whole walk looked by itself"
    journal.close()
    assert read_checkpoint(checkpoint_path(path)) is not None


def test_a_file_that_cannot_be_looked_at_is_a_problem(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: sqlite3.Connection) -> str:
        raise sqlite3.DatabaseError("disk I/O error")

    monkeypatch.setattr(soundness, "unsoundness", broken)
    journal = opened(path)
    _looked(journal)
    assert journal.problem.startswith("the file is not sound: disk I/O error")
    journal.close()


@pytest.mark.parametrize("kept", [True, False])
def test_a_damaged_index_is_told_once_and_no_checkpoint_outlives_it(
    path: Path, caplog: pytest.LogCaptureFixture, kept: bool
) -> None:
    _indexed(path, "kind = 'none'")
    journal = opened(path)
    live(journal, "missed")
    journal.close()
    _indexed(path, "kind = 'order'")
    journal = opened(path)
    if not kept:
        checkpoint_path(path).unlink()
    _looked(journal)
    assert journal.problem
    journal.problem = ""  # a person accepted it
    ended(journal, 2, start=500)
    journal.sign_off()
    assert journal.problem == ""
    assert caplog.text.count("do not match its records") == 1
    journal.close()
    assert not checkpoint_path(path).exists(), "the next start reads all, and makes them anew"


def test_a_close_interrupts_the_look_and_takes_nothing_for_damage(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def endless(connection: sqlite3.Connection) -> str:
        begun.set()
        connection.execute(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
        ).fetchone()
        return "never"

    monkeypatch.setattr(soundness, "unsoundness", endless)
    journal = opened(path)
    journal.sign_off()
    assert begun.wait(30)
    journal.sign_off()
    journal.close()
    assert journal.problem == ""
    assert not [each for each in threading.enumerate() if each.name == "alluse-journal-check"]
    assert opened_problem(path) == ""


def test_a_look_that_a_close_broke_off_keeps_no_file_open_and_no_process_alive(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, release = threading.Event(), threading.Event()

    def slow(_: sqlite3.Connection) -> str:
        begun.set()
        release.wait(30)
        return ""

    monkeypatch.setattr(soundness, "unsoundness", slow)
    journal = opened(path)
    journal.sign_off()
    assert begun.wait(30)
    (thread,) = (each for each in threading.enumerate() if each.name == "alluse-journal-check")
    assert thread.daemon
    release.set()
    journal.close()
    links = [Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd")]
    assert path not in {link.readlink() for link in links if link.is_symlink()}


# --- a file that was torn off --------------------------------------------------------------------


def small(folder: Path, page: int, count: int) -> Path:
    """A closed journal of one order that lives and ``count`` that ended, in pages of that size."""
    path = folder / "journal.db"
    journal = opened(path, storage=small_pages(page))
    live(journal, "lives")
    ended(journal, count)
    journal.close()
    return path


def torn(path: Path, less: int) -> None:
    os.truncate(path, path.stat().st_size - less)


@pytest.mark.parametrize("page", [512, 65_536])
def test_a_file_that_lacks_its_last_byte_is_read_whole_again(page: int) -> None:
    with memory_folder() as folder:
        path = small(folder, page, 20)
        edit(path, "UPDATE record SET body = '{}' WHERE seq = 20")
        assert opened_problem(path) == "", "a whole file is believed as far as it was signed off"
        torn(path, 1)
        assert opened_problem(path) != ""


@pytest.mark.parametrize("less", [1, 256, 510])
def test_behind_a_checkpoint_a_page_that_was_torn_off_costs_no_order_its_lookup(less: int) -> None:
    """The last page of this file belongs to an index."""
    with memory_folder() as folder:
        path = small(folder, 512, 56)
        torn(path, less)
        assert opened_problem(path) == ""
        with JournalReader(path) as reader:
            for key in (f"ended-{number}" for number in range(56)):
                assert len(reader.story(key)) == 3
                assert reader.key_of(f"ref-{key}") == key


def test_a_main_file_that_holds_nothing_yet_is_not_torn_off(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"")
    assert not history._torn_off(path)
