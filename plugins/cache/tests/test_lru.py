"""Both implementations against the standard tests and a reference simulator."""

from __future__ import annotations

import sys
from functools import partial
from typing import Literal

import pytest
from alluse_cache.lru import LruCache, open_lru
from alluse_cache.settings import LruSettings
from hypothesis import given, settings
from hypothesis import strategies as st

from alluse_core.clock import Clock
from alluse_core.errors import SettingsError
from alluse_core.model import Instrument, Quote
from alluse_core.ports import CacheStats, QuoteCache
from alluse_core.testing import QuoteCacheConformance, VirtualClock

Implementation = Literal["cachebox", "python"]
IMPLEMENTATIONS: tuple[Implementation, ...] = ("cachebox", "python")
INSTRUMENTS = [Instrument.stock(f"S{index}") for index in range(12)]


def make(implementation: Implementation, capacity: int, clock: Clock) -> LruCache:
    if implementation == "cachebox":
        pytest.importorskip("cachebox", reason="the extra 'fast' is not installed")
    return open_lru(LruSettings(capacity, implementation), clock)


class TestBoxedLru(QuoteCacheConformance):
    def make_cache(self, capacity: int, clock: Clock) -> QuoteCache:
        return make("cachebox", capacity, clock)


class TestPythonLru(QuoteCacheConformance):
    def make_cache(self, capacity: int, clock: Clock) -> QuoteCache:
        return make("python", capacity, clock)


class HandClock(VirtualClock):
    """A clock that a trace moves without an event loop."""

    def tick(self, seconds: float) -> None:
        self._monotonic += seconds


class Reference:
    """The rules of the cache, in the plainest way: a list, oldest use first."""

    def __init__(self, capacity: int) -> None:
        self.entries: list[tuple[Instrument, Quote, float]] = []
        self.stats = CacheStats(capacity=capacity)
        self.watched: set[Instrument] = set()
        self.told: list[Instrument] = []

    def peek(self, instrument: Instrument, now: float) -> Quote | None:
        if instrument in self.watched:
            self.watched.remove(instrument)
            self.told.append(instrument)
        for entry in self.entries:
            if entry[0] is instrument:
                self.entries.remove(entry)
                if now < entry[2]:
                    self.entries.append(entry)
                    self.stats.hits += 1
                    return entry[1]
                self.stats.expired += 1
        self.stats.misses += 1
        return None

    def store(self, quote: Quote, deadline: float) -> None:
        self.stats.stores += 1
        self.discard(quote.instrument)
        if len(self.entries) == self.stats.capacity:
            self.entries.pop(0)
            self.stats.evictions += 1
        self.entries.append((quote.instrument, quote, deadline))

    def watch(self, instrument: Instrument) -> None:
        if instrument not in self.watched:
            self.watched.add(instrument)
            self._use(instrument)

    def unwatch(self, instrument: Instrument) -> None:
        if instrument in self.watched:
            self.watched.remove(instrument)
            self._use(instrument)

    def _use(self, instrument: Instrument) -> None:
        self.entries.sort(key=lambda entry: entry[0] is instrument)

    def discard(self, instrument: Instrument) -> None:
        self.entries = [entry for entry in self.entries if entry[0] is not instrument]


INDEX = st.integers(0, len(INSTRUMENTS) - 1)
STEP = st.one_of(
    st.tuples(st.just("peek"), INDEX),
    st.tuples(st.just("store"), INDEX, st.integers(-1, 12)),
    st.tuples(st.just("tick"), st.integers(1, 6)),
    st.tuples(st.just("discard"), INDEX),
    st.tuples(st.just("watch"), INDEX),
    st.tuples(st.just("unwatch"), INDEX),
    st.tuples(st.just("clear")),
)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@given(capacity=st.integers(1, 8), steps=st.lists(STEP, max_size=120))
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
def test_every_trace_ends_as_in_the_reference_simulator(
    implementation: Implementation, capacity: int, steps: list[tuple[str | int, ...]]
) -> None:
    clock = HandClock()
    cache, reference = make(implementation, capacity, clock), Reference(capacity)
    told: list[Instrument] = []
    for verb, *arguments in steps:
        numbers = [int(argument) for argument in arguments]
        if verb == "tick":
            clock.tick(numbers[0])
        elif verb == "clear":
            cache.clear()
            reference.entries.clear()
        elif verb == "discard":
            cache.discard(INSTRUMENTS[numbers[0]])
            reference.discard(INSTRUMENTS[numbers[0]])
        elif verb == "watch":
            instrument = INSTRUMENTS[numbers[0]]
            cache.watch(instrument, partial(told.append, instrument))
            reference.watch(instrument)
        elif verb == "unwatch":
            cache.unwatch(INSTRUMENTS[numbers[0]])
            reference.unwatch(INSTRUMENTS[numbers[0]])
        elif verb == "store":
            quote = Quote(INSTRUMENTS[numbers[0]])
            deadline = clock.monotonic() + numbers[1]
            cache.store(quote, deadline)
            reference.store(quote, deadline)
        else:
            instrument = INSTRUMENTS[numbers[0]]
            assert cache.peek(instrument) is reference.peek(instrument, clock.monotonic())
        assert len(cache) == len(reference.entries)
        assert told == reference.told
    reference.stats.size = len(reference.entries)
    assert cache.stats() == reference.stats


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_subscription_that_ends_leaves_nothing_behind(implementation: Implementation) -> None:
    import asyncio

    async def body() -> None:
        clock = VirtualClock()
        cache = make(implementation, 4, clock)
        stream = cache.subscribe(INSTRUMENTS[:2])
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert cache._subscribers == {}

    asyncio.run(body())


def test_a_garbage_collection_during_an_insert_does_not_freeze_the_process() -> None:
    clock = VirtualClock()
    cache = make("cachebox", 3_000, clock)
    for index in range(6_000):
        cache.store(Quote(Instrument.stock(f"G{index}")), 1e9)
    assert len(cache) == 3_000


def test_the_default_holds_fifteen_thousand() -> None:
    assert open_lru(LruSettings(), VirtualClock()).stats().capacity == 15_000


def test_a_capacity_below_one_is_refused_with_a_way_out() -> None:
    with pytest.raises(SettingsError) as caught:
        open_lru(LruSettings(capacity=0), VirtualClock())
    assert "capacity" in caught.value.hint


def test_without_cachebox_auto_takes_python_and_cachebox_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "cachebox", None)
    monkeypatch.delitem(sys.modules, "alluse_cache.boxed", raising=False)
    assert type(open_lru(LruSettings(), VirtualClock())).__name__ == "PythonLru"
    with pytest.raises(SettingsError) as caught:
        open_lru(LruSettings(implementation="cachebox"), VirtualClock())
    assert "alluse-cache[fast]" in caught.value.hint
