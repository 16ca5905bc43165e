"""The journal of orders: durable before anything is sent, chained, and read back at a start."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from alluse_core.clock import Clock
from alluse_core.errors import JournalError
from alluse_core.model import NodeIdentity
from alluse_core.orders.chain import EMPTY, Anchor, Head, link, read_anchor
from alluse_core.orders.committer import Commit, Committer, ThreadCommitter
from alluse_core.orders.handover import Handover, Taken, Then
from alluse_core.orders.history import History
from alluse_core.orders.reader import (
    COLUMNS,
    Entry,
    JournalReader,
    OrderSummary,
    anchor_path,
    corrupt,
)
from alluse_core.orders.records import Row, Scribe
from alluse_core.orders.storage import DISK, Storage
from alluse_core.orders.verification import Verification, verify
from alluse_core.telemetry import Registry

__all__ = ["Entry", "Journal", "JournalReader", "OrderSummary", "Verification", "verify"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
    seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
    ref TEXT NOT NULL, state TEXT NOT NULL, body TEXT NOT NULL, hash BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS record_key ON record (key, seq) WHERE key <> '';
CREATE INDEX IF NOT EXISTS record_ref ON record (ref) WHERE kind = 'order';
"""
_FORMAT = 1
# Reading so many back takes about a millisecond, which is what the event loop may lose a second.
_SIGNED_AT_ONCE = 250
_SIGNED_AT_CLOSE = 20_000
_RESERVE_BYTES = 1 << 20
# One statement writes and commits a batch: the event loop goes on meanwhile, and the interpreter's
# lock has to be waited for once, not once for each record.
_ROWS_AT_ONCE = 256
_COLUMNS = COLUMNS.count(",") + 1
_ROW = f"({', '.join('?' * _COLUMNS)})"


