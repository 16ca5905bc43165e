"""Detectors for what a tail of deviations cannot see: values that stand still, and slow ramps."""

from __future__ import annotations

import numpy as np

from alluse_analytics.frames import Bools, Floats

# A series that repeats its value more often than this stands still by nature.
_MOSTLY_MOVING = 0.5
_RAMP_WINDOWS = (60, 240)
# A rise must be this many times the largest one seen before, over at least this many windows.
_RAMP_MARGIN = 3.0
_RAMP_PAST_WINDOWS = 8


def frozen(values: Floats, probability: float, warm_up: int) -> Bools:
    """Return where a series has repeated its value for longer than chance and its past allow.

    A run of L repeats has probability p^L where p is the share of repeats so far; it must be
    below ``probability`` and twice as long as any run before it. Absent samples end a run.
    """
    rows, length = values.shape
    result = np.zeros((rows, length), dtype=bool)
    if length <= warm_up:
        return result
    repeats = np.zeros((rows, length), dtype=bool)
    repeats[:, 1:] = values[:, 1:] == values[:, :-1]
    positions = np.arange(length)[None, :]
    broken = np.maximum.accumulate(np.where(repeats, -1, positions), axis=1)
    run = positions - broken
    ended = np.zeros_like(run)
    ended[:, 1:] = np.where(~repeats[:, 1:], run[:, :-1], 0)
    longest = np.maximum.accumulate(ended, axis=1)
    # Repeats of the run under way are not evidence about the past.
    total = np.cumsum(repeats, axis=1) - run
    share = np.maximum((total + 1.0) / (positions - run + 2.0), 0.05)
    needed = np.maximum(np.log(probability) / np.log(np.minimum(share, 0.99)), 2.0 * longest)
    result = (run > needed) & (share < _MOSTLY_MOVING)
    result[:, :warm_up] = False
    return np.asarray(result)


def ramping(values: Floats, warm_up: int) -> Bools:
    """Return where a rise or fall over a window exceeds three times any seen before.

    Windows of 60 and 240 samples; least-squares slopes times the window. At least eight windows
    must have passed before one can be called unusual.
    """
    result = np.zeros(values.shape, dtype=bool)
    for window in _RAMP_WINDOWS:
        wait = max(warm_up, _RAMP_PAST_WINDOWS * window) + window
        if values.shape[1] <= wait:
            continue
        rise = np.abs(_rises(values, window))
        # What the window itself saw is not the past: look back from before it began.
        largest = np.maximum.accumulate(rise, axis=1)
        before = np.zeros_like(rise)
        before[:, window:] = largest[:, :-window]
        found = rise > _RAMP_MARGIN * np.maximum(before, 1e-12)
        found[:, :wait] = False
        # Nothing moved before: any first move would be infinitely larger than it.
        found &= before > 0.0
        result |= found
    return result


def _rises(values: Floats, window: int) -> Floats:
    """Return the least-squares slope over the newest ``window`` samples, times the window."""
    filled = _carried(values)
    centre = (window - 1) / 2.0
    weights = (np.arange(window) - centre) * 12.0 / (window * (window**2 - 1.0)) * window
    # sum_j w_j x_{t-window+1+j}, from running sums: sums and index-weighted sums of each window.
    offset = filled[:, :1]
    x = filled - offset
    index = np.arange(x.shape[1])[None, :]
    plain = _windowed(np.cumsum(x, axis=1), window)
    weighted = _windowed(np.cumsum(x * index, axis=1), window)
    start = index - (window - 1)
    unit = weights[1] - weights[0]
    rises = unit * (weighted - (start + centre) * plain)
    rises[:, : window - 1] = 0.0
    return np.asarray(rises)


def _windowed(cumulative: Floats, window: int) -> Floats:
    sums = cumulative.copy()
    sums[:, window:] -= cumulative[:, :-window]
    return sums


def _carried(values: Floats) -> Floats:
    present = ~np.isnan(values)
    index = np.where(present, np.arange(values.shape[1])[None, :], 0)
    latest = np.maximum.accumulate(index, axis=1)
    carried = np.take_along_axis(values, latest, axis=1)
    return np.asarray(np.where(np.isnan(carried), 0.0, carried))
