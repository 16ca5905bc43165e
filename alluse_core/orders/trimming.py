"""Takes off an exit what the broker left on it, though other exits of its bracket filled it.

A change of an exit that crosses a fill of its sibling on the wire names the old quantity, and the
broker takes it at its word: the exit is larger than what is left to close, and could flip the
position. A list of open orders that was asked for after the fill proves it.
"""

from __future__ import annotations

import logging

from alluse_core.errors import AllUseError
from alluse_core.model import OrderState
from alluse_core.orders.commands import Commands
from alluse_core.orders.control import Pauses
from alluse_core.orders.desk import Desk
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.reductions import fitting

_log = logging.getLogger(__name__)
_RESTS = frozenset({OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED, OrderState.HELD})
_PATIENCE = 2.0
"""Seconds in which the broker tells what it takes off, beside the fill that is the cause."""

BY = "bracket"
"""Who asks for these changes, as the journal tells."""


class Trimming:
    """Looks for what should have come off an exit a moment ago."""

    def __init__(self, desk: Desk, commands: Commands) -> None:
        self._desk = desk
        self._commands = commands
        self._pauses = Pauses()

    async def tend(self) -> None:
        """Ask about what is overdue; change, or cancel, what is proven too much. Each second."""
        now = self._desk.clock.monotonic()
        due = [live for live in self._desk.book.live() if live.due]
        self._pauses.keep({live.key for live in due})
        for live in due:
            if live.surplus:
                if live.state in _RESTS and live.pending is None:
                    await self._trim(live, now)
            elif now - live.due_at >= _PATIENCE and live.due_asked_at < live.due_at:
                live.due_asked_at = now
                broker = live.order.broker
                self._desk.ask(broker, f"{live.due} did not come off order {live.key}")

    async def _trim(self, live: LiveOrder, now: float) -> None:
        book = self._desk.book
        entry = book.get(live.entry)
        if entry is None or (entry.state.is_terminal and not entry.settled):
            return
        wanted = fitting(book, live, live.order.quantity, live.reduced)
        if wanted >= live.order.quantity or not self._pauses.passes(live.key, now):
            return
        _log.warning("order %s is for %s, to close %s", live.key, live.order.quantity, wanted)
        try:
            if wanted > live.filled:
                await self._commands.modify(live, None, None, wanted, BY)
            else:
                await self._commands.cancel(live, BY)
        except AllUseError as error:
            _log.warning("order %s could not be made smaller: %s", live.key, error)
