"""Small journals as a power cut leaves them, to be damaged byte by byte and opened again."""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
from desk_floor import NODE

from alluse_core.errors import JournalCorrupt, JournalError
from alluse_core.orders.committer import InlineCommitter
from alluse_core.orders.journal import Journal
from alluse_core.orders.reader import Entry
from alluse_core.orders.records import Kind, Row, Scribe
from alluse_core.orders.storage import Storage
from alluse_core.orders.verification import verify
from alluse_core.testing import VirtualClock

NAME = "journal.db"
LOG = f"{NAME}-wal"
ANCHOR = f"{NAME}.anchor"
CHECKED = f"{NAME}.checked"
_LOG_HEADER, _FRAME_HEADER = 32, 24


@contextmanager
def memory_folder() -> Iterator[Path]:
    """Yield a folder in memory where the system has one: thousands of journals are written."""
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    with TemporaryDirectory(prefix="alluse-damage-", dir=place) as folder:
        yield Path(folder)


def small_pages(size: int) -> Storage:
    """Return a storage whose new databases have pages of ``size`` bytes, and no reserve."""

    def connect(path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute(f"PRAGMA page_size = {size}")
        return connection

    return Storage(connect=connect, allocate=lambda path, _: path.touch())


def batches(scribe: Scribe) -> list[list[Row]]:
    """Return what a short session journals: an order that ended, one that lives, a halt."""
    row = scribe.row
    text = {"broker": "fake", "account": "DU1", "source": "report"}
    return [
        [row(Kind.START, {"brokers": ["fake"]}), row(Kind.IDS, {"broker": "fake", "up_to": 64})],
        [
            row(Kind.ORDER, text, "a", "ref-a", "INTENT"),
            row(Kind.EVENT, text, "a", "ref-a", "SENT"),
        ],
        [
            row(Kind.EVENT, text, "a", "ref-a", "ACCEPTED"),
            row(Kind.ORDER, text, "b", "ref-b", "INTENT"),
            row(Kind.EVENT, text, "b", "ref-b", "SUBMITTED"),
        ],
        [row(Kind.FILL, text, "a", "ref-a", "FILLED")],
        [row(Kind.CONTROL, {"state": "HALTED", "reason": "test", "broker": "fake"})],
    ]


@attrs.frozen
class Whole:
    """An undamaged journal: its files, and how many records each commit of its log completes.

    ``commits``: (offset in the log at which the commit ends, records then). ``base`` records are
    in the main file.
    """

    files: dict[str, bytes]
    page: int
    base: int
    commits: tuple[tuple[int, int], ...]
    entries: tuple[Entry, ...]

    @property
    def log(self) -> bytes:
        """The write-ahead log."""
        return self.files[LOG]

    def records_before(self, offset: int) -> int:
        """Return how many records are whole where the log is, from ``offset`` on, not."""
        return max((count for end, count in self.commits if end <= offset), default=self.base)

    def frame(self, offset: int) -> int:
        """Return where the frame begins that holds ``offset``; 0 in the header."""
        if offset < _LOG_HEADER:
            return 0
        size = _FRAME_HEADER + self.page
        return _LOG_HEADER + (offset - _LOG_HEADER) // size * size


def opened(path: Path, storage: Storage, whole_below: int = 10_000) -> Journal:
    """Open as a start does."""
    return Journal(
        path,
        clock=VirtualClock(),
        node=NODE,
        committer=InlineCommitter(),
        storage=storage,
        whole_below=whole_below,
    )


def written(folder: Path, storage: Storage, *, restarted: bool) -> Whole:
    """Write a journal and return its files as they lie there before it is closed.

    All is in the log; or, ``restarted``, some is in the main file and the log has begun anew over
    frames that are of no use any more.
    """
    journal = opened(folder / NAME, storage)
    base = 0
    rows = batches(journal.scribe)
    if restarted:
        base = sum(len(batch) for batch in rows[:3])
        for batch in rows[:3]:
            journal.append(*batch)
        journal._connection.execute("PRAGMA wal_checkpoint(RESTART)")
        rows = rows[3:]
    for batch in rows:
        journal.append(*batch)
    with journal.read() as reader:
        entries = tuple(reader.entries())
    files = {name: (folder / name).read_bytes() for name in (NAME, LOG, ANCHOR)}
    journal.close()
    ends = _commit_ends(files[LOG])
    counts = [base + sum(len(batch) for batch in rows[: n + 1]) for n in range(len(rows))]
    page = int(struct.unpack(">I", files[LOG][8:12])[0])
    return Whole(files, page, base, tuple(zip(ends[-len(rows) :], counts, strict=True)), entries)


def _commit_ends(log: bytes) -> list[int]:
    """Return where each commit ends in a log, up to the frames of an older one."""
    page, salts = struct.unpack(">I", log[8:12])[0], log[16:24]
    ends, start = [], _LOG_HEADER
    while start < len(log) and log[start + 8 : start + 16] == salts:
        after = start + _FRAME_HEADER + page
        if struct.unpack(">I", log[start + 4 : start + 8])[0]:
            ends.append(after)
        start = after
    return ends


@attrs.frozen
class Found:
    """What opening said: ``refused`` or ``problem``; neither where it called all whole."""

    entries: tuple[Entry, ...] = ()
    stories: tuple[tuple[Entry, ...], ...] = ()
    general: tuple[Entry, ...] = ()
    problem: str = ""
    refused: str = ""
    unread: str = ""
    """Why not all records could be read, once it was open."""
    keys: tuple[str | None, ...] = ()
    """What the orderRefs of the orders lead to."""
    later: str | None = None
    """What ``verify`` says once the journal was closed again, where it was asked."""

    @property
    def said(self) -> str:
        """What a person is told."""
        return self.refused or self.problem


def judged(
    folder: Path,
    files: dict[str, bytes],
    storage: Storage,
    *,
    again: bool = False,
    whole_below: int = 10_000,
) -> Found:
    """Open a journal of these files, read all that a start reads, and close it.

    ``again``: verify it afterwards.
    """
    for left in folder.iterdir():
        left.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    path = folder / NAME
    try:
        journal = opened(path, storage, whole_below)
    except JournalError as error:
        return Found(refused=str(error))
    general, stories = journal.recover()
    problem = journal.problem
    entries: tuple[Entry, ...] = ()
    keys: tuple[str | None, ...] = ()
    unread = ""
    try:
        with journal.read() as reader:
            entries = tuple(reader.entries())
            keys = tuple(reader.key_of(ref) for ref in ("ref-a", "ref-b"))
    except JournalCorrupt as error:
        unread = str(error)
    finally:
        journal.close()
    told = tuple(tuple(story) for story in stories)
    later = _verified(path) if again else None
    return Found(entries, told, tuple(general), problem, "", unread, keys, later)


def _verified(path: Path) -> str:
    try:
        return verify(path).problem
    except JournalCorrupt as error:
        return str(error)


def stories_of(entries: Sequence[Entry]) -> dict[str, tuple[Entry, ...]]:
    """Return the records of each order."""
    keys = dict.fromkeys(entry.key for entry in entries if entry.key)
    return {key: tuple(each for each in entries if each.key == key) for key in keys}
