"""How a missing quote is asked for: from what the broker can do and what was read lately. Pure.

A snapshot costs a message for every read that misses and the broker's latency each time; a line
costs one message, and then a read costs nothing. Where a broker answers many instruments in one
request, a line is worth it only for what is read again and again; where it does not, a line is
the better way as long as one is to be had.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import StrEnum

import attrs

from alluse_core.model import Instrument
from alluse_core.ports import BrokerCapabilities

HOT_READS = 3.0
"""Reads in the demand window from which a line beats batch requests."""


class Route(StrEnum):
    """How to ask."""

    LINE = "line"
    BATCH = "batch"
    SNAPSHOT = "snapshot"


@attrs.frozen
class LineUse:
    """One line that is held: seconds since its last read was seen, and whether it is streamed."""

    instrument: Instrument
    idle: float
    pinned: bool


@attrs.frozen
class Plan:
    """The route, and the line that is released to make room for it."""

    route: Route
    release: Instrument | None = None


def choose(
    capabilities: BrokerCapabilities,
    *,
    reads: float,
    held: bool,
    lines: Iterable[LineUse],
    used: int,
    least_idle: float,
) -> Plan:
    """Return how to ask for one instrument.

    ``reads`` is its recent demand, this read included; ``held`` whether it has a line already
    (which then is not known to be alive); ``used`` of the broker's lines are taken. A line that
    was read less than ``least_idle`` seconds ago is not taken from its readers.
    """
    batches = capabilities.snapshot_batch > 1
    asked = Plan(Route.BATCH if batches else Route.SNAPSHOT)
    if held or not capabilities.streams or capabilities.quote_lines < 1:
        return asked
    if batches and reads < HOT_READS:
        return asked
    if used < capabilities.quote_lines:
        return Plan(Route.LINE)
    victim = least_recently_used(lines)
    if victim is None or victim.idle < least_idle:
        return asked
    return Plan(Route.LINE, victim.instrument)


def least_recently_used(lines: Iterable[LineUse]) -> LineUse | None:
    """Return the line that was idle longest; None where all are pinned or none is held."""
    return max((line for line in lines if not line.pinned), key=lambda use: use.idle, default=None)


class Demand:
    """Reads by instrument, each counting exp(-age / window): a rate times the window.

    Holds ``capacity`` instruments; the one counted longest ago makes room.
    """

    def __init__(self, window: float, capacity: int = 20_000) -> None:
        self._window = window
        self._capacity = capacity
        self._counts: dict[Instrument, tuple[float, float]] = {}

    def count(self, instrument: Instrument, now: float) -> float:
        """Count one read at monotonic ``now`` and return the demand, this read included."""
        value = self.of(instrument, now) + 1.0
        self._counts.pop(instrument, None)
        self._counts[instrument] = (value, now)
        if len(self._counts) > self._capacity:
            del self._counts[next(iter(self._counts))]
        return value

    def of(self, instrument: Instrument, now: float) -> float:
        """Return the demand at monotonic ``now``."""
        value, at = self._counts.get(instrument, (0.0, now))
        return value * math.exp(-(now - at) / self._window)
