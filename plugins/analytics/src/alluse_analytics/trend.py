"""Trends, with the autocorrelation of real metrics taken into account."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from alluse_analytics.frames import Bools, Floats, binned, finite, held, table
from alluse_analytics.settings import TrendSettings
from alluse_core.model import Finding, Scalar, SeriesId
from alluse_core.ports import Frame

# Theil-Sen looks at all pairs; 120 bin means (7,140 pairs) keep 300 metrics under 0.2 s.
_THEIL_SEN_POINTS = 120
_FEWEST_INDEPENDENT = 3.0
_Z95 = 1.959963984540054


@attrs.frozen(eq=False)
class Trends:
    """One entry for each row. Slopes are per second; ``p`` is NaN below the fewest samples."""

    n: Floats
    n_eff: Floats
    slope: Floats
    p: Floats
    r_squared: Floats
    theil_sen: Floats
    low: Floats
    high: Floats


class Trend:
    """OLS with the effective sample size of an AR(1) residual, and Theil-Sen's slope beside it.

    With residual autocorrelation r, n samples tell as much as n (1 - r) / (1 + r) independent
    ones (Bayley & Hammersley 1946; Santer et al. 2000); the slope's standard error and degrees of
    freedom are those of that number. Verdicts are those that survive Benjamini-Hochberg over all
    metrics. R squared is a description and decides nothing.
    """

    name = "trend"

    def __init__(self, settings: TrendSettings) -> None:
        self._settings = settings

    def analyze(self, frame: Frame) -> Sequence[Finding]:
        """Return one finding for each series, those "too short to tell" included."""
        frame = held(frame)
        if not frame.series:
            return []
        # Numbers near the end of float64 overflow; what did so is reported as not known.
        with np.errstate(all="ignore"):
            found = self._analyze(frame)
        return [attrs.evolve(finding, facts=finite(finding.facts)) for finding in found]

    def _analyze(self, frame: Frame) -> Sequence[Finding]:
        data = table(frame)
        values, width = binned(data.values, self._settings.most_points)
        trends = fit(values, data.step * width, self._settings.fewest)
        real = benjamini_hochberg(trends.p, self._settings.false_discovery_rate)
        return [
            _finding(series, trends, row, bool(real[row]), bool(data.as_rate[row]), self._settings)
            for row, series in enumerate(frame.series)
        ]


def fit(values: Floats, step: float, fewest: int = 60) -> Trends:
    """Return the trends of rows of samples ``step`` seconds apart; NaN = absent."""
    from scipy.special import stdtr

    present = ~np.isnan(values)
    n = present.sum(axis=1).astype(np.float64)
    times = np.arange(values.shape[1]) * step
    with np.errstate(invalid="ignore", divide="ignore"):
        x = np.where(present, times, 0.0)
        x = np.where(present, x - (x.sum(axis=1) / n)[:, None], 0.0)
        y = np.where(present, values, 0.0)
        y = np.where(present, y - (y.sum(axis=1) / n)[:, None], 0.0)
        sxx = (x * x).sum(axis=1)
        slope = (x * y).sum(axis=1) / sxx
        residual = np.where(present, y - slope[:, None] * x, 0.0)
        unexplained = (residual**2).sum(axis=1)
        total = (y * y).sum(axis=1)
        r = _autocorrelation(residual, present, n)
        n_eff = np.minimum(n, n * (1.0 - r) / (1.0 + r))
        freedom = np.maximum(n_eff - 2.0, 1.0)
        t = np.abs(slope) / np.sqrt(unexplained / freedom / sxx)
        p = 2.0 * stdtr(freedom, -t)
        flat = total <= 1e-18 * np.maximum(n, 1)
        p = np.where(flat, 1.0, p)
        r_squared = np.where(flat, 0.0, 1.0 - unexplained / total)
    # A line goes through any two points: three independent ones are the fewest that can object.
    p = np.where((n_eff < _FEWEST_INDEPENDENT) | np.isnan(p), 1.0, p)
    p = np.where(n >= fewest, p, np.nan)
    theil_sen, low, high = _theil_sen(values, step, n_eff / np.maximum(n, 1.0))
    return Trends(n, n_eff, slope, p, r_squared, theil_sen, low, high)


def _autocorrelation(residual: Floats, present: Bools, n: Floats) -> Floats:
    """Return lag-1 autocorrelation with the bias of a detrended AR(1) taken out.

    An estimate from n residuals of a line is low by about (2 + 4 r) / n (Marriott & Pope 1954;
    Kendall 1954), and by 10.2 / n at a unit root (the mean of the Dickey-Fuller distribution with
    trend); r^16 leads from one to the other. A random walk would pass for something tamer
    without it.
    """
    both = present[:, 1:] & present[:, :-1]
    squares = (residual**2).sum(axis=1)
    products = (residual[:, 1:] * residual[:, :-1] * both).sum(axis=1)
    pairs = np.maximum(both.sum(axis=1), 1)
    r = np.where(squares > 0, products / np.maximum(squares, 1e-300) * n / pairs, 0.0)
    bias = (2.0 + 4.0 * r + 4.2 * np.clip(r, 0.0, 1.0) ** 16) / np.maximum(n, 1.0)
    return np.asarray(np.clip(r + bias, 0.0, 0.9999))


def _theil_sen(values: Floats, step: float, independent: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the median of pairwise slopes and its 95 % interval (Sen 1968).

    The variance of Kendall's S is that of independent samples, divided by ``independent``, the
    share of samples that are.
    """
    means, width = binned(values, _THEIL_SEN_POINTS)
    left, right = np.triu_indices(means.shape[1], 1)
    slopes = (means[:, right] - means[:, left]) / ((right - left) * step * width)
    slopes.sort(axis=1)
    pairs = (~np.isnan(slopes)).sum(axis=1)
    n = (~np.isnan(means)).sum(axis=1).astype(np.float64)
    # Averaging over a bin takes autocorrelation out with it: never fewer than n_eff are left.
    share = np.clip(np.nan_to_num(independent * width), 1e-3, 1.0)
    spread = _Z95 * np.sqrt(n * (n - 1.0) * (2.0 * n + 5.0) / 18.0 / share)
    middle = (pairs - 1) / 2.0
    return (
        _ordered_at(slopes, pairs, middle),
        _ordered_at(slopes, pairs, middle - spread / 2.0),
        _ordered_at(slopes, pairs, middle + spread / 2.0),
    )


