"""Real time without the pauses of a process: for tests of short times over real sockets.

A busy machine stops a process for a second whenever it likes. Where both ends of a connection live
in that process, each then misses time that the other never had: a time-out of 0.3 s ends although
nobody was slow. On a :class:`SteadyLoop` time that the process stood still does not pass.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

from alluse_core.clock import SystemClock

MOST = 0.005
"""Seconds that one turn of the loop may take: what it takes longer does not pass."""


class SteadyTime:
    """Monotonic seconds that pass no faster than they were allowed to."""

    def __init__(self) -> None:
        self._lost = 0.0
        self._cap = math.inf

    def __call__(self) -> float:
        """Return the seconds; never going back."""
        return min(time.monotonic() - self._lost, self._cap)

    def allow(self, seconds: float) -> None:
        """Let at most ``seconds`` pass until the next call; what exceeded the last is forgotten."""
        here = self()
        self._lost = time.monotonic() - here
        self._cap = here + seconds


class _Selector(selectors.DefaultSelector):
    """Tells the time how long the loop meant to wait, and that it runs what is ready."""

    def __init__(self, steady: SteadyTime) -> None:
        super().__init__()
        self._steady = steady

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._steady.allow(math.inf if timeout is None else max(timeout, 0.0) + MOST)
        try:
            return super().select(timeout)
        finally:
            self._steady.allow(MOST)


class SteadyLoop(asyncio.SelectorEventLoop):
    """The machine's event loop, but for its time: a turn that took long took ``MOST``."""

    def __init__(self) -> None:
        self._steady = SteadyTime()
        super().__init__(_Selector(self._steady))

    def time(self) -> float:
        """Return monotonic seconds in which this loop ran or waited as it meant to."""
        return self._steady()

    def run_forever(self) -> None:
        """Run until stopped; while nothing runs, time passes as it does elsewhere."""
        try:
            super().run_forever()
        finally:
            self._steady.allow(math.inf)


class _Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return SteadyLoop()


def _monotonic() -> float:
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()


def _now(_: SystemClock) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=max(time.monotonic() - _monotonic(), 0.0))


@contextmanager
def steady_time() -> Iterator[None]:
    """Have ``asyncio.run`` use a SteadyLoop, and SystemClock the time of the loop it is read in.

    Its wall clock falls behind by what did not pass.
    """
    policy = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(_Policy())
    try:
        with (
            patch.object(SystemClock, "monotonic", staticmethod(_monotonic)),
            patch.object(SystemClock, "now", _now),
        ):
            yield
    finally:
        asyncio.set_event_loop_policy(policy)
