"""What a market is made of: listed instruments, and events in the order of time.

Times are seconds since 1970 UTC, as floats: an event is made per row of a recording, and a
datetime costs more than the rest of the row. Prices and sizes are floats; NaN means absent.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol, runtime_checkable

import attrs

from alluse_core.model.instrument import Instrument, SecurityType
from alluse_paper.hours import FOREX_HOURS, FUTURES_HOURS, OPTION_HOURS, STOCK_HOURS, Hours

NAN = math.nan

_MIN_TICK = {
    SecurityType.STOCK: Decimal("0.01"),
    SecurityType.OPTION: Decimal("0.01"),
    SecurityType.FUTURE: Decimal("0.25"),
    SecurityType.FOREX: Decimal("0.00001"),
    SecurityType.INDEX: Decimal("0.01"),
    SecurityType.COMBO: Decimal("0.01"),
}
_HOURS = {
    SecurityType.OPTION: OPTION_HOURS,
    SecurityType.FUTURE: FUTURES_HOURS,
    SecurityType.FOREX: FOREX_HOURS,
}
_ABOVE_ZERO = frozenset({SecurityType.STOCK, SecurityType.FOREX})
_PRIMARY = {SecurityType.STOCK: "NYSE", SecurityType.OPTION: "CBOE"}


@attrs.frozen
class Listing:
    """The static facts of one listed instrument.

    ``con_id`` is a stable positive 31-bit number made from the instrument's id, so that it is
    the same in every run. ``min_size`` and ``size_increment`` are in units of the instrument.
    ``previous_close`` is NaN where the market does not know it. ``increments`` are rising
    (from price, tick) pairs where the tick depends on the price; else it is ``min_tick``.
    """

    instrument: Instrument
    con_id: int
    min_tick: Decimal = Decimal("0.01")
    min_size: Decimal = Decimal(1)
    size_increment: Decimal = Decimal(1)
    primary_exchange: str = ""
    long_name: str = ""
    local_symbol: str = ""
    trading_class: str = ""
    hours: Hours = STOCK_HOURS
    previous_close: float = NAN
    increments: tuple[tuple[Decimal, Decimal], ...] = ()

    @classmethod
    def of(
        cls,
        instrument: Instrument,
        *,
        min_tick: Decimal | None = None,
        primary_exchange: str = "",
        long_name: str = "",
        previous_close: float = NAN,
    ) -> Listing:
        """Return the listing of ``instrument`` with what is usual for its kind filled in."""
        kind = instrument.security_type
        return cls(
            instrument,
            con_id(instrument),
            min_tick=min_tick or _MIN_TICK[kind],
            primary_exchange=primary_exchange or _PRIMARY.get(kind, instrument.exchange),
            long_name=long_name or f"{instrument} {kind.value}",
            local_symbol=_local_symbol(instrument),
            trading_class=instrument.symbol,
            hours=_HOURS.get(kind, STOCK_HOURS),
            previous_close=previous_close,
        )

    def tick_at(self, price: Decimal) -> Decimal:
        """Return the price increment that holds at ``price``."""
        tick = self.min_tick
        for low_edge, increment in self.increments:
            if abs(price) >= low_edge:
                tick = increment
        return tick

    def can_cost(self, price: Decimal) -> bool:
        """Return whether orders are taken at ``price``.

        A share or a currency costs something, an option nothing at the least; a future or a combo
        may cost less.
        """
        kind = self.instrument.security_type
        return price > 0 or not (kind in _ABOVE_ZERO or (kind is SecurityType.OPTION and price < 0))

    @property
    def tradable(self) -> bool:
        """Whether orders are taken: an index has quotes and no orders."""
        return self.instrument.security_type is not SecurityType.INDEX


def con_id(instrument: Instrument) -> int:
    """Return a contract number for ``instrument``: positive, below 2^31, the same in every run."""
    digest = hashlib.sha256(instrument.id.encode()).digest()
    return int.from_bytes(digest[:4], "big") % (2**31 - 1) + 1


def _local_symbol(instrument: Instrument) -> str:
    """Return the exchange's own symbol: the OSI form for options, root and month for futures."""
    if instrument.security_type is SecurityType.OPTION and instrument.expiry and instrument.strike:
        strike = int(instrument.strike * 1000)
        return f"{instrument.symbol:<6}{instrument.expiry:%y%m%d}{instrument.right}{strike:08d}"
    if instrument.security_type is SecurityType.FUTURE and instrument.expiry:
        month = "FGHJKMNQUVXZ"[instrument.expiry.month - 1]
        return f"{instrument.symbol}{month}{instrument.expiry.year % 10}"
    return str(instrument)


