"""The order kept by an OrderedDict: no dependency."""

from __future__ import annotations

from collections import OrderedDict

from alluse_cache.lru import LruCache, Peek
from alluse_core.clock import Clock
from alluse_core.model import Instrument, Quote
from alluse_core.ports import CacheStats

_Entries = OrderedDict[Instrument, tuple[Quote, float]]


class PythonLru(LruCache):
    """An :class:`LruCache` over ``collections.OrderedDict``."""

    def __init__(self, capacity: int, clock: Clock) -> None:
        super().__init__(capacity)
        self._entries: _Entries = OrderedDict()
        self.peek = _peek(self._entries, self._counts, clock)

    def _insert(self, quote: Quote, deadline: float) -> None:
        entries = self._entries
        entries[quote.instrument] = (quote, deadline)
        entries.move_to_end(quote.instrument)
        if len(entries) > self._counts.capacity:
            entries.popitem(last=False)
            self._counts.evictions += 1

    def discard(self, instrument: Instrument) -> None:
        self._entries.pop(instrument, None)

    def clear(self) -> None:
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


def _peek(entries: _Entries, counts: CacheStats, clock: Clock) -> Peek:
    # A closure, because every look-up of an attribute of self would add a tenth to a hit.
    get, use, monotonic = entries.get, entries.move_to_end, clock.monotonic

    def peek(instrument: Instrument) -> Quote | None:
        entry = get(instrument)
        if entry is None:
            counts.misses += 1
            return None
        quote, deadline = entry
        if monotonic() < deadline:
            counts.hits += 1
            use(instrument)
            return quote
        counts.misses += 1
        counts.expired += 1
        del entries[instrument]
        return None

    return peek
