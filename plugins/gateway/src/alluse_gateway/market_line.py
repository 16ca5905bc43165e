"""One line of market data: what its client was last sent, and what differs from it now."""

from __future__ import annotations

import math
from typing import Protocol

from alluse_paper.market import TopOfBook, is_price

from alluse_core.model import Instrument
from alluse_gateway.answers import ticks
from alluse_gateway.session import Session


class Extra(Protocol):
    """What a line sends beside prices and sizes."""

    def send(self, top: TopOfBook) -> None:
        """Send what has changed."""


class Line:
    """One market data request of one client.

    It holds what was last sent and sends what differs. A side without a valid price is sent as
    -1 with size 0, whatever the market shows in its place. A price whose size the market does
    not tell is sent with ``undisclosed``, what the exchange lets trade there; clients take a
    size of 0 for "no quote".
    """

    __slots__ = (
        "_ask",
        "_bid",
        "_last",
        "_rest",
        "_session",
        "_undisclosed",
        "extras",
        "instrument",
        "request",
        "snapshot",
        "writer",
    )

    def __init__(
        self,
        session: Session,
        request_id: int,
        instrument: Instrument,
        snapshot: bool,
        delayed: bool,
        undisclosed: float,
    ) -> None:
        self._undisclosed = undisclosed
        self.instrument = instrument
        self.snapshot = snapshot
        self._session = session
        self.writer = ticks.TickWriter(request_id, delayed)
        self.request = request_id
        self.extras: tuple[Extra, ...] = ()
        nothing = (math.nan, math.nan)
        self._bid = self._ask = self._last = nothing
        self._rest = (math.nan,) * 5 + (False,)

    def send(self, top: TopOfBook) -> None:
        """Send every field that differs from what was last sent."""
        send, writer = self._session.send, self.writer
        bid, bid_size = self._side(top.bid, top.bid_size)
        was, was_size = self._bid
        if bid != was and not (bid != bid and was != was):
            send(writer.price(ticks.BID, bid, bid_size))
            self._bid = (bid, bid_size)
        elif bid_size != was_size and bid == bid:
            send(writer.size(ticks.BID_SIZE, bid_size))
            self._bid = (bid, bid_size)
        ask, ask_size = self._side(top.ask, top.ask_size)
        was, was_size = self._ask
        if ask != was and not (ask != ask and was != was):
            send(writer.price(ticks.ASK, ask, ask_size))
            self._ask = (ask, ask_size)
        elif ask_size != was_size and ask == ask:
            send(writer.size(ticks.ASK_SIZE, ask_size))
            self._ask = (ask, ask_size)
        rest = (top.volume, top.high, top.low, top.open, top.close, top.halted)
        if rest != self._rest or (top.last, top.last_size) != self._last:
            self._send_trade(top, rest)
        for extra in self.extras:
            extra.send(top)

    def become(self, kind: int) -> None:
        """Go on as data of another type (1 to 4), which is told first."""
        self.writer.delayed = kind > 2
        self._session.send(ticks.market_data_type(self.request, kind))

    def _side(self, price: float, size: float) -> tuple[float, float]:
        if not is_price(price):
            return math.nan, 0.0
        return price, size if size == size else self._undisclosed

    def _send_trade(self, top: TopOfBook, rest: tuple[float, ...]) -> None:
        send, writer = self._session.send, self.writer
        before = self._rest
        if is_price(top.last) and (top.last != self._last[0] or top.volume != before[0]):
            size = top.last_size if top.last_size == top.last_size else 0.0
            if top.time == top.time:
                send(writer.text(ticks.LAST_TIME, str(int(top.time))))
            send(writer.price(ticks.LAST, top.last, size))
        self._last = (top.last, top.last_size)
        kinds = (ticks.VOLUME, ticks.HIGH, ticks.LOW, ticks.OPEN, ticks.CLOSE)
        for kind, value, old in zip(kinds, rest, before, strict=False):
            if value == value and value != old:
                written = writer.size if kind == ticks.VOLUME else None
                send(written(kind, value) if written else writer.price(kind, value, 0.0))
        if rest[5] != before[5]:
            reason = ticks.VOLATILITY_HALT if top.volatility_halt else ticks.GENERAL_HALT
            send(writer.generic(ticks.HALTED, reason if rest[5] else 0.0))
        self._rest = rest  # type: ignore[assignment]
