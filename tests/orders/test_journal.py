"""The journal: what it survives, what it finds, what it says."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from desk_floor import NODE

from alluse_core.errors import JournalCorrupt, JournalError
from alluse_core.orders.chain import Anchor, Head, read_anchor
from alluse_core.orders.committer import InlineCommitter, ThreadCommitter
from alluse_core.orders.journal import Journal, verify
from alluse_core.orders.reader import anchor_path
from alluse_core.orders.records import Kind
from alluse_core.orders.storage import Storage, SystemFile
from alluse_core.testing import VirtualClock

RECORDS = 40


def opened(path: Path) -> Journal:
    return Journal(path, clock=VirtualClock(), node=NODE, committer=InlineCommitter())


def write(journal: Journal, count: int, start: int = 0) -> None:
    for number in range(start, start + count):
        row = journal.scribe.row
        key = f"key-{number}"
        journal.append(
            row(Kind.ORDER, {"n": number}, key, f"ref-{number}", "INTENT"),
            row(Kind.EVENT, {"event": "REJECT"}, key, f"ref-{number}", "REJECTED"),
        )


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal as a killed process leaves it: with its write-ahead log."""
    folder = tmp_path_factory.mktemp("crashed")
    journal = opened(folder / "source.db")
    write(journal, RECORDS)
    for name in ("source.db", "source.db-wal", "source.db.anchor"):
        shutil.copy(folder / name, folder / name.replace("source", "journal"))
    journal.close()
    return folder / "journal.db"


def copied(crashed: Path, folder: Path) -> Path:
    for path in crashed.parent.glob("journal.db*"):
        shutil.copy(path, folder / path.name)
    return folder / "journal.db"


def problem_of(path: Path) -> str:
    """Open as a start does; return what is said to be wrong, '' where all is whole."""
    try:
        journal = opened(path)
    except (JournalCorrupt, JournalError) as error:
        return str(error)
    try:
        if not journal.problem:
            assert journal.verification.records == 2 * RECORDS, "history was lost in silence"
        return journal.problem
    finally:
        journal.close()


def test_a_killed_process_leaves_a_whole_journal(crashed: Path, tmp_path: Path) -> None:
    path = copied(crashed, tmp_path)
    assert problem_of(path) == ""
    assert verify(path).ok


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE record SET body = replace(body, '5', '6') WHERE seq = 11", "record 11"),
        ("DELETE FROM record WHERE seq = 11", "11 to 11 are gone"),
        ("DELETE FROM record WHERE seq > 70", "the anchor knows 80"),
        ("UPDATE record SET state = 'FILLED' WHERE seq = 12", "record 12"),
        (
            "UPDATE record SET seq = CASE seq WHEN 20 THEN -21 ELSE -20 END"
            " WHERE seq IN (20, 21); UPDATE record SET seq = -seq WHERE seq < 0",
            "record 20",
        ),
    ],
)
def test_verify_finds_an_edit_a_gap_a_new_order_and_a_lost_end(
    tmp_path: Path, statement: str, found: str
) -> None:
    path = tmp_path / "journal.db"
    journal = opened(path)
    write(journal, RECORDS)
    journal.close()
    assert verify(path).ok
    connection = sqlite3.connect(path)
    connection.executescript(statement)
    connection.close()
    verdict = verify(path)
    assert not verdict.ok
    assert found in verdict.problem


def test_a_lost_end_stays_visible_until_a_person_accepts_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = opened(path)
    write(journal, RECORDS)
    journal.close()
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM record WHERE seq > 70")
    connection.commit()
    connection.close()
    journal = opened(path)
    assert "the anchor knows 80" in journal.problem
    write(journal, 1, 500)
    journal.close()
    journal = opened(path)
    assert "71 to 80 are gone" in journal.problem
    journal.append(journal.scribe.row(Kind.ACCEPTED, {"by": "Ada", "problem": journal.problem}))
    journal.close()
    journal = opened(path)
    assert journal.problem == ""
    journal.close()
    assert not verify(path).ok
    assert verify(path).accepted


