"""The order kept by an OrderedDict: no dependency."""

from __future__ import annotations

from collections import OrderedDict

from alluse_cache.lru import LruCache, Peek, Reads
from alluse_cache.watch import Entry, Watches
from alluse_core.clock import Clock
from alluse_core.model import Instrument, Quote

_Entries = OrderedDict[Instrument, Entry]


class PythonLru(LruCache):
    """An :class:`LruCache` over ``collections.OrderedDict``."""

    def __init__(self, capacity: int, clock: Clock) -> None:
        super().__init__(capacity)
        self._entries: _Entries = OrderedDict()
        self._watches = Watches(self._entries, clock)
        self.peek, self._reads = _peek(self._entries, self._watches, clock)

    def _insert(self, quote: Quote, deadline: float) -> None:
        entries = self._entries
        entries[quote.instrument] = (quote, deadline)
        entries.move_to_end(quote.instrument)
        if len(entries) > self._capacity:
            entries.popitem(last=False)
            self._evictions += 1

    def discard(self, instrument: Instrument) -> None:
        self._entries.pop(instrument, None)

    def clear(self) -> None:
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


def _peek(entries: _Entries, watches: Watches, clock: Clock) -> tuple[Peek, Reads]:
    # Closures, because attributes of self instead of their variables would cost a hit a fifth.
    get, use, monotonic = entries.get, entries.move_to_end, clock.monotonic
    seldom = watches.peek
    hits = 0

    def peek(instrument: Instrument) -> Quote | None:
        nonlocal hits
        entry: Entry | None = get(instrument)
        if entry is not None:
            quote, deadline = entry
            if monotonic() < deadline:
                hits += 1
                use(instrument)
                return quote
        return seldom(instrument, entry)

    def reads() -> tuple[int, int, int]:
        return hits + watches.hits, watches.misses, watches.expired

    return peek, reads
