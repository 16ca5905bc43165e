"""Scores each sample against what the series did before, on several scales at once."""

from __future__ import annotations

import numpy as np

from alluse_analytics.extremes import fit_tail
from alluse_analytics.frames import Bools, Floats

# Half-lives in samples: a level that follows, one that remembers, one that hardly moves.
HALF_LIVES = (5.0, 40.0, 400.0)
# Scales follow slowly and take at most this many deviations from one sample, so that an anomaly
# does not make itself normal.
_SCALE_HALF_LIFE = 400.0
_CLIP = 4.0
# Where a series hardly ever moves, deviations are counted in thousandths of its level.
_RELATIVE_FLOOR = 1e-3
# Clipping would let the scale of a series that moves rarely decay to nothing: it stays above this
# share of the plain mean of all its differences (means move less than samples do).
_OVERALL_FLOOR = (0.25, 0.25, 0.25, 0.25, 0.15, 0.15)
# Scores below this are never a tail: mean absolute deviations of a normal series reach it daily.
_SCORE_FLOOR = 3.0
# The tail is fitted again each time the past has grown by half.
_GROWTH = 1.5
_WINDOW_BEFORE_FIT = 4
# Where peaks are too few for a tail (a count that is nearly always 0), a sample must beat
# everything seen before by this factor.
_BEYOND_PAST = 1.5


def scores(values: Floats) -> Floats:
    """Return the largest of seven standardised deviations of each sample; NaN where absent.

    Level: distance from exponentially weighted means of three half-lives. Difference: from the
    sample before. Fast against slow: distance between those means. Each is divided by its own
    slowly following, clipped mean absolute deviation. Causal: sample t is scored from what came
    before it.
    """
    rows, length = values.shape
    rates = 1.0 - 0.5 ** (1.0 / np.array(HALF_LIVES))[:, None]
    slow_rate = 1.0 - 0.5 ** (1.0 / _SCALE_HALF_LIFE)
    present = ~np.isnan(values)
    first = values[np.arange(rows), present.argmax(axis=1)]
    first = np.where(np.isnan(first), 0.0, first)
    level = np.repeat(first[None, :], len(HALF_LIVES), axis=0)
    previous = first.copy()
    scale = np.zeros((2 * len(HALF_LIVES), rows))
    seen = np.zeros(rows)
    overall = np.zeros(rows)
    share = np.array(_OVERALL_FLOOR)[:, None]
    result = np.full((rows, length), np.nan)
    deviation = np.empty_like(scale)
    columns = np.ascontiguousarray(values.T)
    for t in range(length):
        sample = columns[t]
        here = present[:, t]
        held = np.where(here, sample, previous)
        innovation = held - level
        deviation[:3] = np.abs(innovation)
        deviation[3] = np.abs(held - previous)
        deviation[4] = np.abs(level[0] - level[2])
        deviation[5] = np.abs(level[1] - level[2])
        floor = np.maximum(_RELATIVE_FLOOR * np.abs(level[2]), share * overall) + 1e-12
        usual = np.maximum(scale, floor)
        result[:, t] = np.where(here, (deviation / usual).max(axis=0), np.nan)
        weight = np.maximum(slow_rate, 1.0 / (seen + 2.0)) * here
        # The first samples set the scale; only then is there something to clip against.
        bounded = np.where(seen > 20.0, np.minimum(deviation, _CLIP * usual), deviation)
        scale += weight * (bounded - scale)
        bound = np.where(seen > 20.0, _CLIP * usual[:3], np.inf)
        step = np.maximum(rates, 1.0 / (seen + 1.0)) * here
        level += step * np.clip(innovation, -bound, bound)
        overall += here * (deviation[3] - overall) / (seen + 1.0)
        previous = held
        seen += here
    return result


def calibrated(found: Floats, probability: float, warm_up: int) -> tuple[Floats, Bools]:
    """Return scores on a scale where 1 is the alarm threshold, and whether each row has a tail.

    A scaled score is log p / log ``probability``, p from a tail fitted to earlier scores alone.
    Fitting is repeated each time the past has grown by half; samples above the threshold are kept
    out of it. A row without enough peaks for a tail must also beat its own past. The
    first ``warm_up`` samples have no score (NaN).
    """
    scaled = np.full_like(found, np.nan)
    past = found.copy()
    length = found.shape[1]
    known = np.zeros(len(found), dtype=bool)
    highest = np.maximum.accumulate(np.nan_to_num(found), axis=1)
    begin = warm_up
    while begin < length:
        end = min(length, max(begin + 1, int(begin * _GROWTH)))
        # The scales themselves are still settling in the first quarter of the warm-up.
        tail = fit_tail(past[:, warm_up // _WINDOW_BEFORE_FIT : begin], _SCORE_FLOOR)
        p = np.maximum(tail.exceedance(found[:, begin:end]), 1e-300)
        judged = np.log(p) / np.log(probability)
        seen_before = found[:, begin:end] <= _BEYOND_PAST * highest[:, begin - 1 : end - 1]
        few = ~(tail.calibrated > 0)[:, None]
        scaled[:, begin:end] = np.where(few & seen_before, np.minimum(judged, 0.99), judged)
        past[:, begin:end][scaled[:, begin:end] >= 1.0] = np.nan
        known = tail.calibrated > 0
        begin = end
    scaled[np.isnan(found)] = np.nan
    return scaled, known


def hold(flags: Bools, quiet: int) -> Bools:
    """Return flags kept up until ``quiet`` samples have passed without one."""
    length = flags.shape[1]
    last = np.maximum.accumulate(np.where(flags, np.arange(length)[None, :], -quiet - 1), axis=1)
    return np.asarray(np.arange(length)[None, :] - last <= quiet)


def starts(flags: Bools) -> Bools:
    """Return where a run of flags begins."""
    before = np.zeros_like(flags)
    before[:, 1:] = flags[:, :-1]
    return np.asarray(flags & ~before)
