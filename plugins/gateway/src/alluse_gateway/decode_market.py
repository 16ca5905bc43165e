"""Reads the requests for market data and history."""

from __future__ import annotations

import attrs

from alluse_gateway import requests as r
from alluse_gateway.decode_order import Cursor, contract_of, legs_of
from alluse_gateway.wire import FieldError, to_decimal, to_flag, to_int


def market_data(fields: list[str], version: int) -> r.Request:
    """Read reqMktData."""
    contract = contract_of(fields, 3)
    cursor = Cursor(fields, 15)
    if contract.security_type == "BAG":
        contract = attrs.evolve(contract, legs=legs_of(cursor))
    if to_flag(cursor.take()):
        cursor.skip(3)
    ticks, snapshot, regulatory = cursor.take(), cursor.take(), cursor.take()
    return r.MarketData(to_int(fields[2]), contract, ticks, to_flag(snapshot), to_flag(regulatory))


def tick_by_tick(fields: list[str], version: int) -> r.Request:
    """Read reqTickByTickData."""
    count, ignore = (to_int(each, 0) for each in _after(fields, 15, 2))
    contract = contract_of(fields, 2)
    return r.TickByTick(to_int(fields[1]), contract, fields[14], count, ignore != 0)


def market_depth(fields: list[str], version: int) -> r.Request:
    """Read reqMktDepth."""
    rows, smart = to_int(fields[15], 0), to_flag(fields[16])
    return r.MarketDepth(to_int(fields[2]), contract_of(fields, 3), rows, smart)


def historical(fields: list[str], version: int) -> r.Request:
    """Read reqHistoricalData."""
    contract = contract_of(fields, 2)
    cursor = Cursor(fields, 15)
    end, bar_size, duration, rth, what, form = [cursor.take() for _ in range(6)]
    if contract.security_type == "BAG":
        contract = attrs.evolve(contract, legs=legs_of(cursor))
    return r.HistoricalData(
        to_int(fields[1]),
        contract,
        end,
        bar_size,
        duration,
        to_flag(rth),
        what,
        to_int(form, 1) == 2,
        to_flag(cursor.take()),
    )


def cancel_bars(fields: list[str], version: int) -> r.Request:
    """Read cancelHistoricalData."""
    return r.CancelHistory(to_int(fields[2]), bars=True)


def real_time_bars(fields: list[str], version: int) -> r.Request:
    """Read reqRealTimeBars."""
    (rth,) = _after(fields, 17, 1)
    return r.RealTimeBars(to_int(fields[2]), contract_of(fields, 3), fields[16], to_flag(rth))


def head_timestamp(fields: list[str], version: int) -> r.Request:
    """Read reqHeadTimestamp."""
    what, form = fields[16], fields[17]
    return r.HeadTimestamp(to_int(fields[1]), contract_of(fields, 2), what, to_int(form, 1) == 2)


def histogram(fields: list[str], version: int) -> r.Request:
    """Read reqHistogramData."""
    return r.Histogram(to_int(fields[1]), contract_of(fields, 2), to_flag(fields[15]), fields[16])


def historical_ticks(fields: list[str], version: int) -> r.Request:
    """Read reqHistoricalTicks."""
    contract = contract_of(fields, 2)
    cursor = Cursor(fields, 15)
    start, end, count, what, rth = [cursor.take() for _ in range(5)]
    return r.HistoricalTicks(
        to_int(fields[1]), contract, start, end, to_int(count, 0), what, to_flag(rth)
    )


def calculation(fields: list[str], version: int) -> r.Request:
    """Read calculateImpliedVolatility and calculateOptionPrice."""
    value, under = to_decimal(fields[15]), to_decimal(fields[16])
    return r.CalculateOption(
        to_int(fields[2]),
        contract_of(fields, 3),
        None if value is None else float(value),
        None if under is None else float(under),
        implied=fields[0] == "54",
    )


def _after(fields: list[str], at: int, count: int) -> list[str]:
    """Return ``count`` fields from ``at`` on; those that an old client leaves out are empty."""
    if len(fields) < at:
        raise FieldError(f"the message ends at field {len(fields)}")
    return (fields[at : at + count] + [""] * count)[:count]
