"""The parts of ticks whose text no row can say: masks of flags, and numbers that mean "none"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alluse_gateway.protobuf.layout import Fields, Step, layout, read_double, read_int

_NOT_COMPUTED = {
    "impliedVol": -1.0,
    "delta": -2.0,
    "optPrice": -1.0,
    "pvDividend": -1.0,
    "gamma": -2.0,
    "vega": -2.0,
    "theta": -2.0,
    "undPrice": -1.0,
}
"""What TWS writes in the place of a figure that it has not computed."""


def _computed(fields: Fields, tick: Any) -> None:
    for name, absent in _NOT_COMPUTED.items():
        value = read_double(next(fields))
        if value is not None and value != absent:
            setattr(tick, name, value)


def _past_quote(fields: Fields, tick: Any) -> None:
    """The mask of a historical quote, whose bits stand the other way round than a live one's."""
    mask = read_int(next(fields)) or 0
    tick.tickAttribBidAsk.askPastHigh = bool(mask & 1)
    tick.tickAttribBidAsk.bidPastLow = bool(mask & 2)


def _live_quote(fields: Fields, tick: Any) -> None:
    mask = read_int(next(fields)) or 0
    tick.tickAttribBidAsk.bidPastLow = bool(mask & 1)
    tick.tickAttribBidAsk.askPastHigh = bool(mask & 2)


def _past_last(fields: Fields, tick: Any) -> None:
    mask = read_int(next(fields)) or 0
    tick.tickAttribLast.pastLimit = bool(mask & 1)
    tick.tickAttribLast.unreported = bool(mask & 2)


def steps() -> Mapping[str, Step]:
    """Return the steps that the rows of ticks name."""
    named: dict[str, Step] = {"live_quote": _live_quote, "past_last": _past_last}
    last = layout(
        "HistoricalTickLast", "time price size @past_last exchange specialConditions", named
    )
    quote = layout(
        "HistoricalTickBidAsk", "time priceBid priceAsk sizeBid sizeAsk @live_quote", named
    )
    mid = layout("HistoricalTick", "time price")

    def tick(fields: Fields, data: Any) -> None:
        if data.tickType in (1, 2):
            last(fields, data.historicalTickLast)
        elif data.tickType == 3:
            quote(fields, data.historicalTickBidAsk)
        elif data.tickType == 4:
            mid(fields, data.historicalTickMidPoint)

    return {
        "computed": _computed,
        "past_quote": _past_quote,
        "past_last": _past_last,
        "tick": tick,
    }
