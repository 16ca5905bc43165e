"""The metric store in SQLite: a bounded queue and one writer thread."""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from alluse_core.errors import StoreError
from alluse_core.model import Alert, Finding, SeriesId
from alluse_core.monitor import rows
from alluse_core.monitor.reader import SqliteMetricReader
from alluse_core.monitor.writer import Bodies, TickWriter
from alluse_core.ports import Batch
from alluse_core.telemetry import Registry

_log = logging.getLogger(__name__)

# How long the writer rests after a failure before it tries the same rows again.
_RETRY_SECONDS = 1.0


class SqliteMetricStore:
    """A :class:`~alluse_core.ports.MetricStore` in one file.

    Batches and cycles of findings wait in queues of at most ``queue`` items; a full one drops
    its oldest, and :attr:`dropped` counts it. Of alerts the newest state of each waits. A failed
    write keeps what waits and is tried again; :meth:`flush` tells of it. ``max_mb`` bounds the
    file (0: the disk does); a lock that another process holds is waited for ``busy_seconds``.
    Raises StoreError where the file cannot be opened as a store.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        telemetry: Registry | None = None,
        queue: int = 3_600,
        max_mb: float = 0.0,
        busy_seconds: float = 5.0,
    ) -> None:
        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = TickWriter(self._path, max_mb, busy_seconds)
        self._reader = SqliteMetricReader(self._path)
        self._limit = queue
        self._batches: deque[Batch] = deque()
        self._findings: deque[Bodies] = deque()
        self._alerts: dict[str, Alert] = {}
        self._changed = threading.Condition()
        self._taken = self._written = self._attempts = 0
        self._error: StoreError | None = None
        self._closing = self._sync_wanted = False
        self.dropped = 0
        """Batches and cycles of findings given up because their queue was full."""
        self.write_ms = math.nan
        """How long the newest write took; NaN before the first."""
        if telemetry is not None:
            self._describe(telemetry)
        self._thread = threading.Thread(target=self._run, name="metric-store", daemon=True)
        self._thread.start()

    def append(self, batch: Batch) -> None:
        """Take a batch; see :class:`~alluse_core.ports.MetricStore`.

        Raises TypeError where a value is no number: whoever measured it must hear of it.
        """
        array("d", batch.samples.values())
        with self._changed:
            self._check_open()
            if len(self._batches) >= self._limit:
                self._batches.popleft()
                self.dropped += 1
            self._batches.append(batch)
            self._took()

    def save_alert(self, alert: Alert) -> None:
        """Keep the newest state of an alert, by its id. Never dropped."""
        with self._changed:
            self._check_open()
            self._alerts.pop(alert.id, None)
            self._alerts[alert.id] = alert
            self._took()

    def save_findings(self, time: datetime, findings: Sequence[Finding]) -> None:
        """Keep the findings of one analysis cycle.

        Raises TypeError or ValueError where a fact cannot be said in JSON.
        """
        bodies = tuple(json.dumps(rows.finding_to_json(finding)) for finding in findings)
        with self._changed:
            self._check_open()
            if len(self._findings) >= self._limit:
                self._findings.popleft()
                self.dropped += 1
            self._findings.append((time, bodies))
            self._took()

    def flush(self) -> None:
        """Return once everything taken is on disk, or raise StoreError."""
        with self._changed:
            self._check_open()
            self._wait_written()

    def series(self) -> Sequence[SeriesId]:
        """Return all series written."""
        return self._reader.series()

    def read(
        self, series: SeriesId, start: datetime | None = None, end: datetime | None = None
    ) -> Sequence[tuple[datetime, float]]:
        """Return the written samples of one series with start <= time < end, in rising time."""
        return self._reader.read(series, start, end)

    def batches(
        self, start: datetime | None = None, end: datetime | None = None
    ) -> Iterator[Batch]:
        """Yield the written batches in rising time."""
        return self._reader.batches(start, end)

    def alerts(self) -> Sequence[Alert]:
        """Return all alerts kept, oldest first, those still waiting to be written included."""
        with self._changed:
            waiting = dict(self._alerts)
        written = [waiting.pop(alert.id, alert) for alert in self._reader.alerts()]
        return [*written, *waiting.values()]

    def findings(self, cycle: datetime | None = None) -> Sequence[Finding]:
        """Return the written findings of the given cycle, or of the newest."""
        return self._reader.findings(cycle)

    def close(self) -> None:
        """Flush and end; raises StoreError, after ending, where the flush failed."""
        failure: StoreError | None = None
        with self._changed:
            if self._closing:
                return
            try:
                self._wait_written()
            except StoreError as error:
                failure = error
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self._reader.close()
        self._writer.close()
        if failure is not None:
            raise failure

    def _describe(self, telemetry: Registry) -> None:
        telemetry.observe("monitor", "store_dropped", lambda: float(self.dropped))
        telemetry.observe("monitor", "store_queue", lambda: float(len(self._batches)))
        telemetry.observe("monitor", "store_write_ms", lambda: self.write_ms, unit="ms")
        telemetry.observe("monitor", "store_size_mb", self._size_mb, unit="MB")

    def _size_mb(self) -> float:
        beside = (self._path, self._path.with_name(self._path.name + "-wal"))
        return sum(path.stat().st_size for path in beside if path.exists()) / 2**20

    def _check_open(self) -> None:
        if self._closing:
            raise StoreError(f"metric store {self._path} is closed")

    def _took(self) -> None:
        self._taken += 1
        self._changed.notify_all()

    def _wait_written(self) -> None:
        target, before = self._taken, self._attempts
        self._sync_wanted = True
        self._changed.notify_all()
        self._changed.wait_for(
            lambda: self._attempts > before and (self._written >= target or self._error is not None)
        )
        if self._written < target and self._error is not None:
            raise self._error

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._closing or self._sync_wanted or self._taken > self._written
                )
                if self._closing:
                    return
                if self._error is not None and not self._sync_wanted:
                    self._changed.wait_for(
                        lambda: self._closing or self._sync_wanted, timeout=_RETRY_SECONDS
                    )
                target, wants_sync = self._taken, self._sync_wanted
                self._sync_wanted = False
                batches, findings = list(self._batches), list(self._findings)
                alerts = dict(self._alerts)
            error = self._attempt(batches, alerts, findings, wants_sync)
            with self._changed:
                if error is None:
                    self._forget(batches, alerts, findings)
                    self._written = target
                elif self._error is None:
                    _log.error("%s; %s", error, error.hint)
                self._error = error
                self._attempts += 1
                self._changed.notify_all()

    def _attempt(
        self,
        batches: list[Batch],
        alerts: dict[str, Alert],
        findings: list[Bodies],
        wants_sync: bool,
    ) -> StoreError | None:
        began = time.perf_counter()
        try:
            self._writer.write(batches, alerts.values(), findings)
            if wants_sync:
                self._writer.sync()
        except StoreError as error:
            return error
        self.write_ms = (time.perf_counter() - began) * 1000.0
        return None

    def _forget(
        self,
        batches: list[Batch],
        alerts: dict[str, Alert],
        findings: list[Bodies],
    ) -> None:
        # What overflowed meanwhile was the oldest: it has left the queue already.
        written = {id(batch) for batch in batches}
        while self._batches and id(self._batches[0]) in written:
            self._batches.popleft()
        kept = {id(cycle) for cycle in findings}
        while self._findings and id(self._findings[0]) in kept:
            self._findings.popleft()
        for name, alert in alerts.items():
            if self._alerts.get(name) is alert:
                del self._alerts[name]
