"""When to stop trusting a client id, and how long to wait between two attempts."""

from __future__ import annotations

from collections import deque
from random import Random

WINDOW = 600.0
"""Seconds within which faults count together."""

ALLOWED = 3
"""Faults of one kind within the window after which a client id is retired."""

UNREADABLE_ALLOWED = 20
"""Unreadable messages within the window: one unknown message is no broken stream."""

TAKEN = "its client id was in use"
MUTE = "it stopped answering"
FRAMING = "its framing was lost"
UNREADABLE = "its messages were unreadable"
VERSION = "its version does not fit"


class Strikes:
    """The faults of one connection, by kind, as far back as the window reaches.

    Refused connections and closed sockets are none: those are a gateway that is away.
    """

    def __init__(self) -> None:
        self._faults: dict[str, deque[float]] = {}

    def add(self, kind: str, now: float) -> None:
        """Take a fault at monotonic ``now``."""
        self._faults.setdefault(kind, deque(maxlen=UNREADABLE_ALLOWED)).append(now)

    def verdict(self, now: float) -> str:
        """Return why the connection is not to be trusted any more; empty while it is."""
        for kind, times in self._faults.items():
            allowed = UNREADABLE_ALLOWED if kind is UNREADABLE else ALLOWED
            recent = sum(now - at < WINDOW for at in times)
            if recent >= allowed:
                return f"{kind} {recent} times in {WINDOW / 60:g} minutes"
        return ""

    def forgive(self) -> None:
        """Begin anew."""
        self._faults.clear()


class Backoff:
    """Waits that double from ``least`` to ``most`` seconds, each cut by up to a half at random.

    Without the cut all clients of a gateway that restarts would come back at the same moment.
    """

    def __init__(self, least: float, most: float, random: Random) -> None:
        self._least = least
        self._most = most
        self._random = random
        self._next = least

    def next(self) -> float:
        """Return seconds to wait before the next attempt."""
        delay, self._next = self._next, min(2 * self._next, self._most)
        return delay * self._random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Begin again with the shortest wait."""
        self._next = self._least
