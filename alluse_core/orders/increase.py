"""Which orders could open, enlarge or flip a position: those that a halt cancels."""

from __future__ import annotations

from collections.abc import Container, Iterable
from decimal import Decimal

import attrs

from alluse_core.model import Instrument
from alluse_core.orders.book import Book
from alluse_core.orders.closing import CLOSING, RESTS, STOPS
from alluse_core.orders.live import ZERO, LiveOrder
from alluse_core.orders.room import may_open, room_of


def risk_increasing(
    book: Book, lives: Iterable[LiveOrder], asking: Container[str] = ()
) -> list[LiveOrder]:
    """Return those orders that could open, enlarge or flip a position; see :func:`surplus`."""
    return list(surplus(book, lives, asking))


def surplus(
    book: Book, lives: Iterable[LiveOrder], asking: Container[str] = ()
) -> dict[LiveOrder, Decimal]:
    """Return the orders that could open, enlarge or flip a position, and what of each may stay.

    Of the orders on a position's closing side, stops before limits, as many are protective as
    the position is large; of orders that cancel each other one counts. What rests at the broker as
    protection and is too large stays for what is left of the position; of others nothing does.
    A bracket's exits follow their entry and are left to it. Flatten's own orders count apart:
    beside protection that rests they are no surplus, beyond the position they are. ``asking`` names
    brokers whose evidence is being asked for: there, and before positions were told, what looks
    like protection stays, since the position it protects may not be known yet.
    """
    found: dict[LiveOrder, Decimal] = {}
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
        position = book.positions.get(place, ZERO)
        if position * order.side.sign >= 0:
            found[live] = ZERO
            continue
        closes = _closes(book, live)
        if live.adopted and closes <= abs(position):
            # The group that it may belong to is not known: two exits may exclude each other.
            continue
        counted = (*place, live.key.startswith(CLOSING))
        shared = groups.setdefault(place, {})
        already = shared.get(live.oca_group, ZERO) if live.oca_group else ZERO
        left = abs(position) - used.get(counted, ZERO) + already
        if closes > left:
            closes = found[live] = left if _can_shrink(live) else ZERO
        more = max(closes - already, ZERO)
        used[counted] = used.get(counted, ZERO) + more
        if live.oca_group:
            shared[live.oca_group] = already + more
    return found


def _closes(book: Book, live: LiveOrder) -> Decimal:
    """Return how much of a position an order may close."""
    # What its sibling filled comes off it, heard or not; protection is not cancelled for that.
    room = attrs.evolve(room_of(book, live), quantity=live.quantity)
    closes = live.exposed - max(room.quantity - room.fitted.quantity, ZERO)
    told = live.told_quantity
    changing = (*live.commands, *(each for each in live.doubted if not each.disproved))
    if told is None or len(live.perm_ids) > 1 or any(each.order for each in changing):
        return closes
    # With no change of ours under way the broker's word holds: a person may have made it smaller.
    return min(closes, max(told - live.executed, ZERO))


def _can_shrink(live: LiveOrder) -> bool:
    """Whether a change can make protection smaller, so that the rest of it stays."""
    protects = live.order.order_type in STOPS or bool(live.entry)
    return protects and live.state in RESTS and len(live.perm_ids) == 1 and not live.adopted


def _follows(book: Book, live: LiveOrder) -> bool:
    entry = book.get(live.entry) if live.entry else None
    return entry is not None and (not entry.state.is_terminal or may_open(entry) > entry.filled)


def _looks_protective(live: LiveOrder) -> bool:
    return live.order.order_type in STOPS or live.reducing or bool(live.entry)
