"""Alerts: what a rule reads, and what became of it."""

from __future__ import annotations

import math
from datetime import datetime
from enum import StrEnum

import attrs

from alluse_core.model.metric import Labels


class Severity(StrEnum):
    """How soon a person must look."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class AlertState(StrEnum):
    """inactive -> pending -> firing -> resolved."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class Condition(StrEnum):
    """What one reading says. HOLD lies between the clear and the trip threshold."""

    TRIP = "trip"
    HOLD = "hold"
    CLEAR = "clear"
    NO_DATA = "no_data"


@attrs.frozen
class Reading:
    """What a rule measured this tick for one subject.

    ``value`` is NaN for NO_DATA. ``labels`` tell subjects of one rule apart (a symbol, a broker).
    ``text`` is one sentence with the figures in it. ``severity`` overrides the rule's own.
    """

    condition: Condition
    value: float
    threshold: float
    text: str
    labels: Labels = ()
    severity: Severity | None = None


@attrs.frozen
class Alert:
    """One occurrence of a rule's condition, from the first bad reading to its end.

    ``value``, ``threshold`` and ``text`` are those of the last bad reading, ``fired_value`` and
    ``fired_threshold`` those of the reading that made it fire; NaN where it did not, or was kept by
    a version that did not tell. ``clear_at``: since when the condition has been clear while the
    alert is kept firing.
    """

    id: str
    rule: str
    labels: Labels
    severity: Severity
    state: AlertState
    value: float
    threshold: float
    unit: str
    text: str
    pending_at: datetime
    fired_at: datetime | None = None
    resolved_at: datetime | None = None
    runbook: str = ""
    clear_at: datetime | None = None
    fired_value: float = math.nan
    fired_threshold: float = math.nan
