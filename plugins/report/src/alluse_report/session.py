"""What a report reads: one session out of the two databases."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

import attrs

from alluse_core.model import Alert, Finding, NodeIdentity, SeriesId
from alluse_core.ports import Batch
from alluse_report.orders import LinkChange, OrderHistory, read_journal

# Orders may be placed in the second before the first tick is stored.
_BEFORE_FIRST_TICK = 2.0

Line = tuple[list[float], list[float]]
"""Unix seconds and values, rising, absent samples left out."""


class MetricReading(Protocol):
    """The reading half of a metric store."""

    def batches(
        self, start: datetime | None = None, end: datetime | None = None
    ) -> Iterable[Batch]:
        """Yield batches in rising time."""

    def alerts(self) -> Sequence[Alert]:
        """Return all alerts."""

    def findings(self, cycle: datetime | None = None) -> Sequence[Finding]:
        """Return the findings of the newest cycle."""


@attrs.frozen
class Session:
    """The newest incarnation's samples, and what was decided and found meanwhile.

    ``times`` are the Unix seconds of its ticks. ``orders`` and ``journal_records``, how many
    records the journal held, are None where there is no journal.
    """

    node: NodeIdentity
    times: list[float]
    lines: dict[SeriesId, Line]
    alerts: tuple[Alert, ...]
    findings: tuple[Finding, ...]
    orders: tuple[OrderHistory, ...] | None
    links: tuple[LinkChange, ...] = ()
    journal_records: int | None = None

    @property
    def seconds(self) -> float:
        """From the first tick to the last."""
        return self.times[-1] - self.times[0] if self.times else 0.0

    @property
    def period(self) -> float:
        """The median distance between ticks; NaN below two."""
        gaps = sorted(b - a for a, b in zip(self.times, self.times[1:], strict=False))
        return gaps[len(gaps) // 2] if gaps else math.nan

    @property
    def ticks_expected(self) -> int:
        """How many ticks the session's length has room for."""
        if len(self.times) < 2:
            return len(self.times)
        # Ticks a few milliseconds late must not make a session look longer than it was.
        return max(len(self.times), round(self.seconds / max(round(self.period, 1), 0.1)) + 1)

    def named(self, component: str, metric: str) -> dict[SeriesId, Line]:
        """Return the lines of a metric over all labels."""
        return {
            series: line
            for series, line in self.lines.items()
            if series.component == component and series.metric == metric
        }

    def line(self, component: str, metric: str) -> Line:
        """Return the one line of a metric without labels; empty where nothing measured it."""
        found = [
            line for series, line in self.named(component, metric).items() if not series.labels
        ]
        return found[0] if found else ([], [])

    def counted(self, component: str, metric: str) -> float | None:
        """Return how far a counter got, summed over labels; None where it has no samples."""
        lines = self.named(component, metric)
        return math.fsum(values[-1] for _, values in lines.values()) if lines else None


def read_session(reader: MetricReading, journal: Path | None) -> Session:
    """Return the newest session of a metric store."""
    node: NodeIdentity | None = None
    times: list[float] = []
    lines: dict[SeriesId, Line] = {}
    for batch in reader.batches():
        here = NodeIdentity(batch.tenant, batch.node, batch.agent, batch.incarnation)
        if here != node:
            node, times, lines = here, [], {}
        at = batch.time.timestamp()
        times.append(at)
        for series, value in batch.samples.items():
            line = lines.get(series)
            if line is None:
                line = lines[series] = ([], [])
            line[0].append(at)
            line[1].append(value)
    begun = times[0] if times else math.inf
    alerts = tuple(
        alert
        for alert in reader.alerts()
        if alert.resolved_at is None or alert.resolved_at.timestamp() >= begun
    )
    told = read_journal(journal) if journal is not None and journal.is_file() else None
    since = begun - _BEFORE_FIRST_TICK
    return Session(
        node or NodeIdentity("", "", "", ""),
        times,
        lines,
        alerts,
        tuple(reader.findings()),
        None if told is None else tuple(order for order in told.orders if order.last_at >= since),
        () if told is None else tuple(change for change in told.links if change.at >= since),
        None if told is None else told.records,
    )
