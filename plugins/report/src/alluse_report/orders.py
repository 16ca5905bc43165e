"""Orders as a report sees them: when each reached which state."""

from __future__ import annotations

from pathlib import Path

import attrs

from alluse_core.model import OrderState
from alluse_core.orders.reader import JournalReader

ACKNOWLEDGED = (
    OrderState.ACCEPTED,
    OrderState.PARTIALLY_FILLED,
    OrderState.FILLED,
    OrderState.CANCELED,
    OrderState.HELD,
)


@attrs.frozen
class OrderHistory:
    """One order: its account and the (Unix seconds, state) it went through, oldest first."""

    key: str
    account: str
    states: tuple[tuple[float, OrderState], ...]

    @property
    def state(self) -> OrderState:
        """What is known of it now."""
        return self.states[-1][1]

    @property
    def last_at(self) -> float:
        """When it last changed state."""
        return self.states[-1][0]

    @property
    def submitted_at(self) -> float | None:
        """When SUBMITTED was journaled; None for an order that was denied."""
        return next((at for at, state in self.states if state is OrderState.SUBMITTED), None)

    @property
    def acknowledged_at(self) -> float | None:
        """When the broker first said that it has the order; a rejection is no acknowledgement."""
        return next((at for at, state in self.states if state in ACKNOWLEDGED), None)

    @property
    def acknowledged_after_ms(self) -> float | None:
        """Milliseconds from SUBMITTED to the first acknowledgement, as journaled."""
        submitted, acknowledged = self.submitted_at, self.acknowledged_at
        if submitted is None or acknowledged is None:
            return None
        return (acknowledged - submitted) * 1000.0


def read_orders(journal: Path) -> list[OrderHistory]:
    """Return the orders of a journal, in the order in which they were first recorded."""
    accounts: dict[str, str] = {}
    states: dict[str, list[tuple[float, OrderState]]] = {}
    with JournalReader(journal) as reader:
        for entry in reader.entries():
            if not entry.key or not entry.state:
                continue
            if entry.kind == "order":
                accounts[entry.key] = str(entry.body.get("account", ""))
            passed = states.setdefault(entry.key, [])
            state = OrderState(entry.state)
            if not passed or passed[-1][1] is not state:
                passed.append((entry.time.timestamp(), state))
    return [
        OrderHistory(key, accounts.get(key, ""), tuple(passed)) for key, passed in states.items()
    ]
