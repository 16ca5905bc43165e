"""The terms that a broker shows of an order: they answer the changes that were asked for."""

from __future__ import annotations

from typing import Any

import attrs

from alluse_core.model import OrderTerms, Verb
from alluse_core.orders.applier import Applier
from alluse_core.orders.desk import Desk
from alluse_core.orders.live import (
    Command,
    Enlarged,
    LiveOrder,
    Made,
    differences,
    quantity_difference,
)
from alluse_core.orders.records import Kind, order_fields, reduced_fields, terms_fields
from alluse_core.orders.room import room_of
from alluse_core.orders.states import CommandEvent, CommandState


class Echoes:
    """Compares an order's terms with what was asked for."""

    def __init__(self, desk: Desk, applier: Applier) -> None:
        self._desk = desk
        self._applier = applier

    def compare(self, live: LiveOrder, terms: OrderTerms, *, listed: bool = False) -> None:
        """Confirm, or refuse, the changes that these terms answer; journal other differences.

        ``listed``: a list shows them. Words of the broker from before it may follow.
        """
        changes = _changes(live)
        for place, change in enumerate(changes):
            if self._answers(live, change, terms):
                change.listed = listed
                self._applier.command(live, change, CommandEvent.CONFIRM)
                for older in changes[place + 1 :]:
                    # Its own echo was lost; what it asked for does not hold any more.
                    self._applier.command(
                        live, older, CommandEvent.REFUSE, "a later change took its place"
                    )
                return
        if any(change.state is CommandState.SENT for change in changes):
            return
        found = differences(live.order, terms)
        late = next((each for each in live.doubted if self._answers(live, each, terms)), None)
        if found and late is not None:
            self._applier.command(live, late, CommandEvent.LATE_ECHO)
            return
        if not found and live.doubted:
            for each in live.doubted:
                each.disproved = True
            self._desk.book.touch(live)
        made = live.made
        if made is not None and not differences(made.order, terms):
            if _is_our_own(live, made, terms):
                self._return_to(live, made, terms)
                found = ()
            if not listed:
                live.made = attrs.evolve(made, listed=False)
        if found == live.differences:
            return
        live.differences = found
        if found:
            self._desk.meters.differences.value += 1
            body: dict[str, Any] = {
                "broker": live.order.broker,
                "account": live.order.account,
                "differences": list(found),
                "terms": terms_fields(terms),
            }
            if live.oca_reduces and terms.quantity > live.order.quantity:
                beside = room_of(self._desk.book, live).filled_beside
                live.enlarged = Enlarged(beside)
                body |= {"enlarged": True, "beside": str(beside)}
                # What was told before our own change, and came late, a list puts right.
                self._desk.ask(live.order.broker, f"order {live.key} is for {terms.quantity}")
            self._applier.write(live, Kind.ECHO, body)
            live.say(f"echo: {'; '.join(found)}")

    def _return_to(self, live: LiveOrder, made: Made, terms: OrderTerms) -> None:
        """Go on with the terms of our last change; what is due beside them comes off as ever."""
        live.order, live.reduced, live.asked = made.order, made.reduced, made.asked
        self._desk.book.touch(live)
        live.say(f"it is for {terms.quantity} by our own last change")
        body = {
            "broker": live.order.broker,
            "account": live.order.account,
            "differences": [],
            "terms": terms_fields(terms),
            "order": order_fields(live.order),
            **reduced_fields(live.reduced, live.asked),
        }
        self._applier.write(live, Kind.ECHO, body)

    def _answers(self, live: LiveOrder, change: Command, terms: OrderTerms) -> bool:
        """Whether these terms show a change as made; what other exits filled may be off it."""
        wanted = change.order
        if wanted is None or not differences(wanted, terms):
            return wanted is not None
        room = room_of(self._desk.book, live, change)
        floor = max(room.explained, live.filled)
        if not floor <= terms.quantity < wanted.quantity or not terms.quantity:
            return False
        made = attrs.evolve(wanted, quantity=terms.quantity)
        if differences(made, terms) or not differences(live.order, terms):
            # The order without the change, less what was filled, would look the same.
            return False
        left = room.reduced_to(terms.quantity)
        change.order, change.reduced, change.asked = made, left.reduced, left.asked
        return True


def _changes(live: LiveOrder) -> list[Command]:
    """Return the modifies whose answer an echo may be, newest first."""
    sent = (CommandState.SENT, CommandState.LOST)
    return [
        command
        for command in reversed(live.commands)
        if command.verb is Verb.MODIFY and command.state in sent
    ]


def _is_our_own(live: LiveOrder, made: Made, terms: OrderTerms) -> bool:
    """Whether our own last change made an exit larger than it is known to be, and no person.

    ``terms`` are those of that change. What the broker told to have come off since was told before
    it: its echo was due yet, or there were other differences from it than of the quantity.
    """
    if not live.oca_reduces or len(live.perm_ids) > 1 or live.enlarged is not None:
        return False
    older = any(not quantity_difference(each) for each in live.differences)
    return terms.quantity > live.order.quantity and (older or made.listed)
