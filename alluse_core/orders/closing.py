"""What may still close a position, and which of those orders make way for flatten's own."""

from __future__ import annotations

from decimal import Decimal

from alluse_core.model import OrderState, OrderType, Position, TimeInForce
from alluse_core.orders.book import Book
from alluse_core.orders.live import ZERO, LiveOrder

CLOSING = "flatten/"
"""How the keys of flatten's own orders begin."""

STOPS = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})

_WAITS = frozenset({OrderState.ACCEPTED, OrderState.HELD})
RESTS = _WAITS | {OrderState.PARTIALLY_FILLED}


def closers(book: Book, row: Position) -> list[LiveOrder]:
    """Return the orders that could close some of a position at any moment.

    They are flatten's own, market orders, limits that rest, and all that is on its way or UNKNOWN:
    an exit beside them could flip the position. Protection that rests (stops that were not
    triggered, and what shares a group with one) is left out: it is cancelled last.
    """
    exits = [
        live
        for live in book.working((row.broker, row.account), row.instrument)
        if live.order.side.sign * row.quantity < 0
    ]
    stops = [live for live in exits if live.order.order_type in STOPS and live.state in _WAITS]
    guarded = {live.oca_group for live in stops} - {""}
    return [
        live
        for live in exits
        if live not in stops and not (live.oca_group in guarded and live.state in _WAITS)
    ]


def possibly_closed(orders: list[LiveOrder]) -> Decimal:
    """Return how much these may fill; of orders that cancel each other the largest counts."""
    alone = sum((live.exposed for live in orders if not live.oca_group), ZERO)
    groups: dict[str, Decimal] = {}
    for live in orders:
        if live.oca_group:
            groups[live.oca_group] = max(groups.get(live.oca_group, ZERO), live.exposed)
    return alone + sum(groups.values())


def makes_way(live: LiveOrder) -> bool:
    """Return whether one of the closers is to be cancelled, so that a market order takes its place.

    Those that are about to close the position anyway need not, nor those on their way: they are
    judged by what the broker says of them.
    """
    order, state = live.order, live.state
    if live.key.startswith(CLOSING):
        return False
    if order.order_type in STOPS:
        return order.order_type is OrderType.STOP_LIMIT and state is OrderState.PARTIALLY_FILLED
    if order.order_type is OrderType.MARKET and order.time_in_force is not TimeInForce.OPG:
        return state in (OrderState.HELD, OrderState.UNKNOWN)
    return state in RESTS or state is OrderState.UNKNOWN
