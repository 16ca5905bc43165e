"""Makes the exits of a bracket fit what it has open, where the broker does not.

A change of an exit that crosses a fill of its sibling on the wire names the old quantity, and the
broker takes it at its word: the exit is larger than what is left to close, and could flip the
position. So it is where the entry was made smaller: TWS once refused exits of another size than
their entry (error 405, now deprecated), and no page of IBKR's says that it changes them since.
The other way round an exit lacks what a late fill of its entry opened. A list of open orders that
was asked for after the fill proves both.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from decimal import Decimal

import attrs

from alluse_core.errors import AllUseError
from alluse_core.model import Order
from alluse_core.orders.closing import RESTS
from alluse_core.orders.commands import Commands
from alluse_core.orders.control import Pauses
from alluse_core.orders.desk import Desk
from alluse_core.orders.live import ZERO, LiveOrder
from alluse_core.orders.reductions import PATIENCE
from alluse_core.orders.room import may_open, room_of

_log = logging.getLogger(__name__)
_TRIES_UNTOLD = 4
"""At which try a person is told; each comes after a longer pause."""
_PAUSE_MOST = 300.0
"""Seconds between two tries of the same change, where a broker goes on not to take it."""
_EXECUTIONS_WITHIN = 10.0
"""Seconds after which a person is told of fills that only a status claims."""
BY = "bracket"
"""Who asks for these changes, as the journal tells."""


class Trimming:
    """Looks for what should have come off an exit a moment ago, or come back."""

    def __init__(self, desk: Desk, commands: Commands) -> None:
        self._desk = desk
        self._commands = commands
        self._pauses = Pauses(_PAUSE_MOST)
        self._asked: set[str] = set()
        self._tried: dict[str, int] = {}
        self._last: dict[str, tuple[Order, Decimal]] = {}
        self._untold: set[str] = set()

    async def tend(self) -> None:
        """Ask about what is overdue; change, or cancel, what is proven not to fit. Each second."""
        now = self._desk.clock.monotonic()
        exits = [live for live in self._desk.book.live() if live.oca_reduces]
        due = [live for live in exits if live.due.quantity and live.enlarged is None]
        uncounted = self._uncounted(exits)
        self._pauses.keep({live.key for live in due})
        self._tried = {live.key: self._tried.get(live.key, 0) for live in due}
        self._last = {key: last for key, last in self._last.items() if key in self._tried}
        self._untold &= {live.entry for live in due}
        for entry in uncounted:
            # Once: where the broker's lists do not tell it, asking again does not help.
            if entry.key not in self._asked:
                self._desk.ask(entry.order.broker, f"{entry.key} ended, its fills are not counted")
        self._asked = {entry.key for entry in uncounted}
        for live in due:
            if live.due.proven:
                if live.state in RESTS and live.pending is None:
                    await self._trim(live, now)
            elif now - live.due.since >= PATIENCE and not live.due.asked:
                live.due = attrs.evolve(live.due, asked=True)
                why = f"order {live.key} is off by {live.due.quantity} of what is to close"
                self._desk.ask(live.order.broker, why)

    def _uncounted(self, exits: Sequence[LiveOrder]) -> list[LiveOrder]:
        """Return the entries that ended, and may have filled more than is known."""
        entries = map(self._desk.book.get, {live.entry for live in exits})
        ended = (entry for entry in entries if entry is not None and entry.state.is_terminal)
        return [entry for entry in ended if may_open(entry) > entry.filled]

    async def _trim(self, live: LiveOrder, now: float) -> None:
        book = self._desk.book
        entry = book.get(live.entry)
        if entry is None:
            return
        quantity, fits = live.order.quantity, room_of(book, live).fitted.quantity
        bare = entry.busted_untold and fits < min(quantity, live.filled + self._held(live))
        if entry.state.is_terminal and (bare or not entry.settled):
            self._tell_untold(live, entry, fits, now)
            return
        coming = may_open(entry) - entry.filled if not entry.state.is_terminal else ZERO
        most = live.filled + self._held(live) + coming
        wanted = min(fits, max(quantity, most))
        if wanted == quantity or live.enlarges(wanted) or not self._may_ask(live, wanted, now):
            return
        self._tried[live.key] += 1
        if self._tried[live.key] == _TRIES_UNTOLD:
            self._desk.page(
                f"order {live.key} is for {quantity} where {wanted} are to close, and the broker"
                " does not take the change: change or cancel it in TWS"
            )
        _log.warning("order %s is for %s, to close %s", live.key, quantity, wanted)
        try:
            if wanted > live.filled:
                await self._commands.modify(live, None, None, wanted, BY, sized=False)
            else:
                await self._commands.cancel(live, BY)
        except AllUseError as error:
            _log.warning("order %s could not be made to fit: %s", live.key, error)
            # Nothing was sent, and what is in the way is here: it may be gone soon.
            self._pauses.shorten(live.key, now)

    def _may_ask(self, live: LiveOrder, wanted: Decimal, now: float) -> bool:
        """Whether it is time to ask for a quantity: at once, where that is another change."""
        change = (live.order, wanted)
        if self._last.get(live.key) != change:
            self._last[live.key] = change
            self._pauses.end(live.key)
        return self._pauses.passes(live.key, now)

    def _tell_untold(self, live: LiveOrder, entry: LiveOrder, fits: Decimal, now: float) -> None:
        """Tell a person, once, of exits that wait for executions of their entry that no list has.

        Its status claims them, or after a bust of one that was never told more is held than fits.
        """
        early = now - live.due.since < _EXECUTIONS_WITHIN
        if early or entry.key in self._untold or fits == live.order.quantity:
            return
        self._untold.add(entry.key)
        self._desk.page(
            f"order {entry.key} ended with {entry.filled} filled, and no list tells executions of"
            f" more than {entry.executed}: {live.key} stays for {live.order.quantity} where {fits}"
            " seem to be left; compare the position, and change or cancel its exits in TWS"
        )

    def _held(self, live: LiveOrder) -> Decimal:
        """Return what of the position an exit could close: what is not held comes back to none."""
        order = live.order
        held = self._desk.book.position((order.broker, order.account), order.instrument)
        return max(-order.side.sign * held, ZERO)
