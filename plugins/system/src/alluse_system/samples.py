"""From what psutil returns to samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from alluse_core.model import Sample, SeriesId, labels

MB = 2**20


def sample(component: str, metric: str, value: float, unit: str = "", **labelled: object) -> Sample:
    """Return one sample."""
    return Sample(SeriesId(component, metric, labels(**labelled), unit), float(value))


def fields(
    component: str,
    prefix: str,
    record: Any,
    names: Iterable[str],
    *,
    unit: str = "",
    divide: float = 1.0,
    **labelled: object,
) -> Iterator[Sample]:
    """Yield those fields of a psutil record that this operating system has."""
    for name in names:
        value = getattr(record, name, None)
        if value is not None:
            yield sample(component, f"{prefix}{name}", value / divide, unit, **labelled)
