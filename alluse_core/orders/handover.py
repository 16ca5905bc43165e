"""When the journal's records go to its writer: at the end of a turn of the loop, or before."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from alluse_core.errors import JournalError
from alluse_core.orders.committer import Commit, Committer, Write
from alluse_core.orders.records import Row

# Where a sync costs next to nothing, so much is written while the event loop still has more to do
# in its turn. Where it costs milliseconds, what comes later in the turn would wait for two of them.
# Of 25 to 1,000 rows this gave the most orders a second (P7).
_ROWS_WORTH_A_BATCH = 100
_CHEAP_SYNC = 0.001
# After a batch of so few rows, and with none being written, others that the turn may bring are not
# waited for.
_ROWS_OF_A_QUIET_TIME = 8
_LAZY_SECONDS = 0.02

Then = Callable[[JournalError | None], None]


class Taken(NamedTuple):
    """Records that were appended together. ``urgent``: worth one attempt from the reserve."""

    rows: tuple[Row, ...]
    then: Then | None
    urgent: bool


Done = Callable[[Commit, list[Taken]], None]


class Handover:
    """Keeps records until they go to the committer; ``done`` hears what became of each batch.

    ``sync_seconds`` is what a sync costs, as far as is known. Where no event loop runs, ``write``
    is called at once: there is nobody whose records could join.
    """

    def __init__(self, committer: Committer, write: Write, done: Done) -> None:
        self.sync_seconds = math.inf
        self._committer = committer
        self._write = write
        self._done = done
        self._waiting: list[Taken] = []
        self._rows = 0
        self._due = False
        self._lingering = False
        self._writing = 0
        self._last_rows = 0
        self._awaited = False
        self._closed = False

    def take(self, taken: Taken, *, lazy: bool) -> None:
        """Take records, to be written soon; ``lazy``: with the next batch, or in 20 ms."""
        self._waiting.append(taken)
        self._rows += len(taken.rows)
        if lazy:
            self._later()
        else:
            self._soon()
        if not self._due or not self._committer.concurrent or self.sync_seconds >= _CHEAP_SYNC:
            return
        if self._rows >= _ROWS_WORTH_A_BATCH:
            self._hand_over()
            self._step_aside()
        elif (
            taken.then is not None
            and not self._writing
            and self._last_rows <= _ROWS_OF_A_QUIET_TIME
        ):
            # The writer wakes while the turn goes on; it is stepped aside for at its end.
            self._hand_over()

    def put_back(self, failed: Sequence[Taken], *, soon: bool) -> None:
        """Take what failed again, before what came since: with the next batch, or ``soon``."""
        self._waiting[:0] = failed
        if soon:
            self._soon()

    def close(self) -> None:
        """Write what is left. The committer has ended."""
        self._closed = True
        self._inline()

    def _soon(self) -> None:
        if not self._due:
            self._due = True
            try:
                asyncio.get_running_loop().call_soon(self._flush)
            except RuntimeError:
                self._inline()

    def _later(self) -> None:
        if self._due or self._lingering:
            return
        try:
            asyncio.get_running_loop().call_later(_LAZY_SECONDS, self._flush_rest)
        except RuntimeError:
            self._inline()
        else:
            self._lingering = True

    def _flush_rest(self) -> None:
        self._lingering = False
        self._flush()

    def _flush(self) -> None:
        self._due = False
        if self._waiting and not self._closed:
            self._hand_over()
        self._step_aside()

    def _step_aside(self) -> None:
        """Let the writer begin with a batch that somebody waits for.

        It needs the interpreter's lock for a moment; whoever computes on keeps it for 5 ms.
        """
        if self._awaited:
            self._awaited = False
            time.sleep(0)

    def _hand_over(self) -> None:
        batch, rows = self._collected()
        self._writing += 1
        if self._committer.concurrent:
            self._awaited |= any(taken.then is not None for taken in batch)
        self._committer.commit(rows, lambda commit: self._written(commit, batch))

    def _written(self, commit: Commit, batch: list[Taken]) -> None:
        self._writing -= 1
        self._last_rows = commit.records
        self._done(commit, batch)

    def _inline(self) -> None:
        self._due = False
        batch, rows = self._collected()
        error: JournalError | None = None
        try:
            self._write(rows)
        except JournalError as failed:
            error = failed
        self._done(Commit(len(rows), 0.0, error), batch)

    def _collected(self) -> tuple[list[Taken], list[Row]]:
        batch, self._waiting, self._rows = self._waiting, [], 0
        return batch, [row for taken in batch for row in taken.rows]
