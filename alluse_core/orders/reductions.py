"""What the broker takes off an exit of a bracket because another of its exits filled.

The exits of a bracket share a group that reduces (IBKR's ocaType 2): a take-profit that fills 40
of 100 leaves its stop at work for the other 60. Nobody asked for that change, so it has no command:
the order follows what the broker tells, as far as the fills in hand explain it. Words come in any
order, and so what was told is looked at again with each fill.
"""

from __future__ import annotations

from decimal import Decimal

import attrs

from alluse_core.model import OrderReport, OrderTerms
from alluse_core.orders.applier import Applier
from alluse_core.orders.book import Book
from alluse_core.orders.desk import Desk
from alluse_core.orders.live import ZERO, LiveOrder, quantity_difference
from alluse_core.orders.records import Kind, order_fields, terms_fields
from alluse_core.orders.states import Event

PATIENCE = 2.0
"""Seconds in which the broker tells what it takes off, beside the fill that is the cause."""


def may_open(entry: LiveOrder) -> Decimal:
    """Return the most that an entry opened or may open yet.

    Its end alone does not say that: fills from before it may still be on their way.
    """
    counted = entry.state.is_terminal and entry.counted
    return entry.filled if counted else max(entry.quantity, entry.filled)


def filled_beside(book: Book, live: LiveOrder) -> Decimal:
    """Return what the other exits of its bracket filled."""
    others = (each for each in book.exits_of(live.entry) if each is not live)
    return sum((each.filled for each in others), ZERO)


def not_opened(book: Book, live: LiveOrder, full: Decimal) -> Decimal:
    """Return what of ``full``, an exit's quantity with nothing left out, its entry will not open.

    The entry ended before it was filled, or was made smaller. An exit that is for less than its
    entry lacks nothing as long as its own quantity may be open; one that is for more keeps that.
    """
    entry = book.get(live.entry)
    if entry is None:
        return ZERO
    return max(min(full, max(entry.largest, entry.quantity)) - may_open(entry), ZERO)


def taken_off(book: Book, live: LiveOrder, full: Decimal) -> Decimal:
    """Return what of ``full`` is not an exit's to close any more; 0 for what is no such exit.

    The other exits of its bracket filled it, or its entry will not open it.
    """
    if not live.oca_reduces:
        return ZERO
    return filled_beside(book, live) + not_opened(book, live, full)


def to_come_off(book: Book, live: LiveOrder, quantity: Decimal, reduced: Decimal) -> Decimal:
    """Return what is to come off a quantity that leaves ``reduced`` out already."""
    return max(taken_off(book, live, quantity + reduced) - reduced, ZERO)


def fitting(
    book: Book, live: LiveOrder, quantity: Decimal, reduced: Decimal
) -> tuple[Decimal, Decimal]:
    """Return what of a quantity that leaves ``reduced`` out may be asked for now, and leaves out.

    Nothing is taken off that may yet be open: an exit can be for less than its entry. What was
    left out and turns out to be open, by a late fill or by a trade that was busted, comes back.
    """
    full = quantity + reduced
    off = taken_off(book, live, full) - reduced
    if not off:
        return quantity, reduced
    if off > 0:
        return min(quantity, max(quantity - off, _open_at_most(book, live))), reduced + off
    wanted = max(quantity, min(quantity - off, _open_for_sure(book, live)))
    return wanted, full - wanted


def left_out(book: Book, live: LiveOrder, quantity: Decimal) -> Decimal:
    """Return what a quantity leaves out that somebody asks for by its number, knowing the fills."""
    if not live.oca_reduces:
        return ZERO
    entry, beside = book.get(live.entry), filled_beside(book, live)
    if entry is None or quantity <= _open_at_most(book, live):
        return beside
    return beside + max(entry.largest, entry.quantity) - may_open(entry)


def reduced_with(
    book: Book, live: LiveOrder, told: Decimal, quantity: Decimal, reduced: Decimal
) -> Decimal:
    """Return what is left out in all, where the broker made ``told`` of a quantity."""
    wanted, without = fitting(book, live, quantity, reduced)
    return without if told <= wanted else reduced + quantity - told


def cause(filled_beside: str, entry_opens: str) -> str:
    """Return in words why a broker reduced an exit; "0" and "" leave a part out."""
    parts = [f"other exits filled {filled_beside}"] if filled_beside != "0" else []
    parts += [f"its entry opens {entry_opens}"] if entry_opens else []
    return ", ".join(parts) or "its entry ended before it was filled"


