"""What was listed of positions beyond what fills had told, until late fills explain it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum, auto
from types import MappingProxyType

from alluse_core.model import Execution

Place = tuple[str, str, str]
"""(broker, account, instrument's id)"""

STAMP = timedelta(seconds=1)
"""How exact the time of an execution is (TWS API, Execution.time)."""


class Late(Enum):
    """Where a fill that is told for the first time belongs.

    AFTER: it happened after the list was asked for. INSIDE: the list holds it, if the clocks
    agree. UNCLEAR: it may. Of these two only another list is sure.
    """

    AFTER = auto()
    INSIDE = auto()
    UNCLEAR = auto()


class Unexplained:
    """The differences that were taken from position lists, with when those were asked for.

    A list may hold fills of which nobody has told: counted when they are told, they would count
    twice. One that happened before the list was asked for, and fits into what the list had beyond
    our fills, is a part of that difference. ``doubts`` counts by broker the fills of which only
    another list can say whether the last one held them.
    """

    def __init__(self) -> None:
        self._open: dict[Place, tuple[Decimal, datetime]] = {}
        self.doubts: Counter[str] = Counter()

    @property
    def open(self) -> Mapping[Place, Decimal]:
        """How much of the lists no fill has explained yet."""
        return MappingProxyType({place: amount for place, (amount, _) in self._open.items()})

    def note(self, place: Place, difference: Decimal, asked_at: datetime) -> None:
        """Take in that a list differed by so much from what was known."""
        total = difference + (self._open[place][0] if place in self._open else 0)
        if total:
            self._open[place] = (total, asked_at)
        else:
            self._open.pop(place, None)

    def place(self, fill: Execution, change: Decimal) -> Late:
        """Say where a fill that moves a position by ``change`` belongs; INSIDE uses it up."""
        place = (fill.broker, fill.account, fill.instrument.id)
        if place not in self._open:
            return Late.AFTER
        amount, asked_at = self._open[place]
        if fill.time > asked_at:
            return Late.AFTER
        self.doubts[fill.broker] += 1
        fits = change * amount > 0 and abs(change) <= abs(amount)
        if not fits or fill.time + STAMP > asked_at:
            return Late.UNCLEAR
        self.note(place, -change, asked_at)
        return Late.INSIDE
