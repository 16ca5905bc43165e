"""Reads that wait: one request for many readers of one instrument, a bounded queue."""

from __future__ import annotations

import asyncio
from collections import deque

import attrs

from alluse_core.errors import QuoteUnavailable
from alluse_core.model import Instrument, Quote


@attrs.define(eq=False)
class Miss:
    """One instrument that is being asked for. ``deadline`` is monotonic seconds."""

    instrument: Instrument
    since: float
    deadline: float
    reads: float
    waiters: list[asyncio.Future[Quote]] = attrs.field(factory=list)


class Misses:
    """What is asked for, by instrument, and the queue that workers take from.

    When ``limit`` instruments wait, a further one is refused: the broker cannot keep up, and a
    quote that waited so long is no use.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._open: dict[Instrument, Miss] = {}
        self._queue: deque[Miss] = deque()
        self._filled = asyncio.Event()

    @property
    def queued(self) -> int:
        """How many instruments no worker has taken yet."""
        return len(self._queue)

    def __contains__(self, instrument: Instrument) -> bool:
        return instrument in self._open

    def join(self, instrument: Instrument) -> asyncio.Future[Quote] | None:
        """Return a new waiter where the instrument is being asked for already."""
        miss = self._open.get(instrument)
        return None if miss is None else _waiter(miss)

    def ask(
        self, instrument: Instrument, now: float, deadline: float, reads: float
    ) -> asyncio.Future[Quote]:
        """Queue a new miss and return its first waiter. Raises QuoteUnavailable when full."""
        if len(self._open) >= self._limit:
            raise QuoteUnavailable(
                f"{self._limit} instruments wait for a quote already; {instrument} was not asked",
                hint="read fewer instruments at once, or use a broker with batch requests",
            )
        miss = Miss(instrument, now, deadline, reads)
        self._open[instrument] = miss
        self._queue.append(miss)
        self._filled.set()
        return _waiter(miss)

    async def take(self, limit: int) -> list[Miss]:
        """Wait for misses and return up to ``limit`` of them, oldest first."""
        while not self._queue:
            self._filled.clear()
            await self._filled.wait()
        return [self._queue.popleft() for _ in range(min(limit, len(self._queue)))]

    def resolve(self, quote: Quote) -> Miss | None:
        """Give ``quote`` to those who wait for its instrument; return their miss."""
        miss = self._open.pop(quote.instrument, None)
        if miss is not None:
            for waiter in miss.waiters:
                if not waiter.done():
                    waiter.set_result(quote)
        return miss

    def fail(self, instrument: Instrument, error: Exception) -> None:
        """Raise ``error`` in those who wait for the instrument."""
        miss = self._open.pop(instrument, None)
        if miss is not None:
            for waiter in miss.waiters:
                if not waiter.done():
                    waiter.set_exception(error)

    def is_open(self, miss: Miss) -> bool:
        """Return whether ``miss`` still waits for an answer that somebody wants.

        One that all its readers left is dropped here.
        """
        if self._open.get(miss.instrument) is not miss:
            return False
        if all(waiter.done() for waiter in miss.waiters):
            del self._open[miss.instrument]
            return False
        return True

    def overdue(self, now: float) -> list[Instrument]:
        """Return the instruments whose deadline has passed."""
        return [miss.instrument for miss in self._open.values() if miss.deadline <= now]

    def all(self) -> list[Instrument]:
        """Return the instruments that are being asked for."""
        return list(self._open)


def _waiter(miss: Miss) -> asyncio.Future[Quote]:
    # One future for each reader: a reader that is cancelled takes only its own away.
    waiter: asyncio.Future[Quote] = asyncio.get_running_loop().create_future()
    miss.waiters.append(waiter)
    return waiter
