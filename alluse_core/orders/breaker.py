"""The circuit breaker in front of new orders: a broker that keeps refusing gets no more of them.

It opens after so many refusals and unanswered orders within a window, and stays open for a pause.
Then one order may pass as a probe: its answer closes the breaker or opens it for another pause.
So many refusals of one reason turn it off until a person closes it: what repeats is a fault of the
strategy, and no pause mends that (RTS 6, Art. 15).
Cancels, orders proven to reduce risk, and changes to a smaller quantity never meet it: safe means
able to get out. A restart closes none: one that was open is open for a whole pause again, since
monotonic time begins anew.
"""

from __future__ import annotations

import math
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from enum import StrEnum

import attrs

from alluse_core.model import OrderState
from alluse_core.orders.reader import Entry
from alluse_core.orders.records import Kind


class BreakerState(StrEnum):
    """CLOSED: new orders pass. OPEN: none does. HALF_OPEN: one probe may, or is under way.

    OFF: none does until a person closes it.
    """

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"
    OFF = "off"


_FAILED = frozenset({OrderState.REJECTED, OrderState.UNKNOWN})
_UNSENT = frozenset({OrderState.DENIED, OrderState.CANCELED})
_NUMBERS = re.compile(r"\d+(?:[.,]\d+)*")
_LONGEST = 300


@attrs.define
class Breaker:
    """One broker's. Times are monotonic seconds; ``most`` 0: it never opens by itself.

    ``alike`` refusals of one reason turn it off; 0: none do. Numbers do not tell reasons apart.
    ``changed`` is called with the new state and why.
    """

    most: int
    window: float
    pause: float
    changed: Callable[[BreakerState, str], None] = lambda _, __: None
    alike: int = 0
    reason: str = ""
    probe: str = ""
    _failures: OrderedDict[str, tuple[float, str]] = attrs.field(factory=OrderedDict)
    _until: float | None = None

    def state(self, now: float) -> BreakerState:
        """Return the state at ``now``."""
        if self._until is None:
            return BreakerState.CLOSED
        if self._until == math.inf:
            return BreakerState.OFF
        return BreakerState.OPEN if now < self._until else BreakerState.HALF_OPEN

    def refuses(self, now: float) -> str:
        """Return why a new order may not pass now; empty where it may."""
        if self._until is None:
            return ""
        if self._until == math.inf:
            return f"{self.reason}; a person must close it"
        if now < self._until:
            return f"{self.reason}; one order may try in {self._until - now:.0f} s"
        return f"{self.reason}; order {self.probe!r} is trying" if self.probe else ""

    def sent(self, key: str, now: float) -> None:
        """Note that a new order was let through; the first one after the pause is the probe."""
        if self.state(now) is BreakerState.HALF_OPEN and not self.probe:
            self.probe = key

    def heard(
        self, key: str, before: OrderState, state: OrderState, now: float, reason: str = ""
    ) -> None:
        """Note what became of an order that waited for its first answer, and why."""
        if before is not OrderState.SUBMITTED:
            return
        if state in _FAILED:
            refused = _NUMBERS.sub("#", reason) if state is OrderState.REJECTED else ""
            self.failed(key, now, f"it is {state.value}", refused)
        elif key != self.probe:
            return
        elif state in _UNSENT:
            # It was withdrawn or never left: nothing was learnt, another one may try.
            self.probe = ""
        else:
            self._close(f"order {key!r} was taken")

    def failed(self, key: str, now: float, why: str, refused: str = "") -> None:
        """Note that an order was refused for ``refused``, or that no answer came ("").

        An order counts once in a window.
        """
        if self._until == math.inf:
            return
        while self._failures and next(iter(self._failures.values()))[0] <= now - self.window:
            self._failures.popitem(last=False)
        self._failures.setdefault(key, (now, refused))
        same = Counter(each for _, each in self._failures.values())[refused] if refused else 0
        if 0 < self.alike <= same:
            said = f"{same} orders were refused for one reason in {self.window:g} s: {refused}"
            self._open(math.inf, said[:_LONGEST])
        elif key == self.probe:
            self._open(now + self.pause, f"the probe {key!r} failed: {why}")
        elif self._until is None and 0 < self.most <= len(self._failures):
            count = len(self._failures)
            said = f"{count} orders were refused or not answered in {self.window:g} s"
            self._open(now + self.pause, said)

    def reopen(self, state: BreakerState, now: float, reason: str) -> None:
        """Take over from the process before that it is open or off; ``changed`` is not called."""
        off = state is BreakerState.OFF
        if self.alike if off else self.most:
            self._until = math.inf if off else now + self.pause
            self.reason = reason

    def close(self, by: str) -> bool:
        """Close it by a person's word; return whether it was not closed."""
        was_open = self._until is not None
        if was_open:
            self._close(f"closed by {by}")
        return was_open

    def _open(self, until: float, reason: str) -> None:
        # What failed stays counted: refusals of one reason add up over pauses.
        self._until = until
        self.reason = reason
        self.probe = ""
        off = until == math.inf
        self.changed(BreakerState.OFF if off else BreakerState.OPEN, reason)

    def _close(self, why: str) -> None:
        self._until = None
        self.probe = self.reason = ""
        self._failures.clear()
        self.changed(BreakerState.CLOSED, why)


def left_open(entries: Iterable[Entry]) -> dict[str, tuple[BreakerState, str]]:
    """Return what the journal's newest records leave open or off, and why, by broker."""
    found: dict[str, tuple[BreakerState, str]] = {}
    for entry in entries:
        if entry.kind == Kind.CONTROL and entry.body.get("action") == "breaker":
            broker, reason = entry.body["broker"], entry.body["reason"]
            state = BreakerState(entry.body["breaker"])
            found.pop(broker, None)
            if state is not BreakerState.CLOSED:
                found[broker] = state, reason
    return found