def test_without_its_anchor_a_journal_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = opened(path)
    write(journal, 3)
    journal.close()
    anchor_path(path).unlink()
    assert "anchor is missing" in verify(path).problem


def test_an_anchor_with_one_torn_slot_gives_the_other(tmp_path: Path) -> None:
    anchor = Anchor(tmp_path / "anchor")
    for number in (1, 2):
        anchor.write(Head(number, bytes([number]) * 32), float(number))
    anchor.close()
    path = tmp_path / "anchor"
    data = bytearray(path.read_bytes())
    assert read_anchor(path) == Head(2, b"\x02" * 32)
    data[140] ^= 1
    path.write_bytes(data)
    assert read_anchor(path) == Head(1, b"\x01" * 32)
    path.write_bytes(b"nonsense")
    assert read_anchor(path) is None


def test_what_is_not_a_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(JournalCorrupt):
        opened(path)
    with pytest.raises(JournalCorrupt):
        verify(path)
    with pytest.raises(JournalError, match="there is no journal"):
        verify(tmp_path / "missing.db")
    connection = sqlite3.connect(tmp_path / "later.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(JournalError, match="format 99"):
        opened(tmp_path / "later.db")


def test_what_one_turn_of_the_loop_appends_is_hardly_cut_up_and_everybody_is_told(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        committer = ThreadCommitter()
        journal = Journal(
            tmp_path / "journal.db", clock=VirtualClock(), node=NODE, committer=committer
        )
        sizes: list[int] = []
        inner = journal._write
        told: list[object] = []
        committer.close()

        def counting(rows: object) -> None:
            sizes.append(len(rows))  # type: ignore[arg-type]
            inner(rows)  # type: ignore[arg-type]

        committer.open(counting)
        for number in range(60):
            row = journal.scribe.row(Kind.NOTICE, {"n": number})
            journal.append(row, then=told.append)
        await journal.flushed()
        # The first goes ahead, unless the writer is slower than the turn and takes all together.
        assert sizes in ([60], [1, 59])
        assert told == [None] * 60
        journal.close()
        with pytest.raises(JournalError):
            journal.append()

    asyncio.run(scenario())
    assert verify(tmp_path / "journal.db").records == 60


# --- the anchor's file ----------------------------------------------------------------------------


class _File:
    """A plain file whose syncs fail; ``closed`` says whether it was let go."""

    closed = False

    def write(self, data: bytes, offset: int) -> None: ...

    def sync(self) -> None:
        raise OSError(5, "Input/output error")

    def close(self) -> None:
        self.closed = True


def test_an_anchor_that_cannot_be_synced_when_it_opens_is_let_go(tmp_path: Path) -> None:
    file = _File()
    storage = Storage(open_file=lambda _: file)
    with pytest.raises(OSError, match="Input/output"):
        Anchor(tmp_path / "anchor", storage)
    assert file.closed
    with pytest.raises(
        JournalError, match=r"anchor of journal\.db cannot be written: Input/output"
    ):
        Journal(
            tmp_path / "journal.db",
            clock=VirtualClock(),
            node=NODE,
            committer=InlineCommitter(),
            storage=storage,
        )


def test_opening_a_journal_that_holds_records_leaves_its_anchor_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = opened(path)
    write(journal, 1)
    journal.close()
    known = anchor_path(path).read_bytes()
    opened(path).close()
    assert anchor_path(path).read_bytes() == known, "each slot may be the one that is whole"
    anchor_path(path).unlink()
    opened(path).close()
    assert verify(path).problem == "the anchor is missing or unreadable", "a start hides no loss"


def test_an_end_between_the_first_commit_and_its_anchor_does_not_look_like_a_lost_anchor(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.db"
    journal = opened(path)
    before = anchor_path(path).read_bytes()
    write(journal, 1)
    journal.close()
    anchor_path(path).write_bytes(before)
    assert verify(path).ok


def test_an_anchor_is_two_slots_of_128_bytes_that_older_versions_read(tmp_path: Path) -> None:
    anchor = Anchor(tmp_path / "anchor")
    anchor.write(Head(1, b"\x01" * 32), 0.0)
    anchor.write(Head(2, b"\x02" * 32), 1.0)
    assert (tmp_path / "anchor").stat().st_size == 256
    anchor.write(Head(3, b"\x03" * 32), 1.5)
    anchor.write(Head(1, b"\x01" * 32), 1.9)
    anchor.close()
    one, two = (f"{n} {f'{n:02x}' * 32}" for n in (1, 2))
    slots = (f"{one} a7c57e3e\n".ljust(128), f"{two} 6922e655\n".ljust(128))
    assert (tmp_path / "anchor").read_text() == "".join(slots)


def test_the_name_of_a_new_file_is_made_durable_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    usual = os.fsync

    used: list[int] = []

    def fsync(descriptor: int) -> None:
        used.append(descriptor)
        synced.append(os.fstat(descriptor).st_ino)
        usual(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    SystemFile(tmp_path / "anchor").close()
    assert synced == [tmp_path.stat().st_ino]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(used[0])
    SystemFile(tmp_path / "anchor").close()
    assert len(synced) == 1, "its name is on the disk already"


def test_a_file_of_the_systems_is_synced_and_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    file = SystemFile(tmp_path / "anchor")
    descriptor = file._file
    file.sync()
    assert synced == [descriptor]
    assert os.fstat(descriptor).st_mode & 0o777 == 0o600, "nobody else reads it"
    file.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_sqlite_syncs_each_commit_and_names_the_format(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal.db")

    def pragma(name: str) -> object:
        return journal._connection.execute(f"PRAGMA {name}").fetchone()[0]

    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 2, "FULL: the log is synced before a commit returns"
    assert pragma("wal_autocheckpoint") == 4000
    assert pragma("user_version") == 1, "older journals have this"
    journal.close()


def test_a_file_that_is_no_database_is_called_one_at_once(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"no database " * 400)
    with pytest.raises(JournalCorrupt, match="file is not a database"):
        opened(tmp_path / "journal.db")


class _Told:
    """A plain file that tells what was done to it, over a real one."""

    def __init__(self, path: Path) -> None:
        self._file = SystemFile(path)
        self.done: list[str] = []

    def write(self, data: bytes, offset: int) -> None:
        self.done.append("write")
        self._file.write(data, offset)

    def sync(self) -> None:
        self.done.append("sync")
        self._file.sync()

    def close(self) -> None:
        self.done.append("close")
        self._file.close()


def test_an_anchor_is_on_the_disk_each_second_and_when_it_is_closed(tmp_path: Path) -> None:
    files: list[_Told] = []

    def open_file(path: Path) -> _Told:
        files.append(_Told(path))
        return files[-1]

    anchor = Anchor(tmp_path / "anchor", Storage(open_file=open_file))
    synced = [anchor.write(Head(1, b"\x01" * 32), now) for now in (0.0, 0.5, 1.0, 1.5)]
    assert synced == [True, False, True, False]
    anchor.close()
    assert files[0].done == [
        *("sync", "write", "sync", "write", "write", "sync", "write"),
        *("sync", "close"),
    ]


def test_an_anchor_that_is_opened_again_never_writes_over_its_newest_head(tmp_path: Path) -> None:
    path = tmp_path / "anchor"
    for number in range(1, 6):
        anchor = Anchor(path)
        anchor.write(Head(number, bytes([number]) * 32), 0.0)
        anchor.close()
        slots = [path.read_text()[start : start + 128] for start in (0, 128)]
        heads = {int(slot.split()[0]) for slot in slots if slot}
        assert heads == {number, number - 1} - {0}, "the one before is whole while one is written"
