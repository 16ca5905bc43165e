"""The standard tests of a QuoteCache."""

from __future__ import annotations

import asyncio

from alluse_core.clock import Clock
from alluse_core.model import Instrument, Quote
from alluse_core.ports import QuoteCache
from alluse_core.testing.clock import VirtualClock
from alluse_core.testing.conformance import Conformance, run


class QuoteCacheConformance(Conformance):
    """Subclass it as ``Test...`` and define :meth:`make_cache`."""

    def make_cache(self, capacity: int, clock: Clock) -> QuoteCache:
        """Return an empty cache of ``capacity`` entries that reads ``clock``."""
        raise NotImplementedError("a conformance test says how to make its cache")

    def test_a_stored_quote_is_peeked_until_its_deadline(self) -> None:
        clock = VirtualClock()
        cache = self.make_cache(10, clock)
        quote = _quote("AAPL")
        cache.store(quote, clock.monotonic() + 5.0)
        assert cache.peek(quote.instrument) is quote
        run(clock.advance(4.9))
        assert cache.peek(quote.instrument) is quote
        run(clock.advance(0.2))
        assert cache.peek(quote.instrument) is None

    def test_each_entry_has_a_deadline_of_its_own(self) -> None:
        clock = VirtualClock()
        cache = self.make_cache(10, clock)
        brief, lasting = _quote("AAPL"), _quote("MSFT")
        cache.store(brief, clock.monotonic() + 1.0)
        cache.store(lasting, clock.monotonic() + 100.0)
        run(clock.advance(50.0))
        assert cache.peek(brief.instrument) is None
        assert cache.peek(lasting.instrument) is lasting

    def test_a_newer_quote_and_deadline_replace_the_older(self) -> None:
        clock = VirtualClock()
        cache = self.make_cache(10, clock)
        first, second = _quote("AAPL"), _quote("AAPL")
        cache.store(first, clock.monotonic() + 1.0)
        cache.store(second, clock.monotonic() + 100.0)
        run(clock.advance(50.0))
        assert cache.peek(second.instrument) is second
        assert len(cache) == 1

    def test_it_never_holds_more_than_its_capacity(self) -> None:
        clock = VirtualClock()
        cache = self.make_cache(3, clock)
        for index in range(10):
            cache.store(_quote(f"S{index}"), clock.monotonic() + 100.0)
            assert len(cache) <= 3
        assert cache.stats().evictions == 10 - len(cache)

    def test_a_peek_counts_as_a_use(self) -> None:
        clock = VirtualClock()
        cache = self.make_cache(2, clock)
        used, unused, new = _quote("A"), _quote("B"), _quote("C")
        cache.store(used, clock.monotonic() + 100.0)
        cache.store(unused, clock.monotonic() + 100.0)
        assert cache.peek(used.instrument) is used
        cache.store(new, clock.monotonic() + 100.0)
        assert cache.peek(used.instrument) is used

    def test_discard_forgets_one_and_clear_forgets_all(self) -> None:
        clock = VirtualClock()
        cache = self.make_cache(10, clock)
        one, other = _quote("AAPL"), _quote("MSFT")
        for quote in (one, other):
            cache.store(quote, clock.monotonic() + 100.0)
        cache.discard(one.instrument)
        cache.discard(Instrument.stock("NEVERSTORED"))
        assert cache.peek(one.instrument) is None
        assert cache.peek(other.instrument) is other
        cache.clear()
        assert cache.peek(other.instrument) is None
        assert len(cache) == 0

    def test_statistics_count_what_happened_and_are_a_copy(self) -> None:
        clock = VirtualClock()
        cache = self.make_cache(10, clock)
        quote = _quote("AAPL")
        cache.store(quote, clock.monotonic() + 1.0)
        cache.peek(quote.instrument)
        cache.peek(Instrument.stock("MSFT"))
        earlier = cache.stats()
        run(clock.advance(2.0))
        cache.peek(quote.instrument)
        stats = cache.stats()
        assert (earlier.hits, earlier.misses, earlier.expired) == (1, 1, 0)
        assert (stats.hits, stats.misses, stats.expired) == (1, 2, 1)
        assert (stats.stores, stats.capacity) == (1, 10)
        cache.clear()
        assert cache.stats().hits == 1
        assert cache.stats().size == 0

    def test_a_watch_is_told_once_of_the_next_peek_hit_or_miss(self) -> None:
        clock = VirtualClock()
        cache = self.make_cache(10, clock)
        held, absent = _quote("AAPL"), _quote("MSFT")
        cache.store(held, clock.monotonic() + 100.0)
        told: list[str] = []
        for quote in (held, absent):
            symbol = quote.instrument.symbol
            cache.watch(quote.instrument, lambda symbol=symbol: told.append(symbol))  # type: ignore[misc]
        assert cache.peek(Instrument.stock("IBM")) is None
        assert told == []
        for _ in range(3):
            assert cache.peek(held.instrument) is held
            assert cache.peek(absent.instrument) is None
        assert told == ["AAPL", "MSFT"]

    def test_a_watched_quote_is_served_and_counted_as_any_other(self) -> None:
        clock = VirtualClock()
        cache = self.make_cache(10, clock)
        older, newer = _quote("AAPL", 1.0), _quote("AAPL", 2.0)
        instrument = older.instrument
        told: list[int] = []
        cache.store(older, clock.monotonic() + 1.0)
        cache.watch(instrument, lambda: told.append(1))
        cache.store(newer, clock.monotonic() + 5.0)
        run(clock.advance(3.0))
        assert cache.peek(instrument) is newer, "a watch outlives a store"
        cache.watch(instrument, lambda: told.append(2))
        run(clock.advance(3.0))
        assert cache.peek(instrument) is None, "a watched quote keeps its deadline"
        stats = cache.stats()
        assert (told, stats.hits, stats.misses, stats.expired) == ([1, 2], 1, 1, 1)

    def test_the_newest_watch_is_told_and_one_taken_back_is_not(self) -> None:
        clock = VirtualClock()
        cache = self.make_cache(10, clock)
        quote = _quote("AAPL")
        told: list[int] = []
        cache.store(quote, clock.monotonic() + 100.0)
        cache.watch(quote.instrument, lambda: told.append(1))
        cache.watch(quote.instrument, lambda: told.append(2))
        assert cache.peek(quote.instrument) is quote
        assert told == [2]
        cache.watch(quote.instrument, lambda: told.append(3))
        cache.unwatch(quote.instrument)
        cache.unwatch(quote.instrument)
        assert cache.peek(quote.instrument) is quote
        assert told == [2]

    def test_several_are_put_and_got_at_once(self) -> None:
        async def body() -> None:
            clock = VirtualClock()
            cache = self.make_cache(10, clock)
            fresh, stale = _quote("AAPL"), _quote("MSFT")
            now = clock.monotonic()
            await cache.put_many([(fresh, now + 10.0), (stale, now - 1.0)])
            wanted = [fresh.instrument, stale.instrument, Instrument.stock("IBM")]
            assert dict(await cache.get_many(wanted)) == {fresh.instrument: fresh}

        run(body())

    def test_a_subscriber_gets_the_newest_and_skips_older_ones(self) -> None:
        async def body() -> None:
            clock = VirtualClock()
            cache = self.make_cache(10, clock)
            quotes = [_quote("AAPL", bid) for bid in (1.0, 2.0, 3.0)]
            stream = cache.subscribe([quotes[0].instrument])
            waiting = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)
            cache.store(_quote("MSFT"), clock.monotonic() + 10.0)
            for quote in quotes:
                cache.store(quote, clock.monotonic() + 10.0)
            assert await asyncio.wait_for(waiting, 5.0) is quotes[-1]
            await stream.aclose()  # type: ignore[attr-defined]

        run(body())


def _quote(symbol: str, bid: float = 1.0) -> Quote:
    return Quote(Instrument.stock(symbol), bid=bid, ask=bid + 0.01)
