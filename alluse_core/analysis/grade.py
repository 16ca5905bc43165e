"""The grade of a session: a pure function of what was measured.

Each part earns its weight linearly between a floor (no points) and a target (all points). A part
that had too little to measure gives its weight to the others, and says so; a part that should
have been measured and was not earns nothing. The numbers of this page have a version, printed
with every grade.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import attrs

WEIGHTS_VERSION: Final = "1"
WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "availability": 25.0,
        "errors": 25.0,
        "latency": 20.0,
        "freshness_throughput": 10.0,
        "resources": 10.0,
        "completeness": 10.0,
    }
)
COMPLETE_ENOUGH: Final = 0.95
FEWEST_ORDERS: Final = 20
FEWEST_LATENCIES: Final = 20
FEWEST_READS: Final = 100
LETTERS: Final = (("A", 90.0), ("B", 80.0), ("C", 70.0), ("D", 60.0), ("F", 0.0))
_Z95 = 1.959963984540054


class Measured(StrEnum):
    """Whether a part could be measured."""

    YES = "measured"
    TOO_QUIET = "too quiet"
    MISSING = "not measured"


@attrs.frozen
class Share:
    """``good`` of ``total`` events; a share of nothing is not known."""

    good: float
    total: float

    @property
    def value(self) -> float:
        """``good / total``, NaN where total is 0."""
        return self.good / self.total if self.total > 0 else math.nan

    def interval(self) -> tuple[float, float]:
        """Return the Wilson score interval at 95 %, as if events were independent."""
        if self.total <= 0:
            return math.nan, math.nan
        p, n, z2 = self.value, self.total, _Z95**2
        middle = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
        # At the ends the bound is exact; a difference of floats there is not.
        low = 0.0 if self.good <= 0 else max(0.0, middle - half)
        return low, 1.0 if self.good >= self.total else min(1.0, middle + half)


@attrs.frozen
class Measurements:
    """What the grade is computed from; None where nothing measured it.

    ``link_up``: session seconds with the order link up, of those observed. ``errors``: venue
    rejections and UNKNOWN orders (our own denials are not errors), of ``orders`` that were sent.
    ``satisfied`` and ``tolerating``: acknowledgements within T and within 4T of ``latencies``.
    ``fresh_reads`` of ``reads``
    that waited for a quote or found one were answered with one fresh enough. ``resources_ok``:
    seconds with memory and processor below their limits, of those observed. ``ticks`` stored of
    ``ticks_expected``.
    """

    link_up: Share | None
    orders: int | None
    errors: int | None
    satisfied: int
    tolerating: int
    latencies: int | None
    latency_target_ms: float
    fresh_reads: int | None
    reads: int | None
    resources_ok: Share | None
    ticks: int
    ticks_expected: int
    critical_alerts: int = 0
    risk_breaches: int = 0
    unknown_orders: int = 0
    position_mismatches: int = 0


@attrs.frozen
class Part:
    """One part of the grade. ``raw`` is in ``unit``, and so are target, floor and interval.

    ``weight`` is what the part was worth after redistribution, ``lost`` what it did not earn.
    """

    name: str
    measured: Measured
    raw: float
    unit: str
    target: float
    floor: float
    low: float
    high: float
    samples: float
    base_weight: float
    weight: float = 0.0
    points: float = 0.0
    lost: float = 0.0
    note: str = ""


@attrs.frozen
class Grade:
    """``letter`` is empty where the samples are incomplete; ``caps`` says what held it down."""

    letter: str
    points: float
    parts: tuple[Part, ...]
    caps: tuple[str, ...]
    completeness: float
    incomplete: bool
    redistributed: float
    version: str = WEIGHTS_VERSION


def grade(measurements: Measurements) -> Grade:
    """Return the grade of what was measured."""
    parts = _weighted(_parts(measurements))
    points = math.fsum(part.points for part in parts)
    completeness = Share(measurements.ticks, measurements.ticks_expected).value
    incomplete = not completeness >= COMPLETE_ENOUGH
    letter, caps = _letter(points, measurements)
    return Grade(
        letter="" if incomplete else letter,
        points=points,
        parts=parts,
        caps=caps,
        completeness=completeness,
        incomplete=incomplete,
        redistributed=math.fsum(
            part.base_weight for part in parts if part.measured is Measured.TOO_QUIET
        ),
    )


def apdex(satisfied: int, tolerating: int, total: int) -> float:
    """Return the Apdex index: satisfied plus half of tolerating, of all; NaN of none."""
    return (satisfied + tolerating / 2) / total if total else math.nan


def _parts(m: Measurements) -> tuple[Part, ...]:
    return (
        _share_part("availability", m.link_up, target=99.5, floor=95.0),
        _errors(m),
        _latency(m),
        _reads(m),
        _share_part("resources", m.resources_ok, target=100.0, floor=90.0),
        _share_part("completeness", Share(m.ticks, m.ticks_expected), target=99.5, floor=95.0),
    )


def _share_part(
    name: str,
    share: Share | None,
    *,
    target: float,
    floor: float,
    fewest: float = 1,
    note: str = "",
) -> Part:
    measured, raw, low, high, samples = Measured.MISSING, math.nan, math.nan, math.nan, 0.0
    if share is not None:
        measured = Measured.YES if share.total >= fewest else Measured.TOO_QUIET
        raw, samples = share.value * 100.0, share.total
        low, high = (bound * 100.0 for bound in share.interval())
    return Part(
        name, measured, raw, "%", target, floor, low, high, samples, WEIGHTS[name], note=note
    )


def _errors(m: Measurements) -> Part:
    share = None
    if m.orders is not None and m.errors is not None:
        share = Share(m.errors, m.orders)
    # The budget is 1 % of orders: no error leaves all of it, one in a hundred none.
    note = f"needs {FEWEST_ORDERS} orders"
    return _share_part("errors", share, target=0.0, floor=1.0, fewest=FEWEST_ORDERS, note=note)


def _latency(m: Measurements) -> Part:
    total = m.latencies
    measured = Measured.MISSING
    if total is not None:
        measured = Measured.YES if total >= FEWEST_LATENCIES else Measured.TOO_QUIET
    index = apdex(m.satisfied, m.tolerating, total or 0)
    # Half-points are not binomial; the interval of the satisfied share bounds the noise well.
    low, high = Share(index * total, total).interval() if total else (math.nan, math.nan)
    note = f"T = {m.latency_target_ms:g} ms; needs {FEWEST_LATENCIES} acknowledgements"
    return Part(
        "latency",
        measured,
        index,
        "Apdex",
        0.94,
        0.50,
        low,
        high,
        total or 0,
        WEIGHTS["latency"],
        note=note,
    )


def _reads(m: Measurements) -> Part:
    share = None
    if m.reads is not None and m.fresh_reads is not None:
        share = Share(m.fresh_reads, m.reads)
    note = f"needs {FEWEST_READS} reads"
    return _share_part(
        "freshness_throughput", share, target=99.0, floor=90.0, fewest=FEWEST_READS, note=note
    )


def _weighted(parts: Sequence[Part]) -> tuple[Part, ...]:
    counted = [part for part in parts if part.measured is not Measured.TOO_QUIET]
    base = math.fsum(part.base_weight for part in counted)
    return tuple(_earn(part, 100.0 / base if part in counted else 0.0) for part in parts)


def _earn(part: Part, factor: float) -> Part:
    weight = part.base_weight * factor
    share = (part.raw - part.floor) / (part.target - part.floor)
    earned = 0.0 if math.isnan(share) else min(1.0, max(0.0, share))
    points = weight * earned
    return attrs.evolve(part, weight=weight, points=points, lost=weight - points)


def _letter(points: float, m: Measurements) -> tuple[str, tuple[str, ...]]:
    reached = next(letter for letter, least in LETTERS if points >= least)
    held = [
        ("C", f"{m.critical_alerts} critical alert(s)", m.critical_alerts),
        ("D", f"{m.risk_breaches} risk breach(es)", m.risk_breaches),
        ("D", f"{m.unknown_orders} UNKNOWN order(s)", m.unknown_orders),
        ("D", f"{m.position_mismatches} position mismatch(es)", m.position_mismatches),
    ]
    active = [(cap, reason) for cap, reason, count in held if count > 0]
    letter = max([reached, *(cap for cap, _ in active)])
    return letter, tuple(f"{reason} cap the grade at {cap}" for cap, reason in active)
