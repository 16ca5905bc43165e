"""The order kept by cachebox, in Rust: the extra ``fast``.

Its ``LRUCache`` is the one with an exact LRU order; its TTL caches evict by age or nearest
expiry, so the deadlines are kept here.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, cast

from cachebox import LRUCache

from alluse_cache.lru import LruCache, Peek, Reads
from alluse_cache.watch import Entry, Watches
from alluse_core.clock import Clock
from alluse_core.model import Instrument, Quote


class BoxedLru(LruCache):
    """An :class:`LruCache` over ``cachebox.LRUCache``."""

    def __init__(self, capacity: int, clock: Clock) -> None:
        super().__init__(capacity)
        self._entries: Any = LRUCache(capacity)
        self._watches = Watches(cast("MutableMapping[Instrument, Entry]", self._entries), clock)
        self.peek, self._reads = _peek(self._entries, self._watches, clock)

    def _insert(self, quote: Quote, deadline: float) -> None:
        full = len(self._entries) == self._capacity
        replaced = self._entries.insert(quote.instrument, (quote, deadline))
        if full and replaced is None:
            self._evictions += 1

    def discard(self, instrument: Instrument) -> None:
        self._entries.pop(instrument, None)

    def clear(self) -> None:
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


def _peek(entries: Any, watches: Watches, clock: Clock) -> tuple[Peek, Reads]:
    # Closures, because attributes of self instead of their variables would cost a hit a fifth.
    get, monotonic = entries.get, clock.monotonic
    seldom = watches.peek
    hits = 0

    def peek(instrument: Instrument) -> Quote | None:
        nonlocal hits
        entry: Entry | None = get(instrument)
        if entry is not None:
            quote, deadline = entry
            if monotonic() < deadline:
                hits += 1
                return quote
        return seldom(instrument, entry)

    def reads() -> tuple[int, int, int]:
        return hits + watches.hits, watches.misses, watches.expired

    return peek, reads
