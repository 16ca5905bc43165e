"""What all rules share: terms from settings, and the comparison with two thresholds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar, Generic, TypeVar

from alluse_alerts.settings import Terms
from alluse_core.model import Condition, Reading, Severity
from alluse_core.model.metric import Labels
from alluse_core.ports import MetricView

RUNBOOKS = "plugins/alerts/README.md"


S = TypeVar("S", bound=Terms)


class Rule(Generic[S]):
    """Base of an :class:`~alluse_core.ports.AlertRule` whose terms are settings."""

    name: ClassVar[str]
    severity: ClassVar[Severity] = Severity.WARNING
    unit: ClassVar[str] = ""

    def __init__(self, settings: S) -> None:
        self.settings = settings
        self.for_seconds = settings.for_seconds
        self.keep_firing_for = settings.keep_firing_for
        self.runbook = f"{RUNBOOKS}#{self.name}"

    def read(self, view: MetricView) -> Iterable[Reading]:
        """Return one reading for each subject."""
        raise NotImplementedError


def above(value: float, trip: float, clear: float) -> Condition:
    """Return TRIP above ``trip``, CLEAR below ``clear``, HOLD between; NO_DATA for NaN."""
    if math.isnan(value):
        return Condition.NO_DATA
    if value > trip:
        return Condition.TRIP
    return Condition.CLEAR if value < clear else Condition.HOLD


def below(value: float, trip: float, clear: float) -> Condition:
    """Return TRIP below ``trip``, CLEAR above ``clear``, HOLD between; NO_DATA for NaN."""
    return above(-value, -trip, -clear)


def no_data(threshold: float, text: str, labels: Labels = ()) -> Reading:
    """Return a reading that says why there is no value."""
    return Reading(Condition.NO_DATA, math.nan, threshold, text, labels)
