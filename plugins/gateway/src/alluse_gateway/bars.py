"""Bars of what the market has shown so far, kept in a bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import attrs
from alluse_paper.market import TopOfBook, is_price

from alluse_core.model import Instrument

BASE_SECONDS = 5
KEPT = 20_000
"""Base bars of one series: more than a day of continuous trading."""


@attrs.define(eq=False)
class BaseBar:
    """``start`` is epoch seconds, market time. ``money`` is the sum of price times size."""

    start: int
    open: float
    high: float
    low: float
    close: float
    volume: float = 0.0
    money: float = 0.0
    count: int = 0

    @property
    def average(self) -> float:
        """Volume-weighted average price, the close where nothing traded."""
        return self.money / self.volume if self.volume > 0 else self.close


class Series:
    """Base bars of one price of one instrument, oldest first."""

    __slots__ = ("bars", "current")

    def __init__(self) -> None:
        self.bars: deque[BaseBar] = deque(maxlen=KEPT)
        self.current: BaseBar | None = None

    def add(self, when: float, price: float, size: float = 0.0) -> None:
        """Enter a price at ``when``; earlier than the present bar counts to the present bar."""
        start = int(when) - int(when) % BASE_SECONDS
        bar = self.current
        if bar is None or start > bar.start:
            bar = self.current = BaseBar(start, price, price, price, price)
            self.bars.append(bar)
        elif price > bar.high:
            bar.high = price
        elif price < bar.low:
            bar.low = price
        bar.close = price
        if size > 0:
            bar.volume += size
            bar.money += price * size
        bar.count += 1

    def between(self, start: float, end: float) -> Iterator[BaseBar]:
        """Yield bars with start <= begin < end."""
        return (bar for bar in self.bars if start <= bar.start < end)


KINDS = ("TRADES", "BID", "ASK", "MIDPOINT")


class BarHistory:
    """Listens to tops of book and keeps four series for each instrument that has moved."""

    def __init__(self) -> None:
        self._series: dict[Instrument, dict[str, Series]] = {}
        self._traded: dict[Instrument, tuple[float, float]] = {}

    def on_top(self, instrument: Instrument, top: TopOfBook) -> None:
        """Enter what the top shows now."""
        when = top.time
        if when != when:
            return
        series = self._series.get(instrument)
        if series is None:
            series = self._series[instrument] = {kind: Series() for kind in KINDS}
        bid, ask = top.bid, top.ask
        if is_price(bid):
            series["BID"].add(when, bid)
        if is_price(ask):
            series["ASK"].add(when, ask)
            if is_price(bid) and bid <= ask:
                series["MIDPOINT"].add(when, (bid + ask) / 2)
        last, volume = top.last, top.volume
        if is_price(last):
            traded = (last, volume)
            before = self._traded.get(instrument)
            if before != traded:
                self._traded[instrument] = traded
                grown = volume - before[1] if before is not None else top.last_size
                series["TRADES"].add(when, last, grown if grown > 0 else 0.0)

    def series(self, instrument: Instrument, kind: str) -> Series | None:
        """Return the bars of one kind, None before the first price."""
        found = self._series.get(instrument)
        return found.get(kind) if found else None


def merged(bars: Iterable[BaseBar], seconds: int) -> list[BaseBar]:
    """Return base bars joined into bars of ``seconds``, which begin at multiples of it."""
    result: list[BaseBar] = []
    for bar in bars:
        start = bar.start - bar.start % seconds
        if not result or result[-1].start != start:
            result.append(attrs.evolve(bar, start=start))
            continue
        last = result[-1]
        last.high = max(last.high, bar.high)
        last.low = min(last.low, bar.low)
        last.close = bar.close
        last.volume += bar.volume
        last.money += bar.money
        last.count += bar.count
    return result
