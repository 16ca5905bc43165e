"""What a market is like, in a few numbers: the estimators that the synthetic market is fitted by.

The same functions read a recording and the synthetic market, so a difference between the two is
never one of method.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import attrs

from alluse_paper.market import MarketEvent, QuoteEvent, TradeEvent, is_price

BUCKET_SECONDS = 1800.0
"""Intraday shape is told by the half hour."""

RETURN_SECONDS = 300.0
"""Volatility is measured over five minutes, where the jitter of one tick matters little."""


@attrs.define
class Observations:
    """The quotes and trades of one instrument in one session that began at ``start``."""

    start: float
    seconds: float
    quotes: list[QuoteEvent] = attrs.field(factory=list)
    trades: list[TradeEvent] = attrs.field(factory=list)

    def take(self, event: MarketEvent) -> None:
        """Keep an event if it lies in the session; quotes only with two sides, not crossed."""
        if not self.start <= event.time < self.start + self.seconds:
            return
        if isinstance(event, TradeEvent) and is_price(event.price):
            self.trades.append(event)
        elif isinstance(event, QuoteEvent) and _two_sided(event):
            self.quotes.append(event)


@attrs.frozen
class Moments:
    """The figures of one instrument.

    ``quote_rate`` and ``trade_rate``: events a second, from the share p of seconds that have one
    as -ln(1 - p), the rate of the Poisson process with that share. ``spread_ticks``: mean.
    ``spread_kept``: share of quotes with the spread of the quote before. ``volatility_bp``:
    standard deviation of five-minute mid returns, in basis points, per square root of a minute.
    ``size_median``, ``size_sigma``: displayed size and the standard deviation of its logarithm;
    ``volume_median``, ``volume_sigma``: the same of the volume of a second with trades.
    """

    quote_rate: float
    trade_rate: float
    spread_ticks: float
    spread_kept: float
    volatility_bp: float
    size_median: float
    size_sigma: float
    volume_median: float
    volume_sigma: float


def moments(sessions: Sequence[Observations], tick: float) -> Moments:
    """Return the moments over several sessions of one instrument."""
    quotes = [quote for session in sessions for quote in session.quotes]
    trades = [trade for session in sessions for trade in session.trades]
    seconds = sum(session.seconds for session in sessions)
    spreads = [round((quote.ask - quote.bid) / tick, 3) for quote in quotes]
    kept = sum(a == b for a, b in pairwise(spreads))
    sizes = [size for quote in quotes for size in (quote.bid_size, quote.ask_size) if size > 0]
    volumes = [trade.size for trade in trades if trade.size > 0]
    size_median, size_sigma = _log_normal(sizes)
    volume_median, volume_sigma = _log_normal(volumes)
    return Moments(
        quote_rate=_rate(_busy_seconds(quotes), seconds),
        trade_rate=_rate(_busy_seconds(trades), seconds),
        spread_ticks=statistics.fmean(spreads) if spreads else math.nan,
        spread_kept=kept / max(1, len(spreads) - 1),
        volatility_bp=_volatility(sessions),
        size_median=size_median,
        size_sigma=size_sigma,
        volume_median=volume_median,
        volume_sigma=volume_sigma,
    )


def _two_sided(quote: QuoteEvent) -> bool:
    return is_price(quote.bid) and is_price(quote.ask) and quote.bid <= quote.ask


def activity_shape(sessions: Sequence[Observations]) -> tuple[float, ...]:
    """Return the quote rate of each half hour over the rate of the whole session."""
    buckets = round(sessions[0].seconds / BUCKET_SECONDS)
    busy: Counter[int] = Counter()
    for session in sessions:
        seen = {int(quote.time) for quote in session.quotes}
        busy.update(int((second - session.start) // BUCKET_SECONDS) for second in seen)
    total = len(sessions) * BUCKET_SECONDS
    rates = [_rate(busy[bucket], total) for bucket in range(buckets)]
    mean = statistics.fmean(rates)
    return tuple(rate / mean for rate in rates)


def volatility_shape(sessions: Sequence[Observations]) -> tuple[float, ...]:
    """Return the root mean square one-minute return of each half hour over the session's."""
    buckets = round(sessions[0].seconds / BUCKET_SECONDS)
    squares: list[list[float]] = [[] for _ in range(buckets)]
    for session in sessions:
        for index, change in enumerate(_returns(session, 60.0)):
            squares[int(index * 60.0 // BUCKET_SECONDS)].append(change * change)
    roots = [math.sqrt(statistics.fmean(each)) for each in squares]
    whole = math.sqrt(statistics.fmean([root * root for root in roots]))
    return tuple(root / whole for root in roots)


def _returns(session: Observations, step: float) -> list[float]:
    """Return the log returns of the last mid before each multiple of ``step`` seconds."""
    mids: list[float] = []
    mid = math.nan
    edge = session.start + step
    end = session.start + session.seconds
    for quote in session.quotes:
        while quote.time >= edge:
            mids.append(mid)
            edge += step
        mid = (quote.bid + quote.ask) / 2
    while edge <= end:
        mids.append(mid)
        edge += step
    first = session.quotes[0] if session.quotes else None
    before = (first.bid + first.ask) / 2 if first else math.nan
    changes = []
    for mid in mids:
        changes.append(math.log(mid / before) if mid > 0 and before > 0 else 0.0)
        before = mid if mid > 0 else before
    return changes


def _volatility(sessions: Sequence[Observations]) -> float:
    changes = [change for each in sessions for change in _returns(each, RETURN_SECONDS)]
    square = statistics.fmean([change * change for change in changes])
    return math.sqrt(square / (RETURN_SECONDS / 60.0)) * 1e4


def _busy_seconds(events: Iterable[MarketEvent]) -> int:
    return len({int(event.time) for event in events})


def _rate(busy: float, seconds: float) -> float:
    share = min(busy / seconds, 0.999)
    return -math.log(1.0 - share)


def _log_normal(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:
        return math.nan, math.nan
    logarithms = [math.log(value) for value in values]
    return math.exp(statistics.median(logarithms)), statistics.pstdev(logarithms)
