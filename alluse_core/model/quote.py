"""Market data as it stands for one instrument."""

from __future__ import annotations

import math
from datetime import datetime
from enum import StrEnum

import attrs

from alluse_core.model.instrument import Instrument, Side

NAN = math.nan


class DataType(StrEnum):
    """How live a quote is. Only LIVE may price an order."""

    LIVE = "live"
    FROZEN = "frozen"
    DELAYED = "delayed"
    DELAYED_FROZEN = "delayed_frozen"
    UNKNOWN = "unknown"


class QuoteCondition(StrEnum):
    """What the two sides of a quote look like."""

    NORMAL = "normal"
    LOCKED = "locked"
    CROSSED = "crossed"
    ONE_SIDED = "one_sided"
    EMPTY = "empty"


@attrs.define(eq=False)
class Quote:
    """The latest known top of book and trade of one instrument. Treat it as a value.

    Prices and sizes are floats; NaN means absent. Neither 0 nor -1 ever stands for "none".

    ``changed_at`` and ``confirmed_at`` are monotonic seconds of the clock of the process that
    holds the quote: when a field last changed, and when it was last known to be current because
    its subscription was alive. A quiet market has an old ``changed_at`` and a fresh
    ``confirmed_at``; freshness is judged by the second.
    ``time`` is the venue's own time of the last change, aware UTC, or None where it gives none.
    ``sequence`` grows by one with every change from one source.

    Not frozen: making a frozen value costs four times as much, and this one is made per tick.
    """

    instrument: Instrument
    bid: float = NAN
    ask: float = NAN
    bid_size: float = NAN
    ask_size: float = NAN
    last: float = NAN
    last_size: float = NAN
    volume: float = NAN
    changed_at: float = NAN
    confirmed_at: float = NAN
    time: datetime | None = None
    data_type: DataType = DataType.UNKNOWN
    halted: bool = False
    sequence: int = 0
    source: str = ""

    @property
    def condition(self) -> QuoteCondition:
        """Judge the two sides.

        A side is valid when its price is a finite number that is not zero (a market sends zero
        for "no quote"; negative prices are real for spreads and some futures).
        """
        bid, ask = _valid(self.bid), _valid(self.ask)
        if bid and ask:
            if self.bid < self.ask:
                return QuoteCondition.NORMAL
            return QuoteCondition.LOCKED if self.bid == self.ask else QuoteCondition.CROSSED
        return QuoteCondition.ONE_SIDED if bid or ask else QuoteCondition.EMPTY

    @property
    def mid(self) -> float:
        """The middle of a normal or locked quote, NaN otherwise."""
        if self.condition in (QuoteCondition.NORMAL, QuoteCondition.LOCKED):
            return (self.bid + self.ask) / 2
        return NAN

    @property
    def priceable(self) -> bool:
        """Whether an order may be priced on it: live, not halted, two sides, not crossed."""
        return self.data_type is DataType.LIVE and not self.halted and not math.isnan(self.mid)

    def age(self, now: float) -> float:
        """Return seconds since the quote was last known to be current, at monotonic ``now``."""
        return now - self.confirmed_at

    def touch(self, side: Side) -> float:
        """Return the price an order of ``side`` would trade at; NaN where that side is absent."""
        price = self.ask if side is Side.BUY else self.bid
        return price if _valid(price) else NAN


def _valid(price: float) -> bool:
    return math.isfinite(price) and price != 0.0


@attrs.frozen
class Bar:
    """One bar of historical data. ``time`` is its start, aware UTC."""

    time: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float = NAN
