"""Writing ticks, alerts and findings: one transaction for whatever is waiting."""

from __future__ import annotations

import json
import math
import sqlite3
from array import array
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from alluse_core.errors import StoreError
from alluse_core.model import Alert, SeriesId
from alluse_core.monitor import rows
from alluse_core.ports import Batch

Bodies = tuple[datetime, Sequence[str]]
"""The time of an analysis cycle, and its findings in JSON."""


class TickWriter:
    """Owns the writing connection. Not thread-safe: one thread writes.

    ``write`` is all or nothing. Commits survive a killed process; :meth:`sync` makes them
    survive a power loss.
    """

    def __init__(self, path: Path, max_mb: float, busy_seconds: float) -> None:
        self._path = path
        self._series: dict[SeriesId, int] = {}
        self._positions: dict[SeriesId, int] = {}
        self._layout = 0
        self._owners: dict[tuple[str, str, str, str], tuple[int, int]] = {}
        try:
            self._connection = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=busy_seconds
            )
            self._prepare(max_mb)
        except sqlite3.Error as error:
            raise rows.store_error(path, error) from error

    def write(
        self,
        batches: Sequence[Batch],
        alerts: Iterable[Alert],
        findings: Iterable[Bodies],
    ) -> None:
        """Write everything in one transaction, or raise StoreError having written nothing."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for batch in batches:
                self._write_batch(batch)
            for alert in alerts:
                self._connection.execute(
                    "INSERT INTO alerts (id, body) VALUES (?, ?)"
                    " ON CONFLICT (id) DO UPDATE SET body = excluded.body",
                    (alert.id, json.dumps(rows.alert_to_json(alert))),
                )
            for cycle, found in findings:
                self._write_findings(rows.to_micros(cycle), found)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise rows.store_error(self._path, error) from error

    def sync(self) -> None:
        """Bring everything committed to the medium."""
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error as error:
            raise rows.store_error(self._path, error) from error

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _prepare(self, max_mb: float) -> None:
        connection = self._connection
        connection.execute("PRAGMA journal_mode = WAL")
        # NORMAL: a commit survives kill -9 without an fsync each second beside the journal's.
        connection.execute("PRAGMA synchronous = NORMAL")
        if max_mb:
            page = connection.execute("PRAGMA page_size").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {max(1, int(max_mb * 2**20 / page))}")
        connection.executescript(rows.SCHEMA)
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('format', ?)", (rows.FORMAT,))
        found = connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()[0]
        if found != rows.FORMAT:
            connection.close()
            raise StoreError(
                f"metric store {self._path} has format {found}, not {rows.FORMAT}",
                hint="move the file away: a new one is made at the next start",
            )
        self._load_series()

    def _load_series(self) -> None:
        query = "SELECT id, component, metric, labels, unit FROM series"
        for row in self._connection.execute(query):
            self._series[rows.series_of(*row[1:])] = row[0]

    def _roll_back(self) -> None:
        # The ids remembered may have been given in the transaction that just vanished.
        self._series.clear()
        self._positions.clear()
        self._owners.clear()
        self._layout = 0
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._load_series()
        except sqlite3.Error as error:
            raise rows.store_error(self._path, error) from error

    def _write_batch(self, batch: Batch) -> None:
        self._extend_layout(batch.samples)
        values = array("d", [math.nan]) * len(self._positions)
        positions = self._positions
        for series, value in batch.samples.items():
            values[positions[series]] = value
        owner = (batch.tenant, batch.node, batch.agent, batch.incarnation)
        node, incarnation = self._owners.get(owner) or self._add_owner(owner)
        self._connection.execute(
            "INSERT OR IGNORE INTO ticks VALUES (?, ?, ?, ?, ?)",
            (rows.to_micros(batch.time), node, incarnation, self._layout, rows.pack(values)),
        )

    def _extend_layout(self, samples: Mapping[SeriesId, float]) -> None:
        new = [series for series in samples if series not in self._positions]
        if not new and self._layout:
            return
        for series in new:
            if series not in self._series:
                self._series[series] = self._insert(
                    "INSERT INTO series (component, metric, labels, unit) VALUES (?, ?, ?, ?)",
                    rows.series_row(series),
                )
            self._positions[series] = len(self._positions)
        ids = array("q", (self._series[series] for series in self._positions))
        self._layout = self._insert("INSERT INTO layouts (series) VALUES (?)", (rows.pack(ids),))

    def _add_owner(self, owner: tuple[str, str, str, str]) -> tuple[int, int]:
        tenant, node, agent, incarnation = owner
        execute = self._connection.execute
        execute("INSERT OR IGNORE INTO nodes (tenant, node) VALUES (?, ?)", (tenant, node))
        node_id = execute(
            "SELECT id FROM nodes WHERE tenant = ? AND node = ?", (tenant, node)
        ).fetchone()[0]
        key = (node_id, agent, incarnation)
        execute(
            "INSERT OR IGNORE INTO incarnations (node, agent, incarnation) VALUES (?, ?, ?)", key
        )
        incarnation_id = execute(
            "SELECT id FROM incarnations WHERE node = ? AND agent = ? AND incarnation = ?", key
        ).fetchone()[0]
        self._owners[owner] = (node_id, incarnation_id)
        return self._owners[owner]

    def _write_findings(self, cycle: int, bodies: Sequence[str]) -> None:
        self._connection.execute("DELETE FROM findings WHERE cycle = ?", (cycle,))
        self._connection.executemany(
            "INSERT INTO findings VALUES (?, ?, ?)",
            ((cycle, position, body) for position, body in enumerate(bodies)),
        )

    def _insert(self, statement: str, values: Sequence[object]) -> int:
        made = self._connection.execute(statement, values).lastrowid
        assert made is not None
        return made
