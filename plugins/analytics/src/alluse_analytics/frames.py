"""Frames as numpy arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray

from alluse_core.model import Scalar
from alluse_core.ports import Frame

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]

_COUNTS = ("", "count")


@attrs.frozen(eq=False)
class Table:
    """A frame's values as one row a series; ``as_rate`` marks rows that were counters."""

    times: Floats
    values: Floats
    as_rate: Bools
    step: float


def held(frame: Frame) -> Frame:
    """Return the frame without series that hold no finite sample."""
    kept = [
        (series, buffer)
        for series, buffer in zip(frame.series, frame.values, strict=True)
        if np.isfinite(np.frombuffer(buffer, dtype=np.float64)).any()
    ]
    return Frame(
        frame.times,
        tuple(series for series, _ in kept),
        tuple(buffer for _, buffer in kept),
        frame.step,
    )


def finite(facts: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return facts with NaN in place of what overflowed."""
    return {
        name: math.nan if isinstance(value, float) and math.isinf(value) else value
        for name, value in facts.items()
    }


def raw_table(frame: Frame) -> Table:
    """Return the frame's values as they are, infinities as NaN."""
    times = np.array(frame.times, dtype=np.float64)
    values = np.empty((len(frame.series), len(times)))
    for row, buffer in enumerate(frame.values):
        values[row] = np.frombuffer(buffer, dtype=np.float64)
    values[~np.isfinite(values)] = np.nan
    return Table(times, values, np.zeros(len(values), dtype=bool), frame.step)


def table(frame: Frame) -> Table:
    """Return the frame's values with counters as rates per second.

    A counter has no unit, whole numbers only, and never falls. Its level says how long the
    process has run; its rate says what happened.
    """
    raw = raw_table(frame)
    values = raw.values.copy()
    as_rate = raw.as_rate.copy()
    for row, series in enumerate(frame.series):
        here = np.flatnonzero(~np.isnan(values[row]))
        if series.unit not in _COUNTS or len(here) < 3:
            continue
        samples = values[row, here]
        steps = np.diff(samples)
        if (steps >= 0).all() and steps.any() and (samples == np.floor(samples)).all():
            as_rate[row] = True
            values[row] = np.nan
            values[row, here[1:]] = steps / np.maximum(np.diff(raw.times[here]), 1e-9)
    return Table(raw.times, values, as_rate, raw.step)


def binned(values: Floats, most: int) -> tuple[Floats, int]:
    """Return rows averaged over bins so that at most ``most`` columns are left, and the bin width.

    An incomplete first bin is left out. NaN is not counted; a bin without a sample is NaN.
    """
    width = -(-values.shape[1] // most)
    if width <= 1:
        return values, 1
    return averaged(values, width), width


def averaged(values: Floats, width: int) -> Floats:
    """Return the means of ``width`` columns at a time, counted from the newest backwards."""
    bins = values.shape[1] // width
    if not bins:
        return np.empty((len(values), 0))
    parts = values[:, values.shape[1] - bins * width :].reshape(len(values), bins, width)
    present = ~np.isnan(parts)
    count = present.sum(axis=2)
    total = np.where(present, parts, 0.0).sum(axis=2)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
