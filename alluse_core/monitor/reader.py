"""Reading a metric database, while it is being written or long after."""

from __future__ import annotations

import json
import math
import sqlite3
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from alluse_core.errors import StoreError
from alluse_core.model import Alert, Finding, SeriesId
from alluse_core.monitor import rows
from alluse_core.ports import Batch

_PAGE = 500
_FIRST, _LAST = -(2**62), 2**62


class SqliteMetricReader:
    """The reading half of the metric store, over a read-only connection.

    Safe to use from any thread, and beside a process that writes. Raises StoreError where the
    file is missing, damaged, or of another format.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        if not self._path.is_file():
            raise StoreError(
                f"there is no metric store at {self._path}",
                hint="give the folder that a demo or a run wrote to, with --out",
            )
        self._connection = self._open()
        with self._reading() as connection:
            found = connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
        if found is None or found[0] != rows.FORMAT:
            self.close()
            raise StoreError(
                f"metric store {self._path} has format {found and found[0]}, not {rows.FORMAT}",
                hint="read it with the version of alluse-core that wrote it",
            )

    def series(self) -> Sequence[SeriesId]:
        """Return all series ever stored, in the order in which they were first seen."""
        return list(self._series_by_id().values())

    def read(
        self, series: SeriesId, start: datetime | None = None, end: datetime | None = None
    ) -> Sequence[tuple[datetime, float]]:
        """Return the samples of one series with start <= time < end, in rising time."""
        found: list[tuple[int, float]] = []
        with self._reading() as connection:
            row = connection.execute(
                "SELECT id FROM series WHERE component=? AND metric=? AND labels=? AND unit=?",
                rows.series_row(series),
            ).fetchone()
            if row is None:
                return []
            for layout, blob in connection.execute("SELECT id, series FROM layouts"):
                members = rows.unpack("q", blob)
                if row[0] not in members:
                    continue
                # Only the eight bytes that are wanted leave SQLite.
                query = (
                    "SELECT time, substr(samples, ?, 8) FROM ticks"
                    " WHERE layout = ? AND time >= ? AND time < ?"
                )
                offset = members.index(row[0]) * 8 + 1
                for time, raw in connection.execute(query, (offset, layout, *_span(start, end))):
                    value = struct.unpack("<d", raw)[0]
                    if not math.isnan(value):
                        found.append((time, value))
        found.sort()
        return [(rows.from_micros(time), value) for time, value in found]

    def batches(
        self, start: datetime | None = None, end: datetime | None = None
    ) -> Iterator[Batch]:
        """Yield whole batches in rising time; those written meanwhile may be included."""
        first, last = _span(start, end)
        after = (first, -1)
        while True:
            page = self._page(after, last)
            if not page:
                return
            members = self._layouts({row[6] for row in page})
            for time, _, tenant, node, agent, incarnation, layout, blob in page:
                values = rows.unpack("d", blob)
                samples = {
                    series: value
                    for series, value in zip(members[layout], values, strict=True)
                    if not math.isnan(value)
                }
                yield Batch(tenant, node, agent, incarnation, rows.from_micros(time), samples)
            after = (page[-1][0], page[-1][1])

    def alerts(self) -> Sequence[Alert]:
        """Return all alerts kept, oldest first."""
        with self._reading() as connection:
            found = connection.execute("SELECT body FROM alerts ORDER BY serial").fetchall()
        return [rows.alert_from_json(json.loads(body)) for (body,) in found]

    def findings(self, cycle: datetime | None = None) -> Sequence[Finding]:
        """Return the findings of the given cycle, or of the newest."""
        with self._reading() as connection:
            if cycle is None:
                at = connection.execute("SELECT max(cycle) FROM findings").fetchone()[0]
            else:
                at = rows.to_micros(cycle)
            found = connection.execute(
                "SELECT body FROM findings WHERE cycle = ? ORDER BY position", (at,)
            ).fetchall()
        return [rows.finding_from_json(json.loads(body)) for (body,) in found]

    def cycles(self) -> Sequence[datetime]:
        """Return the times of all analysis cycles that kept findings, rising."""
        with self._reading() as connection:
            found = connection.execute("SELECT DISTINCT cycle FROM findings ORDER BY 1").fetchall()
        return [rows.from_micros(micros) for (micros,) in found]

    def close(self) -> None:
        """End the connection. Safe to call twice."""
        self._connection.close()

    def __enter__(self) -> SqliteMetricReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> sqlite3.Connection:
        uri = f"file:{quote(str(self._path.resolve()))}?mode=ro"
        try:
            connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
            try:
                connection.execute("SELECT 1 FROM meta")
            except sqlite3.Error:
                connection.close()
                # A database in WAL mode on a read-only medium has no room for its index file.
                if self._path.with_name(self._path.name + "-wal").exists():
                    raise
                connection = sqlite3.connect(
                    f"{uri}&immutable=1", uri=True, check_same_thread=False
                )
                connection.execute("SELECT 1 FROM meta")
        except sqlite3.Error as error:
            raise rows.store_error(self._path, error) from error
        return connection

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise rows.store_error(self._path, error) from error

    def _series_by_id(self) -> dict[int, SeriesId]:
        with self._reading() as connection:
            found = connection.execute(
                "SELECT id, component, metric, labels, unit FROM series ORDER BY id"
            ).fetchall()
        return {row[0]: rows.series_of(*row[1:]) for row in found}

    def _layouts(self, wanted: set[int]) -> dict[int, list[SeriesId]]:
        by_id = self._series_by_id()
        marks = ",".join("?" * len(wanted))
        with self._reading() as connection:
            found = connection.execute(
                f"SELECT id, series FROM layouts WHERE id IN ({marks})", tuple(wanted)
            ).fetchall()
        return {layout: [by_id[i] for i in rows.unpack("q", blob)] for layout, blob in found}

    def _page(
        self, after: tuple[int, int], last: int
    ) -> list[tuple[int, int, str, str, str, str, int, bytes]]:
        with self._reading() as connection:
            return connection.execute(
                "SELECT t.time, t.node, n.tenant, n.node, i.agent, i.incarnation, t.layout,"
                " t.samples FROM ticks t JOIN nodes n ON n.id = t.node"
                " JOIN incarnations i ON i.id = t.incarnation"
                " WHERE (t.time, t.node) > (?, ?) AND t.time < ? ORDER BY t.time, t.node LIMIT ?",
                (*after, last, _PAGE),
            ).fetchall()


def _span(start: datetime | None, end: datetime | None) -> tuple[int, int]:
    first = _FIRST if start is None else rows.to_micros(start)
    last = _LAST if end is None else rows.to_micros(end)
    return first, last
