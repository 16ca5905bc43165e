"""The circuit breaker in front of new orders: a broker that keeps refusing gets no more of them.

It opens after so many refusals and unanswered orders within a window, and stays open for a pause.
Then one order may pass as a probe: its answer closes the breaker or opens it for another pause.
Cancels, orders proven to reduce risk, and changes to a smaller quantity never meet it: safe means
able to get out. A restart closes none: one that was open is open for a whole pause again, since
monotonic time begins anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from enum import StrEnum

import attrs

from alluse_core.model import OrderState
from alluse_core.orders.reader import Entry
from alluse_core.orders.records import Kind


class BreakerState(StrEnum):
    """CLOSED: new orders pass. OPEN: none does. HALF_OPEN: one probe may, or is under way."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


_FAILED = frozenset({OrderState.REJECTED, OrderState.UNKNOWN})
_UNSENT = frozenset({OrderState.DENIED, OrderState.CANCELED})


@attrs.define
class Breaker:
    """One broker's. Times are monotonic seconds; ``most`` 0: it never opens by itself.

    ``changed`` is called with the new state and why.
    """

    most: int
    window: float
    pause: float
    changed: Callable[[BreakerState, str], None] = lambda _, __: None
    reason: str = ""
    probe: str = ""
    _failures: OrderedDict[str, float] = attrs.field(factory=OrderedDict)
    _until: float | None = None

    def state(self, now: float) -> BreakerState:
        """Return the state at ``now``."""
        if self._until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._until else BreakerState.HALF_OPEN

    def refuses(self, now: float) -> str:
        """Return why a new order may not pass now; empty where it may."""
        if self._until is None:
            return ""
        if now < self._until:
            return f"{self.reason}; one order may try in {self._until - now:.0f} s"
        return f"{self.reason}; order {self.probe!r} is trying" if self.probe else ""

    def sent(self, key: str, now: float) -> None:
        """Note that a new order was let through; the first one after the pause is the probe."""
        if self.state(now) is BreakerState.HALF_OPEN and not self.probe:
            self.probe = key

    def heard(self, key: str, before: OrderState, state: OrderState, now: float) -> None:
        """Note what became of an order that waited for its first answer."""
        if before is not OrderState.SUBMITTED:
            return
        if state in _FAILED:
            self.failed(key, now, f"it is {state.value}")
        elif key != self.probe:
            return
        elif state in _UNSENT:
            # It was withdrawn or never left: nothing was learnt, another one may try.
            self.probe = ""
        else:
            self._close(f"order {key!r} was taken")

    def failed(self, key: str, now: float, why: str) -> None:
        """Note a refusal, or that no answer came; an order counts once in a window."""
        if key == self.probe:
            self.probe = ""
            self._open(now, f"the probe {key!r} failed: {why}")
            return
        while self._failures and next(iter(self._failures.values())) <= now - self.window:
            self._failures.popitem(last=False)
        self._failures.setdefault(key, now)
        if self._until is None and 0 < self.most <= len(self._failures):
            count = len(self._failures)
            self._open(now, f"{count} orders were refused or not answered in {self.window:g} s")

    def reopen(self, now: float, reason: str) -> None:
        """Take over from the process before that it is open; ``changed`` is not called."""
        if self.most:
            self._until = now + self.pause
            self.reason = reason

    def close(self, by: str) -> bool:
        """Close it by a person's word; return whether it was not closed."""
        was_open = self._until is not None
        if was_open:
            self._close(f"closed by {by}")
        return was_open

    def _open(self, now: float, reason: str) -> None:
        self._until = now + self.pause
        self.reason = reason
        self._failures.clear()
        self.changed(BreakerState.OPEN, reason)

    def _close(self, why: str) -> None:
        self._until = None
        self.probe = self.reason = ""
        self._failures.clear()
        self.changed(BreakerState.CLOSED, why)


def left_open(entries: Iterable[Entry]) -> dict[str, str]:
    """Return why the breakers that the journal's newest records leave open are, by broker."""
    found: dict[str, str] = {}
    for entry in entries:
        if entry.kind == Kind.CONTROL and entry.body.get("action") == "breaker":
            broker, reason = entry.body["broker"], entry.body["reason"]
            found.pop(broker, None)
            if entry.body["breaker"] != BreakerState.CLOSED:
                found[broker] = reason
    return found
