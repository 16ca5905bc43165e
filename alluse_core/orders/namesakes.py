"""Another agent of our name: its orders look like ours, and ours like its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from alluse_core.model import OrderIdentity
from alluse_core.ports import Broker


class Namesakes:
    """Pages when orders of our name begin to come from a client id that is not ours.

    Those that a start finds may be an earlier process's own. Later ones are somebody's who trades
    now, and both take the other's orders for their own. ``claims`` says whether an orderRef bears
    our name, ``page`` stops new risk.
    """

    def __init__(
        self, broker: Broker, claims: Callable[[str], bool], page: Callable[[str], None]
    ) -> None:
        self._broker = broker
        self._claims = claims
        self._page = page
        self._of_before: frozenset[str] | None = None
        self._told: set[int] = set()

    def look(self, strange: Iterable[OrderIdentity]) -> None:
        """Take the names in whole lists of what is open and of executions, but our journal's."""
        own = self._broker.client_id
        others = {
            identity.order_ref: identity.client_id
            for identity in strange
            if identity.client_id not in (0, own) and self._claims(identity.order_ref)
        }
        if self._of_before is None:
            self._of_before = frozenset(others)
            return
        for reference, client_id in others.items():
            if reference not in self._of_before and client_id not in self._told:
                self._told.add(client_id)
                self._page(
                    f"another agent of this name trades at {self._broker.name} under client id"
                    f" {client_id} (order {reference}): give each a name and a state folder of"
                    " its own ([alluse] agent, state_dir)"
                )
