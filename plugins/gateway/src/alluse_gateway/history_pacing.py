"""IBKR's pacing of historical data, which is counted for all clients of a gateway together."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

import attrs

OPEN_REQUESTS = 50
IDENTICAL_WITHIN = 15.0
BURST, BURST_WITHIN = 6, 2.0
MOST, MOST_WITHIN = 60, 600.0


@attrs.frozen
class Asked:
    """One request for small bars. ``same``: all it asks for; ``family``: its contract, exchange
    and kind of price."""

    same: Hashable
    family: Hashable
    weight: int = 1


@attrs.define
class HistoryPacing:
    """Counts requests for small bars (30 seconds or less), by IBKR's page on limitations.

    Not allowed: identical requests within 15 seconds; six or more for one contract, exchange and
    kind of price within two seconds; more than sixty within ten minutes, where BID_ASK counts
    twice. Times are monotonic seconds. A request that was refused counts for nothing.
    """

    _taken: deque[tuple[float, Asked]] = attrs.field(factory=deque)

    def take(self, asked: Asked, now: float) -> bool:
        """Count a request; False, and not counted, where it is one too many."""
        while self._taken and now - self._taken[0][0] >= MOST_WITHIN:
            self._taken.popleft()
        if sum(each.weight for _, each in self._taken) + asked.weight > MOST:
            return False
        burst = asked.weight
        for at, each in reversed(self._taken):
            if now - at >= IDENTICAL_WITHIN:
                break
            if each.same == asked.same:
                return False
            if now - at < BURST_WITHIN and each.family == asked.family:
                burst += each.weight
        if burst >= BURST:
            return False
        self._taken.append((now, asked))
        return True
