"""Thresholds for a wanted rate of false alarms, from the tail of past scores."""

from __future__ import annotations

import attrs
import numpy as np

from alluse_analytics.frames import Floats

# The share of past scores that counts as the tail.
TAIL_SHARE = 0.02
# A shape above 0.5 has no variance and is mostly an estimate from too few peaks; one below 0
# would promise that nothing worse than seen so far can come.
_SHAPE_LOW, _SHAPE_HIGH = 0.0, 0.5
_FEWEST_PEAKS = 10
_LEAST_SCALE = 0.09


@attrs.frozen(eq=False)
class Tail:
    """A generalised Pareto tail for each row: scores above ``start`` are its excesses.

    ``calibrated`` is false where fewer than ten peaks were seen; the tail is exponential then,
    with the scale of ``start`` itself.
    """

    start: Floats
    scale: Floats
    shape: Floats
    rate: Floats
    calibrated: Floats

    def threshold(self, probability: float) -> Floats:
        """Return the score that one sample exceeds with ``probability``."""
        ratio = self.rate / probability
        with np.errstate(divide="ignore", invalid="ignore"):
            curved = self.scale / self.shape * (ratio**self.shape - 1.0)
        return np.asarray(
            self.start + np.where(self.shape > 1e-6, curved, self.scale * np.log(ratio))
        )

    def exceedance(self, scores: Floats) -> Floats:
        """Return the probability of a score as high, for columns of scores."""
        excess = np.maximum(scores - self.start[:, None], 0.0) / self.scale[:, None]
        shape = np.maximum(self.shape, 1e-6)[:, None]
        tail = self.rate[:, None] * (1.0 + shape * excess) ** (-1.0 / shape)
        # Below the tail only the order matters: a straight line in log p joins it at its start.
        below = self.rate[:, None] ** np.clip(
            scores / np.maximum(self.start[:, None], 1e-12), 0.0, 1.0
        )
        return np.asarray(np.where(excess > 0.0, tail, below))


def fit_tail(scores: Floats, floor: float) -> Tail:
    """Fit the tail of each row of past scores (NaN = absent) by probability-weighted moments.

    Peaks over threshold after Pickands; moments after Hosking & Wallis 1987. ``floor`` is the
    lowest score at which a tail may start.
    """
    count = (~np.isnan(scores)).sum(axis=1)
    peaks = max(_FEWEST_PEAKS, int(np.ceil(scores.shape[1] * TAIL_SHARE)))
    peaks = min(peaks, scores.shape[1] - 1)
    held = np.where(np.isnan(scores), 0.0, scores)
    highest = np.sort(np.partition(held, -peaks - 1, axis=1)[:, -peaks - 1 :], axis=1)
    start = np.maximum(highest[:, 0], floor)
    excess = np.maximum(highest[:, 1:] - start[:, None], 0.0)
    above = excess > 0.0
    n = above.sum(axis=1)
    # Excesses rise along a row and begin with zeros: rank from the top among the positive ones.
    from_top = np.arange(peaks - 1, -1, -1)[None, :]
    first = np.where(above, excess, 0.0).sum(axis=1) / np.maximum(n, 1)
    weights = np.where(above, from_top / np.maximum(n - 1, 1)[:, None], 0.0)
    second = (weights * excess).sum(axis=1) / np.maximum(n, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        shape = 2.0 - first / (first - 2.0 * second)
    # The budget is a promise, so the shape is taken half a standard error to the heavy side.
    shape = np.clip(np.nan_to_num(shape), _SHAPE_LOW, _SHAPE_HIGH)
    shape = np.minimum(shape + (1.0 + shape) / np.sqrt(np.maximum(n, 1)) * 0.5, _SHAPE_HIGH)
    calibrated = n >= _FEWEST_PEAKS
    shape = np.where(calibrated, shape, 0.0)
    scale = np.where(calibrated, first * (1.0 - shape), start)
    rate = np.clip(np.maximum(n, 1) / np.maximum(count, 1), 1e-9, 1.0)
    # Peaks that are all alike (a count that is 0 or 1) would put a threshold right above them.
    return Tail(
        start, np.maximum(scale, _LEAST_SCALE * start), shape, rate, calibrated.astype(np.float64)
    )
