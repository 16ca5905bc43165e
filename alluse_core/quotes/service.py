"""The quotes service: what an agent reads market data through."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, Protocol

from alluse_core.clock import Clock
from alluse_core.errors import BrokerUnavailable, QuoteUnavailable, UsageError
from alluse_core.model import Instrument, InstrumentDefinition, Quote, QuoteCondition
from alluse_core.ports import Broker, QuoteCache
from alluse_core.quotes.chains import Chains
from alluse_core.quotes.fetch import Fetchers, no_answer
from alluse_core.quotes.judge import confirmed, not_priced, servable
from alluse_core.quotes.lines import Lines
from alluse_core.quotes.measure import COMPONENT, TIMED_ONE_IN, Measures
from alluse_core.quotes.misses import Misses
from alluse_core.quotes.newest import Conflated, NewestQuotes
from alluse_core.quotes.plan import Choose, Demand, choose, polling_lines
from alluse_core.settings import QuotesSettings
from alluse_core.telemetry import Registry


class Get(Protocol):
    """Reads one quote, waiting for it where need be."""

    def __call__(
        self, instrument: Instrument, max_age: float | None = None
    ) -> Coroutine[Any, Any, Quote]:
        """Return a quote that was current within the last ``max_age`` seconds."""


class Quotes:
    """Fresh quotes of one broker.

    ``cached(instrument)`` never waits: it is the cache's own ``peek`` and returns None where
    nothing fresh is held. It never asks for a quote, so it never opens a line, but it keeps one:
    what nobody reads in any way for ``idle_line`` seconds loses its line.

    ``await get(instrument, max_age=None)`` returns a quote that was current within the last
    ``max_age`` seconds (``[quotes] max_age`` where not given). Served from the cache where it is
    fresh; otherwise asked for, once for all who wait. An answer to a request made now always
    counts as fresh enough. Raises QuoteUnavailable, BrokerUnavailable, InstrumentNotFound or
    AmbiguousInstrument.

    A quote without any valid side is never served as a price; :meth:`newest` returns it.
    Call :meth:`refresh` every :attr:`refresh_period` seconds.

    ``needed`` names the instruments that keep a line they have, read or not: those of open orders
    and positions. ``choose`` decides who gets one. ``pace(n)`` is the seconds that n messages take
    at the broker's rate. ``chains`` reads option chains through the lines that are free.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        cache: QuoteCache,
        clock: Clock,
        telemetry: Registry,
        settings: QuotesSettings,
        needed: Callable[[], Collection[Instrument]] = frozenset,
        choose: Choose = choose,
        pace: Callable[[int], float] = lambda _: 0.0,
    ) -> None:
        self.cached: Callable[[Instrument], Quote | None] = cache.peek
        self.get: Get = _get(cache.peek, self._missed, self._timed)
        self._peek = cache.peek
        self._broker = broker
        self._cache = cache
        self._clock = clock
        self._settings = settings
        self._ttl = min(settings.ttl, settings.max_age)
        self._newest = NewestQuotes()
        self._demand = Demand(settings.idle_line, gap=self.refresh_period)
        self._streams: dict[Instrument, list[Conflated]] = {}
        self._measures = Measures(telemetry)
        self._telemetry = telemetry
        self._served_after_miss = 0
        self._hits_too_old = 0
        self._stopped = True
        self._misses = Misses()
        self._lines = Lines(broker, cache, clock, self._tick, self._demand, self._measures, needed)
        self._fetchers = Fetchers(
            broker=broker,
            misses=self._misses,
            lines=self._lines,
            measures=self._measures,
            clock=clock,
            take=self._offer,
            timeout=settings.timeout,
            least_idle=4.0 * self._ttl,
            choose=choose,
        )
        self.chains = Chains(
            broker,
            clock,
            self.get,
            pace=pace,
            wanted=lambda: self._fetchers.waiting_for_a_line > 0,
            lend=self._lines.lend,
        )
        self._observe()

    @property
    def refresh_period(self) -> float:
        """Seconds between calls of :meth:`refresh`: half the time to live, at most one."""
        return min(1.0, self._ttl / 2.0)

    async def start(self) -> None:
        """Start the workers."""
        self._stopped = False
        self._fetchers.start(self._settings.workers)

    async def stop(self) -> None:
        """End the workers, lines and streams; whoever waits gets BrokerUnavailable."""
        self._stopped = True
        await self._fetchers.stop()
        self._lines.release_all()
        for instrument in self._misses.all():
            self._misses.fail(instrument, _stopped())
        for readers in self._streams.values():
            for reader in readers:
                reader.fail(_stopped())

    # --- reading ----------------------------------------------------------------------------

    async def get_many(
        self, instruments: Iterable[Instrument], max_age: float | None = None
    ) -> Mapping[Instrument, Quote]:
        """Return the quotes that could be had; the rest are missing from the mapping.

        Raises BrokerUnavailable where the broker could not be asked.
        """
        found: dict[Instrument, Quote] = {}
        waiting: dict[Instrument, asyncio.Future[Quote]] = {}
        try:
            for instrument in dict.fromkeys(instruments):
                try:
                    have = self._held(instrument, self._peek(instrument), max_age)
                    if have is None:
                        waiting[instrument] = self._ask(instrument)
                    else:
                        found[instrument] = have
                except QuoteUnavailable:
                    continue
            for instrument, waiter in waiting.items():
                try:
                    found[instrument] = self._served(await waiter)
                except BrokerUnavailable:
                    raise
                except QuoteUnavailable:
                    self._measures.unavailable.value += 1
        finally:
            for waiter in waiting.values():
                _leave(waiter)
        return found

    def newest(self, instrument: Instrument) -> Quote | None:
        """Return the newest quote known, fresh or not, with or without sides."""
        quote = self._newest.get(instrument)
        if quote is None:
            return None
        return confirmed(quote, self._lines.alive_at(instrument))

    async def define(self, instrument: Instrument) -> InstrumentDefinition:
        """Return what the broker knows of an instrument, asking once.

        Raises InstrumentNotFound, AmbiguousInstrument, QuoteUnavailable or BrokerUnavailable.
        """
        return await self._fetchers.define(instrument)

    def definition(self, broker: str, instrument: Instrument) -> InstrumentDefinition | None:
        """Return what was learned of an instrument from the broker of that name, if anything."""
        if broker != self._broker.name:
            return None
        return self._fetchers.definitions.get(instrument)

    async def stream(self, instrument: Instrument) -> AsyncIterator[Quote]:
        """Yield the newest quote whenever it changed; a slow reader skips older ones.

        Quotes without a valid side are yielded too: look at ``condition``. Holds a line while it
        is iterated. Raises QuoteUnavailable where the broker has no line for it.
        """
        reader = Conflated()
        self._streams.setdefault(instrument, []).append(reader)
        pinned = None
        try:
            pinned = await self._fetchers.open_line(instrument)
            if pinned is None:
                raise QuoteUnavailable(
                    f"none of the broker's {self._lines.limit} lines is free for {instrument}",
                    hint="close a stream that is not needed, or use get()",
                )
            pinned.pins += 1
            self._observe_age(instrument)
            held = self.newest(instrument)
            if held is not None and held.age(self._clock.monotonic()) <= self._ttl:
                reader.offer(held)
            while True:
                yield await reader.take()
        finally:
            if pinned is not None:
                pinned.pins -= 1
                pinned.use(self._clock.monotonic())
            self._streams[instrument].remove(reader)
            if not self._streams[instrument]:
                del self._streams[instrument]

    # --- writing ----------------------------------------------------------------------------

    def put(self, quote: Quote) -> None:
        """Take a quote from a feed of the agent's own; where it says nothing, it is from now."""
        self._measures.puts.value += 1
        taken = self._offer(quote)
        if taken.age(self._clock.monotonic()) < self._ttl:
            self._misses.resolve(taken)

    def refresh(self, now: float) -> None:
        """Keep what live lines hold fresh, end idle lines, fail what waited too long."""
        for instrument in self._lines.idle(now, self._settings.idle_line):
            self._lines.release(instrument)
            self._measures.lines_released.value += 1
        for instrument, line in self._lines:
            self._lines.watch(instrument, line)
            quote = self.newest(instrument)
            if quote is not None and now - quote.confirmed_at < self._ttl:
                self._hold(quote)
                if servable(quote):
                    self._answer(quote)
        for instrument in self._misses.overdue(now):
            self._misses.fail(instrument, self._overdue(instrument))

    # --- inside -----------------------------------------------------------------------------

    async def _timed(self, instrument: Instrument, max_age: float | None) -> Quote:
        started = self._clock.monotonic()
        quote = self._peek(instrument)
        if quote is not None:
            self._measures.cached_read_ms.record((self._clock.monotonic() - started) * 1000.0)
        if quote is None or max_age is not None:
            quote = await self._missed(instrument, quote, max_age)
        self._measures.latency_ms.record((self._clock.monotonic() - started) * 1000.0)
        return quote

    async def _missed(
        self, instrument: Instrument, peeked: Quote | None, max_age: float | None
    ) -> Quote:
        held = self._held(instrument, peeked, max_age)
        if held is not None:
            return held
        waiter = self._ask(instrument)
        try:
            return self._served(await waiter)
        except Exception:
            self._measures.unavailable.value += 1
            raise
        finally:
            _leave(waiter)

    def _held(
        self, instrument: Instrument, peeked: Quote | None, max_age: float | None
    ) -> Quote | None:
        """Return a quote that is held and fresh enough, cached or not; None: it must be asked.

        Raises QuoteUnavailable where what is fresh has no price.
        """
        wanted = self._settings.max_age if max_age is None else max_age
        if not wanted >= 0.0:
            raise UsageError(f"max_age is in seconds and not negative, not {max_age}")
        now = self._clock.monotonic()
        if peeked is not None:
            if max_age is None or peeked.age(now) <= wanted:
                return peeked
            self._hits_too_old += 1
        quote = self.newest(instrument)
        if quote is None or not quote.age(now) <= wanted:
            return None
        self._lines.use(instrument, now)
        if not servable(quote):
            if instrument in self._misses:
                return None
            self._measures.unavailable.value += 1
            raise _unpriced(instrument, quote)
        if quote.age(now) < self._ttl:
            self._hold(quote)
        self._served_after_miss += 1
        return quote

    def _ask(self, instrument: Instrument) -> asyncio.Future[Quote]:
        if self._stopped:
            raise _stopped()
        now = self._clock.monotonic()
        reads = self._demand.count(instrument, now)
        waiter = self._misses.join(instrument)
        if waiter is not None:
            self._measures.coalesced.value += 1
            return waiter
        self._measures.line_misses.value += 1
        return self._misses.ask(instrument, now, now + self._settings.timeout, reads)

    def _served(self, quote: Quote) -> Quote:
        if not servable(quote):
            raise _unpriced(quote.instrument, quote)
        self._served_after_miss += 1
        return quote

    def _tick(self, quote: Quote) -> None:
        """Take one quote of a line.

        A line's first quote comes field by field: one without both sides does not answer those
        who wait before the next refresh.
        """
        self._measures.ticks_in.value += 1
        taken = self._offer(quote)
        if servable(taken) and taken.condition is not QuoteCondition.ONE_SIDED:
            self._answer(taken)

    def _answer(self, quote: Quote) -> None:
        miss = self._misses.resolve(quote)
        if miss is not None:
            waited = self._clock.monotonic() - miss.since
            self._measures.fetch_ms.record(max(0.0, waited) * 1000.0)
            self._observe_age(quote.instrument)

    def _offer(self, quote: Quote) -> Quote:
        before = self._newest.get(quote.instrument)
        taken = self._take(quote)
        if taken is not before:
            for reader in self._streams.get(quote.instrument, ()):
                reader.offer(taken)
        return taken

    def _take(self, quote: Quote) -> Quote:
        """Hold ``quote`` and return it, or the one held where that is newer."""
        if math.isnan(quote.confirmed_at):
            quote = confirmed(quote, self._clock.monotonic())
        held = self._newest.get(quote.instrument)
        if held is not None and held.confirmed_at > quote.confirmed_at:
            return held
        condition = quote.condition
        if condition is not QuoteCondition.NORMAL:
            self._measures.marked[condition].value += 1
        self._hold(quote)
        return quote

    def _hold(self, quote: Quote) -> None:
        self._newest.hold(quote)
        if not servable(quote):
            self._cache.discard(quote.instrument)
        else:
            self._cache.store(quote, quote.confirmed_at + self._ttl)

    def _overdue(self, instrument: Instrument) -> QuoteUnavailable:
        quote = self._newest.get(instrument)
        if quote is not None and not servable(quote):
            return _unpriced(instrument, quote)
        return no_answer(self._broker, instrument, self._settings.timeout)

    # --- measuring --------------------------------------------------------------------------

    def _observe(self) -> None:
        observe = partial(self._telemetry.observe, COMPONENT)
        observe("reads_served", self._reads_served)
        observe("reads_requested", self._reads_requested)
        observe("queue_depth", lambda: float(self._misses.queued))
        observe("workers_idle", lambda: float(self._fetchers.idle))
        observe("lines_used", lambda: float(len(self._lines)))
        observe("lines_limit", lambda: float(self._lines.limit))
        observe("lines_polling", self._lines_polling)
        observe("lines_waiting", lambda: float(self._fetchers.waiting_for_a_line))

    def _lines_polling(self) -> float:
        """Lines that serve what is seldom read, while all are in use."""
        full = len(self._lines) >= self._lines.limit
        return float(polling_lines(self._lines.limit)) if full else 0.0

    def _reads_served(self) -> float:
        """Every hit of the cache that was fresh enough, and every miss that got a quote."""
        hits = self._cache.stats().hits
        return float(hits - self._hits_too_old + self._served_after_miss)

    def _reads_requested(self) -> float:
        """Every read asks the cache first, so its hits and misses are the demand."""
        stats = self._cache.stats()
        return float(stats.hits + stats.misses)

    def _observe_age(self, instrument: Instrument) -> None:
        self._telemetry.observe(
            COMPONENT, "quote_age", partial(self._age, instrument), "s", symbol=str(instrument)
        )

    def _age(self, instrument: Instrument) -> float | None:
        """Return the age of what a line holds; None without a line, which is not staleness."""
        if self._lines.get(instrument) is None:
            return None
        quote = self.newest(instrument)
        return None if quote is None else max(0.0, quote.age(self._clock.monotonic()))


