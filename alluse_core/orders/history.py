"""What a journal holds already: checked when it is opened, and read back while it grows."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import struct
from pathlib import Path

from alluse_core.orders.chain import Head, read_anchor
from alluse_core.orders.checkpoint import (
    Checkpoint,
    Recovered,
    checkpoint_path,
    is_of,
    read_checkpoint,
    read_standing,
)
from alluse_core.orders.reader import anchor_path, corrupt
from alluse_core.orders.soundness import IndexCheck
from alluse_core.orders.verification import UNREADABLE, Verification, unsoundness, walk

_HEADER = struct.Struct(">16xH10xI")
"""Size of a page and number of pages in the first bytes of an SQLite file (sqlite.org/fileformat2).

A size of 1 stands for 65,536.
"""
_log = logging.getLogger(__name__)
_SAVED_EVERY = 1_000


class History:
    """The records of a journal up to the last one that was verified.

    Opening checks the chain from the last checkpoint on; all of it, and the indexes, where there is
    none or where fewer than ``whole_below`` records are signed off by it. Else the indexes are
    looked at afterwards; ``indexes_sound`` once that found nothing. ``recovered`` is what a start
    needs. Raises JournalCorrupt where the file is no journal any more.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, whole_below: int) -> None:
        self._path = path
        self._connection = connection
        self._saved_at = 0
        anchor = read_anchor(anchor_path(path))
        try:
            resumed = self._resumed(anchor, whole_below)
            self._checked = resumed or self._walked(anchor)
            unsound = "" if resumed else self._unsound()
        except UNREADABLE as error:
            raise corrupt(path, error) from None
        self._unlooked = resumed is not None
        self.indexes_sound = resumed is None
        self._indexes: IndexCheck | None = None
        self.orders_ever = self._checked.standing.orders
        self.verification: Verification = self._checked.walk.finish(anchor, unsound)
        self._signing = self.verification.ok or self.verification.accepted

    # --- opening --------------------------------------------------------------------------------

    def _resumed(self, anchor: Head | None, whole_below: int) -> Checkpoint | None:
        """Go on from the checkpoint; None where it does not fit, or what it names is damaged."""
        checkpoint = read_checkpoint(checkpoint_path(self._path))
        if checkpoint is None or checkpoint.walk.records < whole_below or _torn_off(self._path):
            return None
        if not is_of(checkpoint, self._connection, anchor):
            return None
        saved_at = checkpoint.walk.head.sequence
        self._go_on(checkpoint, anchor)
        self.recovered: Recovered = read_standing(
            self._connection, checkpoint.standing, walked=False
        )
        if not self.recovered.sure:
            return None
        self._saved_at = saved_at
        return checkpoint

    def _walked(self, anchor: Head | None) -> Checkpoint:
        checkpoint = Checkpoint()
        self._go_on(checkpoint, anchor)
        self.recovered = read_standing(self._connection, checkpoint.standing, walked=True)
        return checkpoint

    def _go_on(self, checkpoint: Checkpoint, anchor: Head | None) -> None:
        for sequence, row in walk(self._connection, anchor, checkpoint.walk):
            checkpoint.standing.take(sequence, row)

    def _unsound(self) -> str:
        """Return what is wrong with the file beside its records; indexes are made anew first."""
        found = unsoundness(self._connection)
        verdict = self._checked.walk.verdict()
        if found and (verdict.ok or verdict.accepted):
            _log.error("the indexes of %s are made anew: %s", self._path.name, found)
            self._connection.execute("REINDEX")
            found = unsoundness(self._connection)
        return found

    # --- growing --------------------------------------------------------------------------------

    @property
    def signed(self) -> int:
        """The number of the last record that was read and found whole."""
        return self._checked.walk.head.sequence

    def read_back(self, connection: sqlite3.Connection, most: int) -> str:
        """Read up to ``most`` new records; return what is wrong with them, '' for nothing.

        After a problem, at the opening too, nothing more is signed off.
        """
        checkpoint = self._checked
        if not self._signing:
            return ""
        try:
            for sequence, row in walk(connection, None, checkpoint.walk, most):
                checkpoint.standing.take(sequence, row)
        except sqlite3.OperationalError:
            # A disk that answers no more fails the next write too; nothing is signed meanwhile.
            return ""
        except UNREADABLE as error:
            found = f"what follows record {self.signed} cannot be read: {error}"
        else:
            verdict = checkpoint.walk.verdict()
            found = "" if verdict.accepted else verdict.problem
        if found:
            _log.error("the journal does not hold what was written: %s", found)
            self._signing = False
        return found

    def look_at_indexes(self) -> str:
        """Return what is wrong with the indexes once that is known; '' before, and for nothing.

        Where the opening looked at them there is nothing to do; else the first call begins to.
        After a problem the next opening does without the checkpoint, and makes them anew.
        """
        if not self._unlooked:
            return ""
        if self._indexes is None:
            self._indexes = IndexCheck(self._path)
        found = self._indexes.finding
        if found is None:
            return ""
        self._unlooked = False
        if not found:
            self.indexes_sound = True
            return ""
        self._signing = False
        checkpoint_path(self._path).unlink(missing_ok=True)
        _log.error("the indexes of %s do not match its records: %s", self._path.name, found)
        return f"the file is not sound: {found}; a new start makes its indexes anew"

    def close(self) -> None:
        """End the look at the indexes, done or not. Safe to call twice."""
        self._unlooked = False
        if self._indexes is not None:
            self._indexes.close()

    def save(self, least: int = _SAVED_EVERY) -> None:
        """Write the checkpoint where ``least`` records are new: without it a start takes longer."""
        checkpoint = self._checked
        # All live orders are named anew each time: the more there are, the rarer.
        worth = max(least, least * len(checkpoint.standing) // 100)
        if self._signing and self.signed - self._saved_at >= worth:
            with contextlib.suppress(OSError):
                checkpoint.write(checkpoint_path(self._path))
                self._saved_at = self.signed


def _torn_off(path: Path) -> bool:
    """Whether the file lacks pages of its own: what a lookup needs may have been among them."""
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
        size = file.seek(0, os.SEEK_END)
    if len(header) < _HEADER.size:
        # All that there is lies in the log yet.
        return False
    page, pages = _HEADER.unpack(header)
    return size < (65_536 if page == 1 else int(page)) * int(pages)
