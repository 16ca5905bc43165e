"""Keeps messages under a broker's rate over any sliding second."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections import deque

from alluse_core.clock import Clock
from alluse_core.ports import Priority

_WINDOW = 1.0
# Two clocks read one second apart may differ by their resolution: a message is due after the
# second, never on it.
_MARGIN = 1e-3


class SlidingWindowPacer:
    """Lets at most ``rate`` messages pass in any sliding second; see ports.Pacer.

    Waiting turns are served by priority, and first come first served within one. A turn of n
    messages is served whole. ``rate`` 0 never waits.
    """

    def __init__(self, clock: Clock, rate: float = 0.0) -> None:
        self._clock = clock
        self._rate = 0
        self._sent: deque[float] = deque()
        self._waiting: list[tuple[int, int, int, asyncio.Future[None]]] = []
        self._serial = 0
        self._server: asyncio.Task[None] | None = None
        self.limit(rate)

    def limit(self, rate: float) -> None:
        """Set messages per second; 0 lifts the limit. Raises ValueError below 0 or under 1."""
        if rate < 0 or 0 < rate < 1 or math.isnan(rate):
            raise ValueError(f"a rate is 0 or at least one message a second, not {rate}")
        self._rate = 0 if math.isinf(rate) else int(rate)

    @property
    def waiting(self) -> int:
        """How many turns are waited for."""
        return sum(not item[3].done() for item in self._waiting)

    async def turn(self, priority: Priority, messages: int = 1) -> float:
        """Wait until ``messages`` may be sent back to back; return the seconds waited.

        Raises ValueError for more messages than the rate allows in one second.
        """
        if not self._rate:
            return 0.0
        if not 1 <= messages <= self._rate:
            raise ValueError(f"{messages} messages never fit into {self._rate} a second")
        now = self._clock.monotonic()
        if not self._waiting and self._delay(messages, now) <= 0:
            self._note(messages, now)
            return 0.0
        served: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._serial += 1
        heapq.heappush(self._waiting, (priority, self._serial, messages, served))
        if self._server is None or self._server.done():
            self._server = asyncio.create_task(self._serve(), name="pacer")
        await served
        return self._clock.monotonic() - now

    async def _serve(self) -> None:
        while self._waiting:
            _, _, messages, served = self._waiting[0]
            if served.done():
                heapq.heappop(self._waiting)
                continue
            now = self._clock.monotonic()
            delay = self._delay(messages, now) if self._rate else 0.0
            if delay > 0:
                # After the wait the first in line may be another one: a cancel may have come.
                await self._clock.sleep(delay)
                continue
            heapq.heappop(self._waiting)
            self._note(messages, now)
            served.set_result(None)
            # Whoever was served sends before the next turn is given.
            await asyncio.sleep(0)

    def _delay(self, messages: int, now: float) -> float:
        """Return seconds until ``messages`` fit."""
        while self._sent and now - self._sent[0] > _WINDOW:
            self._sent.popleft()
        excess = len(self._sent) + messages - self._rate
        if excess <= 0:
            return 0.0
        return self._sent[excess - 1] + _WINDOW + _MARGIN - now

    def _note(self, messages: int, now: float) -> None:
        if self._rate:
            self._sent.extend([now] * messages)
