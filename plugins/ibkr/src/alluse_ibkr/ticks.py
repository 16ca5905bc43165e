"""One market data line: ticks in, whole quotes out.

This is the adapter's hot path: a tick is a method call, a dictionary look-up and an assignment;
a quote is made once per network read for each line that was touched.
"""

from __future__ import annotations

from datetime import UTC, datetime

from alluse_core.model import DataType, Instrument, Quote
from alluse_core.ports import QuoteSink
from alluse_ibkr.wireformat import NAN

DATA_TYPES = {
    1: DataType.LIVE,
    2: DataType.FROZEN,
    3: DataType.DELAYED,
    4: DataType.DELAYED_FROZEN,
}
_UNSET = 1e300
_BID, _ASK, _LAST = 1, 2, 4


class Line:
    """What one request for market data has brought so far.

    ``request_id`` is 0 while nothing is asked for. ``alive_at`` is when a tick of this line came
    last; NaN before the first.
    """

    __slots__ = (
        "_delayed",
        "_made",
        "_time",
        "alive_at",
        "ask",
        "ask_size",
        "bid",
        "bid_size",
        "data_type",
        "halted",
        "instrument",
        "last",
        "last_size",
        "quote",
        "refused",
        "request_id",
        "sequence",
        "sinks",
        "time",
        "touched",
        "volume",
    )

    def __init__(self, instrument: Instrument, data_type: DataType) -> None:
        self.instrument = instrument
        self.sinks: tuple[QuoteSink, ...] = ()
        self.quote: Quote | None = None
        self.sequence = 0
        self.request_id = 0
        self.refused = ""
        self.alive_at = NAN
        self.reset(data_type)

    def reset(self, data_type: DataType) -> None:
        """Forget all values: the broker is about to send them again."""
        self.bid = self.ask = self.bid_size = self.ask_size = NAN
        self.last = self.last_size = self.volume = NAN
        self.data_type = data_type
        self.halted = self.touched = False
        self.time = 0
        self._time = 0
        self._made: datetime | None = None
        self._delayed = 0

    def price(self, kind: int, price: float, size: float) -> bool:
        """Take a tickPrice; False where it is of a kind that a quote has no place for."""
        if kind > 65:
            delayed = True
            kind = {66: _BID, 67: _ASK, 68: _LAST}.get(kind, 0)
        else:
            delayed = False
        absent = (price <= 0.0 and size <= 0.0) or price == 0.0 or not -_UNSET < price < _UNSET
        if absent:
            price = NAN
        if not 0.0 < size < _UNSET:
            size = NAN
        if kind == _BID:
            self.bid = price
            self.bid_size = NAN if absent else size
        elif kind == _ASK:
            self.ask = price
            self.ask_size = NAN if absent else size
        elif kind == _LAST:
            self.last = price
            if size == size:
                self.last_size = size
        else:
            return False
        if delayed:
            self._delayed |= kind
        elif self._delayed:
            self._delayed &= ~kind
        return True

    def size(self, kind: int, size: float) -> bool:
        """Take a tickSize; False where it is of a kind that a quote has no place for."""
        if not 0.0 <= size < _UNSET:
            size = NAN
        if kind == 8 or kind == 74:
            self.volume = size
            return True
        if size == 0.0:
            size = NAN
        if kind == 0 or kind == 69:
            self.bid_size = size
        elif kind == 3 or kind == 70:
            self.ask_size = size
        elif kind == 5 or kind == 71:
            self.last_size = size
        else:
            return False
        return True

    @property
    def effective_type(self) -> DataType:
        """The type of the least live value held: a delayed price makes the quote delayed."""
        if self._delayed and self.data_type in (DataType.LIVE, DataType.UNKNOWN):
            return DataType.DELAYED
        return self.data_type

    def make(self, now: float, source: str) -> Quote:
        """Return the quote as it stands; monotonic ``now`` is when it changed."""
        if self.time != self._time:
            self._time = self.time
            self._made = datetime.fromtimestamp(self.time, UTC)
        self.sequence += 1
        self.alive_at = now
        self.quote = Quote(
            self.instrument,
            self.bid,
            self.ask,
            self.bid_size,
            self.ask_size,
            self.last,
            self.last_size,
            self.volume,
            now,
            now,
            self._made,
            self.data_type if not self._delayed else self.effective_type,
            self.halted,
            self.sequence,
            source,
        )
        return self.quote
