"""Market data.

A line's prefixes are bytes made once, since tens of thousands of ticks a second are written.
"""

from __future__ import annotations

import struct

from alluse_paper.pricing import Greeks

from alluse_gateway.wire import message, number

BID, ASK, LAST, HIGH, LOW, CLOSE, OPEN = 1, 2, 4, 6, 7, 9, 14
BID_SIZE, ASK_SIZE, LAST_SIZE, VOLUME = 0, 3, 5, 8
LAST_TIME, HALTED = 45, 49
BID_COMPUTATION, ASK_COMPUTATION, LAST_COMPUTATION, MODEL_COMPUTATION = 10, 11, 12, 13
CUSTOM_COMPUTATION = 53
GENERAL_HALT, VOLATILITY_HALT = 1.0, 2.0

DELAYED = {
    BID: 66,
    ASK: 67,
    LAST: 68,
    BID_SIZE: 69,
    ASK_SIZE: 70,
    LAST_SIZE: 71,
    HIGH: 72,
    LOW: 73,
    VOLUME: 74,
    CLOSE: 75,
    OPEN: 76,
    LAST_TIME: 88,
    BID_COMPUTATION: 80,
    ASK_COMPUTATION: 81,
    LAST_COMPUTATION: 82,
    MODEL_COMPUTATION: 83,
}
"""Tick types of delayed data, by the live type they stand for."""

_LENGTH = struct.Struct(">I")


class TickWriter:
    """Writes the ticks of one market data line."""

    __slots__ = ("_generic", "_number", "_price", "_size", "_text", "delayed")

    def __init__(self, request_id: int, delayed: bool = False) -> None:
        self.delayed = delayed
        self._number = request_id
        self._price = b"%d\0%d\0%d\0" % (1, 6, request_id)
        self._size = b"%d\0%d\0%d\0" % (2, 6, request_id)
        self._generic = b"%d\0%d\0%d\0" % (45, 6, request_id)
        self._text = b"%d\0%d\0%d\0" % (46, 6, request_id)

    def price(self, kind: int, price: float, size: float) -> bytes:
        """Message 1: a price with its size; NaN is written as -1 with size 0, TWS's "no quote"."""
        if self.delayed:
            kind = DELAYED.get(kind, kind)
        if price != price:
            body = b"%b%d\0-1\0%d\0%d\0" % (self._price, kind, 0, 0)
        else:
            fields = f"{kind}\0{price!r}\0{number(size) or 0}\0".encode()
            body = self._price + fields + (b"1\0" if kind < 3 else b"0\0")
        return _LENGTH.pack(len(body)) + body

    def size(self, kind: int, size: float) -> bytes:
        """Message 2; NaN is written as 0."""
        if self.delayed:
            kind = DELAYED.get(kind, kind)
        body = self._size + f"{kind}\0{number(size) or 0}\0".encode()
        return _LENGTH.pack(len(body)) + body

    def generic(self, kind: int, value: float) -> bytes:
        """Message 45."""
        body = self._generic + f"{kind}\0{number(value)}\0".encode()
        return _LENGTH.pack(len(body)) + body

    def text(self, kind: int, value: str) -> bytes:
        """Message 46."""
        if self.delayed:
            kind = DELAYED.get(kind, kind)
        body = self._text + f"{kind}\0{value}\0".encode()
        return _LENGTH.pack(len(body)) + body

    def computation(
        self, kind: int, volatility: float, price: float, greeks: Greeks | None, spot: float
    ) -> bytes:
        """Message 21, based on prices; without ``greeks`` the volatility and they are not known."""
        if self.delayed:
            kind = DELAYED.get(kind, kind)
        head = (21, self._number, kind, 1)
        if greeks is None:
            return message(*head, -1, -2, price, -1, -2, -2, -2, spot)
        shape = (greeks.gamma, greeks.vega, greeks.theta)
        return message(*head, volatility, greeks.delta, price, 0, *shape, spot)


def tick_parameters(request_id: int, min_tick: object, exchanges: str = "") -> bytes:
    """Message 81. ``exchanges`` names the map of exchange letters; snapshots are permitted (3)."""
    return message(81, request_id, min_tick, exchanges, 3)


def market_data_type(request_id: int, kind: int) -> bytes:
    """Message 58: 1 live, 2 frozen, 3 delayed, 4 delayed and frozen."""
    return message(58, 1, request_id, kind)


def snapshot_end(request_id: int) -> bytes:
    """Message 57."""
    return message(57, 1, request_id)


def tick_by_tick_last(request_id: int, kind: int, second: int, price: float, size: float) -> bytes:
    """Message 99 for Last (1) and AllLast (2)."""
    return message(99, request_id, kind, second, price, size, 0, "", "")


def tick_by_tick_quote(
    request_id: int, second: int, bid: float, ask: float, bid_size: float, ask_size: float
) -> bytes:
    """Message 99 for BidAsk."""
    return message(99, request_id, 3, second, bid, ask, bid_size, ask_size, 0)


def tick_by_tick_mid(request_id: int, second: int, mid: float) -> bytes:
    """Message 99 for MidPoint."""
    return message(99, request_id, 4, second, mid)
