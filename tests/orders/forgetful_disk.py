"""A disk that can lose its power, fill up and fail, under the real SQLite (apsw) and the anchor.

Programs see an ordinary folder; beside it every write, truncation, sync and change of a name is
recorded. ``cut`` makes of that record what a power cut may leave on the platter: all that was
synced, and of the rest any sectors in any order, one of them torn.
"""

from __future__ import annotations

import errno
import os
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import apsw
import attrs

from alluse_core.orders.storage import Storage, SystemFile, allocate

SECTOR = 512
NAME = "forgetful"
MODES = ("nothing", "everything", "the first", "any", "any, one torn")


@attrs.frozen
class Op:
    """One thing done to the disk; for ``ack``, ``size`` is how many records were promised."""

    what: str  # create, write, truncate, sync, folder, delete, ack
    file: str = ""
    offset: int = 0
    data: bytes = b""
    size: int = 0


@attrs.define
class _Node:
    """A file: what is on the platter, and what is only in memory."""

    durable: bytearray = attrs.field(factory=bytearray)
    waiting: list[Op] = attrs.field(factory=list)

    def sync(self) -> None:
        for op in self.waiting:
            apply(self.durable, op)
        self.waiting.clear()


def apply(content: bytearray, op: Op) -> None:
    """Write or truncate."""
    if op.what == "truncate":
        if op.size < len(content):
            del content[op.size :]
        else:
            content.extend(bytes(op.size - len(content)))
        return
    if len(content) < op.offset:
        content.extend(bytes(op.offset - len(content)))
    content[op.offset : op.offset + len(op.data)] = op.data


