"""What the broker takes off an exit of a bracket because another of its exits filled.

The exits of a bracket share a group that reduces (IBKR's ocaType 2): a take-profit that fills 40
of 100 leaves its stop at work for the other 60. Nobody asked for that change, so it has no command:
the order follows what the broker tells, as far as the fills in hand explain it. Words come in any
order, and so what was told is looked at again with each fill.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import attrs

from alluse_core.model import OrderReport, OrderTerms
from alluse_core.orders.applier import Applier
from alluse_core.orders.desk import Desk
from alluse_core.orders.live import ZERO, Due, LiveOrder, quantity_difference
from alluse_core.orders.records import Kind, order_fields, reduced_fields, terms_fields
from alluse_core.orders.room import room_of
from alluse_core.orders.states import Event

PATIENCE = 2.0
"""Seconds in which the broker tells what it takes off, beside the fill that is the cause."""


def cause(filled_beside: str, entry_opens: str) -> str:
    """Return in words why a broker reduced an exit; "0" and "" leave a part out."""
    parts = [f"other exits filled {filled_beside}"] if filled_beside != "0" else []
    parts += [f"its entry opens {entry_opens}"] if entry_opens else []
    return ", ".join(parts) or "its entry ended before it was filled"


def _fits_again(live: LiveOrder, quantity: Decimal, beside: Decimal) -> bool:
    """Whether nothing is left of a person's share, now that other exits filled ``beside``.

    That much the broker took off by itself since; what the entry did not open it leaves on.
    """
    if live.enlarged is None:
        return False
    return quantity <= live.order.quantity - max(beside - live.enlarged.beside, ZERO)


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
            room = room_of(self._desk.book, exit_)
            if told is not None and _fits_again(exit_, told, room.filled_beside):
                self._desk.ask(exit_.order.broker, f"order {exit_.key} may be as asked for again")
            if room.due != exit_.due.quantity:
                exit_.due = Due(room.due, self._desk.clock.monotonic())

    def listed(self, live: LiveOrder, terms: OrderTerms, asked_at: float) -> None:
        """Take the terms of a list: asked for after the fills, it shows what was taken off."""
        if len(live.perm_ids) > 1 or asked_at <= live.due.since:
            return
        if live.enlarged is not None:
            beside = room_of(self._desk.book, live).filled_beside
            if _fits_again(live, terms.quantity, beside):
                self._end_enlargement(live, terms)
        elif live.due.quantity and terms.quantity == live.order.quantity:
            self._prove(live, terms, asked_at)

    def _prove(self, live: LiveOrder, terms: OrderTerms, asked_at: float) -> None:
        """Take what is due for what the broker does not do by itself."""
        fitted = room_of(self._desk.book, live).fitted
        if fitted.quantity != live.order.quantity:
            live.due = attrs.evolve(live.due, proven=True)
        elif asked_at - live.due.since >= PATIENCE:
            # It leaves that out already: what comes off it from now on has another cause.
            if (fitted.reduced, fitted.asked) == (live.reduced, live.asked):
                return
            live.reduced, live.asked = fitted.reduced, fitted.asked
            live.due = attrs.evolve(live.due, quantity=fitted.due)
            self._note(live, terms, reduced_fields(live.reduced, live.asked))

    def _end_enlargement(self, live: LiveOrder, terms: OrderTerms) -> None:
        live.enlarged = None
        self._note(live, terms, {"enlarged": False})
        self.look(live)

    def _note(self, live: LiveOrder, terms: OrderTerms, learnt: Mapping[str, Any]) -> None:
        body = {
            "broker": live.order.broker,
            "account": live.order.account,
            "differences": [],
            "terms": terms_fields(terms),
            **learnt,
        }
        self._applier.write(live, Kind.ECHO, body)

    def _explains(self, live: LiveOrder, told: Decimal) -> bool:
        # Of an enlarged one what is left may be the person's share as well as the bracket's.
        if len(live.perm_ids) > 1 or live.enlarged is not None:
            return False
        return room_of(self._desk.book, live).explains(told, live.filled)

    def _follow(self, live: LiveOrder, told: Decimal) -> None:
        room = room_of(self._desk.book, live)
        beside, opens = str(room.filled_beside), str(room.entry.at_most) if room.not_opened else ""
        left = room.reduced_to(told)
        live.reduced, live.asked = left.reduced, left.asked
        live.order = attrs.evolve(live.order, quantity=told)
        live.differences = tuple(each for each in live.differences if not quantity_difference(each))
        self._desk.book.touch(live)
        live.say(f"the broker reduced it to {told}: {cause(beside, opens)}")
        body = {
            "broker": live.order.broker,
            "account": live.order.account,
            "order": order_fields(live.order),
            **reduced_fields(live.reduced, live.asked),
            "filled_beside": beside,
            "entry_opens": opens,
        }
        self._applier.write(live, Kind.REDUCTION, body)
        live.notify()

    def _fill_where_whole(self, live: LiveOrder) -> None:
        if live.executed >= live.quantity and not live.state.is_terminal:
            self._applier.happen(live, Event.FILL, "executions")
