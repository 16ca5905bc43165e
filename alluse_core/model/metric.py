"""One measured number."""

from __future__ import annotations

import attrs

Labels = tuple[tuple[str, str], ...]
"""Sorted (name, value) pairs; hashable."""


def labels(**pairs: object) -> Labels:
    """Return ``pairs`` as sorted label tuples: ``labels(symbol="AAPL")``."""
    return tuple(sorted((name, str(value)) for name, value in pairs.items()))


@attrs.frozen
class SeriesId:
    """What a series of numbers measures. ``unit`` is part of its name, e.g. ``ms`` or ``%``."""

    component: str
    metric: str
    labels: Labels = ()
    unit: str = ""

    def __str__(self) -> str:
        inner = ",".join(f"{name}={value}" for name, value in self.labels)
        return f"{self.component}.{self.metric}" + (f"{{{inner}}}" if inner else "")


@attrs.frozen
class Sample:
    """A value of a series at the tick that collected it.

    What nothing measured is absent: a source yields no sample then, never a zero or a NaN.
    """

    series: SeriesId
    value: float