def sectors(op: Op) -> Iterator[Op]:
    """Yield a write in pieces that a disk writes at once."""
    start = op.offset
    while start < op.offset + len(op.data):
        end = min((start // SECTOR + 1) * SECTOR, op.offset + len(op.data))
        yield Op("write", op.file, start, op.data[start - op.offset : end - op.offset])
        start = end


def survivors(waiting: Sequence[Op], dice: random.Random) -> list[Op]:
    """Draw which of the unsynced operations reached the platter."""
    mode = dice.choice(MODES)
    pieces = [piece for op in waiting for piece in (sectors(op) if op.data else (op,))]
    if mode == "nothing":
        return []
    if mode == "everything":
        return pieces
    if mode == "the first":
        return pieces[: dice.randint(0, len(pieces))]
    share = dice.random()
    kept = [piece for piece in pieces if dice.random() < share]
    torn = [place for place, piece in enumerate(kept) if len(piece.data) > 1]
    if mode == "any, one torn" and torn:
        place = dice.choice(torn)
        piece = kept[place]
        kept[place] = attrs.evolve(piece, data=piece.data[: dice.randrange(1, len(piece.data))])
    return kept


class ForgetfulDisk:
    """What was done in one folder, in order, and what the disk refuses.

    ``capacity`` bytes are the folder's files together; None: no limit. ``fail_syncs``: so many
    syncs fail, after ``fail_after`` that do not; those that follow succeed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ops: list[Op] = []
        self.capacity: int | None = None
        self.fail_syncs = 0
        self.fail_after = 0
        self.refused = 0
        self.checkpoint_pages = 4000
        self.synchronous = "FULL"
        self._before = {path.name: path.read_bytes() for path in folder.iterdir()}

    # --- what was done ----------------------------------------------------------------------

    def note(self, what: str, path: str, **more: Any) -> None:
        """Record one operation."""
        name = os.path.basename(path)
        if not name.endswith("-shm"):
            self.ops.append(Op(what, name, **more))

    def acknowledge(self, records: int) -> None:
        """Record that somebody was promised so many records."""
        self.ops.append(Op("ack", size=records))

    def room(self, path: str, end: int) -> bool:
        """Whether a file may grow to ``end`` bytes."""
        if self.capacity is None:
            return True
        used = {each.name: each.stat().st_size for each in self.folder.iterdir()}
        name = os.path.basename(path)
        used[name] = max(used.get(name, 0), end)
        fits = sum(size for each, size in used.items() if not each.endswith("-shm"))
        if fits > self.capacity:
            self.refused += 1
        return fits <= self.capacity

    def sync_fails(self) -> bool:
        """Whether the sync that is asked for fails."""
        if self.fail_syncs == 0:
            return False
        if self.fail_after > 0:
            self.fail_after -= 1
            return False
        self.fail_syncs -= 1
        self.refused += 1
        return True

    # --- what is left -----------------------------------------------------------------------

    def cut(self, at: int, dice: random.Random, into: Path) -> int:
        """Write what a power cut after ``at`` operations leaves; return the records promised."""
        nodes = {name: _Node(bytearray(data)) for name, data in self._before.items()}
        durable = dict(nodes)
        names: list[Op] = []
        promised = 0
        for op in self.ops[:at]:
            if op.what == "ack":
                promised = op.size
            elif op.what == "sync":
                nodes[op.file].sync()
            elif op.what == "folder":
                durable, names = dict(nodes), []
            elif op.what == "delete":
                del nodes[op.file]
                names.append(op)
            elif op.what == "create":
                nodes[op.file] = _Node()
                names.append(op)
            else:
                nodes[op.file].waiting.append(op)
        for op in names:
            if dice.random() < 0.5:
                if op.what == "delete":
                    durable.pop(op.file, None)
                elif op.file in nodes:
                    durable[op.file] = nodes[op.file]
        for name, node in durable.items():
            content = bytearray(node.durable)
            for op in survivors(node.waiting, dice):
                apply(content, op)
            (into / name).write_bytes(content)
        return promised

    # --- as the journal's storage -----------------------------------------------------------

    @property
    def storage(self) -> Storage:
        """What a journal in the folder writes through; inside ``mounted``."""
        return Storage(self._connect, lambda path: _File(self, path), self._allocate)

    def _connect(self, path: Path) -> sqlite3.Connection:
        return cast(sqlite3.Connection, _Connection(self, path))

    def _allocate(self, path: Path, size: int) -> None:
        if not self.room(str(path), size):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        allocate(path, size)


@contextmanager
def mounted(disk: ForgetfulDisk) -> Iterator[ForgetfulDisk]:
    """Put ``disk`` under the connections that its storage makes."""
    vfs = _Vfs(disk)
    try:
        yield disk
    finally:
        vfs.unregister()


class _File(SystemFile):
    """The anchor's file."""

    def __init__(self, disk: ForgetfulDisk, path: Path) -> None:
        made = not path.exists()
        super().__init__(path)
        self._disk, self._name = disk, str(path)
        if made:
            disk.note("create", self._name)
            disk.note("folder", self._name)

    def write(self, data: bytes, offset: int) -> None:
        if not self._disk.room(self._name, offset + len(data)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(data, offset)
        self._disk.note("write", self._name, offset=offset, data=data)

    def sync(self) -> None:
        if self._disk.sync_fails():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._disk.note("sync", self._name)


class _Vfs(apsw.VFS):
    """SQLite's own file system, watched. Files are not really synced: nobody pulls this plug."""

    def __init__(self, disk: ForgetfulDisk) -> None:
        self._disk = disk
        super().__init__(NAME, "")

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        path = name if isinstance(name, str) else name.filename()
        if not os.path.exists(path):
            self._disk.note("create", path)
        return _VfsFile(self._disk, path, name, flags)

    def xDelete(self, name: str, sync_folder: bool) -> None:
        super().xDelete(name, False)
        self._disk.note("delete", name)
        if sync_folder:
            self._disk.note("folder", name)


class _VfsFile(apsw.VFSFile):
    def __init__(self, disk: ForgetfulDisk, path: str, name: Any, flags: list[int]) -> None:
        self._disk, self._path = disk, path
        # As SQLite does: a new log's first sync takes the folder along, a database's does not.
        logs = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL
        self._syncs_folder = bool(flags[0] & logs) and not os.path.exists(path)
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        if not self._disk.room(self._path, offset + len(data)):
            raise apsw.FullError("database or disk is full")
        super().xWrite(data, offset)
        self._disk.note("write", self._path, offset=offset, data=bytes(data))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        self._disk.note("truncate", self._path, size=size)

    def xSync(self, flags: int) -> None:
        if self._disk.sync_fails():
            raise apsw.IOError("disk I/O error")
        self._disk.note("sync", self._path)
        if self._syncs_folder:
            self._syncs_folder = False
            self._disk.note("folder", self._path)


class _Connection:
    """The part of sqlite3.Connection that the journal uses, over the watched file system."""

    def __init__(self, disk: ForgetfulDisk, path: Path) -> None:
        self._swap = {
            "PRAGMA wal_autocheckpoint = 4000": (
                f"PRAGMA wal_autocheckpoint = {disk.checkpoint_pages}"
            ),
            "PRAGMA synchronous = FULL": f"PRAGMA synchronous = {disk.synchronous}",
        }
        with _translated():
            self._connection = apsw.Connection(str(path), vfs=NAME)
            self._connection.set_busy_timeout(5000)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Any:
        with _translated():
            return _Rows(list(self._connection.execute(self._swap.get(sql, sql), tuple(values))))

    def executescript(self, sql: str) -> Any:
        return self.execute(sql)

    def close(self) -> None:
        # sqlite3 does not tell that the log could not be folded in; the next start does it.
        with suppress(apsw.Error):
            self._connection.close()


class _Rows(list[Any]):
    def fetchone(self) -> Any:
        return self[0] if self else None


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise sqlite3.DatabaseError(str(error)) from error
    except apsw.Error as error:
        raise sqlite3.OperationalError(str(error)) from error
