"""What the methods promise, on data whose truth is known."""

from __future__ import annotations

import csv
import gzip
import json
import math
from array import array
from pathlib import Path

import numpy as np
import pytest
from alluse_analytics.anomaly import Anomalies, detect
from alluse_analytics.forecast import Forecasts, forecast
from alluse_analytics.frames import table
from alluse_analytics.isolation import Isolation
from alluse_analytics.plugin import alluse_analyzers
from alluse_analytics.settings import (
    AnomalySettings,
    ForecastSettings,
    IsolationSettings,
    TrendSettings,
)
from alluse_analytics.statistics import Statistics, describe
from alluse_analytics.trend import Trend, benjamini_hochberg, fit
from scipy import stats

from alluse_core.analysis.executors import InlineExecutor
from alluse_core.analysis.job import Job
from alluse_core.analysis.loader import specify
from alluse_core.analysis.windows import make_frame
from alluse_core.model import SeriesId
from alluse_core.ports import Frame

DAY = 86_400.0


def random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def autoregressive(phi: float, rows: int, length: int, seed: int = 1) -> np.ndarray:
    noise = random(seed).normal(size=(rows, length + 500))
    values = np.zeros_like(noise)
    for t in range(1, noise.shape[1]):
        values[:, t] = phi * values[:, t - 1] + noise[:, t]
    return values[:, 500:]


def frame_of(values: np.ndarray, unit: str = "ms", step: float = 1.0) -> Frame:
    times = array("d", (np.arange(values.shape[1]) * step).tolist())
    columns = [
        (SeriesId("test", f"m{row}", (), unit), array("d", line.tolist()))
        for row, line in enumerate(values)
    ]
    return make_frame(times, columns, step)


def at_most(count: int, n: int, share: float) -> bool:
    """Return whether ``count`` of ``n`` does not contradict a true share of at most ``share``."""
    return bool(stats.binom.sf(count - 1, n, share) > 0.001)


def at_least(count: int, n: int, share: float) -> bool:
    return bool(stats.binom.cdf(count, n, share) > 0.001)


# --- statistics ---------------------------------------------------------------------------------


def test_statistics_are_exact_and_do_not_count_what_is_absent() -> None:
    values = random(3).lognormal(size=(3, 500))
    values[1, ::3] = np.nan
    columns = describe(values)
    for row in range(3):
        held = values[row][~np.isnan(values[row])]
        assert columns["count"][row] == len(held)
        assert columns["mean"][row] == pytest.approx(held.mean())
        assert columns["std"][row] == pytest.approx(held.std(ddof=1))
        assert columns["p99"][row] == pytest.approx(np.percentile(held, 99))
        assert columns["max"][row] == held.max()


def test_one_sample_has_no_deviation() -> None:
    (finding,) = Statistics().analyze(frame_of(np.array([[math.nan, 4.0]])))
    assert finding.facts["count"] == 1
    assert finding.facts["last"] == finding.facts["p99"] == 4.0
    assert math.isnan(finding.facts["std"])  # type: ignore[arg-type]


# --- trends -------------------------------------------------------------------------------------


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9, 0.99, 1.0])
def test_noise_shows_a_trend_in_at_most_8_percent_from_white_to_a_random_walk(phi: float) -> None:
    values = autoregressive(phi, 400, 600, seed=11)
    found = int((fit(values, 1.0).p < 0.05).sum())
    assert at_most(found, 400, 0.08)


def test_a_trend_of_3_sigma_in_white_noise_is_found() -> None:
    values = random(4).normal(size=(200, 600)) + np.linspace(0, 3, 600)
    trends = fit(values, 2.0)
    assert at_least(int((trends.p < 0.05).sum()), 200, 0.95)
    slope = 3 / 600 / 2.0
    held = (trends.low <= slope) & (slope <= trends.high)
    assert at_least(int(held.sum()), 200, 0.90)


def test_a_constant_has_no_trend_and_absent_samples_do_not_make_one() -> None:
    values = np.ones((2, 200))
    values[1, ::2] = np.nan
    trends = fit(values, 1.0)
    assert list(trends.p) == [1.0, 1.0]
    assert list(trends.n) == [200, 100]


def test_below_60_samples_it_is_too_short_to_tell() -> None:
    (finding,) = Trend(TrendSettings()).analyze(frame_of(np.arange(59.0)[None, :]))
    assert finding.facts["verdict"] == "too short to tell"
    assert "too short to tell" in finding.text


def test_the_words_say_n_n_eff_the_interval_and_chance() -> None:
    (finding,) = Trend(TrendSettings()).analyze(frame_of(random(1).normal(size=(1, 300))))
    assert finding.facts["verdict"] == "no trend"
    for word in ("could be chance", "n = 300", "n_eff", " to "):
        assert word in finding.text


