"""What the broker takes off an exit of a bracket because another of its exits filled.

The exits of a bracket share a group that reduces (IBKR's ocaType 2): a take-profit that fills 40
of 100 leaves its stop at work for the other 60. Nobody asked for that change, so it has no command:
the order follows what the broker tells, as far as the fills in hand explain it. Words come in any
order, and so what was told is looked at again with each fill.
"""

from __future__ import annotations

from decimal import Decimal

import attrs

from alluse_core.model import OrderReport, OrderState, OrderTerms
from alluse_core.orders.applier import Applier
from alluse_core.orders.book import Book
from alluse_core.orders.desk import Desk
from alluse_core.orders.live import ZERO, LiveOrder, quantity_difference
from alluse_core.orders.records import Kind, order_fields
from alluse_core.orders.states import Event

_ENDED_SHORT = frozenset({OrderState.CANCELED, OrderState.EXPIRED, OrderState.REJECTED})


def taken_off(book: Book, live: LiveOrder) -> Decimal:
    """Return what is not an exit's to close any more; 0 where nothing is taken off an order.

    The other exits of its bracket filled it, or its entry ended without opening it.
    """
    if not live.oca_reduces:
        return ZERO
    entry = book.get(live.entry)
    short = entry is not None and entry.state in _ENDED_SHORT
    missing = entry.order.quantity - entry.filled if entry is not None and short else ZERO
    return filled_beside(book, live) + max(missing, ZERO)


def filled_beside(book: Book, live: LiveOrder) -> Decimal:
    """Return what the other exits of its bracket filled."""
    others = (each for each in book.exits_of(live.entry) if each is not live)
    return sum((each.filled for each in others), ZERO)


def to_come_off(book: Book, live: LiveOrder, reduced: Decimal) -> Decimal:
    """Return what is not an exit's to close beyond ``reduced``, which was taken off before."""
    return max(taken_off(book, live) - reduced, ZERO)


def fitting(book: Book, live: LiveOrder, quantity: Decimal, reduced: Decimal) -> Decimal:
    """Return what of a quantity, which leaves ``reduced`` out, may be asked for now.

    Nothing is taken off that may yet be open: an exit can be for less than its entry.
    """
    off, entry = to_come_off(book, live, reduced), book.get(live.entry)
    if not off:
        return quantity
    opened = ZERO
    if entry is not None:
        opened = entry.filled if entry.state.is_terminal else entry.quantity
    return min(quantity, max(quantity - off, opened - filled_beside(book, live)))


def reduced_with(
    book: Book, live: LiveOrder, told: Decimal, quantity: Decimal, reduced: Decimal
) -> Decimal:
    """Return what is left out in all, where the broker made ``told`` of a quantity."""
    if told <= fitting(book, live, quantity, reduced):
        return taken_off(book, live)
    return reduced + quantity - told


class Reductions:
    """Lets exits follow what the broker took off them; each such change is journaled."""

    def __init__(self, desk: Desk, applier: Applier) -> None:
        self._desk = desk
        self._applier = applier

    def hear(self, live: LiveOrder, report: OrderReport) -> None:
        """Take a smaller quantity from a status without terms, where the fills explain it."""
        if report.filled is None or report.remaining is None:
            return
        if report.terms is not None and report.terms.quantity:
            return
        total = report.filled + report.remaining
        if live.oca_reduces and self._explains(live, total):
            live.hear(report.identity.perm_id, total)

    def look(self, live: LiveOrder, *, ends: bool = False) -> None:
        """Look at what was told of the exits of the bracket that an order belongs to.

        ``ends``: what was told just now ends this order in another way than by being filled.
        """
        for exit_ in self._desk.book.exits_of(live.entry or live.key):
            told = exit_.told_quantity
            if told is not None and exit_.oca_reduces and self._explains(exit_, told):
                self._follow(exit_, told)
                if not (ends and exit_ is live):
                    self._fill_where_whole(exit_)
            due = to_come_off(self._desk.book, exit_, exit_.reduced)
            if due != exit_.due:
                exit_.due, exit_.due_at = due, self._desk.clock.monotonic()
                exit_.surplus = ZERO

    def listed(self, live: LiveOrder, terms: OrderTerms, asked_at: float) -> None:
        """Take the terms of a list: asked for after the fills, it shows what was taken off."""
        alone = len(live.perm_ids) == 1 and terms.quantity == live.order.quantity
        if alone and asked_at > live.due_at:
            live.surplus = live.due

    def _explains(self, live: LiveOrder, told: Decimal) -> bool:
        if not live.filled <= told < live.order.quantity or len(live.perm_ids) > 1:
            return False
        off = to_come_off(self._desk.book, live, live.reduced)
        return told > 0 and told >= live.order.quantity - off

    def _follow(self, live: LiveOrder, told: Decimal) -> None:
        book = self._desk.book
        beside = filled_beside(book, live)
        live.reduced = reduced_with(book, live, told, live.order.quantity, live.reduced)
        live.order = attrs.evolve(live.order, quantity=told)
        live.differences = tuple(each for each in live.differences if not quantity_difference(each))
        book.touch(live)
        live.say(f"the broker reduced it to {told}: other exits filled {beside}")
        body = {
            "broker": live.order.broker,
            "account": live.order.account,
            "order": order_fields(live.order),
            "reduced": str(live.reduced),
            "filled_beside": str(beside),
        }
        self._applier.write(live, Kind.REDUCTION, body)
        live.notify()

    def _fill_where_whole(self, live: LiveOrder) -> None:
        whole = live.executed >= live.quantity and not live.twin_lives()
        if whole and not live.state.is_terminal:
            self._applier.happen(live, Event.FILL, "executions")
