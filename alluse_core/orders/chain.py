"""The chain of hashes that binds the journal's records, and its anchor outside the database.

Record n holds ``hash(n) = sha256(hash(n - 1) + record n)``, so an edit, a gap or a changed order
shows. A chain alone cannot show that its end is missing: a torn write-ahead log leaves a shorter
history that is valid in itself. Therefore the head also goes to a file of its own.

The chain detects accidents. Who can write both the database and the anchor can make both agree.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from pathlib import Path

import attrs

from alluse_core.orders.records import Row
from alluse_core.orders.storage import DISK, PlainFile, Storage

GENESIS = hashlib.sha256(b"alluse journal 1").digest()
# One slot is whole and synced, whatever moment the writing of the other was cut at.
_SLOT_BYTES = 128
_SYNC_EVERY = 1.0


def link(previous: bytes, sequence: int, row: Row) -> bytes:
    """Return the hash of record ``sequence`` that follows one with hash ``previous``."""
    # The separator cannot occur in what stands before the body: keys are printable text.
    time, kind, key, ref, state, body = row
    text = f"{sequence}\x1f{time}\x1f{kind}\x1f{key}\x1f{ref}\x1f{state}\x1f{body}"
    return hashlib.sha256(previous + text.encode()).digest()


@attrs.frozen
class Head:
    """The last record: its sequence number (0: none) and hash."""

    sequence: int
    hash: bytes


EMPTY = Head(0, GENESIS)


class Anchor:
    """A small file that holds the head of the newest batch.

    It is written after each commit and synced at most once a second: a killed process loses
    nothing of it, and after a power cut it may be a second behind the database, never ahead.
    """

    def __init__(self, path: Path, storage: Storage = DISK) -> None:
        self.path = path
        self._file: PlainFile | None = storage.open_file(path)
        self._slot = 1 - _newest_slot(path)
        self._synced_at = -math.inf
        # What a killed process wrote here may not be on the disk yet, and the other slot is next.
        try:
            self._file.sync()
        except OSError:
            self._file.close()
            raise

    def write(self, head: Head, now: float) -> bool:
        """Note ``head`` at monotonic ``now``; return whether it was synced. Raises OSError."""
        text = f"{head.sequence} {head.hash.hex()}"
        line = f"{text} {zlib.crc32(text.encode()):08x}\n".ljust(_SLOT_BYTES).encode()
        if self._file is None:
            raise OSError("the anchor is closed")
        self._file.write(line, self._slot * _SLOT_BYTES)
        if now - self._synced_at < _SYNC_EVERY:
            return False
        self._file.sync()
        self._synced_at = now
        # Only now: until a sync the other slot is the one that a power cut leaves whole.
        self._slot = 1 - self._slot
        return True

    def close(self) -> None:
        """Sync and end. Safe to call twice."""
        if self._file is not None:
            file, self._file = self._file, None
            try:
                file.sync()
            finally:
                file.close()


def read_anchor(path: Path) -> Head | None:
    """Return the newest head the file holds; None where it is missing or holds none that is whole.

    Raises OSError where it is there and cannot be read.
    """
    return max(
        (head for head in _slots(path) if head), key=lambda head: head.sequence, default=None
    )


def _slots(path: Path) -> list[Head | None]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return [None, None]
    return [_slot(data[start : start + _SLOT_BYTES]) for start in (0, _SLOT_BYTES)]


def _newest_slot(path: Path) -> int:
    """Return which slot holds the newest head; the second where none is whole."""
    first, second = (head.sequence if head else -math.inf for head in _slots(path))
    return 0 if first > second else 1


def _slot(data: bytes) -> Head | None:
    try:
        sequence, digest, check = data.decode("ascii").split()
        if int(check, 16) != zlib.crc32(f"{sequence} {digest}".encode()):
            return None
        return Head(int(sequence), bytes.fromhex(digest))
    except ValueError:
        return None
