"""Forecasts with intervals from the errors that earlier forecasts of the same series made."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from alluse_analytics.frames import Floats, averaged, finite, held, table
from alluse_analytics.settings import ForecastSettings
from alluse_core.model import Finding, Scalar, SeriesId
from alluse_core.ports import Frame

SHARES = (0.025, 0.10, 0.50, 0.90, 0.975)
ALPHAS = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
# Errors that must be known before an interval is stated.
FEWEST_ERRORS = 20
# An error half as old as the history held counts twice as much as the oldest.
_RECENCY = 2.0
_MOST_ORIGINS = 120
_NEVER_NEGATIVE = ("ms", "s", "MB", "1/s", "%")
# One value for all series and horizons; benchmarks/forecast.py says what it leads to.
_STRETCH = 0.3


@attrs.frozen(eq=False)
class Horizon:
    """Forecasts ``steps`` ahead, one row a series; NaN where there was too little.

    ``quantiles`` has one column for each of SHARES. Coverage, errors and losses are those of
    ``scored`` earlier origins, each forecast from what was known by then.
    """

    steps: int
    quantiles: Floats
    scored: int
    coverage80: Floats
    coverage95: Floats
    error: Floats
    naive_error: Floats
    loss: Floats
    naive_loss: Floats


def levels(values: Floats, alpha: Floats) -> Floats:
    """Return the exponentially smoothed level after each column; absent columns change nothing."""
    present = ~np.isnan(values)
    first = values[np.arange(len(values)), present.argmax(axis=1)]
    level = np.where(np.isnan(first), 0.0, first)
    result = np.empty_like(values)
    for t in range(values.shape[1]):
        level = np.where(present[:, t], level + alpha * (values[:, t] - level), level)
        result[:, t] = level
    return result


def choose_alpha(values: Floats, steps: int) -> Floats:
    """Return for each row the smoothing of ALPHAS with the least error ``steps`` ahead.

    Only the first half of the history chooses, so that the second can judge.
    """
    half = values[:, : max(values.shape[1] // 2, 2)]
    ahead = min(steps, max(half.shape[1] // 3, 1))
    errors = []
    for alpha in ALPHAS:
        level = levels(half, np.full(len(values), alpha))
        missed = np.abs(half[:, ahead:] - level[:, :-ahead])
        count = np.maximum((~np.isnan(missed)).sum(axis=1), 1)
        errors.append(np.nansum(missed, axis=1) / count)
    return np.asarray(np.asarray(ALPHAS)[np.argmin(errors, axis=0)])


def forecast(values: Floats, steps: int) -> Horizon:
    """Forecast rows of evenly spaced samples ``steps`` ahead, and score earlier forecasts.

    The point is the level of simple exponential smoothing. The interval is the level plus
    recency-weighted empirical quantiles of the errors that were known by then. Naive, beside it,
    is the last value with its own errors.
    """
    level = levels(values, choose_alpha(values, steps))
    last = levels(values, np.ones(len(values)))
    own, naive = _errors(values, level, steps), _errors(values, last, steps)
    length = values.shape[1]
    quantiles = level[:, -1:] + _known(own, length - 1, steps)
    origins = range(steps + FEWEST_ERRORS - 1, length - steps)
    origins = origins[:: max(1, -(-len(origins) // _MOST_ORIGINS))]
    rows = len(values)
    inside80, inside95, judged = np.zeros(rows), np.zeros(rows), np.zeros(rows)
    sums = np.zeros((4, rows))
    for origin in origins:
        truth = values[:, origin + steps]
        mine = level[:, origin, None] + _known(own, origin, steps)
        other = last[:, origin, None] + _known(naive, origin, steps)
        valid = ~np.isnan(truth) & ~np.isnan(mine).any(axis=1) & ~np.isnan(other).any(axis=1)
        judged += valid
        # Equality counts: a constant series lies on both bounds of its interval.
        inside80 += valid & (mine[:, 1] <= truth) & (truth <= mine[:, 3])
        inside95 += valid & (mine[:, 0] <= truth) & (truth <= mine[:, 4])
        sums[0] += np.where(valid, np.abs(truth - level[:, origin]), 0.0)
        sums[1] += np.where(valid, np.abs(truth - last[:, origin]), 0.0)
        sums[2] += np.where(valid, pinball(truth, mine), 0.0)
        sums[3] += np.where(valid, pinball(truth, other), 0.0)
    count = np.where(judged > 0, judged, np.nan)
    return Horizon(
        steps,
        quantiles,
        len(origins),
        inside80 / count,
        inside95 / count,
        *(sums / count),
    )


def pinball(truth: Floats, quantiles: Floats) -> Floats:
    """Return the quantile loss of each row, averaged over SHARES."""
    missed = truth[:, None] - quantiles
    shares = np.array(SHARES)
    return np.asarray(np.maximum(shares * missed, (shares - 1.0) * missed).mean(axis=1))


def _errors(values: Floats, level: Floats, steps: int) -> Floats:
    """Return column t: what a forecast made at t, ``steps`` ahead, missed by."""
    return np.asarray(
        values[:, steps:] - level[:, :-steps] if steps < values.shape[1] else values[:, :0]
    )


def _known(errors: Floats, origin: int, steps: int) -> Floats:
    """Return weighted quantiles of the errors of forecasts whose truth was known at ``origin``."""
    count = origin - steps + 1
    if count < FEWEST_ERRORS:
        return np.full((len(errors), len(SHARES)), np.nan)
    past = errors[:, :count]
    weights = _RECENCY ** (np.arange(count) / (count / 2.0))
    order = np.argsort(past, axis=1)
    ordered = np.take_along_axis(past, order, axis=1)
    present = ~np.isnan(ordered)
    weight = np.where(present, weights[order], 0.0)
    upto = np.cumsum(weight, axis=1)
    total = np.maximum(upto[:, -1:], 1e-300)
    # The share below an order statistic is taken at the middle of its own weight, stretched by
    # (m + 1) / m as for m exchangeable errors: the next one may lie outside all of them. Errors
    # of forecasts that overlap repeat one another: only those ``steps`` apart count as new.
    n = np.maximum(present.sum(axis=1, keepdims=True), 1)
    independent = n / steps + 1.0
    position = (upto - weight / 2.0) / total
    position = 0.5 + (position - 0.5) * independent / (independent + 1.0)
    result = np.empty((len(past), len(SHARES)))
    last = np.maximum(present.sum(axis=1) - 1, 0)
    rows = np.arange(len(past))
    for column, share in enumerate(SHARES):
        right = np.minimum((position < share).sum(axis=1), last)
        left = np.maximum(right - 1, 0)
        gap = position[rows, right] - position[rows, left]
        part = np.where(gap > 0, (share - position[rows, left]) / np.maximum(gap, 1e-300), 0.0)
        low, high = ordered[rows, left], ordered[rows, right]
        inside = low + (high - low) * np.clip(part, 0.0, 1.0)
        result[:, column] = inside + _outside(ordered, position, last, share)
    result[present.sum(axis=1) < FEWEST_ERRORS] = np.nan
    return result


def feasible(values: Floats, units: Sequence[str]) -> tuple[Floats, Floats]:
    """Return each row's lowest and highest possible value.

    Times, sizes, rates and shares that were never negative stay so; a share that never passed
    100 % does not.
    """
    present = ~np.isnan(values)
    lowest = np.where(present, values, np.inf).min(axis=1)
    highest = np.where(present, values, -np.inf).max(axis=1)
    signless = np.array([unit in _NEVER_NEGATIVE for unit in units])
    share = np.array([unit == "%" for unit in units])
    return (
        np.where(signless & (lowest >= 0.0), 0.0, -np.inf),
        np.where(share & (highest <= 100.0), 100.0, np.inf),
    )


def _outside(ordered: Floats, position: Floats, last: np.ndarray, share: float) -> Floats:
    """Return how far beyond its outermost error a row's quantile lies; 0 where it lies within.

    The missing part of the tail, as a share of the tail, stretches the outermost error's distance
    from the middle one by _STRETCH.
    """
    rows = np.arange(len(ordered))
    upper = share > 0.5
    end = last if upper else np.zeros_like(last)
    missing = (share - position[rows, end]) * (1.0 if upper else -1.0)
    missing = np.maximum(missing, 0.0) / min(share, 1.0 - share)
    distance = ordered[rows, end] - ordered[rows, last // 2]
    return np.asarray(np.where(missing > 0.0, _STRETCH * missing * distance, 0.0))


class Forecasts:
    """Simple exponential smoothing with empirical intervals at two horizons.

    Nominal intervals are 80 and 95 %. "Confidence" is the coverage that earlier forecasts of the
    same series reached, and their quantile loss against naive; fewer than ``fewest_scored`` of
    them: "uncalibrated".
    """

    name = "forecast"

    def __init__(self, settings: ForecastSettings) -> None:
        self._settings = settings

    def analyze(self, frame: Frame) -> Sequence[Finding]:
        """Return one finding for each series and horizon."""
        frame = held(frame)
        if not frame.series:
            return []
        # Numbers near the end of float64 overflow; what did so is reported as not known.
        with np.errstate(all="ignore"):
            found = self._analyze(frame)
        return [attrs.evolve(finding, facts=finite(finding.facts)) for finding in found]

    def _analyze(self, frame: Frame) -> Sequence[Finding]:
        settings = self._settings
        data = table(frame)
        width = max(1, round(settings.period / data.step))
        values = averaged(data.values, width)
        found = []
        for seconds in (settings.horizon, settings.second_horizon):
            steps = max(1, round(seconds / (width * data.step)))
            if values.shape[1] < steps + FEWEST_ERRORS:
                found.append(self._too_short(seconds, values.shape[1], steps))
                continue
            horizon = forecast(values, steps)
            low, high = feasible(values, [series.unit for series in frame.series])
            bounded = np.clip(horizon.quantiles, low[:, None], high[:, None])
            horizon = attrs.evolve(horizon, quantiles=bounded)
            fan = self._fan(values, steps, low, high) if seconds == settings.horizon else {}
            for row, series in enumerate(frame.series):
                if not np.isnan(horizon.quantiles[row, 2]):
                    found.append(
                        self._finding(
                            series,
                            horizon,
                            row,
                            seconds,
                            float(data.times[-1]),
                            fan.get(row),
                            bool(data.as_rate[row]),
                        )
                    )
        return found

    def _fan(self, values: Floats, steps: int, low: Floats, high: Floats) -> dict[int, Floats]:
        """Return, for the rows that move most, the quantiles of five times up to the horizon."""
        present = ~np.isnan(values)
        highest = np.where(present, values, -np.inf).max(axis=1)
        spread = highest - np.where(present, values, np.inf).min(axis=1)
        moved = np.nan_to_num(np.abs(np.diff(values, axis=1)))
        noise = moved.sum(axis=1) / np.maximum(present.sum(axis=1) - 1, 1)
        movement = np.nan_to_num(
            spread / np.where(noise > 0, noise, np.nan), posinf=0.0, neginf=0.0
        )
        rows = np.argsort(-movement)[: self._settings.most_points]
        ahead = sorted({max(1, round(steps * part / 5)) for part in range(1, 6)})
        bounds = low[rows, None], high[rows, None]
        stages = [
            np.column_stack(
                [np.full(len(rows), step), np.clip(forecast_only(values[rows], step), *bounds)]
            )
            for step in ahead
        ]
        return {int(row): np.array([stage[i] for stage in stages]) for i, row in enumerate(rows)}

    def _too_short(self, seconds: float, periods: int, steps: int) -> Finding:
        settings = self._settings
        facts: dict[str, Scalar] = {
            "horizon_seconds": seconds,
            "period_seconds": settings.period,
            "periods": periods,
            "periods_needed": steps + FEWEST_ERRORS,
            "profile": settings.profile,
            "verdict": "too short to tell",
        }
        text = (
            f"forecasts {seconds:g} s ahead: too short to tell"
            f" ({periods} of {steps + FEWEST_ERRORS} periods of {settings.period:g} s)"
        )
        return Finding(self.name, "forecast", None, facts, text)

    def _finding(
        self,
        series: SeriesId,
        horizon: Horizon,
        row: int,
        seconds: float,
        now: float,
        fan: Floats | None,
        as_rate: bool,
    ) -> Finding:
        settings = self._settings
        low95, low80, middle, high80, high95 = (float(q) for q in horizon.quantiles[row])
        scored = horizon.scored if not np.isnan(horizon.coverage80[row]) else 0
        calibrated = scored >= settings.fewest_scored
        naive = float(horizon.naive_loss[row])
        loss = float(horizon.loss[row])
        facts: dict[str, Scalar] = {
            "horizon_seconds": seconds,
            "period_seconds": settings.period,
            "made_at": now,
            "median": middle,
            "low80": low80,
            "high80": high80,
            "low95": low95,
            "high95": high95,
            "scored": scored,
            "coverage80": float(horizon.coverage80[row]),
            "coverage95": float(horizon.coverage95[row]),
            "error": float(horizon.error[row]),
            "naive_error": float(horizon.naive_error[row]),
            "loss_against_naive": loss / naive if naive > 0 else float("nan"),
            "confidence": "calibrated" if calibrated else "uncalibrated",
            "profile": settings.profile,
            "as_rate": as_rate,
            "verdict": "forecast",
        }
        trust = (
            f"80 % intervals held {horizon.coverage80[row] * 100:.0f} % of {scored} times"
            if calibrated
            else f"uncalibrated, {scored} scored"
        )
        text = (
            f"{series} in {seconds:g} s: {middle:.6g}, 80 % {low80:.6g} to {high80:.6g};"
            f" {trust}; {settings.profile} profile"
        )
        points: dict[str, tuple[float, ...]] = {}
        if fan is not None:
            points["times"] = tuple((now + fan[:, 0] * settings.period).tolist())
            names = ("low95", "low80", "median", "high80", "high95")
            for column, name in enumerate(names, start=1):
                points[name] = tuple(fan[:, column].tolist())
        return Finding(self.name, "forecast", series, facts, text, points)


def forecast_only(values: Floats, steps: int) -> Floats:
    """Return the quantiles of :func:`forecast` without scoring earlier forecasts."""
    level = levels(values, choose_alpha(values, steps))
    return np.asarray(
        level[:, -1:] + _known(_errors(values, level, steps), values.shape[1] - 1, steps)
    )
