"""What executions cost: told apart from them, before or after, and more than once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal

from alluse_core.model import Commission
from alluse_core.orders.desk import Desk
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.records import Kind, text

_KEPT = 50_000


class Commissions:
    """Journals each commission once, under the order whose execution it belongs to.

    ``find`` gives the order of a key, also one that left memory.
    """

    def __init__(self, desk: Desk, find: Callable[[str], LiveOrder | None]) -> None:
        self._desk = desk
        self._find = find
        # Keys, not orders: what waits for its cost here would keep ended orders in memory.
        self._owners: OrderedDict[str, str | None] = OrderedDict()
        self._costs: OrderedDict[tuple[str, Decimal], None] = OrderedDict()

    def expect(self, execution_id: str, live: LiveOrder | None) -> None:
        """Note whose an execution is, None: of no order of ours."""
        self._owners[execution_id] = None if live is None else live.key
        if len(self._owners) > _KEPT:
            self._owners.popitem(last=False)

    def take(self, cost: Commission) -> None:
        """Note what a fill cost; it may come before the fill, and more than once."""
        known = (cost.execution_id, cost.amount)
        if known in self._costs:
            return
        self._costs[known] = None
        if len(self._costs) > _KEPT:
            self._costs.popitem(last=False)
        owner = self._owners.get(cost.execution_id)
        live = self._find(owner) if owner else None
        body = {
            "broker": cost.broker,
            "account": live.order.account if live else "",
            "execution_id": cost.execution_id,
            "amount": str(cost.amount),
            "currency": cost.currency,
            "realized": text(cost.realized),
        }
        journal = self._desk.journal
        names = (live.key, live.ref, live.state.value) if live else ()
        journal.append(journal.scribe.row(Kind.COMMISSION, body, *names))
