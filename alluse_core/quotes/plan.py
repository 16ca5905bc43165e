"""How a missing quote is asked for: from what the broker can do and what was read lately. Pure.

A snapshot costs a message for every read that misses and the broker's latency each time; a line
costs one message, and then a read costs nothing. Where a broker answers many instruments in one
request, a line is worth it only for what is read again and again; where it does not, a line is
the better way as long as one is to be had, and what is seldom read is polled by a line that is
given back as soon as it has answered.

Lines that are worth most keep theirs: one in ten (``polling_lines``) is for everything else, and
a line beyond those changes hands only for an instrument worth clearly more. That is the window
and the main part of W-TinyLFU, with lines in place of cache entries: a scan passes through the
window and leaves the rest as it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import StrEnum
from typing import Protocol

import attrs

from alluse_core.model import Instrument
from alluse_core.ports import BrokerCapabilities

HOT_READS = 3.0
"""Reads in the demand window from which a line beats batch requests."""


TAKE_OVER = 1.5
"""How many times the worth of the least worthy line a newcomer must have to take it over."""

POLLING_SHARE = 0.1
"""Share of the lines through which the instruments worth less are polled, one after another."""


class Route(StrEnum):
    """How to ask. ``WAIT``: a line is about to come free, so ask again in a moment."""

    LINE = "line"
    BATCH = "batch"
    SNAPSHOT = "snapshot"
    WAIT = "wait"


@attrs.frozen
class LineUse:
    """One line that is held.

    ``idle``: seconds since its last read was seen. ``pinned``: it is streamed, or an order or a
    position needs it. ``demand``: as of :class:`Demand`. ``answered``: it gave a quote, or had
    time enough for one.
    """

    instrument: Instrument
    idle: float
    pinned: bool
    demand: float = 0.0
    answered: bool = True


@attrs.frozen
class Plan:
    """The route, and the line that is released to make room for it."""

    route: Route
    release: Instrument | None = None


class Choose(Protocol):
    """A decision over lines; :func:`choose` is the one in use, others are for comparison."""

    def __call__(
        self,
        capabilities: BrokerCapabilities,
        *,
        instrument: Instrument,
        reads: float,
        held: bool,
        lines: Iterable[LineUse],
        used: int,
        least_idle: float,
    ) -> Plan:
        """Return how to ask for ``instrument``; see :func:`choose`."""


def choose(
    capabilities: BrokerCapabilities,
    *,
    instrument: Instrument,
    reads: float,
    held: bool,
    lines: Iterable[LineUse],
    used: int,
    least_idle: float,
) -> Plan:
    """Return how to ask for ``instrument``.

    ``reads`` is its recent demand, this read included; ``held`` whether it has a line already
    (which then is not known to be alive); ``used`` of the broker's lines are taken. A line that
    was read less than ``least_idle`` seconds ago is not taken from its readers, unless it only
    polls.
    """
    batches = capabilities.snapshot_batch > 1
    asked = Plan(Route.BATCH if batches else Route.SNAPSHOT)
    if held or not capabilities.streams or capabilities.quote_lines < 1:
        return asked
    if batches and reads < HOT_READS:
        return asked
    if used < capabilities.quote_lines:
        return Plan(Route.LINE)
    ranked = least_worthy(lines)
    polling = [] if batches else ranked[: polling_lines(capabilities.quote_lines)]
    for line in polling:
        if line.answered:
            return Plan(Route.LINE, line.instrument)
    # Without lines that poll, a newcomer would otherwise never have one to become worthy on.
    margin = TAKE_OVER if polling else 0.0
    for line in ranked:
        if line.idle >= least_idle and reads >= margin * line.demand:
            return Plan(Route.LINE, line.instrument)
    return Plan(Route.WAIT) if polling else asked


def polling_lines(lines: int) -> int:
    """Return how many of a broker's lines poll; below ten lines all are held."""
    return int(lines * POLLING_SHARE)


def least_worthy(lines: Iterable[LineUse]) -> list[LineUse]:
    """Return the lines that may be taken, the least demanded first, the longest idle of equals."""
    free = (line for line in lines if not line.pinned)
    return sorted(free, key=lambda line: (line.demand, -line.idle))


class Demand:
    """Reads by instrument, each counting exp(-age / window): a rate times the window.

    Reads less than ``gap`` seconds after a counted one are served by its quote, so they count
    nothing. Holds ``capacity`` instruments; the one counted longest ago makes room.
    """

    def __init__(self, window: float, capacity: int = 20_000, gap: float = 0.0) -> None:
        self._window = window
        self._gap = gap
        self._capacity = capacity
        self._counts: dict[Instrument, tuple[float, float]] = {}

    def count(self, instrument: Instrument, now: float) -> float:
        """Count one read at monotonic ``now`` and return the demand, this read included."""
        counted = self._counts.get(instrument)
        if counted is not None and now - counted[1] < self._gap:
            return counted[0]
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