def test_benjamini_hochberg_rejects_as_in_the_paper() -> None:
    # The worked example of Benjamini & Hochberg 1995, section 3.2: four of fifteen at 0.05.
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    p += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    assert benjamini_hochberg(np.array(p), 0.05).sum() == 4
    assert not benjamini_hochberg(np.array([math.nan]), 0.05).any()


# --- anomalies ----------------------------------------------------------------------------------

SETTINGS = AnomalySettings()


@pytest.mark.parametrize("phi", [0.0, 0.9, 1.0])
def test_clean_series_stay_near_the_alarm_budget(phi: float) -> None:
    rows, length = 60, 7200
    found = detect(autoregressive(phi, rows, length, seed=21) + 50, 1.0, SETTINGS)
    days = rows * (length - SETTINGS.warm_up) / DAY
    # The budget is 0.1 a day; this first version is held to ten times that.
    assert stats.poisson.sf(int(found.events.sum()) - 1, days * 1.0) > 0.001


def faulty(kind: str) -> np.ndarray:
    values = random(31).normal(size=(60, 4000)) + 50
    fault = values[:, 3600:]
    if kind == "spike":
        fault[:, :5] += 10
    elif kind == "shift":
        fault[:, :120] += 3
    elif kind == "freeze":
        fault[:, :60] = fault[:, :1]
    elif kind == "ramp":
        fault += np.linspace(0, 6, fault.shape[1])
    return values


@pytest.mark.parametrize(
    ("kind", "within", "share"),
    [("spike", 10, 0.80), ("shift", 120, 0.90), ("freeze", 10, 0.95), ("ramp", 400, 0.70)],
)
def test_an_injected_fault_is_found(kind: str, within: int, share: float) -> None:
    flags = detect(faulty(kind), 1.0, SETTINGS).flags
    assert at_least(int(flags[:, 3600 : 3600 + within].any(axis=1).sum()), 60, share)
    assert flags[:, :3600].any(axis=1).sum() <= 6


def test_a_score_depends_on_the_past_alone() -> None:
    values = autoregressive(0.5, 3, 1500, seed=5)
    whole = detect(values, 1.0, SETTINGS)
    changed = values.copy()
    changed[:, 1200:] += 1000
    other = detect(changed, 1.0, SETTINGS)
    assert np.array_equal(whole.score[:, :1200], other.score[:, :1200], equal_nan=True)
    assert np.array_equal(whole.flags[:, :1200], other.flags[:, :1200])


def test_constant_and_empty_series_are_quiet() -> None:
    values = np.vstack([np.full(600, 7.0), np.full(600, math.nan)])
    assert not detect(values, 1.0, SETTINGS).flags.any()


def test_the_node_rate_is_the_share_of_metrics_anomalous_at_once() -> None:
    values = random(8).normal(size=(10, 2000)) + 50
    values[:4, 1900:1910] += 40
    findings = Anomalies(SETTINGS).analyze(frame_of(values))
    node = findings[0]
    assert node.facts["rate_max"] == pytest.approx(40.0)
    assert node.facts["rate_max_time"] in range(1900, 1925)
    assert {str(f.series) for f in findings[1:]} == {f"test.m{i}" for i in range(4)}


def test_a_counter_is_judged_by_its_rate() -> None:
    steps = np.ones(900)
    steps[700:703] = 500
    data = table(frame_of(np.cumsum(steps)[None, :], unit=""))
    assert data.as_rate[0]
    assert data.values[0, 701] == 500.0
    assert math.isnan(data.values[0, 0])


# --- isolation ----------------------------------------------------------------------------------


def test_the_forest_names_the_metrics_that_made_a_moment_isolated() -> None:
    values = random(6).normal(size=(12, 1500))
    values[:4, 1490] += 8
    (finding,) = Isolation(IsolationSettings()).analyze(frame_of(values))
    assert finding.facts["verdict"] == "isolated"
    assert finding.facts["most_isolated_time"] == 1490.0
    named = {finding.facts[f"metric_{rank}"] for rank in (1, 2, 3, 4)}
    assert named == {f"test.m{row}" for row in range(4)}
    # Contamination says how much is reported, not how much is anomalous.
    assert finding.facts["reported"] == 5


def test_noise_is_usual_and_little_of_it_too_short_to_tell() -> None:
    settings = IsolationSettings(trees=50)
    (usual,) = Isolation(settings).analyze(frame_of(random(7).normal(size=(5, 600))))
    assert usual.facts["verdict"] == "usual"
    (short,) = Isolation(settings).analyze(frame_of(random(7).normal(size=(5, 100))))
    assert short.facts["verdict"] == "too short to tell"


