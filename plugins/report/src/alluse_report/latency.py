"""What is known of all latencies of a session, from the percentiles that each second stored.

A metric store keeps percentiles of each second, not single orders. Percentiles are never averaged
here: each order is counted at the next percentile of its own second that is at or above it, so
every figure is an upper bound, "at most".
"""

from __future__ import annotations

import math

from alluse_report.session import Session

# A percentile q of n values is the one of rank ceil(q * n); see telemetry.Histogram.
_RANKS = (("p50", 0.50), ("p90", 0.90), ("p99", 0.99))
# Buckets are a hundredth wide, so counts at a rank may differ from q * n by rounding of floats.
_SLACK = 1e-9


def at_most(session: Session, component: str, timer: str) -> list[float] | None:
    """Return one upper bound in the timer's unit for each of its records, rising.

    None where nothing counts the timer. Records of seconds whose percentiles are missing are
    infinite: they may have taken any time.
    """
    counts = session.line(component, f"{timer}.count")
    if not counts[0]:
        return None
    stored = {
        name: dict(zip(*session.line(component, f"{timer}.{name}"), strict=True))
        for name in ("p50", "p90", "p99", "max")
    }
    bounds: list[float] = []
    before = 0.0
    for at, count in zip(*counts, strict=True):
        bounds += second({name: line.get(at) for name, line in stored.items()}, count - before)
        before = count
    return sorted(bounds)


def second(stored: dict[str, float | None], records: float) -> list[float]:
    """Return the upper bounds of one second's ``records``."""
    n = round(records)
    bounds: list[float] = []
    for name, share in _RANKS:
        value = stored[name]
        upto = math.ceil(share * n - _SLACK)
        if value is not None:
            bounds += [value] * (upto - len(bounds))
    highest = stored["max"]
    return bounds + [math.inf if highest is None else highest] * (n - len(bounds))