def _get(
    peek: Callable[[Instrument], Quote | None],
    missed: Callable[[Instrument, Quote | None, float | None], Coroutine[Any, Any, Quote]],
    timed: Callable[[Instrument, float | None], Coroutine[Any, Any, Quote]],
) -> Get:
    # A closure, because attributes of self instead of its variables would cost a hit a tenth.
    until_timed = TIMED_ONE_IN

    async def get(instrument: Instrument, max_age: float | None = None) -> Quote:
        nonlocal until_timed
        until_timed -= 1
        if not until_timed:
            until_timed = TIMED_ONE_IN
            return await timed(instrument, max_age)
        quote = peek(instrument)
        if quote is not None and max_age is None:
            return quote
        return await missed(instrument, quote, max_age)

    return get


def _unpriced(instrument: Instrument, quote: Quote) -> QuoteUnavailable:
    fact, way_out = not_priced(instrument, quote)
    return QuoteUnavailable(fact, hint=way_out)


def _stopped() -> BrokerUnavailable:
    return BrokerUnavailable("the quotes service is stopped", hint="open the runtime first")


def _leave(waiter: asyncio.Future[Quote]) -> None:
    """End one reader's wait. An error it did not see is taken, or asyncio would report it."""
    if not waiter.cancel() and not waiter.cancelled():
        waiter.exception()
