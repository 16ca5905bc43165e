"""Historical bars and what goes with them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import attrs

from alluse_gateway.wire import message


@attrs.frozen
class WrittenBar:
    """A bar with its time already in the form that was asked for. ``wap`` is the average price."""

    time: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    wap: float
    count: int


def historical_data(
    version: int, request_id: int, start: str, end: str, bars: Iterable[WrittenBar]
) -> bytes:
    """Message 17; below version 196 it also ends the answer, from there on 108 does."""
    rows = list(bars)
    edges = [start, end] if version < 196 else []
    values: list[object] = [17, request_id, *edges, len(rows)]
    for bar in rows:
        values += [bar.time, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.wap, bar.count]
    return message(*values)


def historical_data_end(request_id: int, start: str, end: str) -> bytes:
    """Message 108, from version 196 on."""
    return message(108, request_id, start, end)


def historical_update(request_id: int, bar: WrittenBar) -> bytes:
    """Message 90, for a request that keeps up to date. Its order of fields is its own."""
    return message(
        90,
        request_id,
        bar.count,
        bar.time,
        bar.open,
        bar.close,
        bar.high,
        bar.low,
        bar.wap,
        bar.volume,
    )


def head_timestamp(request_id: int, first: datetime, epoch: bool) -> bytes:
    """Message 88; ``first`` is aware, UTC."""
    when = str(int(first.timestamp())) if epoch else f"{first:%Y%m%d-%H:%M:%S}"
    return message(88, request_id, when)


def real_time_bar(request_id: int, second: int, bar: WrittenBar) -> bytes:
    """Message 50."""
    return message(
        50,
        3,
        request_id,
        second,
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume,
        bar.wap,
        bar.count,
    )


def historical_schedule(
    request_id: int, start: str, end: str, zone: str, sessions: Iterable[tuple[str, str, str]]
) -> bytes:
    """Message 106: (start, end, day) of each session."""
    rows = list(sessions)
    values = [value for row in rows for value in row]
    return message(106, request_id, start, end, zone, len(rows), *values)


def histogram(request_id: int, rows: Iterable[tuple[float, int]]) -> bytes:
    """Message 89: (price, size) by rising price."""
    found = list(rows)
    return message(89, request_id, len(found), *[value for row in found for value in row])


def ticks_mid(request_id: int, rows: Iterable[tuple[int, float]], done: bool) -> bytes:
    """Message 96: (second, price)."""
    found = list(rows)
    values = [value for second, price in found for value in (second, 0, price, 0)]
    return message(96, request_id, len(found), *values, done)


def ticks_bid_ask(
    request_id: int, rows: Iterable[tuple[int, float, float, float, float]], done: bool
) -> bytes:
    """Message 97: (second, bid, ask, bid size, ask size)."""
    found = list(rows)
    values = [value for second, *rest in found for value in (second, 0, *rest)]
    return message(97, request_id, len(found), *values, done)


def ticks_last(request_id: int, rows: Iterable[tuple[int, float, float, str]], done: bool) -> bytes:
    """Message 98: (second, price, size, exchange)."""
    found = list(rows)
    values = [
        value
        for second, price, size, exchange in found
        for value in (second, 0, price, size, exchange, "")
    ]
    return message(98, request_id, len(found), *values, done)