@attrs.define(eq=False)
class QuoteEvent:
    """A new top of book. ``time`` is epoch seconds, UTC. NaN: that side is absent.

    Dirt is passed on as it was recorded: a side may be absent or zero, the two may be crossed.
    Not frozen for speed: treat it as a value.
    """

    instrument: Instrument
    time: float
    bid: float = NAN
    bid_size: float = NAN
    ask: float = NAN
    ask_size: float = NAN


@attrs.define(eq=False)
class TradeEvent:
    """A trade, or a bar of trades. ``size`` is NaN where the recording has none.

    For a bar, ``price`` is its close and ``low`` and ``high`` its range; for a single trade both
    are NaN. ``suspicious`` prints (the vendor's mark) never move the last price nor fill orders.
    """

    instrument: Instrument
    time: float
    price: float
    size: float = NAN
    low: float = NAN
    high: float = NAN
    suspicious: bool = False


@attrs.define(eq=False)
class HaltEvent:
    """Trading in the instrument stops (``halted``) or resumes."""

    instrument: Instrument
    time: float
    halted: bool


MarketEvent = QuoteEvent | TradeEvent | HaltEvent


@attrs.frozen
class PastBar:
    """A bar of a market's past; ``start`` is epoch seconds. ``money`` is price times size, summed.

    Prices are of trades; where the instrument has none, mids.
    """

    start: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    money: float
    count: int


class Past(Protocol):
    """What a market says of the time before its first event. The same on each call."""

    begins: datetime
    """Where the past begins: nothing is known of earlier times."""

    ends: float
    """Epoch seconds at which the market's own events begin."""

    def days(self, listing: Listing, first: date, last: date) -> Sequence[tuple[date, PastBar]]:
        """Return (trading day, its bar) from ``first`` to ``last``, oldest first."""

    def bars(self, listing: Listing, start: float, end: float, seconds: int) -> Sequence[PastBar]:
        """Return bars of ``seconds`` (1 or 60) with start <= begin < end, oldest first.

        Joined they are the bars of :meth:`days`.
        """

    def spread(self, listing: Listing) -> float:
        """Return the usual difference of ask and bid, in units of price."""


@runtime_checkable
class RemembersPast(Protocol):
    """A market that can tell what came before its first event."""

    def past(self) -> Past:
        """Return the past."""


class Market(Protocol):
    """Where a player gets its events from."""

    def listings(self) -> tuple[Listing, ...]:
        """Return every instrument that the events can name, the same on each call."""

    def events(self) -> Iterator[MarketEvent]:
        """Yield events in the order of time, from the beginning on each call.

        A recording ends; a synthetic market does not. Raises RecordingError where a recording
        cannot be read on.
        """


@attrs.define(eq=False)
class TopOfBook:
    """What the exchange shows of one instrument now. Floats; NaN = absent.

    ``volume``, ``high``, ``low`` and ``open`` are of the current regular or extended day;
    ``close`` is the previous day's. ``time`` is market time, epoch seconds. ``sequence`` grows
    by one with each market event of the instrument. ``volatility_halt`` says why it is halted.
    """

    bid: float = NAN
    bid_size: float = NAN
    ask: float = NAN
    ask_size: float = NAN
    last: float = NAN
    last_size: float = NAN
    volume: float = NAN
    high: float = NAN
    low: float = NAN
    open: float = NAN
    close: float = NAN
    time: float = NAN
    halted: bool = False
    sequence: int = 0
    volatility_halt: bool = False

    @property
    def mid(self) -> float:
        """The middle of two valid sides that are not crossed, else NaN."""
        if is_price(self.bid) and is_price(self.ask) and self.bid <= self.ask:
            return (self.bid + self.ask) / 2
        return NAN

    @property
    def mark(self) -> float:
        """The price positions are valued at: the mid, else the last trade, else the last close."""
        for price in (self.mid, self.last, self.close):
            if is_price(price):
                return price
        return NAN


def is_price(value: float) -> bool:
    """Whether ``value`` is a price: finite, and not the zero that markets send for "no quote"."""
    return math.isfinite(value) and value != 0.0
