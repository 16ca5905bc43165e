"""What an analyzer found."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from alluse_core.model.metric import SeriesId

Scalar = float | int | str | bool | None


@attrs.frozen
class Finding:
    """One statement about one series (or about all of them, ``series`` None).

    ``kind`` is the analyzer's word for it: statistics, trend, anomaly, forecast, ... ``facts``
    are the numbers behind it, by name, JSON-ready; NaN is written as None. ``text`` is one
    sentence that uses only those numbers. ``points`` are named arrays of numbers for a picture.
    """

    analyzer: str
    kind: str
    series: SeriesId | None
    facts: Mapping[str, Scalar]
    text: str = ""
    points: Mapping[str, tuple[float, ...]] = attrs.field(factory=dict)
