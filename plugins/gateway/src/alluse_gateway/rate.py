"""Counts messages in a sliding second, and says when a client has gone too far."""

from __future__ import annotations

from collections import deque

import attrs

WINDOW = 1.0
FORGIVEN_AFTER = 10.0
"""Seconds without a violation after which earlier ones no longer count."""


@attrs.define
class Excess:
    """A violation: messages in the last second, and how many violations came before."""

    received: int
    count: int


class MessageRate:
    """The messages of one client. ``limit`` 0 lifts the limit; they are counted all the same.

    TWS names one violation at a time: a burst is one, not one per message in excess.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.peak = 0
        self.total = 0
        self.violations = 0
        self._times: deque[float] = deque()
        self._last_violation = float("-inf")
        self._in_a_row = 0

    def message(self, now: float) -> Excess | None:
        """Count a message at monotonic ``now``; return the violation that it begins, if any."""
        times = self._times
        while times and now - times[0] >= WINDOW:
            times.popleft()
        times.append(now)
        self.total += 1
        received = len(times)
        if received > self.peak:
            self.peak = received
        if not self.limit or received <= self.limit or now - self._last_violation < WINDOW:
            return None
        if now - self._last_violation > FORGIVEN_AFTER:
            self._in_a_row = 0
        self._last_violation = now
        self._in_a_row += 1
        self.violations += 1
        return Excess(received, self._in_a_row)
