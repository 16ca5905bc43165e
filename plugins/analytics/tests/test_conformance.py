"""Every analyzer passes the standard tests of its port."""

from __future__ import annotations

from alluse_analytics.anomaly import Anomalies
from alluse_analytics.forecast import Forecasts
from alluse_analytics.isolation import Isolation
from alluse_analytics.settings import (
    AnomalySettings,
    ForecastSettings,
    IsolationSettings,
    TrendSettings,
)
from alluse_analytics.statistics import Statistics
from alluse_analytics.trend import Trend

from alluse_core.ports import Analyzer
from alluse_core.testing import AnalyzerConformance


class TestStatistics(AnalyzerConformance):
    def make_analyzer(self) -> Analyzer:
        return Statistics()


class TestTrend(AnalyzerConformance):
    def make_analyzer(self) -> Analyzer:
        return Trend(TrendSettings())


class TestAnomalies(AnalyzerConformance):
    def make_analyzer(self) -> Analyzer:
        return Anomalies(AnomalySettings(warm_up=30))


class TestIsolation(AnalyzerConformance):
    def make_analyzer(self) -> Analyzer:
        return Isolation(IsolationSettings(fewest=60, trees=20))


class TestForecasts(AnalyzerConformance):
    def make_analyzer(self) -> Analyzer:
        return Forecasts(ForecastSettings(period=1.0, horizon=5.0, second_horizon=10.0))
