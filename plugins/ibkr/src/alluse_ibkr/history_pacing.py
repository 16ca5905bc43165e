"""When a historical request may be sent, and what its refusal means. Pure.

The rules are IBKR's "Historical Data Limitations": at most 50 open requests; for bars of 30 s and
less no identical request within 15 s, fewer than 6 for one contract, exchange and tick type within
2 s, and 60 within ten minutes, where BID_ASK counts double.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from datetime import timedelta

import attrs

OPEN_AT_ONCE = 50
SMALL_BAR = timedelta(seconds=30)
IDENTICAL_SECONDS = 15.0
BURST_SECONDS = 2.0
BURST = 5
"""Fewer than six."""
WINDOW_SECONDS = 600.0
WINDOW = 60
_MARGIN = 0.05
"""What leaves on time may arrive bunched: each window is a little longer here than there."""

FIRST_BACK_OFF = 15.0
MOST_TRIES = 4


@attrs.frozen
class HistoryRequest:
    """What is told apart: one contract's bars of one kind, up to a moment."""

    contract: Hashable
    exchange: str
    shows: str
    until: str
    span: str
    size: timedelta

    @property
    def small(self) -> bool:
        """Whether the rules for small bars hold."""
        return self.size <= SMALL_BAR

    @property
    def cost(self) -> int:
        """What it counts in the window of ten minutes."""
        return 2 if self.shows == "BID_ASK" else 1

    @property
    def series(self) -> Hashable:
        """What the rule of two seconds is about."""
        return (self.contract, self.exchange, self.shows)


class HistorySchedule:
    """The requests of the last ten minutes, and when the next one may follow.

    Times are monotonic seconds. ``delay`` asks, ``note`` tells that it was sent.
    """

    def __init__(self) -> None:
        self._sent: deque[tuple[float, HistoryRequest]] = deque()

    def delay(self, request: HistoryRequest, now: float) -> float:
        """Return the seconds until ``request`` keeps every rule; 0: now."""
        if not request.small:
            return 0.0
        while self._sent and now - self._sent[0][0] > WINDOW_SECONDS + _MARGIN:
            self._sent.popleft()
        free = max(
            self._after_identical(request), self._after_burst(request), self._after_window(request)
        )
        return max(0.0, free - now)

    def note(self, request: HistoryRequest, now: float) -> None:
        """Count a request that was sent."""
        if request.small:
            self._sent.append((now, request))

    def _after_identical(self, request: HistoryRequest) -> float:
        times = [at for at, sent in self._sent if sent == request]
        return times[-1] + IDENTICAL_SECONDS + _MARGIN if times else 0.0

    def _after_burst(self, request: HistoryRequest) -> float:
        times = [at for at, sent in self._sent if sent.series == request.series]
        return times[-BURST] + BURST_SECONDS + _MARGIN if len(times) >= BURST else 0.0

    def _after_window(self, request: HistoryRequest) -> float:
        excess = sum(sent.cost for _, sent in self._sent) + request.cost - WINDOW
        free = 0.0
        for at, sent in self._sent:
            if excess <= 0:
                break
            excess -= sent.cost
            free = at + WINDOW_SECONDS + _MARGIN
        return free


def back_off(tries: int) -> float:
    """Return the seconds to wait after the ``tries``-th pacing violation, doubling each time."""
    return float(FIRST_BACK_OFF * 2 ** (tries - 1))


class Concurrency:
    """How many requests may be open: one more after each round of answers, half after trouble.

    The additive increase and multiplicative decrease of TCP, within 1 and ``most``.
    """

    def __init__(self, most: int, start: int = 8) -> None:
        self._most = most
        self._limit = float(min(start, most))

    @property
    def limit(self) -> int:
        """How many may be open now."""
        return int(self._limit)

    def answered(self) -> None:
        """Count an answer."""
        self._limit = min(float(self._most), self._limit + 1.0 / self._limit)

    def troubled(self) -> None:
        """Count a pacing violation, or a question that hung."""
        self._limit = max(1.0, self._limit / 2.0)


_SPANS: tuple[tuple[timedelta, timedelta], ...] = (
    (timedelta(seconds=1), timedelta(minutes=30)),
    (timedelta(seconds=5), timedelta(hours=1)),
    (timedelta(seconds=10), timedelta(hours=4)),
    (timedelta(seconds=30), timedelta(hours=8)),
    (timedelta(minutes=1), timedelta(days=1)),
    (timedelta(minutes=2), timedelta(days=2)),
    (timedelta(minutes=15), timedelta(days=7)),
    (timedelta(minutes=30), timedelta(days=30)),
    (timedelta(hours=8), timedelta(days=30)),
    (timedelta(days=31), timedelta(days=365)),
)
"""The longest duration of one request, by the largest bar it holds for (IBKR, "Step Sizes")."""


def longest_span(size: timedelta) -> timedelta:
    """Return how much history one request for bars of ``size`` may ask for."""
    return next((span for largest, span in _SPANS if size <= largest), _SPANS[-1][1])


def split(duration: timedelta, size: timedelta) -> list[tuple[timedelta, timedelta]]:
    """Return (offset back from the end, duration) of each request, the latest first."""
    longest = longest_span(size)
    parts, offset = [], timedelta()
    while offset < duration:
        part = min(longest, duration - offset)
        parts.append((offset, part))
        offset += part
    return parts or [(timedelta(), duration)]
