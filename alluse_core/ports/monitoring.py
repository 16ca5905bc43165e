"""Measuring, keeping, judging and telling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import attrs

from alluse_core.model import (
    Alert,
    Finding,
    Reading,
    Sample,
    SeriesId,
    Severity,
)


class MetricSource(Protocol):
    """Measures something each time it is asked.

    What it did not measure it leaves out.
    """

    @property
    def name(self) -> str:
        """Its unique name."""

    @property
    def period(self) -> float:
        """How often it wants to be asked, in seconds; costly sources say more than 1."""

    def collect(self, now: float) -> Iterable[Sample]:
        """Return samples as of monotonic ``now``."""


@attrs.frozen
class Batch:
    """The samples of one tick. (tenant, node, time) name it: storing it twice stores it once."""

    tenant: str
    node: str
    agent: str
    incarnation: str
    time: datetime
    samples: Mapping[SeriesId, float]


class MetricStore(Protocol):
    """Keeps batches, and gives back series. Calls may come from any thread."""

    def append(self, batch: Batch) -> None:
        """Take a batch. Returns before it is on disk; when full, drops the oldest and counts it."""

    def flush(self) -> None:
        """Return once everything taken is on disk, or raise StoreError."""

    def series(self) -> Sequence[SeriesId]:
        """Return all series ever stored."""

    def read(
        self, series: SeriesId, start: datetime | None = None, end: datetime | None = None
    ) -> Sequence[tuple[datetime, float]]:
        """Return the samples of one series with start <= time < end, in rising time."""

    def batches(
        self, start: datetime | None = None, end: datetime | None = None
    ) -> Iterator[Batch]:
        """Yield whole batches in rising time."""

    def save_alert(self, alert: Alert) -> None:
        """Keep the newest state of an alert, by its id."""

    def alerts(self) -> Sequence[Alert]:
        """Return all alerts kept, oldest first."""

    def save_findings(self, time: datetime, findings: Sequence[Finding]) -> None:
        """Keep the findings of one analysis cycle."""

    def findings(self, cycle: datetime | None = None) -> Sequence[Finding]:
        """Return the findings of the given cycle, or of the newest."""

    def close(self) -> None:
        """Flush and end. Safe to call twice."""


class MetricView(Protocol):
    """What an alert rule may look at."""

    @property
    def now(self) -> float:
        """Monotonic seconds of this tick."""

    @property
    def time(self) -> datetime:
        """Wall-clock time of this tick, aware UTC."""

    def latest(self, component: str, metric: str) -> Mapping[SeriesId, float]:
        """Return this tick's samples of a metric, over all labels; empty where none."""

    def window(self, series: SeriesId, seconds: float) -> Sequence[tuple[float, float]]:
        """Return (monotonic time, value) of the last ``seconds``, at most an hour, oldest first."""

    def increase(self, component: str, metric: str, seconds: float) -> float | None:
        """Return by how much a counter grew, summed over labels; None where it has no samples."""

    def quantile(
        self, component: str, metric: str, share: float, seconds: float
    ) -> tuple[float, int] | None:
        """Return (quantile, count) of a timer, all labels merged; None where it has nothing."""


class AlertRule(Protocol):
    """Reads the metrics each tick. The engine turns readings into alerts."""

    @property
    def name(self) -> str:
        """Its unique name, e.g. trading_error_rate_high."""

    @property
    def severity(self) -> Severity:
        """How soon a person must look."""

    @property
    def unit(self) -> str:
        """The unit of the value and of the thresholds."""

    @property
    def for_seconds(self) -> float:
        """How long the condition must hold before it fires."""

    @property
    def keep_firing_for(self) -> float:
        """How long it must be clear before it resolves."""

    @property
    def runbook(self) -> str:
        """Where a person reads what to do."""

    def read(self, view: MetricView) -> Iterable[Reading]:
        """Return one reading for each subject; NO_DATA is a reading too."""


class Notifier(Protocol):
    """Tells a person about an alert. Called outside the order path; may fail and is retried."""

    @property
    def name(self) -> str:
        """Its unique name."""

    async def notify(self, alert: Alert) -> None:
        """Deliver one change of state, or raise."""
