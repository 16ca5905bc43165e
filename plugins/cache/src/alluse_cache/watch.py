"""Telling of the next peek of an instrument, at no cost to the peeks that nobody watches."""

from __future__ import annotations

import math
from collections.abc import Callable, MutableMapping

import attrs

from alluse_core.clock import Clock
from alluse_core.model import Instrument, Quote

Entry = tuple[Quote, float]
"""A quote and its monotonic deadline."""

_HIDDEN = -math.inf


@attrs.define(eq=False)
class _Watch:
    peeked: Callable[[], None]
    deadline: float


class Watches:
    """The watches of one cache, and its peeks that do not find a fresh entry at first sight.

    A watched entry is held with a deadline that has passed, its own kept here: so a peek need
    not look whether it is watched, since one that is comes to :meth:`peek` by itself.
    """

    def __init__(self, entries: MutableMapping[Instrument, Entry], clock: Clock) -> None:
        self.hits = self.misses = self.expired = 0
        self._entries = entries
        self._monotonic = clock.monotonic
        self._watches: dict[Instrument, _Watch] = {}

    def add(self, instrument: Instrument, peeked: Callable[[], None]) -> None:
        """Call ``peeked`` at the next peek, in place of a watch of the same instrument."""
        watch = self._watches.get(instrument)
        if watch is not None:
            watch.peeked = peeked
            return
        entry = self._entries.pop(instrument, None)
        self._watches[instrument] = _Watch(peeked, _HIDDEN if entry is None else entry[1])
        if entry is not None:
            self._entries[instrument] = (entry[0], _HIDDEN)

    def remove(self, instrument: Instrument) -> None:
        """Give the entry its own deadline back; nothing happens where it is not watched."""
        watch = self._watches.pop(instrument, None)
        entry = self._entries.pop(instrument, None) if watch is not None else None
        if watch is not None and entry is not None:
            self._entries[instrument] = (entry[0], watch.deadline)

    def kept(self, instrument: Instrument, deadline: float) -> float:
        """Return the deadline to store an entry with, keeping its own where it is watched."""
        watch = self._watches.get(instrument)
        if watch is None:
            return deadline
        watch.deadline = deadline
        return _HIDDEN

    def peek(self, instrument: Instrument, entry: Entry | None) -> Quote | None:
        """Return what a peek that found ``entry`` does, and tell of it where it is watched."""
        watch = self._watches.pop(instrument, None)
        found = None
        if entry is not None:
            # Taken and put back: that makes it the most recently used, as any hit does.
            del self._entries[instrument]
            quote, deadline = entry if watch is None else (entry[0], watch.deadline)
            if self._monotonic() < deadline:
                self._entries[instrument] = (quote, deadline)
                found = quote
            else:
                self.expired += 1
        if found is None:
            self.misses += 1
        else:
            self.hits += 1
        if watch is not None:
            watch.peeked()
        return found
