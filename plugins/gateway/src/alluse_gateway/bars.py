"""Bars of what the market has shown so far, kept in a bounded memory."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import attrs
from alluse_paper.market import TopOfBook, is_price

from alluse_core.model import Instrument

BASE_SECONDS = 5
"""Length of a real-time bar."""

TIERS = {1: 2_400, 5: 8_000, 60: 40_000}
"""Bars kept of each length, by seconds: forty minutes, a day of trading, and a hundred days.

Shorter ones than IBKR sells for so long would cost memory that nobody asks for."""

KEPT_TICKS = 2_000
"""Quotes, and trades, of one instrument that are kept one by one."""


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

    def extend(self, bar: BaseBar) -> None:
        """Take a later bar into this one."""
        self.high = max(self.high, bar.high)
        self.low = min(self.low, bar.low)
        self.close = bar.close
        self.volume += bar.volume
        self.money += bar.money
        self.count += bar.count

    @property
    def average(self) -> float:
        """Volume-weighted average price, the close where nothing traded."""
        return self.money / self.volume if self.volume > 0 else self.close


class Series:
    """Bars of one price of one instrument, oldest first, in several lengths.

    A price enters the present second only; a second that is over is added to the longer bars.
    """

    __slots__ = ("current", "tiers")

    def __init__(self) -> None:
        self.tiers: dict[int, deque[BaseBar]] = {
            seconds: deque(maxlen=kept) for seconds, kept in TIERS.items()
        }
        self.current: BaseBar | None = None

    @property
    def bars(self) -> list[BaseBar]:
        """The bars of BASE_SECONDS, the unfinished one included."""
        return list(self.between(-math.inf, math.inf, BASE_SECONDS))

    @property
    def first(self) -> float:
        """When the first price came that is still known, epoch seconds; NaN before any."""
        coarsest = self.tiers[max(self.tiers)]
        for tier in self.tiers.values():
            # A shorter tier is more exact where it has not lost its beginning yet.
            if tier and tier[0].start - tier[0].start % max(self.tiers) == coarsest[0].start:
                return float(tier[0].start)
        return float(self.current.start) if self.current is not None else math.nan

    def add(self, when: float, price: float, size: float = 0.0) -> None:
        """Enter a price at ``when``; earlier than the present second counts to that."""
        bar = self.current
        if bar is None or when >= bar.start + 1:
            if bar is not None:
                self._finish(bar)
            bar = self.current = BaseBar(int(when), price, price, price, price)
        elif price > bar.high:
            bar.high = price
        elif price < bar.low:
            bar.low = price
        bar.close = price
        if size > 0:
            bar.volume += size
            bar.money += price * size
        bar.count += 1

    def _finish(self, bar: BaseBar) -> None:
        for seconds, kept in self.tiers.items():
            start = bar.start - bar.start % seconds
            if kept and kept[-1].start == start:
                kept[-1].extend(bar)
            else:
                kept.append(attrs.evolve(bar, start=start))

    def between(self, start: float, end: float, seconds: int = BASE_SECONDS) -> Iterator[BaseBar]:
        """Yield bars of the longest tier that divides ``seconds``, start <= begin < end."""
        tier = max(each for each in self.tiers if seconds % each == 0)
        found: list[BaseBar] = []
        for bar in reversed(self.tiers[tier]):
            if bar.start < start:
                break
            if bar.start < end:
                found.append(bar)
        found.reverse()
        current = self.current
        if current is not None:
            begin = current.start - current.start % tier
            if found and found[-1].start == begin:
                found[-1] = attrs.evolve(found[-1])
                found[-1].extend(current)
            elif start <= begin < end:
                found.append(attrs.evolve(current, start=begin))
        return iter(found)


QuoteTick = tuple[float, float, float, float, float]
"""Epoch seconds, bid, ask, bid size, ask size."""

TradeTick = tuple[float, float, float]
"""Epoch seconds, price, size."""

KINDS = ("TRADES", "BID", "ASK", "MIDPOINT")


class DayTrades:
    """What traded of one instrument on its present day. ``money`` is the sum of price times size.

    ``day_volume`` tells a new day: the exchange's own volume has started again.
    """

    __slots__ = ("count", "day_volume", "money", "volume")

    def __init__(self) -> None:
        self.count = 0
        self.volume = self.money = self.day_volume = 0.0


class BarHistory:
    """Listens to tops of book and keeps four series for each instrument that has moved."""

    def __init__(self) -> None:
        self._series: dict[Instrument, dict[str, Series]] = {}
        self._traded: dict[Instrument, tuple[float, float]] = {}
        self.quotes: dict[Instrument, deque[QuoteTick]] = {}
        self.trades: dict[Instrument, deque[TradeTick]] = {}
        self.today: dict[Instrument, DayTrades] = {}

    def on_top(self, instrument: Instrument, top: TopOfBook) -> None:
        """Enter what the top shows now."""
        when = top.time
        if when != when:
            return
        series = self._series.get(instrument)
        if series is None:
            series = self._series[instrument] = {kind: Series() for kind in KINDS}
            self.quotes[instrument] = deque(maxlen=KEPT_TICKS)
            self.trades[instrument] = deque(maxlen=KEPT_TICKS)
            self.today[instrument] = DayTrades()
        bid, ask = top.bid, top.ask
        if is_price(bid):
            series["BID"].add(when, bid)
        if is_price(ask):
            series["ASK"].add(when, ask)
            if is_price(bid) and bid <= ask:
                series["MIDPOINT"].add(when, (bid + ask) / 2)
                kept = self.quotes[instrument]
                shown = (bid, ask, top.bid_size, top.ask_size)
                if not kept or kept[-1][1:] != shown:
                    kept.append((when, *shown))
        last, volume = top.last, top.volume
        if is_price(last):
            traded = (last, volume)
            before = self._traded.get(instrument)
            if before != traded:
                self._traded[instrument] = traded
                grown = volume - before[1] if before is not None else top.last_size
                size = grown if grown > 0 else 0.0
                series["TRADES"].add(when, last, size)
                self.trades[instrument].append((when, last, size))
                day = self.today[instrument]
                if volume < day.day_volume:
                    day.count, day.volume, day.money = 0, 0.0, 0.0
                day.day_volume = volume
                day.count += 1
                day.volume += size
                day.money += size * last

    def series(self, instrument: Instrument, kind: str) -> Series | None:
        """Return the bars of one kind, None before the first price."""
        found = self._series.get(instrument)
        return found.get(kind) if found else None


def merged(bars: Iterable[BaseBar], seconds: int) -> list[BaseBar]:
    """Return base bars joined into bars of ``seconds``, which begin at multiples of it."""
    return joined(bars, lambda bar: bar.start - bar.start % seconds)


def joined(bars: Iterable[BaseBar], start_of: Callable[[BaseBar], int]) -> list[BaseBar]:
    """Return neighbours that have one start in common as one bar."""
    result: list[BaseBar] = []
    for bar in bars:
        start = start_of(bar)
        if not result or result[-1].start != start:
            result.append(attrs.evolve(bar, start=start))
        else:
            result[-1].extend(bar)
    return result