class Journal:
    """One file of records, written by one committer, with its anchor beside it.

    Opening checks it; see History, also for ``whole_below``. ``problem`` says what is wrong with
    what it holds (torn, edited, shorter than the anchor) and is empty where nothing is: new risk
    must not be sent while it is set. ``failure`` is the error of the newest batch if it could not
    be written.

    Raises JournalCorrupt where the file is no journal any more, JournalError where it cannot be
    opened or written.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        node: NodeIdentity,
        committer: Committer | None = None,
        storage: Storage = DISK,
        whole_below: int = 10_000,
    ) -> None:
        self.path = Path(path)
        self._storage = storage
        self.scribe = Scribe(node, clock)
        self.failure: JournalError | None = None
        self.committed = 0
        self._clock = clock
        self._committer: Committer = committer or ThreadCommitter()
        self._handover = Handover(self._committer, self._write, self._done)
        self._anchor_failure = ""
        self._closed = False
        self._readers: list[JournalReader] = []
        self._back: JournalReader | None = None
        self._registry: Registry | None = None
        self._connection = self._open()
        try:
            self._history = History(self.path, self._connection, whole_below)
            self.verification = self._history.verification
            self._anchor = self._anchored()
            self._reserve()
        except BaseException:
            self._connection.close()
            raise
        self.problem = "" if self.verification.accepted else self.verification.problem
        self._head = self._start_of_new_records()
        self._history.save()
        self._committer.open(self._write)

    # --- opening --------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        try:
            connection = self._storage.connect(self.path)
        except sqlite3.Error as error:
            raise JournalError(f"the journal {self.path.name} cannot be opened: {error}") from None
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_autocheckpoint = 4000")
            self._refuse_another_format(connection)
            connection.executescript(_SCHEMA)
            connection.execute(f"PRAGMA user_version = {_FORMAT}")
        except sqlite3.OperationalError as error:
            connection.close()
            raise JournalError(
                f"the journal {self.path.name} cannot be written: {error}",
                hint="free some disk space, or name another state folder",
            ) from None
        except (sqlite3.DatabaseError, ValueError) as error:
            # The words of SQLite's own complaint may be no text any more.
            connection.close()
            raise corrupt(self.path, error) from None
        except JournalError:
            connection.close()
            raise
        return connection

    def _refuse_another_format(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, _FORMAT):
            raise JournalError(
                f"the journal {self.path.name} has format {version}, this is {_FORMAT}",
                hint="use the version of ALL-USE that wrote it, or another state folder",
            )

    def _anchored(self) -> Anchor:
        try:
            anchor = Anchor(anchor_path(self.path), self._storage)
            if self.verification.ok and not self.verification.records:
                # An end between the first commit and its anchor must not look like a lost anchor.
                self._note_head(anchor, EMPTY)
        except OSError as error:
            raise JournalError(
                f"the anchor of {self.path.name} cannot be written: {error.strerror}",
                hint="free some disk space, or name another state folder",
            ) from None
        return anchor

    def _start_of_new_records(self) -> Head:
        # New records never take the numbers of lost ones: the gap must stay to be seen.
        anchor = read_anchor(anchor_path(self.path)) or EMPTY
        head = self.verification.head
        return Head(max(head.sequence, anchor.sequence), head.hash)

    @property
    def _reserve_path(self) -> Path:
        return self.path.with_name(self.path.name + ".reserve")

    def _reserve(self) -> None:
        """Keep some disk space that can be given up, so that a full disk still takes exits."""
        try:
            self._storage.allocate(self._reserve_path, _RESERVE_BYTES)
        except OSError as error:
            self._reserve_path.unlink(missing_ok=True)
            raise JournalError(
                f"no space for the journal in {self.path.parent.name}: {error.strerror}",
                hint="free some disk space, or name another state folder",
            ) from None
        self.reserve_spent = False

    def recover(self) -> tuple[list[Entry], list[list[Entry]]]:
        """Return what held at the opening: (records about no order, stories of what is open).

        Open are orders that have not ended, and all orders of a bracket that is not over; the
        oldest come first. Of each matter about no order the newest record; what was not written is
        left out.
        """
        recovered = self._history.recovered
        return recovered.general, recovered.stories

    @property
    def orders_ever(self) -> int:
        """How many orders the journal knew when it was opened."""
        return self._history.orders_ever

    @property
    def indexes_sound(self) -> bool:
        """Whether the indexes were looked at, to the end, and matched the records."""
        return self._history.indexes_sound

    def read(self) -> JournalReader:
        """Return a reader of this journal. It is closed with the journal at the latest."""
        reader = JournalReader(self.path)
        self._readers.append(reader)
        return reader

    def instrument(self, registry: Registry) -> None:
        """Measure commits into ``registry``."""
        self._registry = registry

    # --- writing --------------------------------------------------------------------------------

    def append(
        self, *rows: Row, then: Then | None = None, urgent: bool = False, lazy: bool = False
    ) -> None:
        """Take records; ``then`` is called, in the event loop, once they are on disk or failed.

        What is appended within one turn of the event loop becomes one batch, or a few where it is
        much or where little is going on; what one call appends is always in one. Records that
        failed are tried again with the next batch, except those with a ``then``: whoever asked was
        told. ``urgent`` ones (cancels, exits, changes that reduce risk) get a second attempt first,
        with the reserve given up. ``lazy`` ones wait for the next batch, 20 ms at the most: nothing
        may rest on them.
        """
        if self._closed:
            raise JournalError("the journal is closed")
        self._handover.take(Taken(rows, then, urgent), lazy=lazy)

    def retry(self) -> None:
        """Try failed records and the lost reserve again; costs nothing where there are none."""
        if self.reserve_spent and self.failure is None:
            with contextlib.suppress(JournalError):
                self._reserve()
        if (self.failure is not None or self._anchor_failure) and not self._closed:
            self.append()

    @property
    def trouble(self) -> str:
        """Why nothing that increases risk may be journaled; empty where all is well."""
        if self.failure is not None:
            return str(self.failure)
        if self._anchor_failure:
            return f"the journal's anchor cannot be written: {self._anchor_failure}"
        return "the disk was full and the reserve is not back" if self.reserve_spent else ""

    def _done(self, commit: Commit, entries: list[Taken]) -> None:
        self.failure = commit.error
        if commit.error is None:
            self.committed += commit.records
        else:
            self._release_reserve()
            entries = self._keep_failed(entries)
        for taken in entries:
            if taken.then is not None:
                taken.then(commit.error)
        if self._registry is not None:
            self._measure(self._registry, commit)

    def _keep_failed(self, entries: list[Taken]) -> list[Taken]:
        """Queue again what is to be tried again; return what is told of the failure."""
        urgent = [] if self._closed else [taken for taken in entries if taken.urgent]
        again = [
            taken._replace(urgent=False)
            for taken in entries
            if (taken.then is None and taken.rows) or taken in urgent
        ]
        self._handover.put_back(again, soon=bool(urgent))
        return [taken for taken in entries if taken not in urgent]

    def _measure(self, registry: Registry, commit: Commit) -> None:
        registry.timer("journal", "commit_ms").record(commit.seconds * 1e3)
        registry.timer("journal", "batch_size", "").record(float(commit.records))
        if commit.error is not None:
            registry.counter("journal", "failures").value += 1

    def _release_reserve(self) -> None:
        # On a full disk this is the space that evidence, cancels and exits are written into.
        self.reserve_spent = True
        with contextlib.suppress(OSError):
            self._reserve_path.unlink()

    async def flushed(self) -> None:
        """Return once everything appended so far is on disk. Raises JournalError."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def then(error: JournalError | None) -> None:
            if not done.done():
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(error)

        # Batches are written in their order: an empty one is done when those before it are.
        self.append(then=then)
        await done

    def close(self) -> None:
        """Write what was taken, sync the anchor, end. Safe to call twice."""
        if self._closed:
            return
        for reader in self._readers:
            reader.close()
        self._history.close()
        self._closed = True
        self._committer.close()
        self._handover.close()
        self._sign_rest()
        self._connection.close()
        try:
            self._anchor.close()
        except OSError as error:
            self.failure = self.failure or JournalError(f"the anchor cannot be synced: {error}")
        self._reserve_path.unlink(missing_ok=True)
        if self.failure is not None:
            raise self.failure

    # --- what was verified ----------------------------------------------------------------------

    def sign_off(self) -> None:
        """Read some of the new records back, so that the next start need not.

        Where the opening went on from a checkpoint, the indexes are looked at beside it. What is
        not what was written becomes the ``problem``.
        """
        self.problem = self._history.look_at_indexes() or self.problem
        if self._history.signed < self._head.sequence:
            if self._back is None:
                self._back = self.read()
            self.problem = (
                self._history.read_back(self._back.connection, _SIGNED_AT_ONCE) or self.problem
            )
            self._history.save()

    def _sign_rest(self) -> None:
        if self.failure is None:
            self._history.read_back(self._connection, _SIGNED_AT_CLOSE)
            self._history.save(least=1)

    # --- in the committer's thread --------------------------------------------------------------

    def _write(self, rows: Sequence[Row]) -> None:
        if not rows:
            if self._anchor_failure:
                self._note(self._head)
            return
        sequence, digest = self._head.sequence, self._head.hash
        values: list[object] = []
        for row in rows:
            sequence += 1
            digest = link(digest, sequence, row)
            values += (sequence, *row, digest)
        head = Head(sequence, digest)
        try:
            self._insert(values)
        except (sqlite3.Error, OSError) as error:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise JournalError(
                f"{len(rows)} records could not be written: {error}",
                hint="nothing that increases risk is sent; free disk space or check the disk",
            ) from None
        self._head = head
        self._note(head)

    def _insert(self, values: Sequence[object]) -> None:
        execute, most = self._connection.execute, _ROWS_AT_ONCE * _COLUMNS
        if len(values) <= most:
            execute(_insertion(values), values)
            return
        execute("BEGIN IMMEDIATE")
        for start in range(0, len(values), most):
            part = values[start : start + most]
            execute(_insertion(part), part)
        execute("COMMIT")

    def _note(self, head: Head) -> None:
        # The records are on disk: to call them failed would have them written twice.
        try:
            self._note_head(self._anchor, head)
            self._anchor_failure = ""
        except OSError as error:
            self._anchor_failure = error.strerror or str(error)

    def _note_head(self, anchor: Anchor, head: Head) -> None:
        began = self._clock.monotonic()
        if anchor.write(head, began):
            self._handover.sync_seconds = self._clock.monotonic() - began


EXIT_BY_HAND = (
    "close the position in TWS; or end this process, set [alluse] state_dir to a folder on a disk"
    " that works, and there use 'alluse run' and 'alluse flatten'"
)
"""The way out of a position where the journal can take no record."""


def _insertion(values: Sequence[object]) -> str:
    rows = len(values) // _COLUMNS
    return f"INSERT INTO record ({COLUMNS}) VALUES {', '.join([_ROW] * rows)}"
