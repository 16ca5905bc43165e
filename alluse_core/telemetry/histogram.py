"""A sparse log-linear histogram: cheap to record into, mergeable, exact to a stated error."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

_SUB_BUCKETS = 128
# Zero has no logarithm: it gets a key below that of the smallest positive float.
_ZERO_KEY = -(10**9)


class Histogram:
    """Counts of non-negative numbers in buckets 1/128 to 1/256 of their value wide.

    A quantile is off by at most 0.4 % of the value. ``maximum`` and ``total`` are exact. Memory
    grows with the number of distinct buckets hit, at most 128 for each power of two.
    """

    __slots__ = ("buckets", "maximum", "total")

    def __init__(self) -> None:
        self.buckets: defaultdict[int, int] = defaultdict(int)
        self.total = 0.0
        self.maximum = 0.0

    def record(self, value: float) -> None:
        """Count one value. Raises ValueError or OverflowError unless 0 <= value < infinity."""
        if value > 0.0:
            mantissa, exponent = math.frexp(value)
            self.buckets[exponent * _SUB_BUCKETS + int(mantissa * 256.0)] += 1
            self.total += value
            if value > self.maximum:
                self.maximum = value
        elif value == 0.0:
            self.buckets[_ZERO_KEY] += 1
        else:
            raise ValueError(f"a histogram counts non-negative numbers, not {value}")

    @property
    def count(self) -> int:
        """How many values were recorded."""
        return sum(self.buckets.values())

    @property
    def mean(self) -> float:
        """The exact mean; NaN when empty."""
        count = self.count
        return self.total / count if count else math.nan

    def merge(self, others: Iterable[Histogram]) -> Histogram:
        """Return a new histogram of this one's counts and the others'."""
        merged = Histogram()
        for histogram in (self, *others):
            for key, count in histogram.buckets.items():
                merged.buckets[key] += count
            merged.total += histogram.total
            merged.maximum = max(merged.maximum, histogram.maximum)
        return merged

    def quantiles(self, *shares: float) -> tuple[float, ...]:
        """Return, for each share in 0..1, the value that share of the counts lies below.

        NaN each when empty. Raises ValueError for a share outside 0..1.
        """
        if not all(0.0 <= share <= 1.0 for share in shares):
            raise ValueError(f"shares lie in 0..1, not {shares}")
        count = self.count
        if not count:
            return tuple(math.nan for _ in shares)
        ordered = sorted(self.buckets.items())
        return tuple(self._at_rank(ordered, share * count) for share in shares)

    def quantile(self, share: float) -> float:
        """Return one quantile; see :meth:`quantiles`."""
        return self.quantiles(share)[0]

    def _at_rank(self, ordered: list[tuple[int, int]], rank: float) -> float:
        seen = 0
        for key, count in ordered:
            seen += count
            if seen >= rank:
                return min(_middle(key), self.maximum)
        return self.maximum


def _middle(key: int) -> float:
    if key == _ZERO_KEY:
        return 0.0
    # record() adds int(mantissa * 256), which lies in 128..255, to exponent * 128.
    exponent, sub = divmod(key - _SUB_BUCKETS, _SUB_BUCKETS)
    return math.ldexp((sub + _SUB_BUCKETS + 0.5) / 256.0, exponent)
