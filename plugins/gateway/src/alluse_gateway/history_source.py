"""Bars of any length over any span: the market's past and what was played since, as one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import attrs
from alluse_paper.exchange import Exchange
from alluse_paper.hours import Hours
from alluse_paper.market import Listing, Past, PastBar

from alluse_core.model import SecurityType
from alluse_gateway.bars import BarHistory, BaseBar, joined
from alluse_gateway.history_terms import DAY, MONTH, TRADED, WEEK

VOLATILITY_DAYS = 30
TRADING_DAYS_A_YEAR = 252


@attrs.frozen
class SessionDay:
    """One trading day: its date and its (open, close), epoch seconds."""

    day: date
    opens: float
    closes: float


class HistorySource:
    """Joins a market's past, where it has one, with the bars of what was played."""

    def __init__(self, exchange: Exchange, played: BarHistory, past: Past | None) -> None:
        self._exchange = exchange
        self._played = played
        self._past = past

    @property
    def present(self) -> float:
        """Market time now, epoch seconds; where the past ends before the first event; else NaN."""
        now = self._exchange.market_time
        if math.isfinite(now):
            return now
        return self._past.ends if self._past is not None else math.nan

    def head(self, listing: Listing, what: str) -> float:
        """Return when the first price of a kind was, epoch seconds; NaN where none is known."""
        if self._past is not None:
            begins = self._past.begins.date()
            last = datetime.fromtimestamp(self._past.ends, UTC).date()
            # What is as old as the past itself is found in its first month.
            days = self._past.days(listing, begins, begins + timedelta(days=30))
            days = days or self._past.days(listing, begins, last)
            if days and self._is_told(listing, what):
                return float(days[0][1].start)
        series = self._played.series(listing.instrument, _series_of(what, listing))
        return series.first if series is not None else math.nan

    def bars(
        self, listing: Listing, what: str, start: float, end: float, seconds: int, *, rth: bool
    ) -> list[BaseBar]:
        """Return bars of ``seconds`` that begin in [start, end), oldest first.

        ``what`` is TRADES, MIDPOINT, BID, ASK or BID_ASK, or another name for one of them. Bars of
        a day or more carry the open of their (last) session as their start. With ``rth`` only
        what lies in regular sessions counts.
        """
        if what == "BID_ASK":
            return self._two_sided(listing, start, end, seconds, rth=rth)
        hours = self._exchange.hours(listing)
        days = session_days(hours, start, end, extended=not rth)
        start_of = _starts(days, seconds, hours)
        pieces = self._pieces(listing, what, start, end, seconds)
        if rth:
            pieces = _inside(pieces, days)
        return joined(pieces, start_of)

    def _pieces(
        self, listing: Listing, what: str, start: float, end: float, seconds: int
    ) -> Iterator[BaseBar]:
        past = self._past
        if past is not None and start < past.ends and self._is_told(listing, what):
            shift = _side(what) * past.spread(listing) / 2
            yield from (
                _shifted(bar, shift) for bar in _past_bars(past, listing, start, end, seconds)
            )
        series = self._played.series(listing.instrument, _series_of(what, listing))
        if series is not None:
            yield from series.between(start, end, seconds)

    def _is_told(self, listing: Listing, what: str) -> bool:
        """Whether the past, which knows one price of each instrument, can tell this one."""
        forex = listing.instrument.security_type is SecurityType.FOREX
        return not (forex and what in TRADED)

    def _two_sided(
        self, listing: Listing, start: float, end: float, seconds: int, *, rth: bool
    ) -> list[BaseBar]:
        """BID_ASK: open and close are the averages of bid and ask, low and high their extremes."""
        base = min(seconds, 60)
        sides = []
        for what in ("BID", "ASK"):
            fine = self.bars(listing, what, start, end, base, rth=rth)
            days = session_days(self._exchange.hours(listing), start, end, extended=not rth)
            start_of = _starts(days, seconds, self._exchange.hours(listing))
            averages: dict[int, list[float]] = {}
            for bar in fine:
                averages.setdefault(start_of(bar), []).append(bar.close)
            whole = {bar.start: bar for bar in joined(fine, start_of)}
            sides.append({at: (sum(a) / len(a), whole[at]) for at, a in averages.items()})
        bids, asks = sides
        found = []
        for at in sorted(bids.keys() & asks.keys()):
            (bid, low), (ask, high) = bids[at], asks[at]
            row = BaseBar(at, round(bid, 8), high.high, low.low, round(ask, 8), count=low.count)
            found.append(row)
        return found

    def volatility(
        self, listing: Listing, start: float, end: float, *, rth: bool = True
    ) -> list[BaseBar]:
        """Return a year's volatility of the thirty days before each day, one bar a day."""
        days = self.bars(listing, "TRADES", start - 60 * DAY, end, DAY, rth=rth)
        closes = [math.log(bar.close) for bar in days]
        changes = [b - a for a, b in pairwise(closes)]
        found = []
        for index in range(VOLATILITY_DAYS, len(days)):
            if days[index].start < start:
                continue
            window = changes[index - VOLATILITY_DAYS : index]
            mean = sum(window) / len(window)
            variance = sum((each - mean) ** 2 for each in window) / (len(window) - 1)
            value = math.sqrt(variance * TRADING_DAYS_A_YEAR)
            found.append(BaseBar(days[index].start, value, value, value, value))
        return found


