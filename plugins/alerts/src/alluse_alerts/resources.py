"""Rules about what the process and its host have left."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from statistics import mean, median

from alluse_alerts.rule import Rule, above, no_data
from alluse_alerts.settings import (
    ClockSkewSettings,
    CpuSettings,
    LoopLagSettings,
    MemorySettings,
    MissedTicksSettings,
)
from alluse_core.model import Condition, Reading, SeriesId, Severity, labels
from alluse_core.ports import MetricView

COMPONENT = "system_resources"


class MemoryUsageHigh(Rule[MemorySettings]):
    """Memory used, of the limit of the process, its cgroup or the host: whichever is nearest."""

    name = "memory_usage_high"
    unit = "%"

    def read(self, view: MetricView) -> Iterator[Reading]:
        """Read the nearest limit now, and the forecast of the process's memory."""
        terms = self.settings
        nearest = max(self._shares(view), default=None)
        now, ahead = labels(kind="now"), labels(kind="forecast")
        if nearest is None:
            text = "memory is not measured"
            yield no_data(terms.trip, text, now)
            yield no_data(terms.trip, text, ahead)
            return
        share, scope, used, limit = nearest
        text = f"{used:.0f} MB of the {scope}'s {limit:.0f} MB are used: {share:.1f} %"
        yield Reading(above(share, terms.trip, terms.clear), share, terms.trip, text, now)
        yield self._forecast(view, limit - used, ahead)

    def _shares(self, view: MetricView) -> Iterator[tuple[float, str, float, float]]:
        limits = view.latest(COMPONENT, "memory_limit_mb")
        used_by = {
            dict(series.labels).get("scope", ""): value
            for series, value in view.latest(COMPONENT, "memory_used_mb").items()
        }
        for series, limit in limits.items():
            scope = dict(series.labels).get("scope", "")
            if scope in used_by and limit > 0:
                yield 100.0 * used_by[scope] / limit, scope, used_by[scope], limit
        if not limits:
            for used in view.latest(COMPONENT, "memory_usage_mb").values():
                limit = self.settings.default_limit_mb
                yield 100.0 * used / limit, "process", used, limit

    def _forecast(
        self, view: MetricView, room: float, subject: tuple[tuple[str, str], ...]
    ) -> Reading:
        terms = self.settings
        growth = self._growth(view)
        if growth is None:
            return no_data(terms.trip, "too short a history to forecast from", subject)
        minutes = math.inf if growth <= 0 else room / growth / 60.0
        condition = Condition.TRIP if minutes < terms.forecast_minutes else Condition.CLEAR
        if terms.forecast_minutes <= minutes < 2.0 * terms.forecast_minutes:
            condition = Condition.HOLD
        text = f"memory grows by {growth * 60.0:.2f} MB a minute; {room:.0f} MB are left"
        return Reading(condition, growth * 60.0, room / terms.forecast_minutes, text, subject)

    def _growth(self, view: MetricView) -> float | None:
        """Return MB a second; 0 where it did not grow in every part; None: too short."""
        terms = self.settings
        series = next(iter(view.latest(COMPONENT, "memory_usage_mb")), None)
        ticks = view.window(series, terms.forecast_window) if series is not None else []
        if not ticks or ticks[-1][0] - ticks[0][0] < 0.95 * terms.forecast_window:
            return None
        size = len(ticks) // terms.forecast_parts
        if size == 0:
            return None
        parts = [ticks[i * size : (i + 1) * size] for i in range(terms.forecast_parts)]
        levels = [median(value for _, value in part) for part in parts]
        if any(later <= earlier for earlier, later in pairwise(levels)):
            return 0.0
        middles = [mean(at for at, _ in part) for part in parts]
        return (levels[-1] - levels[0]) / (middles[-1] - middles[0])


class CpuUsageHigh(Rule[CpuSettings]):
    """Busy processors, the host's (of all) and the process's (of one, which its loop needs)."""

    name = "cpu_usage_high"
    unit = "%"

    def read(self, view: MetricView) -> Iterator[Reading]:
        """Read host and process."""
        yield self._scope(view, "host", "cpu_percent", "of all processors")
        yield self._scope(view, "process", "process_cpu_percent", "of one processor")

    def _scope(self, view: MetricView, scope: str, metric: str, of: str) -> Reading:
        terms = self.settings
        subject = labels(scope=scope)
        series = next(iter(view.latest(COMPONENT, metric)), None)
        ticks = view.window(series, terms.window) if series is not None else []
        if not ticks:
            return no_data(terms.trip, f"the {scope}'s CPU is not measured", subject)
        value = mean(value for _, value in ticks)
        lag = view.quantile("event_loop", "lag_ms", 0.99, 30.0)
        severity = Severity.CRITICAL if lag is not None and lag[0] > terms.lag_ms else None
        beside = "" if lag is None else f"; event-loop lag p99 {lag[0]:.1f} ms"
        text = f"the {scope} uses {value:.0f} % {of} over {terms.window:g} s{beside}"
        condition = above(value, terms.trip, terms.clear)
        return Reading(condition, value, terms.trip, text, subject, severity)


class EventLoopLagHigh(Rule[LoopLagSettings]):
    """The event loop calls late: something in it takes too long."""

    name = "event_loop_lag_high"
    unit = "ms"

    def read(self, view: MetricView) -> Iterator[Reading]:
        """Read one figure."""
        terms = self.settings
        found = view.quantile("event_loop", "lag_ms", 0.99, terms.window)
        if found is None or found[1] < terms.min_samples:
            yield no_data(terms.trip, "the event loop's lag is not measured")
            return
        value, count = found
        text = f"event-loop lag p99 {value:.1f} ms over {count} samples in {terms.window:g} s"
        yield Reading(above(value, terms.trip, terms.clear), value, terms.trip, text)


class TicksMissed(Rule[MissedTicksSettings]):
    """The monitor itself did not run when it should have: its figures have holes."""

    name = "ticks_missed"
    unit = "ticks"

    def read(self, view: MetricView) -> Iterator[Reading]:
        """Read one figure."""
        terms = self.settings
        missed = view.increase("alerts", "ticks_missed", terms.window)
        if missed is None:
            yield no_data(terms.trip, "ticks are not counted")
            return
        condition = Condition.TRIP if missed >= terms.trip else Condition.HOLD
        if missed == 0:
            condition = Condition.CLEAR
        text = f"{missed:g} ticks were missed in {terms.window:g} s"
        yield Reading(condition, missed, terms.trip, text)


class ClockSkewHigh(Rule[ClockSkewSettings]):
    """Our clock and the broker's differ, by broker, where a broker tells its time."""

    name = "clock_skew_high"
    unit = "ms"

    def read(self, view: MetricView) -> Iterator[Reading]:
        """Read each broker that tells its time."""
        terms = self.settings
        found: dict[SeriesId, float] = dict(view.latest("broker", "clock_skew_ms"))
        if not found:
            yield no_data(terms.trip, "no broker's clock is measured")
        for series, skew in found.items():
            condition = above(abs(skew), terms.trip, terms.clear)
            text = f"the broker's clock differs by {skew:+.0f} ms"
            yield Reading(condition, abs(skew), terms.trip, text, series.labels)