def _ordered_at(ordered: Floats, count: Floats, position: Floats) -> Floats:
    if not ordered.shape[1]:
        return np.full(len(ordered), np.nan)
    rows = np.arange(len(ordered))
    last = np.maximum(count - 1, 0)
    low = np.clip(np.floor(position), 0, last).astype(int)
    high = np.clip(np.ceil(position), 0, last).astype(int)
    return np.asarray((ordered[rows, low] + ordered[rows, high]) / 2.0)


def benjamini_hochberg(p: Floats, rate: float) -> Bools:
    """Return which hypotheses to reject so that the false discovery rate is at most ``rate``.

    NaN takes no part. Benjamini & Hochberg 1995.
    """
    rejected = np.zeros(len(p), dtype=bool)
    tested = np.flatnonzero(~np.isnan(p))
    if not len(tested):
        return rejected
    order = tested[np.argsort(p[tested])]
    passing = np.flatnonzero(p[order] <= rate * np.arange(1, len(order) + 1) / len(order))
    if len(passing):
        rejected[order[: passing[-1] + 1]] = True
    return rejected


def _finding(
    series: SeriesId,
    trends: Trends,
    row: int,
    real: bool,
    as_rate: bool,
    settings: TrendSettings,
) -> Finding:
    n = int(trends.n[row])
    facts: dict[str, Scalar] = {
        "n": n,
        "n_eff": float(trends.n_eff[row]),
        "p": float(trends.p[row]),
        "r_squared": float(trends.r_squared[row]),
        "slope_per_hour": float(trends.theil_sen[row]) * 3600.0,
        "slope_low": float(trends.low[row]) * 3600.0,
        "slope_high": float(trends.high[row]) * 3600.0,
        "ols_slope_per_hour": float(trends.slope[row]) * 3600.0,
        "as_rate": as_rate,
    }
    unit = f"{series.unit or '1'}{'/s' if as_rate else ''} an hour"
    if n < settings.fewest:
        facts["verdict"] = "too short to tell"
        return Finding("trend", "trend", series, facts, f"{series}: too short to tell (n = {n})")
    interval = (
        f"{facts['slope_per_hour']:+.4g} {unit}"
        f" ({facts['slope_low']:+.4g} to {facts['slope_high']:+.4g})"
    )
    basis = f"n = {n}, n_eff = {trends.n_eff[row]:.1f}, p = {trends.p[row]:.2g}"
    if real:
        facts["verdict"] = "rising" if trends.slope[row] > 0 else "falling"
        text = f"{series} is {facts['verdict']}: {interval}; {basis}"
    else:
        facts["verdict"] = "no trend"
        text = f"{series}: {interval} could be chance; {basis}"
    return Finding("trend", "trend", series, facts, text)
