"""What a report reads of the journal: when each order reached which state, and the links'."""

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


@attrs.frozen
class LinkChange:
    """At ``at`` (Unix seconds) the link of ``broker`` became ``state``, for ``reason``."""

    at: float
    broker: str
    state: str
    reason: str


@attrs.frozen
class JournalTold:
    """Orders in the order in which they were first recorded, and link changes in time."""

    orders: tuple[OrderHistory, ...]
    links: tuple[LinkChange, ...]
    records: int


def read_journal(journal: Path) -> JournalTold:
    """Return what a journal tells of orders and links."""
    accounts: dict[str, str] = {}
    states: dict[str, list[tuple[float, OrderState]]] = {}
    links: list[LinkChange] = []
    records = 0
    with JournalReader(journal) as reader:
        for entry in reader.entries():
            records += 1
            at, body = entry.time.timestamp(), entry.body
            if entry.kind == "notice" and body.get("link"):
                broker, state, reason = (
                    str(body.get(name, "")) for name in ("broker", "link", "reason")
                )
                links.append(LinkChange(at, broker, state, reason))
            if not entry.key or not entry.state:
                continue
            if entry.kind == "order":
                accounts[entry.key] = str(body.get("account", ""))
            passed = states.setdefault(entry.key, [])
            state = OrderState(entry.state)
            if not passed or passed[-1][1] is not state:
                passed.append((at, state))
    orders = (
        OrderHistory(key, accounts.get(key, ""), tuple(passed)) for key, passed in states.items()
    )
    return JournalTold(tuple(orders), tuple(links), records)
