"""Who writes the journal's batches: a thread in production, the caller under simulation."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import attrs

from alluse_core.errors import JournalError
from alluse_core.orders.records import Row


@attrs.frozen
class Commit:
    """What became of a batch. ``error`` None: it is on disk."""

    records: int
    seconds: float
    error: JournalError | None


Write = Callable[[Sequence[Row]], None]
Done = Callable[[Commit], None]


class Committer(Protocol):
    """Writes batches one after the other, in the order they were handed over.

    ``concurrent``: it writes while whoever handed over goes on, and calls ``done`` later.
    """

    @property
    def concurrent(self) -> bool:
        """Whether ``commit`` returns before the batch is written."""

    def open(self, write: Write) -> None:
        """Begin; ``write`` makes one batch durable or raises JournalError."""

    def commit(self, rows: Sequence[Row], done: Done) -> None:
        """Write ``rows`` and call ``done``, from the thread that called this."""

    def close(self) -> None:
        """Return once everything handed over is written. Safe to call twice."""


def _attempt(write: Write, rows: Sequence[Row]) -> Commit:
    started = time.perf_counter()
    error: JournalError | None = None
    try:
        write(rows)
    except JournalError as failed:
        error = failed
    return Commit(len(rows), time.perf_counter() - started, error)


class InlineCommitter:
    """Writes at once, in the caller's thread: for simulation in virtual time, and for tests."""

    concurrent = False

    def __init__(self) -> None:
        self._write: Write | None = None

    def open(self, write: Write) -> None:
        """Begin."""
        self._write = write

    def commit(self, rows: Sequence[Row], done: Done) -> None:
        """Write and call ``done`` before returning."""
        if self._write is None:
            raise JournalError("the journal is closed")
        done(_attempt(self._write, rows))

    def close(self) -> None:
        """End; there is never anything left to write."""
        self._write = None


_Work = tuple[Sequence[Row], Done, asyncio.AbstractEventLoop]


class ThreadCommitter:
    """One writer thread. What arrives while it syncs becomes the next batch (group commit)."""

    concurrent = True

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def open(self, write: Write) -> None:
        """Start the thread."""
        self._thread = threading.Thread(
            target=self._run, args=(write,), name="alluse-journal", daemon=True
        )
        self._thread.start()

    def commit(self, rows: Sequence[Row], done: Done) -> None:
        """Queue the batch; ``done`` is called in the running event loop."""
        if self._thread is None:
            raise JournalError("the journal is closed")
        self._queue.put((rows, done, asyncio.get_running_loop()))

    def close(self) -> None:
        """Let the thread finish what is queued, and end it."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _run(self, write: Write) -> None:
        ending = False
        while not ending:
            work = [self._queue.get()]
            while not self._queue.empty():
                work.append(self._queue.get())
            ending = None in work
            batches = [item for item in work if item is not None]
            if batches:
                self._write(write, batches)

    def _write(self, write: Write, batches: list[_Work]) -> None:
        result = _attempt(write, [row for rows, _, _ in batches for row in rows])
        for _, done, loop in batches:
            try:
                loop.call_soon_threadsafe(done, result)
            except RuntimeError:
                # The loop has ended: nobody waits for this batch any more, and it is on disk.
                continue
