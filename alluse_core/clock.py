"""Time, as something that is handed in.

Ages, deadlines and durations come from ``monotonic``; what a person reads comes from ``now``.
A component takes a :class:`Clock` and never calls the :mod:`time` module, so a test or a
simulation can drive a week in a second. The virtual clock is ``alluse_core.testing.VirtualClock``.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What reads and waits for time."""

    def now(self) -> datetime:
        """Return the wall-clock time, aware, UTC."""

    def monotonic(self) -> float:
        """Return seconds from an arbitrary origin, never going back."""

    async def sleep(self, seconds: float) -> None:
        """Wait at least ``seconds`` of this clock's time."""


class SystemClock:
    """The machine's clocks.

    ``monotonic`` is :func:`time.monotonic` itself, so reading it costs no extra call.
    """

    monotonic = staticmethod(time.monotonic)

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        # Only who waits pays for asyncio: 'alluse --help' imports this module and never waits.
        import asyncio

        await asyncio.sleep(seconds)
