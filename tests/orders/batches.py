"""A journal, records for it, and disks that fail, wait or are slow, for tests of its batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from desk_floor import NODE

from alluse_core.errors import JournalError
from alluse_core.orders import records
from alluse_core.orders.committer import Commit, InlineCommitter
from alluse_core.orders.journal import Journal
from alluse_core.orders.records import Kind
from alluse_core.orders.storage import SystemFile
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


class Held(InlineCommitter):
    """A disk that holds each batch until it is told what becomes of it, or to write it."""

    def __init__(self, *, concurrent: bool = False, holding: bool = True) -> None:
        super().__init__()
        self.concurrent = concurrent
        self.holding = holding
        self.held: list[tuple[Any, Any]] = []

    def commit(self, rows: Any, done: Any) -> None:
        if self.holding:
            self.held.append((rows, done))
        else:
            super().commit(rows, done)

    @property
    def sizes(self) -> list[int]:
        """How many records each batch has that is held."""
        return [len(rows) for rows, _ in self.held]

    def write(self) -> None:
        """Write what is held, and tell of it."""
        held, self.held = self.held, []
        for rows, done in held:
            super().commit(rows, done)


class Stopwatch(VirtualClock):
    """A clock that goes on while a file is synced."""

    spent = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.spent


def slow_files(clock: Stopwatch, seconds: float) -> Callable[[Path], SystemFile]:
    """Return what opens files whose sync takes ``seconds`` of ``clock``."""

    class Slow(SystemFile):
        def sync(self) -> None:
            super().sync()
            clock.spent += seconds

    return Slow
