"""The reads of quotes and option chains, blocking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from alluse_core.model import (
    ChainPlan,
    ChainWindow,
    Instrument,
    InstrumentDefinition,
    OptionChain,
    OptionParameters,
    Quote,
)
from alluse_core.quotes.chain_read import Progress
from alluse_core.quotes.chains import ANSWER_SECONDS, OUTAGE_SECONDS, Chains
from alluse_core.quotes.service import Quotes
from alluse_core.sync.loop import Loop


class SyncChains:
    """The reads of :class:`~alluse_core.quotes.chains.Chains`, blocking."""

    def __init__(self, loop: Loop, chains: Chains) -> None:
        self._loop = loop
        self._chains = chains

    def parameters(self, underlying: Instrument) -> Sequence[OptionParameters]:
        """Return the classes of options on ``underlying``."""
        return self._loop.wait(self._chains.parameters(underlying))

    def plan(
        self,
        underlying: Instrument,
        window: ChainWindow | None = None,
        *,
        price: float | None = None,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> ChainPlan:
        """Return what of the chain would be read and what that costs."""
        plan = self._chains.plan(underlying, window, price=price, answer_seconds=answer_seconds)
        return self._loop.wait(plan)

    def read(
        self,
        plan: ChainPlan,
        progress: Progress | None = None,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        outage_seconds: float = OUTAGE_SECONDS,
    ) -> OptionChain:
        """Return a quote of each option, or why there is none.

        ``progress`` is called in the loop's thread and must not call this runtime.
        """
        told = self._chains.read(
            plan, progress, answer_seconds=answer_seconds, outage_seconds=outage_seconds
        )
        return self._loop.wait(told)


class SyncQuotes:
    """The reads of :class:`~alluse_core.quotes.service.Quotes`, blocking."""

    def __init__(self, loop: Loop, quotes: Quotes) -> None:
        self._loop = loop
        self._quotes = quotes
        self.chains = SyncChains(loop, quotes.chains)

    def get(self, instrument: Instrument, max_age: float | None = None) -> Quote:
        """Return a quote at most ``max_age`` seconds old."""
        return self._loop.wait(self._quotes.get(instrument, max_age))

    def get_many(
        self, instruments: Iterable[Instrument], max_age: float | None = None
    ) -> Mapping[Instrument, Quote]:
        """Return the quotes that could be had; the rest are missing from the mapping."""
        return self._loop.wait(self._quotes.get_many(instruments, max_age))

    def cached(self, instrument: Instrument) -> Quote | None:
        """Return what is held and fresh; never waits for the broker."""
        held: Quote | None = self._loop.call(lambda: self._quotes.cached(instrument))
        return held

    def newest(self, instrument: Instrument) -> Quote | None:
        """Return the newest quote known, fresh or not, with or without sides."""
        return self._loop.call(lambda: self._quotes.newest(instrument))

    def define(self, instrument: Instrument) -> InstrumentDefinition:
        """Return what the broker knows of an instrument, asking once."""
        return self._loop.wait(self._quotes.define(instrument))

    def definition(self, broker: str, instrument: Instrument) -> InstrumentDefinition | None:
        """Return what was learned of an instrument from the broker of that name, if anything."""
        return self._loop.call(lambda: self._quotes.definition(broker, instrument))

    def put(self, quote: Quote) -> None:
        """Hand in a quote of the caller's own feed."""
        self._loop.call(lambda: self._quotes.put(quote))

    def stream(self, instrument: Instrument) -> Iterator[Quote]:
        """Yield quotes as they change, the newest only."""
        stream = self._quotes.stream(instrument)
        try:
            while True:
                try:
                    yield self._loop.wait(_next(stream))
                except StopAsyncIteration:
                    return
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:
                self._loop.wait(close())


async def _next(stream: Any) -> Quote:
    quote: Quote = await anext(stream)
    return quote
