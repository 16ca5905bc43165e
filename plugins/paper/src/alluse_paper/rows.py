"""The row shapes of a recording, and how each becomes events.

A shape is known by its header line. Every shape has a reader, which makes events of the rows of
one file, and the columns that name its instrument, so that a scan need not parse the numbers.
An empty field means absent (NaN).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Protocol

import attrs

from alluse_core.errors import RecordingError
from alluse_core.model.instrument import Instrument
from alluse_paper.market import NAN, MarketEvent, QuoteEvent, TradeEvent

QUOTES = "time,symbol,bid,bid_size,ask,ask_size,bid_low,ask_high"
BARS = "time,symbol,open,high,low,close,volume"
SIDES = "time,symbol,bid,bid_size,ask,ask_size,exchange,cond,suspicious"
PRINTS = "time,symbol,price,size,exchange,cond,suspicious"
VENUE_QUOTES = "time,venue,symbol,bid,ask"
OPTION_QUOTES = "time,underlying,expiry,strike,right,bid,bid_size,ask,ask_size"
UNDERLYING_QUOTES = "time,symbol,bid,ask,bid_size,ask_size"
INDEX_BARS = "time,symbol,open,high,low,close"


class Numbered(Protocol):
    """Lines of a file, and how many of them were taken."""

    number: int

    def __iter__(self) -> Iterator[str]: ...


class EpochReader:
    """Turns ISO 8601 UTC text into epoch seconds, remembering the minutes it has seen."""

    def __init__(self) -> None:
        self._minutes: dict[str, float] = {}

    def __call__(self, text: str) -> float:
        """Return the time of ``2013-10-07T13:25:02.299Z``; raises ValueError for other forms."""
        minute = text[:16]
        base = self._minutes.get(minute)
        if base is None:
            base = datetime.fromisoformat(minute).replace(tzinfo=UTC).timestamp()
            self._minutes[minute] = base
        seconds = float(text[17:-1])
        if text[-1] != "Z" or not 0 <= seconds < 61:
            raise ValueError(f"{text!r} is not a UTC time such as 2013-10-07T13:25:02.299Z")
        return base + seconds


def _number(text: str) -> float:
    return float(text) if text else NAN


def stock_named(symbol: str) -> Instrument:
    """Return what a symbol column names: a US stock, or an instrument's id if it has a colon."""
    return Instrument.parse(symbol)


def index_named(symbol: str) -> Instrument:
    """Return the index of an options recording's underlying."""
    return Instrument.parse(symbol) if ":" in symbol else Instrument.index(symbol, "CBOE")


def pair_named(venue: str, pair: str) -> Instrument:
    """Return a currency pair at one venue, which is its exchange."""
    return Instrument.forex(pair, exchange=venue.upper())


def option_named(underlying: str, expiry: str, strike: str, right: str) -> Instrument:
    """Return a listed option. Raises ValueError for a bad date, number or right."""
    day = date(int(expiry[:4]), int(expiry[4:6]), int(expiry[6:]))
    try:
        return Instrument.option(underlying, day, Decimal(strike), right)
    except InvalidOperation:
        raise ValueError(f"{strike!r} is not a strike") from None


def _quotes(lines: Numbered, epoch: EpochReader) -> Iterator[MarketEvent]:
    known: dict[str, Instrument] = {}
    for line in lines:
        time, symbol, bid, bid_size, ask, ask_size, _, _ = line.split(",")
        instrument = known.get(symbol) or known.setdefault(symbol, stock_named(symbol))
        yield QuoteEvent(
            instrument,
            epoch(time),
            _number(bid),
            _number(bid_size),
            _number(ask),
            _number(ask_size),
        )


def _underlying_quotes(lines: Numbered, epoch: EpochReader) -> Iterator[MarketEvent]:
    known: dict[str, Instrument] = {}
    for line in lines:
        time, symbol, bid, ask, bid_size, ask_size = line.rstrip("\n").split(",")
        instrument = known.get(symbol) or known.setdefault(symbol, stock_named(symbol))
        yield QuoteEvent(
            instrument,
            epoch(time),
            _number(bid),
            _number(bid_size),
            _number(ask),
            _number(ask_size),
        )


def _bars(lines: Numbered, epoch: EpochReader) -> Iterator[MarketEvent]:
    known: dict[str, Instrument] = {}
    for line in lines:
        time, symbol, _, high, low, close, volume = line.rstrip("\n").split(",")
        instrument = known.get(symbol) or known.setdefault(symbol, stock_named(symbol))
        yield TradeEvent(
            instrument, epoch(time), _number(close), _number(volume), _number(low), _number(high)
        )


