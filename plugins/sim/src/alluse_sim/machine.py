"""A machine that can be killed: what a process does ends between two of its instructions."""

from __future__ import annotations

import asyncio
import contextvars
import shutil
from collections.abc import Sequence
from pathlib import Path

from alluse_core.errors import JournalError
from alluse_core.orders.committer import Commit, Done, Write
from alluse_core.orders.records import Row
from alluse_sim.network import Network

CURRENT: contextvars.ContextVar[Machine | None] = contextvars.ContextVar("machine", default=None)
"""The machine whose program runs; None for the broker's side."""


class Machine:
    """Where one process of the agent runs, with the folder that is its disk.

    Python cannot stop a program between two instructions, so a kill cuts it off from the world
    instead: what it writes to sockets from then on goes nowhere, new connections are refused, and
    the disk is copied as it is at this instant. Whatever the program still does, nobody sees.
    """

    def __init__(self, network: Network, disk: Path) -> None:
        self.disk = disk
        self.dead = asyncio.Event()
        self.network = network
        self._saved: Path | None = None

    @property
    def alive(self) -> bool:
        """Whether it was not killed."""
        return not self.dead.is_set()

    def kill(self) -> None:
        """Stop it now, as kill -9 does: bytes already given to the network still travel."""
        if not self.alive:
            return
        self._saved = self.disk.with_name(self.disk.name + "x")
        shutil.copytree(self.disk, self._saved)
        self.dead.set()
        self.network.bury(self)

    @property
    def saved(self) -> Path:
        """The disk as it was when the machine was killed."""
        assert self._saved is not None, "the machine was not killed"
        return self._saved


class SlowDisk:
    """A committer in virtual time: each batch takes ``seconds``, then is durable at once.

    ``kill_at``: the machine dies at that batch, counted from 1; before its records are durable,
    or (``after``) when they are and nobody has been told.
    """

    concurrent = True

    def __init__(
        self, machine: Machine, seconds: float = 0.0, kill_at: int = 0, after: bool = False
    ) -> None:
        self.batches = 0
        self._machine = machine
        self._seconds = seconds
        self._kill_at = kill_at
        self._after = after
        self._write: Write | None = None
        self._due = 0.0
        self._waiting: list[tuple[Sequence[Row], Done]] = []

    def open(self, write: Write) -> None:
        """Begin."""
        self._write = write

    def commit(self, rows: Sequence[Row], done: Done) -> None:
        """Write after the disk's time; batches keep their order."""
        if self._write is None:
            raise JournalError("the journal is closed")
        self._waiting.append((rows, done))
        loop = asyncio.get_running_loop()
        self._due = max(self._due, loop.time()) + self._seconds
        loop.call_at(self._due, self._next)

    def _next(self) -> None:
        if not self._waiting or self._write is None:
            return
        rows, done = self._waiting.pop(0)
        self.batches += 1
        dies = self.batches == self._kill_at
        if dies and not self._after:
            self._machine.kill()
        error: JournalError | None = None
        try:
            self._write(rows)
        except JournalError as failed:
            error = failed
        if dies:
            self._machine.kill()
        done(Commit(len(rows), self._seconds, error))

    def close(self) -> None:
        """Write what waits, and end."""
        while self._waiting:
            self._next()
        self._write = None
