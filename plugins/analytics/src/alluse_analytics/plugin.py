"""Registers alluse-analytics with ALL-USE."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from alluse_analytics.settings import (
    AnomalySettings,
    ForecastSettings,
    IsolationSettings,
    StatisticsSettings,
    TrendSettings,
)
from alluse_core.markers import hookimpl
from alluse_core.providers import Command, Context, Provider

if TYPE_CHECKING:
    from alluse_core.ports import Analyzer


def _open_statistics(context: Context) -> Analyzer:
    from alluse_analytics.statistics import Statistics

    return Statistics()


def _open_trend(context: Context) -> Analyzer:
    from alluse_analytics.trend import Trend

    assert isinstance(context.settings, TrendSettings)
    return Trend(context.settings)


def _open_anomaly(context: Context) -> Analyzer:
    from alluse_analytics.anomaly import Anomalies

    assert isinstance(context.settings, AnomalySettings)
    return Anomalies(context.settings)


def _open_isolation(context: Context) -> Analyzer:
    from alluse_analytics.isolation import Isolation

    assert isinstance(context.settings, IsolationSettings)
    return Isolation(context.settings)


def _open_forecast(context: Context) -> Analyzer:
    from alluse_analytics.forecast import Forecasts

    assert isinstance(context.settings, ForecastSettings)
    return Forecasts(context.settings)


@hookimpl
def alluse_analyzers() -> Iterator[Provider[Analyzer]]:
    """Offer the methods of analysis."""
    yield Provider(
        "statistics", _open_statistics, StatisticsSettings, "exact statistics of the window"
    )
    yield Provider("trend", _open_trend, TrendSettings, "trends that could not be chance")
    yield Provider(
        "anomaly", _open_anomaly, AnomalySettings, "anomalies of each metric, by an alarm budget"
    )
    yield Provider(
        "isolation", _open_isolation, IsolationSettings, "isolation forest over all metrics"
    )
    yield Provider("forecast", _open_forecast, ForecastSettings, "forecasts with their intervals")


@hookimpl
def alluse_commands() -> Iterator[Command]:
    """Offer ``alluse analyze``."""
    yield Command(
        "analyze",
        "Analyze a file of a time and a value column.",
        "alluse_analytics.cli:analyze",
    )
