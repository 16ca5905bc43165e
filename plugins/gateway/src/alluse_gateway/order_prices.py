"""The prices of an order, as its type reads them."""

from __future__ import annotations

from decimal import Decimal

import attrs
from alluse_paper.market import Listing

from alluse_core.model import OrderType
from alluse_gateway import notices
from alluse_gateway.order_refusals import Refusal, invalid
from alluse_gateway.requests import PlaceOrder

TYPES = {each.value: each for each in OrderType} | {
    "STPLMT": OrderType.STOP_LIMIT,
    "TRAIL": OrderType.STOP,
    "TRAIL LIMIT": OrderType.STOP_LIMIT,
    "TRAILLIMIT": OrderType.STOP_LIMIT,
    "MOC": OrderType.MARKET,
    "LOC": OrderType.LIMIT,
}
"""TWS's order types that are taken, and what each is at the exchange."""

CLOSES = ("MOC", "LOC")
_TRAILS = ("TRAIL", "TRAIL LIMIT", "TRAILLIMIT")
_HUNDRED = Decimal(100)


@attrs.frozen
class Prices:
    """``stop`` of a trailing order is where it begins, None for the market's own distance."""

    limit: Decimal | None = None
    stop: Decimal | None = None
    trail: Decimal | None = None
    trail_percent: Decimal | None = None
    trail_limit: Decimal | None = None


def prices_of(request: PlaceOrder, listing: Listing) -> Prices | Refusal:
    """Return the prices that an order of a known type has a use for, or why they will not do."""
    kind = TYPES[request.order_type]
    if request.order_type in _TRAILS:
        return _trailing(request, kind, listing)
    limit = request.limit_price if kind in (OrderType.LIMIT, OrderType.STOP_LIMIT) else None
    stop = request.aux_price if kind in (OrderType.STOP, OrderType.STOP_LIMIT) else None
    if kind in (OrderType.LIMIT, OrderType.STOP_LIMIT) and limit is None:
        return invalid("You must enter a valid limit price.")
    if kind in (OrderType.STOP, OrderType.STOP_LIMIT) and stop is None:
        return invalid("You must enter a valid stop price.")
    for name, price in (("limit", limit), ("stop", stop)):
        if price is not None and not listing.can_cost(price):
            # TWS's own code and words are documented nowhere: those of a missing price are assumed.
            return invalid(f"You must enter a valid {name} price.")
        if price is not None and price % listing.tick_at(price) != 0:
            return Refusal(notices.PRICE_VARIATION, notices.PRICE_TEXT)
    return Prices(limit, stop)


def _trailing(request: PlaceOrder, kind: OrderType, listing: Listing) -> Prices | Refusal:
    """The amount is the auxiliary price or a percentage; one of them, as TWS wants it."""
    percent = _term(request, "trailingPercent")
    amount = request.aux_price if request.aux_price else None
    if (amount is None) == (percent is None):
        return invalid("You must enter a trailing amount or a trailing percent, and only one.")
    if (amount or percent or Decimal(0)) <= 0 or (percent or Decimal(0)) >= _HUNDRED:
        return invalid("You must enter a valid trailing amount.")
    stop = _term(request, "trailStopPrice")
    if stop is not None and not listing.can_cost(stop):
        return invalid("You must enter a valid stop price.")
    if kind is OrderType.STOP:
        return Prices(None, stop, amount, percent)
    offset = _term(request, "lmtPriceOffset")
    if offset is None and stop is not None and request.limit_price is not None:
        offset = abs(stop - request.limit_price)
    if offset is None:
        return invalid("You must enter a limit price offset, or a stop price and a limit price.")
    return Prices(request.limit_price or None, stop, amount, percent, offset)


def _term(request: PlaceOrder, name: str) -> Decimal | None:
    written = request.extras.terms.get(name)
    return Decimal(written) if written else None
