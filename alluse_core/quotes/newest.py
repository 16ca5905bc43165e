"""The newest quote of each instrument, fresh or not, and those who wait for the next."""

from __future__ import annotations

import asyncio

from alluse_core.model import Instrument, Quote


class NewestQuotes:
    """At most ``capacity`` quotes; the one updated longest ago makes room."""

    def __init__(self, capacity: int = 20_000) -> None:
        self._capacity = capacity
        self._quotes: dict[Instrument, Quote] = {}

    def get(self, instrument: Instrument) -> Quote | None:
        """Return the newest quote held."""
        return self._quotes.get(instrument)

    def hold(self, quote: Quote) -> None:
        """Hold ``quote`` in place of an older one."""
        self._quotes.pop(quote.instrument, None)
        self._quotes[quote.instrument] = quote
        if len(self._quotes) > self._capacity:
            del self._quotes[next(iter(self._quotes))]


class Conflated:
    """One reader's view of one stream: the newest quote, those it was too slow for skipped."""

    def __init__(self) -> None:
        self._newest: Quote | None = None
        self._failure: Exception | None = None
        self._changed = asyncio.Event()

    def offer(self, quote: Quote) -> None:
        """Put ``quote`` in place of one that was not taken yet."""
        self._newest = quote
        self._changed.set()

    def fail(self, error: Exception) -> None:
        """Make the next :meth:`take` raise ``error`` once what is offered was taken."""
        self._failure = error
        self._changed.set()

    async def take(self) -> Quote:
        """Wait for a quote that was not taken before."""
        while self._newest is None:
            if self._failure is not None:
                raise self._failure
            self._changed.clear()
            await self._changed.wait()
        quote, self._newest = self._newest, None
        return quote
