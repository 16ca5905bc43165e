"""A metric store that keeps nothing: sessions are judged by the journal and the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from alluse_core import Provider, hookimpl
from alluse_core.model import Alert, Finding, SeriesId
from alluse_core.ports import Batch, MetricStore

NAME = "forgetful"


class ForgetfulStore:
    """Takes everything and gives nothing back."""

    def append(self, batch: Batch) -> None:
        """Take a batch."""

    def flush(self) -> None:
        """There is nothing to write."""

    def series(self) -> Sequence[SeriesId]:
        """Return none."""
        return ()

    def read(
        self, series: SeriesId, start: datetime | None = None, end: datetime | None = None
    ) -> Sequence[tuple[datetime, float]]:
        """Return none."""
        return ()

    def batches(
        self, start: datetime | None = None, end: datetime | None = None
    ) -> Iterator[Batch]:
        """Yield none."""
        return iter(())

    def save_alert(self, alert: Alert) -> None:
        """Take an alert."""

    def alerts(self) -> Sequence[Alert]:
        """Return none."""
        return ()

    def save_findings(self, time: datetime, findings: Sequence[Finding]) -> None:
        """Take findings."""

    def findings(self, cycle: datetime | None = None) -> Sequence[Finding]:
        """Return none."""
        return ()

    def close(self) -> None:
        """End."""


class ForgetfulPlugin:
    """Offers the store to one runtime, without being installed."""

    @hookimpl
    def alluse_metric_stores(self) -> Iterator[Provider[MetricStore]]:
        """Offer it."""
        yield Provider(NAME, _open, help="keeps nothing")


def _open(_: Any) -> MetricStore:
    return ForgetfulStore()
