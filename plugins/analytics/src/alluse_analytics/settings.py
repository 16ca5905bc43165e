"""Settings of the analyzers, with their defaults."""

from __future__ import annotations

import attrs


@attrs.frozen
class StatisticsSettings:
    """``[analyzers.statistics]`` takes no settings: everything held is counted exactly."""


@attrs.frozen
class TrendSettings:
    """``[analyzers.trend]``.

    ``fewest`` samples before a verdict is given; ``false_discovery_rate`` bounds the expected
    share of wrong verdicts among all that are given; ``most_points`` is what longer histories are
    averaged down to.
    """

    fewest: int = 60
    false_discovery_rate: float = 0.05
    most_points: int = 600


@attrs.frozen
class AnomalySettings:
    """``[analyzers.anomaly]``.

    ``false_alarms_per_day`` is the budget of one metric; the threshold follows from it.
    ``warm_up`` samples are watched before anything is judged. An anomaly is held until ``hold``
    samples have passed quietly. ``recent_seconds`` is what counts as "now" in a finding.
    """

    false_alarms_per_day: float = 0.1
    warm_up: int = 120
    hold: int = 10
    recent_seconds: float = 300.0


@attrs.frozen
class IsolationSettings:
    """``[analyzers.isolation]``.

    ``contamination`` is the share of rows that is *reported* as most isolated, not an alarm
    threshold. ``fewest`` rows before it says anything; ``recent`` newest rows are judged against
    the ones before; ``most_rows`` bounds the history.
    """

    contamination: float = 0.1
    fewest: int = 240
    recent: int = 60
    most_rows: int = 1800
    trees: int = 100
    seed: int = 1


@attrs.frozen
class ForecastSettings:
    """``[analyzers.forecast]``. Times are seconds.

    ``period`` is the rollup that is forecast. ``profile`` is printed with every forecast, so that
    the demo's short horizons are never taken for the production ones. ``fewest_scored`` past
    forecasts before realised coverage is called a confidence. Points for a picture are kept for
    the ``most_points`` metrics that move most against their own noise.
    """

    period: float = 60.0
    horizon: float = 1800.0
    second_horizon: float = 7200.0
    fewest_scored: int = 30
    profile: str = "production"
    most_points: int = 12