def _fits_again(live: LiveOrder, quantity: Decimal) -> bool:
    """Whether nothing is left of a person's share, whatever came off since it was there."""
    return quantity <= live.order.quantity - max(live.due - live.due_when_enlarged, ZERO)


def _full(live: LiveOrder) -> Decimal:
    return live.order.quantity + live.reduced


def _open_at_most(book: Book, live: LiveOrder) -> Decimal:
    entry = book.get(live.entry)
    return (may_open(entry) if entry is not None else ZERO) - filled_beside(book, live)


def _open_for_sure(book: Book, live: LiveOrder) -> Decimal:
    entry = book.get(live.entry)
    return (_opened(entry) if entry is not None else ZERO) - filled_beside(book, live)


def _opened(entry: LiveOrder) -> Decimal:
    """What an entry that ended may have filled unheard is nothing to make an exit larger for."""
    opened = entry.filled if entry.state.is_terminal else may_open(entry)
    return opened - entry.closed_elsewhere


def _as_the_entry_ended(book: Book, live: LiveOrder, told: Decimal) -> bool:
    """Whether what was told is just what an entry opened that ended short, less what is closed."""
    entry = book.get(live.entry)
    if entry is None or may_open(entry) >= entry.quantity or not entry.state.is_terminal:
        return False
    return live.filled < told == entry.filled - filled_beside(book, live)


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
            if told is not None and exit_.enlarged and _fits_again(exit_, told):
                self._desk.ask(exit_.order.broker, f"order {exit_.key} may be as asked for again")
            due = self._due(exit_)
            if due != exit_.due:
                exit_.due, exit_.due_at = due, self._desk.clock.monotonic()
                exit_.surplus = ZERO

    def listed(self, live: LiveOrder, terms: OrderTerms, asked_at: float) -> None:
        """Take the terms of a list: asked for after the fills, it shows what was taken off."""
        if len(live.perm_ids) > 1 or asked_at <= live.due_at:
            return
        if live.enlarged:
            self._end_enlargement(live, terms)
        elif live.due and terms.quantity == live.order.quantity:
            self._prove(live, asked_at)

    def _prove(self, live: LiveOrder, asked_at: float) -> None:
        """Take what is due for what the broker does not do by itself."""
        quantity, reduced = fitting(self._desk.book, live, live.order.quantity, live.reduced)
        if quantity != live.order.quantity:
            live.surplus = live.due
        elif asked_at - live.due_at >= PATIENCE:
            # It leaves that out already: what comes off it from now on has another cause.
            live.reduced = reduced
            live.due = self._due(live)

    def _end_enlargement(self, live: LiveOrder, terms: OrderTerms) -> None:
        if _fits_again(live, terms.quantity):
            live.enlarged = False
            body = {
                "broker": live.order.broker,
                "account": live.order.account,
                "differences": [],
                "terms": terms_fields(terms),
                "enlarged": False,
            }
            self._applier.write(live, Kind.ECHO, body)
            self.look(live)

    def _due(self, live: LiveOrder) -> Decimal:
        return taken_off(self._desk.book, live, _full(live)) - live.reduced

    def _explains(self, live: LiveOrder, told: Decimal) -> bool:
        if not live.filled <= told < live.order.quantity or len(live.perm_ids) > 1:
            return False
        if live.enlarged:
            # What is left of it may be the person's share as well as the bracket's.
            return False
        book = self._desk.book
        off = to_come_off(book, live, live.order.quantity, live.reduced)
        return told >= live.order.quantity - off or _as_the_entry_ended(book, live, told)

    def _follow(self, live: LiveOrder, told: Decimal) -> None:
        book = self._desk.book
        beside, lacks = filled_beside(book, live), not_opened(book, live, _full(live))
        entry = book.get(live.entry)
        opens = str(may_open(entry)) if entry is not None and lacks else ""
        live.reduced = reduced_with(book, live, told, live.order.quantity, live.reduced)
        live.order = attrs.evolve(live.order, quantity=told)
        live.differences = tuple(each for each in live.differences if not quantity_difference(each))
        book.touch(live)
        live.say(f"the broker reduced it to {told}: {cause(str(beside), opens)}")
        body = {
            "broker": live.order.broker,
            "account": live.order.account,
            "order": order_fields(live.order),
            "reduced": str(live.reduced),
            "filled_beside": str(beside),
            "entry_opens": opens,
        }
        self._applier.write(live, Kind.REDUCTION, body)
        live.notify()

    def _fill_where_whole(self, live: LiveOrder) -> None:
        whole = live.executed >= live.quantity and not live.twin_lives()
        if whole and not live.state.is_terminal:
            self._applier.happen(live, Event.FILL, "executions")