def session_days(
    hours: Hours, start: float, end: float, *, extended: bool
) -> tuple[SessionDay, ...]:
    """Return the sessions that overlap [start, end), oldest first."""
    zone = hours.tzinfo
    day = datetime.fromtimestamp(start, zone).date() - timedelta(days=1)
    last = datetime.fromtimestamp(min(end, start + 20 * 366 * DAY), zone).date()
    found = []
    while day <= last + timedelta(days=1):
        session = hours.session_on(day, extended=extended)
        if session is not None:
            opens, closes = session[0].timestamp(), session[1].timestamp()
            if closes > start and opens < end:
                found.append(SessionDay(day, opens, closes))
        day += timedelta(days=1)
    return tuple(found)


def _past_bars(
    past: Past, listing: Listing, start: float, end: float, seconds: int
) -> Iterable[PastBar]:
    if seconds >= DAY:
        zone = listing.hours.tzinfo
        first = datetime.fromtimestamp(start, zone).date()
        last = datetime.fromtimestamp(min(end, past.ends), zone).date()
        days = past.days(listing, first, last)
        return (bar for _, bar in days if start <= bar.start < end)
    return past.bars(listing, start, min(end, past.ends), 60 if seconds % 60 == 0 else 1)


def _shifted(bar: PastBar, shift: float) -> BaseBar:
    if not shift:
        return BaseBar(
            bar.start, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.money, bar.count
        )
    opened, high, low, close = (
        round(each + shift, 8) for each in (bar.open, bar.high, bar.low, bar.close)
    )
    return BaseBar(bar.start, opened, high, low, close)


def _side(what: str) -> int:
    return {"BID": -1, "ASK": 1}.get(what, 0)


def _series_of(what: str, listing: Listing) -> str:
    return "TRADES" if what in TRADED else what


def _inside(bars: Iterable[BaseBar], days: tuple[SessionDay, ...]) -> Iterator[BaseBar]:
    """Yield the bars that begin in one of the sessions."""
    left = iter(days)
    day = next(left, None)
    for bar in bars:
        while day is not None and bar.start >= day.closes:
            day = next(left, None)
        if day is None:
            return
        if bar.start >= day.opens:
            yield bar


def _starts(days: tuple[SessionDay, ...], seconds: int, hours: Hours) -> Callable[[BaseBar], int]:
    """Return what says where the bar of ``seconds`` begins that a shorter one belongs to.

    Bars of a day begin with its session, longer ones with the last session that they have; those
    of more than an hour at multiples from the exchange's midnight.
    """
    if seconds < DAY:
        offsets = {_offset(hours, day.opens) for day in days} or {0}
        offset = offsets.pop() if len(offsets) == 1 and seconds > 3600 else 0

        def intraday(bar: BaseBar) -> int:
            return bar.start - (bar.start + offset) % seconds

        return intraday
    last: dict[object, float] = {}
    for day in days:
        last[_group(day.day, seconds)] = day.opens
    rows = iter(days)
    current = next(rows, None)

    def daily(bar: BaseBar) -> int:
        nonlocal current
        while current is not None and bar.start >= current.closes:
            following = next(rows, None)
            if following is None:
                break
            current = following
        if current is None:
            return bar.start - bar.start % DAY
        return int(last[_group(current.day, seconds)])

    return daily


def _group(day: date, seconds: int) -> object:
    if seconds == WEEK:
        return day.isocalendar()[:2]
    return (day.year, day.month) if seconds == MONTH else day


def _offset(hours: Hours, at: float) -> int:
    offset = datetime.fromtimestamp(at, hours.tzinfo).utcoffset()
    return int(offset.total_seconds()) if offset else 0
