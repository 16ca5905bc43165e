"""What is to happen later, in the time of the clock that was handed in."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable

from alluse_core.clock import Clock

Action = Callable[[], None]


class Agenda:
    """Runs actions at their due time, those of one time in the order they were entered.

    With a running event loop a task sleeps on the clock until the next one is due; without, the
    owner calls :meth:`run_due`. An action never runs inside the call that enters it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._actions: list[tuple[float, int, Action]] = []
        self._entered = 0
        self._wakes_at = math.inf
        self._sleeper: asyncio.Task[None] | None = None
        self._turn: asyncio.Handle | None = None

    def enter(self, due: float, action: Action) -> None:
        """Run ``action`` at monotonic ``due``, or with the loop's next turn where that is past."""
        self._entered += 1
        heapq.heappush(self._actions, (due, self._entered, action))
        self._arrange()

    def run_due(self) -> int:
        """Run what is due now; return how many actions ran.

        What an action enters runs too, if it is due before now.
        """
        ran = 0
        try:
            while self._actions and self._actions[0][0] <= self._clock.monotonic():
                _, _, action = heapq.heappop(self._actions)
                action()
                ran += 1
        finally:
            self._arrange()
        return ran

    def close(self) -> None:
        """Drop what has not run."""
        self._actions.clear()
        self._stop_waiting()

    def _arrange(self) -> None:
        if not self._actions or self._actions[0][0] >= self._wakes_at:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        due = self._actions[0][0]
        self._stop_waiting()
        self._wakes_at = due
        if due <= self._clock.monotonic():
            self._turn = loop.call_soon(self._woken)
        else:
            self._sleeper = loop.create_task(self._sleep_until(due))

    def _stop_waiting(self) -> None:
        if self._sleeper is not None:
            self._sleeper.cancel()
        if self._turn is not None:
            self._turn.cancel()
        self._sleeper, self._turn, self._wakes_at = None, None, math.inf

    async def _sleep_until(self, due: float) -> None:
        while (left := due - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)
        self._sleeper = None
        self._woken()

    def _woken(self) -> None:
        self._turn, self._wakes_at = None, math.inf
        self.run_due()
