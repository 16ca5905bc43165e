"""Quotes of the exchange's tops, for those who subscribed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import attrs

from alluse_core.clock import Clock
from alluse_core.model.instrument import Instrument
from alluse_core.model.quote import NAN, DataType, Quote
from alluse_core.ports import QuoteSink
from alluse_paper.exchange import Exchange
from alluse_paper.market import is_price


@attrs.define(eq=False)
class PaperSubscription:
    """One stream. It is alive as long as the market is played."""

    instrument: Instrument
    sink: QuoteSink
    _alive: Callable[[], float]
    _leave: Callable[[PaperSubscription], None]

    @property
    def alive_at(self) -> float:
        """Monotonic seconds at which the market was last known to be played."""
        return self._alive()

    @property
    def refused(self) -> str:
        """Empty: what is listed is streamed."""
        return ""

    def close(self) -> None:
        """End the stream. Safe to call twice."""
        self._leave(self)


class Feed:
    """Hands each subscriber the newest quote, once in a turn of the loop at most.

    Changes that come faster are merged: a quote is the present state, not an event.
    ``alive_at`` tells when the market was last known to move time on.
    """

    def __init__(
        self, name: str, clock: Clock, exchange: Exchange, alive_at: Callable[[], float]
    ) -> None:
        self._name = name
        self._clock = clock
        self._exchange = exchange
        self._alive_at = alive_at
        self._changed_at: dict[Instrument, float] = {}
        self._streams: dict[Instrument, tuple[PaperSubscription, ...]] = {}
        self._dirty: set[Instrument] = set()
        self._turn: asyncio.Handle | None = None
        self._stop_listening = exchange.market_listen(self._changed)

    def quote(self, instrument: Instrument) -> Quote | None:
        """Return the present quote; None where the market has shown nothing of it yet."""
        top = self._exchange.top(instrument)
        if top is None or top.sequence == 0:
            return None
        listed = self._exchange.listing(instrument).instrument
        return Quote(
            instrument,
            bid=top.bid if is_price(top.bid) else NAN,
            ask=top.ask if is_price(top.ask) else NAN,
            bid_size=top.bid_size if is_price(top.bid) else NAN,
            ask_size=top.ask_size if is_price(top.ask) else NAN,
            last=top.last,
            last_size=top.last_size,
            volume=top.volume,
            changed_at=self._changed_at.get(listed, NAN),
            confirmed_at=self._alive_at(),
            time=datetime.fromtimestamp(top.time, UTC) if top.time == top.time else None,
            data_type=DataType.LIVE,
            halted=top.halted,
            sequence=top.sequence,
            source=self._name,
        )

    def subscribe(self, instrument: Instrument, sink: QuoteSink) -> PaperSubscription:
        """Stream ``instrument``, beginning with its present quote. Raises InstrumentNotFound."""
        listed = self._exchange.listing(instrument).instrument
        stream = PaperSubscription(instrument, sink, self._alive_at, self._leave)
        self._streams[listed] = (*self._streams.get(listed, ()), stream)
        self._mark(listed)
        return stream

    def close(self) -> None:
        """End every stream."""
        self._stop_listening()
        self._streams.clear()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def _changed(self, instrument: Instrument) -> None:
        self._changed_at[instrument] = self._clock.monotonic()
        if instrument in self._streams:
            self._mark(instrument)

    def _mark(self, instrument: Instrument) -> None:
        self._dirty.add(instrument)
        if self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._turn = None
        dirty, self._dirty = self._dirty, set()
        for instrument in dirty:
            for stream in self._streams.get(instrument, ()):
                quote = self.quote(stream.instrument)
                if quote is not None:
                    stream.sink(quote)

    def _leave(self, stream: PaperSubscription) -> None:
        for listed, streams in tuple(self._streams.items()):
            if stream in streams:
                left = tuple(each for each in streams if each is not stream)
                if left:
                    self._streams[listed] = left
                else:
                    del self._streams[listed]
