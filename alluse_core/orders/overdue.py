"""Answers that are overdue: which they are, and when to ask the broker about them."""

from __future__ import annotations

from collections import defaultdict

from alluse_core.model import OrderState
from alluse_core.orders.desk import Desk

Question = tuple[str, int]
"""(key, number of the command, or 0 for the order itself)"""


class Overdue:
    """Watches orders and commands that were sent and not answered within ``patience`` seconds."""

    def __init__(self, desk: Desk, patience: float) -> None:
        self._desk = desk
        self._patience = patience
        self._asked: defaultdict[str, frozenset[Question]] = defaultdict(frozenset)

    def ask(self, broker: str) -> None:
        """Ask a broker for evidence where an answer is overdue; called each second."""
        if self.may_ask(broker, self.of(broker)):
            self._desk.ask(broker, "an answer is overdue")

    def of(self, broker: str) -> frozenset[Question]:
        """Return what waits too long for an answer; the breaker hears of each order."""
        now = self._desk.clock.monotonic()
        latest = now - self._patience
        found: set[Question] = set()
        for live in self._desk.book.live(broker):
            if live.state is OrderState.SUBMITTED and live.sent_at < latest:
                self._desk.breakers[broker].failed(live.key, now, "no answer came")
                found.add((live.key, 0))
            if live.commands:
                found.update(
                    (live.key, command.number)
                    for command in live.commands
                    if command.state.is_pending and command.sent_at < latest
                )
        return frozenset(found)

    def may_ask(self, broker: str, overdue: frozenset[Question]) -> bool:
        """Return whether to ask for what is overdue; again for the same as the budget allows."""
        first, self._asked[broker] = overdue - self._asked[broker], overdue
        if first or not overdue:
            return bool(first)
        passes = self._desk.retries[broker].passes(self._desk.clock.monotonic())
        self._desk.meters.retries("question", "made" if passes else "held").value += 1
        return passes
