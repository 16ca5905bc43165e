"""How much of a bracket's position is left for one of its exits to close.

The exits of a bracket share a group that reduces (IBKR's ocaType 2): what one of them fills, the
broker takes off the others. It takes off nothing where the entry opens less than was asked for, and
a change of ours that crosses a fill on the wire brings back what was taken off. So each exit has
two numbers: its ``quantity``, and what that leaves out of what it was for, ``reduced``. Set beside
what the bracket has open they say what is still to come off. An entry for 100, its stop for 100:

=====================================  =========  =======  ====  ======
                                       quantity   reduced  due   fitted
=====================================  =========  =======  ====  ======
the entry is on its way, or filled     100        0        0     100
the take-profit fills 40               100        0        40    60
the broker tells 60 of the stop        60         40       0     60
that fill is busted                    60         40       -40   100
=====================================  =========  =======  ====  ======

Nothing here changes anything: :mod:`~alluse_core.orders.reductions` follows what the broker does,
:mod:`~alluse_core.orders.trimming` asks for what it does not do.
"""

from __future__ import annotations

from decimal import Decimal

import attrs

from alluse_core.model import OrderState
from alluse_core.orders.book import Book
from alluse_core.orders.live import ZERO, Command, LiveOrder


@attrs.frozen
class Opened:
    """What the entry of a bracket opened; nothing, where it is not known.

    ``at_most`` it opened or may open yet. ``at_least`` is what an exit may be made larger for: not
    what it may have filled unheard before its end, nor what was closed without its exits.
    ``largest`` is the most that it was ever for. ``short``: it ended, and is known to have filled
    less than it was for.
    """

    at_most: Decimal = ZERO
    at_least: Decimal = ZERO
    largest: Decimal = ZERO
    short: bool = False

    @classmethod
    def by(cls, entry: LiveOrder) -> Opened:
        """Return what an entry opened, as far as is known now."""
        at_most, quantity = may_open(entry), entry.quantity
        opened = entry.filled if entry.state.is_terminal else at_most
        return cls(
            at_most,
            opened - entry.closed_elsewhere,
            max(entry.largest, quantity),
            at_most < quantity,
        )


@attrs.frozen
class ExitRoom:
    """An exit's quantity, beside what its bracket has open at this moment.

    ``reduced`` is what ``quantity`` leaves out already, ``filled_beside`` what the other exits
    filled. ``asked``, where it is not 0: it was asked for with that, which is less than its entry
    opens, and so it did not lose all of ``reduced``; to no more than that it comes back.
    An order that is no exit of a bracket that reduces has nothing due, and fits.
    """

    quantity: Decimal
    reduced: Decimal = ZERO
    entry: Opened = Opened()
    filled_beside: Decimal = ZERO
    asked: Decimal = ZERO

    @property
    def full(self) -> Decimal:
        """Its quantity and what that leaves out."""
        return self.quantity + self.reduced

    @property
    def not_opened(self) -> Decimal:
        """What of ``full`` its entry will not open: it ended short, or was made smaller.

        An exit that is for less than its entry lacks nothing as long as its own quantity may be
        open; one that is for more keeps that.
        """
        return max(min(self.full, self.entry.largest) - self.entry.at_most, ZERO)

    @property
    def due(self) -> Decimal:
        """What is to come off its quantity; negative: to be put back."""
        return self.filled_beside + self.not_opened - self.reduced

    @property
    def at_most(self) -> Decimal:
        """The most that may be open for it to close, now or once its entry filled."""
        return self.entry.at_most - self.filled_beside

    @property
    def at_least(self) -> Decimal:
        """What it may be made larger for."""
        return self.entry.at_least - self.filled_beside

    @property
    def fitted(self) -> ExitRoom:
        """It with the quantity that may be asked for now.

        Nothing is taken off that may yet be open: an exit can be for less than its entry. What was
        left out and turns out to be open, by a late fill or by a trade that was busted, comes back.
        """
        due = self.due
        if not due:
            return self
        left = self.quantity - due
        if due > 0:
            quantity = min(self.quantity, max(left, self.at_most))
            asked = self.asked or (self.full if quantity > left else ZERO)
            return attrs.evolve(self, quantity=quantity, reduced=self.reduced + due, asked=asked)
        wanted = min(left, self.asked or left)
        quantity = max(self.quantity, min(wanted, self.at_least))
        reduced = self.reduced + due + wanted - quantity
        return attrs.evolve(self, quantity=quantity, reduced=reduced)

    @property
    def explained(self) -> Decimal:
        """The smallest quantity that the broker may tell of it without a person's doing."""
        return self.quantity - max(self.due, ZERO)

    def explains(self, told: Decimal, filled: Decimal) -> bool:
        """Whether the broker made the smaller quantity of it by itself that it tells.

        ``filled``: what the exit itself filled.
        """
        if not filled <= told < self.quantity:
            return False
        # What an entry that ended short opened, less what is closed, fits whatever it was before.
        return told >= self.explained or (self.entry.short and filled < told == self.at_most)

    def reduced_to(self, told: Decimal) -> ExitRoom:
        """Return it with the smaller quantity that the broker made of its own."""
        fitted = self.fitted
        if told <= fitted.quantity:
            return attrs.evolve(fitted, quantity=told)
        return attrs.evolve(self, quantity=told, reduced=self.full - told)

    def asked_for(self, quantity: Decimal) -> ExitRoom:
        """Return it with a quantity that somebody asks for by its number, knowing the fills."""
        lacks = ZERO if quantity <= self.at_most else self.entry.largest - self.entry.at_most
        reduced = self.filled_beside + lacks
        return attrs.evolve(self, quantity=quantity, reduced=reduced, asked=ZERO)


def may_open(entry: LiveOrder) -> Decimal:
    """Return the most that an entry opened or may open yet.

    Its end alone does not say that: fills from before it may still be on their way.
    """
    whole = entry.state is OrderState.FILLED and entry.was_whole
    counted = entry.state.is_terminal and (entry.counted or whole)
    return entry.filled if counted else max(entry.quantity, entry.filled)


def room_of(book: Book, live: LiveOrder, change: Command | None = None) -> ExitRoom:
    """Return what is left for an order to close, beside its terms or those that a change asks for.

    An entry that is not in memory opened nothing that is known; what siblings filled counts.
    """
    order, terms = (live.order, live) if change is None else (change.order or live.order, change)
    if not live.oca_reduces:
        return ExitRoom(order.quantity)
    entry = book.get(live.entry)
    others = (each for each in book.exits_of(live.entry) if each is not live)
    beside = sum((each.filled for each in others), ZERO)
    opened = Opened() if entry is None else Opened.by(entry)
    return ExitRoom(order.quantity, terms.reduced, opened, beside, terms.asked)
