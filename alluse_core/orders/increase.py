"""Which orders could open, enlarge or flip a position: those that a halt cancels."""

from __future__ import annotations

from collections.abc import Container, Iterable
from decimal import Decimal

import attrs

from alluse_core.model import Instrument
from alluse_core.orders.book import Book
from alluse_core.orders.closing import CLOSING, STOPS
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.room import may_open, room_of


def risk_increasing(
    book: Book, lives: Iterable[LiveOrder], asking: Container[str] = ()
) -> list[LiveOrder]:
    """Return those orders that could open, enlarge or flip a position.

    Of the orders on a position's closing side, stops before limits, as many are protective as
    the position is large; of orders that cancel each other one counts. A bracket's exits follow
    their entry and are left to it. Flatten's own orders count apart: beside protection that rests
    they are no surplus, beyond the position they are. ``asking`` names brokers whose evidence is
    being asked for: there, and before positions were told, what looks like protection stays, since
    the position it protects may not be known yet.
    """
    found: list[LiveOrder] = []
    used: dict[tuple[str, str, Instrument, bool], Decimal] = {}
    groups: dict[tuple[str, str, Instrument], dict[str, Decimal]] = {}
    ordered = sorted(lives, key=lambda live: live.order.order_type not in STOPS)
    for live in ordered:
        order = live.order
        if _follows(book, live):
            continue
        if _looks_protective(live) and (order.broker in asking or order.broker not in book.told):
            continue
        place = (order.broker, order.account, order.instrument)
        position = book.positions.get(place, Decimal(0))
        if position * order.side.sign >= 0:
            found.append(live)
            continue
        # What its sibling filled comes off it, heard or not; protection is not cancelled for that.
        room = attrs.evolve(room_of(book, live), quantity=live.quantity)
        closes = live.exposed - max(room.quantity - room.fitted.quantity, Decimal(0))
        if live.adopted and closes <= abs(position):
            # The group that it may belong to is not known: two exits may exclude each other.
            continue
        counted = (*place, live.key.startswith(CLOSING))
        shared = groups.setdefault(place, {})
        already = shared.get(live.oca_group, Decimal(0)) if live.oca_group else Decimal(0)
        more = max(closes - already, Decimal(0))
        if used.get(counted, Decimal(0)) + more > abs(position):
            found.append(live)
            continue
        used[counted] = used.get(counted, Decimal(0)) + more
        if live.oca_group:
            shared[live.oca_group] = already + more
    return found


def _follows(book: Book, live: LiveOrder) -> bool:
    entry = book.get(live.entry) if live.entry else None
    return entry is not None and (not entry.state.is_terminal or may_open(entry) > entry.filled)


def _looks_protective(live: LiveOrder) -> bool:
    return live.order.order_type in STOPS or live.reducing or bool(live.entry)
