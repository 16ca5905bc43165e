"""Why an exchange would not take an order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from alluse_core.model.order import OrderType, TimeInForce
from alluse_paper.market import Listing
from alluse_paper.orders import NewOrder

Check = Callable[[NewOrder, Listing, datetime], str]
"""Returns why not, as one sentence; empty where nothing is wrong."""


def refusal(order: NewOrder, listing: Listing, now: datetime) -> str:
    """Return the first reason not to take ``order``, or an empty text."""
    for check in (_tradable, _quantity, _prices, _good_till):
        reason = check(order, listing, now)
        if reason:
            return reason
    return ""


def _tradable(order: NewOrder, listing: Listing, now: datetime) -> str:
    if not listing.tradable:
        return f"{order.instrument} is an index: it takes no orders"
    return ""


def _quantity(order: NewOrder, listing: Listing, now: datetime) -> str:
    if not order.quantity.is_finite() or order.quantity < listing.min_size:
        return f"the quantity {order.quantity} is below the minimum of {listing.min_size}"
    if order.quantity % listing.size_increment != 0:
        return f"the quantity {order.quantity} is no multiple of {listing.size_increment}"
    return ""


def _prices(order: NewOrder, listing: Listing, now: datetime) -> str:
    needs_limit = order.order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT)
    trails = order.trail is not None or order.trail_percent is not None
    needs_stop = order.order_type in (OrderType.STOP, OrderType.STOP_LIMIT) and not trails
    needs_limit = needs_limit and not (trails and order.trail_limit is not None)
    for name, price, needed in (
        ("limit price", order.limit_price, needs_limit),
        ("stop price", order.stop_price, needs_stop),
    ):
        if not needed:
            continue
        if price is None or not price.is_finite():
            return f"a {order.order_type.value} order needs a {name}"
        if not listing.can_cost(price):
            return f"{order.instrument} has no {name} of {price}"
        tick = listing.tick_at(price)
        if price % tick != 0:
            return f"the {name} {price} is no multiple of the tick {tick}"
    return ""


def _good_till(order: NewOrder, listing: Listing, now: datetime) -> str:
    if order.time_in_force is not TimeInForce.GTD:
        return ""
    if order.good_till is None:
        return "a GTD order needs the time until which it is good"
    if order.good_till <= now:
        return f"the time {order.good_till.isoformat()} of the GTD order is past"
    return ""


def unopened(position: Decimal, change: Decimal) -> Decimal:
    """Return how much of a signed ``change`` enlarges ``position``: what margin is asked for."""
    if position * change >= 0:
        return change
    surplus = abs(change) - abs(position)
    return surplus.copy_sign(change) if surplus > 0 else Decimal(0)