# --- forecasts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("phi", [0.0, 0.9, 1.0])
def test_intervals_cover_about_what_they_say_with_four_hours_of_history(phi: float) -> None:
    values = autoregressive(phi, 200, 270, seed=41)
    quantiles = forecast(values[:, :240], 30).quantiles
    truth = values[:, 269]
    inside80 = (quantiles[:, 1] <= truth) & (truth <= quantiles[:, 3])
    inside95 = (quantiles[:, 0] <= truth) & (truth <= quantiles[:, 4])
    # Four hours hold few independent errors 30 minutes ahead: shared notes measured 76 and 92 %.
    assert 0.60 <= inside80.mean() <= 0.92
    assert 0.80 <= inside95.mean() <= 1.0


def test_on_a_level_with_noise_smoothing_beats_naive() -> None:
    horizon = forecast(random(42).normal(size=(50, 240)), 30)
    assert (horizon.loss / horizon.naive_loss).mean() < 0.9
    assert horizon.scored >= 30


def test_a_share_is_not_forecast_beyond_all_or_below_nothing() -> None:
    values = np.clip(random(5).normal(50, 60, size=(1, 80)), 0.0, 100.0)
    settings = ForecastSettings(period=1.0, horizon=10.0, second_horizon=20.0)
    bounds = {}
    for unit in ("%", "USD"):
        found = Forecasts(settings).analyze(frame_of(values, unit=unit))
        stated = [float(f.facts[name]) for f in found for name in ("low95", "high95")]  # type: ignore[arg-type]
        drawn = [value for f in found for values in f.points.values() for value in values]
        times = {value for f in found for value in f.points.get("times", ())}
        bounds[unit] = [*stated, *(value for value in drawn if value not in times)]
    assert min(bounds["%"]) >= 0.0
    assert max(bounds["%"]) <= 100.0
    assert max(bounds["USD"]) > 100.0


def test_coverage_on_recorded_operational_series(shared_data: Path) -> None:
    files = sorted((shared_data / "series").glob("cloud/*/*.csv.gz"))
    assert files
    covered80, covered95 = [], []
    for file in files:
        with gzip.open(file, "rt") as stream:
            values = [float(row["Value"] or "nan") for row in csv.DictReader(stream)]
        if len(values) >= 600:
            horizon = forecast(np.array(values[:1440])[None, :], 30)
            covered80.append(horizon.coverage80[0])
            covered95.append(horizon.coverage95[0])
    assert len(covered80) >= 15
    assert 0.70 <= np.nanmean(covered80) <= 0.90
    assert 0.85 <= np.nanmean(covered95) <= 1.0


def test_fewer_than_30_scored_forecasts_are_uncalibrated_and_fewer_still_too_short() -> None:
    settings = ForecastSettings(period=1.0, horizon=10.0, second_horizon=100.0, profile="demo")
    first, *_, last = Forecasts(settings).analyze(frame_of(random(1).normal(size=(1, 50))))
    assert first.facts["confidence"] == "uncalibrated"
    assert first.facts["profile"] == "demo"
    assert "demo profile" in first.text
    assert last.facts["verdict"] == "too short to tell"
    assert last.series is None


# --- together -----------------------------------------------------------------------------------


def test_every_provider_opens_in_the_analysis_service_and_speaks_json() -> None:
    import asyncio

    specs = tuple(specify(provider) for provider in alluse_analyzers())
    values = random(2).normal(size=(4, 400))
    values[3] = math.nan
    values[2, ::5] = math.nan
    outcome = asyncio.run(InlineExecutor().run(Job(specs, frame_of(values))))
    assert outcome.failures == ()
    assert set(outcome.seconds) == {"statistics", "trend", "anomaly", "isolation", "forecast"}
    for finding in outcome.findings:
        json.dumps({**finding.facts, "text": finding.text})
        assert all(
            isinstance(value, float | int | str | bool | None) for value in finding.facts.values()
        )


def test_a_known_fault_in_a_real_recording_is_found(shared_data: Path) -> None:
    nab = shared_data / "series" / "nab"
    windows = nab / "windows.json"
    found = flagged = total = 0
    for name, labelled in sorted(json.loads(windows.read_text()).items())[::2]:
        file = nab / f"{name}.gz"
        if not file.is_file() or not labelled:
            continue
        with gzip.open(file, "rt") as stream:
            rows = list(csv.DictReader(stream))
        values = np.array([float(row["value"]) for row in rows])[None, :]
        detection = detect(values, 300.0, SETTINGS)
        times = [row["timestamp"] for row in rows]
        flagged += int(detection.events.sum())
        for start, end in labelled:
            inside = [start[:19] <= time <= end[:19] for time in times]
            found += bool(detection.flags[0, inside].any())
            total += 1
    assert total > 20
    assert found / total >= 0.35
    assert flagged / total <= 10
