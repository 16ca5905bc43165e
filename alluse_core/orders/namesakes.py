"""Another agent of our name: its orders look like ours, and ours like its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from alluse_core.orders.live import LiveOrder
from alluse_core.ports import Broker


class Namesakes:
    """Pages when orders of our name begin to come from a client id that is not ours.

    Those that a start finds may be an earlier process's own. Later ones are somebody's who trades
    now, and both take the other's orders for their own. ``page`` stops new risk.
    """

    def __init__(self, broker: Broker, page: Callable[[str], None]) -> None:
        self._broker = broker
        self._page = page
        self._of_before: set[str] | None = None
        self._told: set[int] = set()

    def look(self, listed: Iterable[LiveOrder]) -> None:
        """Take the orders of ours in a whole list of what is open."""
        own = self._broker.client_id
        others = [live for live in listed if live.adopted and live.client_id not in (0, own)]
        if self._of_before is None:
            self._of_before = {live.key for live in others}
            return
        for live in others:
            if live.key not in self._of_before and live.client_id not in self._told:
                self._told.add(live.client_id)
                self._page(
                    f"another agent of this name trades at {self._broker.name} under client id"
                    f" {live.client_id} (order {live.ref}): give each a name and a state folder of"
                    " its own ([alluse] agent, state_dir)"
                )