def _index_bars(lines: Numbered, epoch: EpochReader) -> Iterator[MarketEvent]:
    known: dict[str, Instrument] = {}
    for line in lines:
        time, symbol, _, high, low, close = line.rstrip("\n").split(",")
        instrument = known.get(symbol) or known.setdefault(symbol, index_named(symbol))
        yield TradeEvent(instrument, epoch(time), _number(close), NAN, _number(low), _number(high))


def _sides(lines: Numbered, epoch: EpochReader) -> Iterator[MarketEvent]:
    """Join one-sided rows: the newest row of a side is that side of the top of book.

    The rows are updates of the national best bid or offer, and ``exchange`` says who shows it:
    joined this way they equal the second-by-second top of book of the same day in more than
    99.99 % of the seconds; keeping a book per exchange instead, in 8 to 99 %, by its staleness.
    Suspicious rows are passed over: the vendor marks them as outside the market.
    """
    sides: dict[str, tuple[Instrument, float, float, float, float]] = {}
    for line in lines:
        time, symbol, bid, bid_size, ask, ask_size, _, _, suspicious = line.split(",")
        if suspicious[0] != "0":
            continue
        top = sides.get(symbol) or (stock_named(symbol), NAN, NAN, NAN, NAN)
        instrument, best_bid, best_bid_size, best_ask, best_ask_size = top
        if bid:
            best_bid, best_bid_size = float(bid), _number(bid_size)
        if ask:
            best_ask, best_ask_size = float(ask), _number(ask_size)
        sides[symbol] = (instrument, best_bid, best_bid_size, best_ask, best_ask_size)
        yield QuoteEvent(instrument, epoch(time), best_bid, best_bid_size, best_ask, best_ask_size)


def _prints(lines: Numbered, epoch: EpochReader) -> Iterator[MarketEvent]:
    known: dict[str, Instrument] = {}
    for line in lines:
        time, symbol, price, size, _, _, suspicious = line.split(",")
        instrument = known.get(symbol) or known.setdefault(symbol, stock_named(symbol))
        yield TradeEvent(
            instrument, epoch(time), _number(price), _number(size), NAN, NAN, suspicious[0] != "0"
        )


def _venue_quotes(lines: Numbered, epoch: EpochReader) -> Iterator[MarketEvent]:
    known: dict[tuple[str, str], Instrument] = {}
    for line in lines:
        time, venue, symbol, bid, ask = line.rstrip("\n").split(",")
        key = (venue, symbol)
        instrument = known.get(key) or known.setdefault(key, pair_named(venue, symbol))
        yield QuoteEvent(instrument, epoch(time), _number(bid), NAN, _number(ask), NAN)


def _option_quotes(lines: Numbered, epoch: EpochReader) -> Iterator[MarketEvent]:
    known: dict[tuple[str, str, str, str], Instrument] = {}
    for line in lines:
        (time, underlying, expiry, strike, right, bid, bid_size, ask, ask_size) = line.rstrip(
            "\n"
        ).split(",")
        key = (underlying, expiry, strike, right)
        instrument = known.get(key) or known.setdefault(key, option_named(*key))
        yield QuoteEvent(
            instrument,
            epoch(time),
            _number(bid),
            _number(bid_size),
            _number(ask),
            _number(ask_size),
        )


@attrs.frozen
class Shape:
    """One row shape: its reader, which columns name the instrument, and how."""

    header: str
    read: Callable[[Numbered, EpochReader], Iterator[MarketEvent]]
    name_columns: tuple[int, int]
    name: Callable[..., Instrument]

    def instrument(self, line: str) -> Instrument:
        """Return the instrument that a row names, without reading its numbers."""
        start, end = self.name_columns
        return self.name(*line.rstrip("\n").split(",", end)[start:end])


SHAPES = {
    shape.header: shape
    for shape in (
        Shape(QUOTES, _quotes, (1, 2), stock_named),
        Shape(BARS, _bars, (1, 2), stock_named),
        Shape(SIDES, _sides, (1, 2), stock_named),
        Shape(PRINTS, _prints, (1, 2), stock_named),
        Shape(VENUE_QUOTES, _venue_quotes, (1, 3), pair_named),
        Shape(OPTION_QUOTES, _option_quotes, (1, 5), option_named),
        Shape(UNDERLYING_QUOTES, _underlying_quotes, (1, 2), stock_named),
        Shape(INDEX_BARS, _index_bars, (1, 2), index_named),
    )
}


def shape_of(header: str, file: str) -> Shape:
    """Return the shape that a header line names. Raises RecordingError for any other line."""
    shape = SHAPES.get(header.rstrip("\r\n"))
    if shape is None:
        raise RecordingError(
            f"{file}, line 1: no recording has the columns {header.rstrip()[:120]!r}",
            hint="known columns: " + "; ".join(SHAPES),
        )
    return shape
