"""A journal, records for it, and a disk that fails, for tests of its batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from desk_floor import NODE

from alluse_core.errors import JournalError
from alluse_core.orders import records
from alluse_core.orders.committer import Commit, InlineCommitter
from alluse_core.orders.journal import Journal
from alluse_core.orders.records import Kind
from alluse_core.testing import VirtualClock


def opened(path: Path, **more: Any) -> Journal:
    committer = more.pop("committer", None) or InlineCommitter()
    return Journal(path, clock=VirtualClock(), node=NODE, committer=committer, **more)


def noted(journal: Journal, kind: Kind = Kind.NOTICE) -> records.Row:
    return journal.scribe.row(kind, {"n": 1})


class Failing(InlineCommitter):
    """A disk that fails while ``broken``."""

    broken = False

    def commit(self, rows: Any, done: Any) -> None:
        if self.broken:
            done(Commit(len(rows), 0.25, JournalError("disk full")))
        else:
            super().commit(rows, done)
