"""A clock that stands still until it is told to move."""

from __future__ import annotations

import asyncio
import heapq
import math
from datetime import UTC, datetime, timedelta

# How often the loop is given a turn after each wake-up, so that what was woken can react and
# sleep again before time moves on. A chain of more awaits than this needs a second advance().
_SETTLING_TURNS = 50
_ORIGIN = 1000.0


class VirtualClock:
    """A :class:`~alluse_core.clock.Clock` for tests and simulations.

    ``await clock.advance(10)`` moves both clocks by ten seconds and wakes every sleeper at its
    own moment, in order. ``jump_wall`` moves the wall clock alone, as NTP or DST mistakes do.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)) -> None:
        self._start = start
        self._monotonic = _ORIGIN
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._serial = 0

    def now(self) -> datetime:
        """Return the virtual wall-clock time."""
        return self._start + timedelta(seconds=self._monotonic - _ORIGIN)

    def monotonic(self) -> float:
        """Return virtual monotonic seconds."""
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been advanced by ``seconds``."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        self._serial += 1
        heapq.heappush(self._sleepers, (self._monotonic + seconds, self._serial, future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move time forward, running whatever wakes up on the way.

        Raises ValueError unless 0 <= seconds < infinity.
        """
        if not 0.0 <= seconds < math.inf:
            raise ValueError(f"time moves forward by a finite number of seconds, not {seconds}")
        await _settle()
        target = self._monotonic + seconds
        while self._sleepers and self._sleepers[0][0] <= target:
            at, _, future = heapq.heappop(self._sleepers)
            self._move_to(at)
            if not future.done():
                future.set_result(None)
                await _settle()
        self._move_to(target)
        await _settle()

    def jump_wall(self, seconds: float) -> None:
        """Move the wall clock alone."""
        self._start += timedelta(seconds=seconds)

    @property
    def sleepers(self) -> int:
        """How many tasks are waiting for this clock."""
        return sum(not future.done() for _, _, future in self._sleepers)

    def _move_to(self, monotonic: float) -> None:
        self._monotonic = max(monotonic, self._monotonic)


async def _settle() -> None:
    for _ in range(_SETTLING_TURNS):
        await asyncio.sleep(0)
