"""The standard tests of an AlertRule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from alluse_core.model import Condition, Reading, SeriesId, Severity
from alluse_core.ports import AlertRule, MetricView
from alluse_core.testing.conformance import Conformance


class NoMetrics:
    """A view in which nothing was ever measured."""

    now = 1000.0
    time = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)

    def latest(self, component: str, metric: str) -> Mapping[SeriesId, float]:
        """Return nothing."""
        return {}

    def window(self, series: SeriesId, seconds: float) -> Sequence[tuple[float, float]]:
        """Return nothing."""
        return ()

    def increase(self, component: str, metric: str, seconds: float) -> float | None:
        """Return None: no samples."""
        return None

    def quantile(
        self, component: str, metric: str, share: float, seconds: float
    ) -> tuple[float, int] | None:
        """Return None: no samples."""
        return None


class AlertRuleConformance(Conformance):
    """Subclass it as ``Test...`` and define the three methods."""

    def make_rule(self) -> AlertRule:
        """Return the rule with the settings that the views below are made for."""
        raise NotImplementedError("a conformance test says how to make its rule")

    def bad_view(self) -> MetricView:
        """Return metrics on which the rule must trip."""
        raise NotImplementedError("a conformance test says what trips its rule")

    def good_view(self) -> MetricView:
        """Return metrics on which the rule must be clear."""
        raise NotImplementedError("a conformance test says what clears its rule")

    def test_it_says_who_it_is(self) -> None:
        rule = self.make_rule()
        assert rule.name
        assert isinstance(rule.severity, Severity)
        assert isinstance(rule.unit, str)
        assert rule.for_seconds >= 0.0
        assert rule.keep_firing_for >= 0.0
        assert rule.runbook, "whoever is alerted needs to read what to do"

    def test_it_trips_on_bad_metrics(self) -> None:
        readings = list(self.make_rule().read(self.bad_view()))
        assert any(reading.condition is Condition.TRIP for reading in readings)

    def test_it_is_clear_on_good_metrics(self) -> None:
        readings = list(self.make_rule().read(self.good_view()))
        assert all(reading.condition is Condition.CLEAR for reading in readings)
        assert readings, "all is well is a reading too"

    def test_without_metrics_it_reads_no_data_and_does_not_guess(self) -> None:
        readings = list(self.make_rule().read(NoMetrics()))
        assert all(reading.condition is Condition.NO_DATA for reading in readings)

    def test_readings_carry_their_figures(self) -> None:
        for view in (self.bad_view(), self.good_view()):
            for reading in self.make_rule().read(view):
                _check(reading)

    def test_readings_of_one_tick_are_about_different_subjects(self) -> None:
        subjects = [reading.labels for reading in self.make_rule().read(self.bad_view())]
        assert len(set(subjects)) == len(subjects)

    def test_reading_twice_says_the_same(self) -> None:
        rule, view = self.make_rule(), self.bad_view()
        assert [_core(reading) for reading in rule.read(view)] == [
            _core(reading) for reading in rule.read(view)
        ]


def _check(reading: Reading) -> None:
    assert reading.text, "a reading is one sentence with the figures in it"
    assert math.isnan(reading.value) == (reading.condition is Condition.NO_DATA)
    assert math.isfinite(reading.threshold)


def _core(reading: Reading) -> tuple[object, ...]:
    return (reading.labels, reading.condition, reading.threshold)
