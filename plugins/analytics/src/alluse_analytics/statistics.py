"""Exact statistics of what the window holds."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from alluse_analytics.frames import Floats, finite, held, raw_table
from alluse_core.model import Finding
from alluse_core.ports import Frame

SHARES = (("p50", 0.50), ("p90", 0.90), ("p99", 0.99))


class Statistics:
    """Count, mean, deviation, extremes and percentiles of every series.

    Percentiles come from all samples in the window, by linear interpolation between order
    statistics (Hyndman & Fan type 7); nothing is averaged or merged.
    """

    name = "statistics"

    def analyze(self, frame: Frame) -> Sequence[Finding]:
        """Return one finding for each series."""
        frame = held(frame)
        if not frame.series:
            return []
        # Numbers near the end of float64 overflow; what did so is reported as not known.
        with np.errstate(all="ignore"):
            found = self._analyze(frame)
        return [attrs.evolve(finding, facts=finite(finding.facts)) for finding in found]

    def _analyze(self, frame: Frame) -> Sequence[Finding]:
        table = raw_table(frame)
        columns = describe(table.values)
        last = _last(table.values)
        found = []
        for row, series in enumerate(frame.series):
            facts = {name: float(values[row]) for name, values in columns.items()}
            count = int(facts.pop("count"))
            text = (
                f"{series}: {count} samples, median {facts['p50']:.6g}, "
                f"p99 {facts['p99']:.6g}, from {facts['min']:.6g} to {facts['max']:.6g}"
                f" {series.unit}".rstrip()
            )
            found.append(
                Finding(
                    self.name,
                    "statistics",
                    series,
                    {"count": count, "last": float(last[row]), **facts},
                    text,
                )
            )
        return found


def describe(values: Floats) -> dict[str, Floats]:
    """Return named columns of statistics of each row; NaN is absence and not counted."""
    count = (~np.isnan(values)).sum(axis=1)
    ordered = np.sort(values, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nansum(values, axis=1) / count
        squares = np.nansum((values - mean[:, None]) ** 2, axis=1)
        deviation = np.where(count > 1, np.sqrt(squares / (count - 1)), np.nan)
    columns = {
        "count": count.astype(np.float64),
        "mean": mean,
        "std": deviation,
        "min": ordered[:, 0],
        "max": _at_rank(ordered, count, 1.0),
    }
    for name, share in SHARES:
        columns[name] = _at_rank(ordered, count, share)
    return columns


def _at_rank(ordered: Floats, count: Floats, share: float) -> Floats:
    rows = np.arange(len(ordered))
    rank = np.maximum(count - 1, 0) * share
    below = np.floor(rank).astype(int)
    above = np.minimum(below + 1, np.maximum(count - 1, 0).astype(int))
    low, high = ordered[rows, below], ordered[rows, above]
    return np.asarray(low + (high - low) * (rank - below))


def _last(values: Floats) -> Floats:
    present = ~np.isnan(values)
    newest = values.shape[1] - 1 - present[:, ::-1].argmax(axis=1)
    return np.asarray(values[np.arange(len(values)), newest])
