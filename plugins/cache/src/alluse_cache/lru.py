"""What both caches share: statistics, several at once, and telling subscribers."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from alluse_cache.settings import LruSettings
from alluse_cache.watch import Watches
from alluse_core.clock import Clock
from alluse_core.errors import SettingsError
from alluse_core.model import Instrument, Quote
from alluse_core.ports import CacheStats


class Peek(Protocol):
    """Looks up one quote."""

    def __call__(self, instrument: Instrument) -> Quote | None:
        """Return the quote if it is held and its deadline has not passed."""


Reads = Callable[[], tuple[int, int, int]]
"""Returns how many peeks hit, missed, and missed since the entry had expired."""


class LruCache(ABC):
    """Holds at most ``capacity`` quotes; when full, the one used longest ago makes room.

    A peek that hits, a store and a watch begun or ended are uses. An entry is fresh while
    ``monotonic() < deadline``; an expired one keeps its place until it is peeked at or evicted.
    Every peek is a hit or a miss, watched or not; ``expired`` counts those misses that found an
    entry past its deadline.

    Belongs to the thread of its event loop.
    """

    peek: Peek
    _reads: Reads
    _watches: Watches

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise SettingsError(
                f"a cache holds at least 1 entry, not {capacity}",
                hint="set [caches.lru] capacity to 1 or more",
            )
        self._capacity = capacity
        self._stores = 0
        self._evictions = 0
        self._subscribers: dict[Instrument, list[dict[Instrument, Quote]]] = {}
        self._stored = asyncio.Event()

    @abstractmethod
    def _insert(self, quote: Quote, deadline: float) -> None:
        """Hold ``quote`` as the most recently used, evicting and counting if need be."""

    @abstractmethod
    def discard(self, instrument: Instrument) -> None:
        """Forget one instrument; nothing happens where it is not held."""

    @abstractmethod
    def clear(self) -> None:
        """Forget everything held; the statistics stay."""

    @abstractmethod
    def __len__(self) -> int:
        """Return how many entries are held, expired ones that were not touched included."""

    def store(self, quote: Quote, deadline: float) -> None:
        """Hold ``quote`` until monotonic ``deadline``, in place of an older one."""
        self._stores += 1
        self._insert(quote, self._watches.kept(quote.instrument, deadline))
        if self._subscribers:
            subscribed = self._subscribers.get(quote.instrument, ())
            for newest in subscribed:
                newest[quote.instrument] = quote
            if subscribed:
                self._stored.set()

    def watch(self, instrument: Instrument, peeked: Callable[[], None]) -> None:
        """Call ``peeked`` once, at the next peek of the instrument, hit or miss."""
        self._watches.add(instrument, peeked)

    def unwatch(self, instrument: Instrument) -> None:
        """Take the watch back; nothing happens where there is none."""
        self._watches.remove(instrument)

    def stats(self) -> CacheStats:
        """Return a copy of the statistics."""
        hits, misses, expired = self._reads()
        return CacheStats(
            hits, misses, expired, self._stores, self._evictions, len(self), self._capacity
        )

    async def get_many(self, instruments: Sequence[Instrument]) -> Mapping[Instrument, Quote]:
        """Return those that are held and fresh."""
        found = ((instrument, self.peek(instrument)) for instrument in instruments)
        return {instrument: quote for instrument, quote in found if quote is not None}

    async def put_many(self, quotes: Iterable[tuple[Quote, float]]) -> None:
        """Hold several (quote, deadline)."""
        for quote, deadline in quotes:
            self.store(quote, deadline)

    async def subscribe(self, instruments: Sequence[Instrument]) -> AsyncIterator[Quote]:
        """Yield quotes as they are stored, the newest of each instrument, older ones skipped."""
        newest: dict[Instrument, Quote] = {}
        for instrument in instruments:
            self._subscribers.setdefault(instrument, []).append(newest)
        try:
            while True:
                while not newest:
                    self._stored.clear()
                    await self._stored.wait()
                yield newest.pop(next(iter(newest)))
        finally:
            for instrument in instruments:
                self._forget(instrument, newest)

    def _forget(self, instrument: Instrument, newest: dict[Instrument, Quote]) -> None:
        left = [other for other in self._subscribers[instrument] if other is not newest]
        if left:
            self._subscribers[instrument] = left
        else:
            del self._subscribers[instrument]


def open_lru(settings: LruSettings, clock: Clock) -> LruCache:
    """Return the cache that ``settings`` ask for.

    Raises SettingsError where they ask for cachebox and it is not installed.
    """
    from alluse_cache.python import PythonLru

    if settings.implementation == "python":
        return PythonLru(settings.capacity, clock)
    try:
        from alluse_cache.boxed import BoxedLru
    except ImportError:
        if settings.implementation == "auto":
            return PythonLru(settings.capacity, clock)
        raise SettingsError(
            "caches.lru.implementation is 'cachebox', which is not installed",
            hint="install alluse-cache[fast], or set implementation to 'auto'",
        ) from None
    return BoxedLru(settings.capacity, clock)
