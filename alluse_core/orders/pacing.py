"""Keeps messages under a broker's rate over any sliding second."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections import deque

from alluse_core.clock import Clock
from alluse_core.ports import Priority
from alluse_core.telemetry import Registry

_WINDOW = 1.0
# What leaves evenly may arrive bunched: the broker counts arrivals, so a window is a little longer
# here than there.
_MARGIN = 0.02


# A full second's messages sent at once would break the limit if they arrived bunched with the
# next second's. So after a burst of a sixth of the limit the rest goes evenly, at four fifths of
# it: arrivals may then be late by 50 ms and still keep the limit. Below this rate a second's
# messages are too few to spread.
_SMOOTH_FROM = 20
_BURST_SHARE = 0.16
_STEADY_SHARE = 0.8

_SLOWEST = 5
_WIDER_EVERY = 60.0


class SlidingWindowPacer:
    """Lets at most ``rate`` messages pass in any sliding second; see ports.Pacer.

    Waiting turns are served by priority, and first come first served within one. A turn of n
    messages is served whole. ``rate`` 0 never waits. From 20 a second on, messages are spread: 50
    a second lets 8 pass at once after a pause, and 40 a second from then on.
    """

    def __init__(self, clock: Clock, rate: float = 0.0) -> None:
        self._clock = clock
        self._rate = self._full = 0
        self._wider_at = math.inf
        self._sent: deque[float] = deque()
        self._waiting: list[tuple[int, int, int, asyncio.Future[None]]] = []
        self._serial = 0
        self._server: asyncio.Task[None] | None = None
        self._peak = 0
        self._told = 0
        self.limit(rate)

    def limit(self, rate: float) -> None:
        """Set messages per second; 0 lifts the limit. Raises ValueError below 0 or under 1."""
        if rate < 0 or 0 < rate < 1 or math.isnan(rate):
            raise ValueError(f"a rate is 0 or at least one message a second, not {rate}")
        self._full = 0 if math.isinf(rate) else int(rate)
        self._turn(self._full)

    def back_off(self) -> None:
        """Halve the rate: the broker says that it was exceeded, so its limit is not what it was.

        Each minute without another word of it doubles the rate again, up to what was set. Below
        five a second it does not go.
        """
        if self._rate:
            self._turn(max(self._rate // 2, min(_SLOWEST, self._full)))
            self._wider_at = self._clock.monotonic() + _WIDER_EVERY

    def _turn(self, rate: int) -> None:
        self._rate = rate
        self._burst = max(1.0, self._rate * _BURST_SHARE)
        self._tokens = self._burst
        self._filled_at = self._clock.monotonic()

    def instrument(self, registry: Registry, broker: str) -> None:
        """Publish the most messages in any sliding second since the last tick, and what is left.

        ``broker.messages_sliding_second_max`` and ``broker.pacing_headroom_percent``, labelled by
        broker; absent where there is no limit.
        """
        registry.observe("broker", "messages_sliding_second_max", self._take_peak, broker=broker)
        registry.observe("broker", "pacing_headroom_percent", self._headroom, "%", broker=broker)

    @property
    def burst(self) -> float:
        """How many messages may leave at once after a pause; infinite without a limit."""
        return max(1.0, self._burst) if self._rate else math.inf

    @property
    def waiting(self) -> int:
        """How many turns are waited for."""
        return sum(not item[3].done() for item in self._waiting)

    def seconds_for(self, messages: int) -> float:
        """Return the seconds that so many messages take from a rested allowance; 0: no limit."""
        if not self._rate:
            return 0.0
        if self._rate < _SMOOTH_FROM:
            return max(0, messages - 1) // self._rate * (_WINDOW + _MARGIN)
        return max(0.0, messages - self._burst) / (self._rate * _STEADY_SHARE)

    def passes(self, messages: int) -> bool:
        """Return whether ``messages`` may be sent now, before nobody who waits; they count then."""
        if not self._rate:
            return True
        if self._waiting or not 1 <= messages <= self._full:
            return False
        now = self._clock.monotonic()
        if self._delay(messages, now) > 0:
            return False
        self._note(messages, now)
        return True

    async def turn(self, priority: Priority, messages: int = 1) -> float:
        """Wait until ``messages`` may be sent back to back; return the seconds waited.

        Raises ValueError for more messages than the rate allows in one second.
        """
        if self.passes(messages):
            return 0.0
        if not 1 <= messages <= self._full:
            raise ValueError(f"{messages} messages never fit into {self._full} a second")
        now = self._clock.monotonic()
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
        if now >= self._wider_at:
            self._turn(min(2 * self._rate, self._full))
            self._wider_at = now + _WIDER_EVERY if self._rate < self._full else math.inf
        while self._sent and now - self._sent[0] > _WINDOW + _MARGIN:
            self._sent.popleft()
        # While the rate is low, a turn that needs more has a second for itself.
        excess = min(len(self._sent) + messages - self._rate, len(self._sent))
        spread = self._spread(messages, now)
        if excess <= 0:
            return spread
        # A hair more than the window, so that the message that is waited for has left it then.
        return max(spread, self._sent[excess - 1] + _WINDOW + _MARGIN + 1e-6 - now)

    def _spread(self, messages: int, now: float) -> float:
        """Return seconds until the burst allowance has room; a large turn may overdraw it."""
        if self._rate < _SMOOTH_FROM:
            return 0.0
        steady = self._rate * _STEADY_SHARE
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * steady)
        self._filled_at = now
        missing = min(messages, self._burst) - self._tokens
        # Rounding may leave a hair missing for ever; a millionth of a message is none.
        return missing / steady if missing > 1e-6 else 0.0

    def _note(self, messages: int, now: float) -> None:
        if self._rate:
            self._sent.extend([now] * messages)
            self._tokens -= messages
            self._peak = max(self._peak, len(self._sent))

    def _take_peak(self) -> float | None:
        if not self._rate:
            return None
        self._delay(0, self._clock.monotonic())
        self._told, self._peak = max(self._peak, len(self._sent)), 0
        return float(self._told)

    def _headroom(self) -> float | None:
        return 100.0 * (1.0 - self._told / self._rate) if self._rate else None
