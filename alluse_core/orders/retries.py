"""What repeats by itself is held to a share of the messages that go out anyway.

A fault that makes everything repeat at once must not become the load that keeps it alive: the
retry budget of Google's "Site Reliability Engineering", chapter 21, and of Finagle.
"""

from __future__ import annotations

from collections import deque

import attrs

WINDOW = 60.0
"""Seconds that the budget looks back."""

SHARE = 0.1
"""Retries allowed in the window, as a share of the first tries in it."""

FLOOR = 10
"""Retries allowed in the window however little else is sent."""

_MOST = 10_000


def may_retry(first_tries: int, retries: int, *, share: float = SHARE, floor: int = FLOOR) -> bool:
    """Return whether one more retry fits, after so many of each in the window."""
    return retries < floor + share * first_tries


@attrs.define
class RetryBudget:
    """Counts the first tries and retries of the last :data:`WINDOW` monotonic seconds."""

    _first: deque[float] = attrs.field(factory=lambda: deque(maxlen=_MOST))
    _again: deque[float] = attrs.field(factory=deque)

    def tried(self, now: float, messages: int = 1) -> None:
        """Note messages that were sent for the first time."""
        self._forget(now)
        self._first.extend([now] * messages)

    def passes(self, now: float) -> bool:
        """Return whether a retry may go out now; if so it counts."""
        self._forget(now)
        if not may_retry(len(self._first), len(self._again)):
            return False
        self._again.append(now)
        return True

    def repeated(self, now: float) -> None:
        """Note a retry that something else bounds."""
        self._forget(now)
        self._again.append(now)

    def _forget(self, now: float) -> None:
        for times in (self._first, self._again):
            while times and times[0] <= now - WINDOW:
                times.popleft()
