"""A cache of quotes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Protocol

import attrs

from alluse_core.model import (
    Instrument,
    Quote,
)


@attrs.define
class CacheStats:
    """What a cache has done since it was opened; counts, never rates."""

    hits: int = 0
    misses: int = 0
    expired: int = 0
    stores: int = 0
    evictions: int = 0
    size: int = 0
    capacity: int = 0


class QuoteCache(Protocol):
    """Holds the newest quote by instrument until its deadline.

    ``peek`` and ``store`` are synchronous and local; ``get_many``, ``put_many`` and ``subscribe``
    may reach another machine. A peek counts as a use for the eviction order.
    """

    def peek(self, instrument: Instrument) -> Quote | None:
        """Return the quote if it is held and its deadline has not passed."""

    def store(self, quote: Quote, deadline: float) -> None:
        """Hold ``quote`` until monotonic ``deadline``, in place of an older one."""

    def discard(self, instrument: Instrument) -> None:
        """Forget one instrument; nothing happens where it is not held."""

    def clear(self) -> None:
        """Forget everything held; the statistics stay."""

    def __len__(self) -> int:
        """Return how many entries are held, expired ones that were not touched included."""

    def watch(self, instrument: Instrument, peeked: Callable[[], None]) -> None:
        """Call ``peeked`` once, at the next peek of the instrument, hit or miss.

        Held or not, an instrument has one watch at most: a newer one replaces it. It outlives
        ``store``, ``discard`` and ``clear``, changes neither what a peek returns nor how it
        counts, and costs the hits of unwatched instruments nothing. ``peeked`` may call the
        cache, and does not raise.
        """

    def unwatch(self, instrument: Instrument) -> None:
        """Take the watch back; nothing happens where there is none."""

    def stats(self) -> CacheStats:
        """Return a copy of the statistics."""

    async def get_many(self, instruments: Sequence[Instrument]) -> Mapping[Instrument, Quote]:
        """Return those that are held and fresh."""

    async def put_many(self, quotes: Iterable[tuple[Quote, float]]) -> None:
        """Hold several (quote, deadline)."""

    def subscribe(self, instruments: Sequence[Instrument]) -> AsyncIterator[Quote]:
        """Yield quotes as they are stored, the newest of each instrument, older ones skipped."""
