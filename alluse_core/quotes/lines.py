"""The live subscriptions: which instruments hold one, and when it is given back."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from functools import partial

import attrs

from alluse_core.clock import Clock
from alluse_core.model import Instrument, Quote
from alluse_core.ports import Broker, QuoteCache, QuoteSink, Subscription
from alluse_core.quotes.measure import Measures
from alluse_core.quotes.plan import Demand, LineUse

ANSWER_SECONDS = 2.0
"""How long a line that polls is given for its first quote; a closed market sends none."""


@attrs.define(eq=False)
class Line:
    """One subscription. ``used_at`` is when a read of it was last seen, monotonic seconds.

    Reads that the cache answers are told by the cache: the first after each watch.
    """

    subscription: Subscription
    used_at: float
    opened_at: float
    pins: int = 0

    def use(self, now: float) -> None:
        """Note a read."""
        self.used_at = now


class Lines:
    """The lines of one broker. ``limit`` of them at most; callers release before they open.

    ``needed`` names the instruments that keep their lines, read or not.
    """

    def __init__(
        self,
        broker: Broker,
        cache: QuoteCache,
        clock: Clock,
        sink: QuoteSink,
        demand: Demand,
        measures: Measures,
        needed: Callable[[], Collection[Instrument]],
    ) -> None:
        self._demand = demand
        self._measures = measures
        self._needed = needed
        self._broker = broker
        self._cache = cache
        self._clock = clock
        self._sink = sink
        self._ticked: set[Instrument] = set()
        self._lines: dict[Instrument, Line] = {}
        self._lent = 0

    def lend(self, count: int) -> None:
        """Note lines that a chain reader took beside these, or gave back (below zero)."""
        self._lent += count

    @property
    def crowded(self) -> bool:
        """Whether the last free lines are lent: they come back within seconds."""
        used = len(self._lines)
        return self._lent > 0 and used < self.limit <= used + self._lent

    @property
    def limit(self) -> int:
        """How many lines the broker gives."""
        capabilities = self._broker.capabilities
        return capabilities.quote_lines if capabilities.streams else 0

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[tuple[Instrument, Line]]:
        return iter(tuple(self._lines.items()))

    def get(self, instrument: Instrument) -> Line | None:
        """Return the line of one instrument."""
        return self._lines.get(instrument)

    def open(self, instrument: Instrument, now: float) -> Line:
        """Return the instrument's line, subscribing where it has none."""
        line = self._lines.get(instrument)
        if line is None:
            self._ticked.discard(instrument)
            line = Line(self._broker.subscribe(instrument, self._tick), now, now)
            self._lines[instrument] = line
        return line

    def watch(self, instrument: Instrument, line: Line) -> None:
        """See the next read of a line, also where the cache answers it."""
        self._cache.watch(instrument, partial(self._read, instrument, line))

    def release(self, instrument: Instrument) -> None:
        """Give one line back; nothing happens where none is held."""
        line = self._lines.pop(instrument, None)
        if line is not None:
            self._cache.unwatch(instrument)
            line.subscription.close()

    def release_all(self) -> None:
        """Give all lines back."""
        for instrument in tuple(self._lines):
            self.release(instrument)

    def uses(self, now: float) -> Iterator[LineUse]:
        """Yield what a plan needs to know of each line."""
        needed = self._needed()
        for instrument, line in self._lines.items():
            yield LineUse(
                instrument,
                now - line.used_at,
                line.pins > 0 or instrument in needed,
                self._demand.of(instrument, now),
                instrument in self._ticked or now - line.opened_at >= ANSWER_SECONDS,
            )

    def idle(self, now: float, seconds: float) -> list[Instrument]:
        """Return what nobody needs and nobody read for ``seconds``."""
        needed = self._needed()
        return [
            instrument
            for instrument, line in self._lines.items()
            if now - line.used_at > seconds and not line.pins and instrument not in needed
        ]

    def use(self, instrument: Instrument, now: float) -> None:
        """Note a read of an instrument that may have a line."""
        line = self._lines.get(instrument)
        if line is not None:
            self._note(instrument, line, now)

    def _note(self, instrument: Instrument, line: Line, now: float) -> None:
        line.use(now)
        self._demand.count(instrument, now)
        self._measures.line_hits.value += 1

    def alive_at(self, instrument: Instrument) -> float:
        """Return when the instrument's line was last known to be alive.

        NaN until it gave a quote: a line that is open says nothing of a quote from before it.
        """
        line = self._lines.get(instrument)
        if line is None or instrument not in self._ticked:
            return math.nan
        return line.subscription.alive_at

    def _read(self, instrument: Instrument, line: Line) -> None:
        self._note(instrument, line, self._clock.monotonic())

    def _tick(self, quote: Quote) -> None:
        self._ticked.add(quote.instrument)
        self._sink(quote)
