"""The order kept by cachebox, in Rust: the extra ``fast``.

Its ``LRUCache`` is the one with an exact LRU order; its TTL caches evict by age or nearest
expiry, so the deadlines are kept here.
"""

from __future__ import annotations

from typing import Any

from cachebox import LRUCache

from alluse_cache.lru import LruCache, Peek
from alluse_core.clock import Clock
from alluse_core.model import Instrument, Quote
from alluse_core.ports import CacheStats


class BoxedLru(LruCache):
    """An :class:`LruCache` over ``cachebox.LRUCache``."""

    def __init__(self, capacity: int, clock: Clock) -> None:
        super().__init__(capacity)
        self._entries: Any = LRUCache(capacity)
        self.peek = _peek(self._entries, self._counts, clock)

    def _insert(self, quote: Quote, deadline: float) -> None:
        full = len(self._entries) == self._counts.capacity
        replaced = self._entries.insert(quote.instrument, (quote, deadline))
        if full and replaced is None:
            self._counts.evictions += 1

    def discard(self, instrument: Instrument) -> None:
        self._entries.pop(instrument, None)

    def clear(self) -> None:
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


def _peek(entries: Any, counts: CacheStats, clock: Clock) -> Peek:
    # A closure, because every look-up of an attribute of self would add a tenth to a hit.
    get, monotonic = entries.get, clock.monotonic

    def peek(instrument: Instrument) -> Quote | None:
        entry: tuple[Quote, float] | None = get(instrument)
        if entry is None:
            counts.misses += 1
            return None
        quote, deadline = entry
        if monotonic() < deadline:
            counts.hits += 1
            return quote
        counts.misses += 1
        counts.expired += 1
        del entries[instrument]
        return None

    return peek
