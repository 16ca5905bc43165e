"""What a request for bars asks for, and why it cannot be answered: decided before any bar is made.

Texts are TWS's own where they were seen from a real one; limits that TWS does not publish say so.
"""

from __future__ import annotations

import math
import re
from datetime import date, datetime, timedelta

import attrs
from alluse_paper.hours import Hours

from alluse_core.model import SecurityType
from alluse_gateway import notices

DAY, WEEK, MONTH = 86_400, 7 * 86_400, 31 * 86_400

BAR_SIZES = {
    "1 secs": 1,
    "5 secs": 5,
    "10 secs": 10,
    "15 secs": 15,
    "30 secs": 30,
    "1 min": 60,
    "2 mins": 120,
    "3 mins": 180,
    "5 mins": 300,
    "10 mins": 600,
    "15 mins": 900,
    "20 mins": 1200,
    "30 mins": 1800,
    "1 hour": 3600,
    "2 hours": 7200,
    "3 hours": 10800,
    "4 hours": 14400,
    "8 hours": 28800,
    "1 day": DAY,
    "1W": WEEK,
    "1M": MONTH,
}
_ALSO = {"1 sec": 1, "1 week": WEEK, "1 month": MONTH, "1 w": WEEK, "1 m": MONTH}
"""Spellings that TWS takes and does not name."""

SMALL = 30
"""Bars of this many seconds or fewer are paced, and gone after six months."""

_LONGEST = {1: 2_000, 5: DAY, 10: 2 * DAY, 15: 3 * DAY, 30: WEEK}
"""Seconds that one request for bars of a size may span; IBKR publishes that of one second."""

PRICES = ("TRADES", "MIDPOINT", "BID", "ASK", "BID_ASK", "ADJUSTED_LAST", "AGGTRADES")
VOLATILITIES = ("HISTORICAL_VOLATILITY", "OPTION_IMPLIED_VOLATILITY")
UNTOLD = ("YIELD_ASK", "YIELD_BID", "YIELD_BID_ASK", "YIELD_LAST", "FEE_RATE")
"""TWS knows these; nothing in a simulated market has a yield or a fee rate."""

SCHEDULE = "SCHEDULE"
WHAT = (*PRICES, *VOLATILITIES, *UNTOLD, SCHEDULE)
TRADED = ("TRADES", "ADJUSTED_LAST", "AGGTRADES")

_DURATION = re.compile(r"(\d{1,6}) ([SDWMY])")
_SERVICE = "Historical Market Data Service error message:"


@attrs.frozen
class Refusal:
    """An error's code and text."""

    code: int
    text: str


@attrs.frozen
class Span:
    """How far back a request reaches: a number of seconds, days, weeks, months or years."""

    count: int
    unit: str

    def start(self, end: float, hours: Hours, *, extended: bool) -> float:
        """Return where the span that ends at ``end`` (epoch seconds) begins.

        Days are trading days: one reaches back to the open of the session that ``end`` lies in,
        or of the last one before it.
        """
        if self.unit == "S":
            return end - self.count
        when = datetime.fromtimestamp(end, tz=hours.tzinfo)
        if self.unit == "D":
            return _sessions_back(hours, when, self.count, extended=extended)
        if self.unit == "W":
            return end - self.count * WEEK
        months = self.count * (12 if self.unit == "Y" else 1)
        return _months_back(when, months).timestamp()


def bar_seconds(text: str) -> int | Refusal:
    """Read a bar size."""
    seconds = BAR_SIZES.get(text) or _ALSO.get(text.lower())
    if seconds is not None:
        return seconds
    legal = ", ".join(BAR_SIZES)
    return _invalid(f"Historical data bar size setting is invalid. Legal ones are: {legal}")


def span_of(text: str) -> Span | Refusal:
    """Read a duration."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or int(found.group(1)) == 0:
        return _invalid("Historical data duration is invalid. Use <number> <S, D, W, M or Y>")
    count, unit = int(found.group(1)), found.group(2)
    for letter, most, name, longer in (
        ("S", DAY, "86400 seconds", "days"),
        ("D", 365, "365 days", "years"),
        ("W", 52, "52 weeks", "years"),
        ("M", 12, "12 months", "years"),
    ):
        if unit == letter and count > most:
            return _invalid(
                "Historical data requests for durations longer than "
                f"{name} must be made in {longer}."
            )
    return Span(count, unit)


def what_refused(what: str, kind: SecurityType, seconds: int, symbol: str) -> Refusal | None:
    """Return why ``what`` is not shown of a kind of instrument in bars of ``seconds``."""
    if what not in WHAT:
        return _invalid(f"Incorrect what to show {what!r}. Legal ones are: {', '.join(WHAT)}")
    if what == SCHEDULE and seconds != DAY:
        return _invalid("A historical schedule is shown in bars of 1 day")
    traded = what in TRADED and kind is SecurityType.FOREX
    quoted = what in ("BID", "ASK", "BID_ASK", "MIDPOINT") and kind is SecurityType.INDEX
    volatile = what in VOLATILITIES and kind not in (SecurityType.STOCK, SecurityType.INDEX)
    if traded or quoted or volatile or what in UNTOLD:
        return Refusal(
            notices.HISTORY_ERROR,
            f"{_SERVICE}No historical market data for {symbol}/{kind.value} {what}",
        )
    if what in VOLATILITIES and seconds < DAY:
        return Refusal(notices.HISTORY_ERROR, f"{_SERVICE}invalid step: volatility is daily")
    return None


def length_refused(seconds: int, length: float) -> Refusal | None:
    """Return why bars of ``seconds`` are not shown over ``length`` seconds."""
    if length > _LONGEST.get(seconds, math.inf):
        return Refusal(notices.HISTORY_ERROR, f"{_SERVICE}Time length exceed max.")
    return None


def live_refused(end: str, what: str, seconds: int) -> Refusal | None:
    """Return why bars cannot be kept up to date."""
    if end:
        return _invalid("End date/time is not supported with keepUpToDate")
    if what not in ("TRADES", "MIDPOINT", "BID", "ASK") or seconds < 5:
        return _invalid("keepUpToDate is for TRADES, MIDPOINT, BID and ASK, from 5 secs on")
    return None


def bad_end() -> Refusal:
    """Return what is said of an end that cannot be read."""
    return Refusal(
        notices.BAD_TIME,
        "End Date/Time: The date, time, or time-zone entered is invalid. The correct format is "
        "yyyymmdd hh:mm:ss xx/xxxx where yyyymmdd and xx/xxxx are optional.",
    )


def no_data(about: str) -> Refusal:
    """Return what is said where there is nothing to show."""
    return Refusal(notices.HISTORY_ERROR, f"{_SERVICE}HMDS query returned no data: {about}")


def cancelled(request_id: int) -> Refusal:
    """Return what is said of a request that was cancelled before its end."""
    text = f"{_SERVICE}API historical data query cancelled: {request_id}"
    return Refusal(notices.HISTORY_ERROR, text)


def paced() -> Refusal:
    """Return what is said of a request too many."""
    text = f"{_SERVICE}Historical data request pacing violation"
    return Refusal(notices.HISTORY_ERROR, text)


def _invalid(cause: str) -> Refusal:
    return Refusal(notices.VALIDATION, notices.validation("bQ", cause))


def _sessions_back(hours: Hours, when: datetime, count: int, *, extended: bool) -> float:
    day: date = when.date() + timedelta(days=1)
    left = count
    opens = when
    for _ in range(3 * count + 30):
        session = hours.session_on(day, extended=extended)
        if session is not None and session[0] < when:
            opens, left = session[0], left - 1
            if left == 0:
                break
        day -= timedelta(days=1)
    return opens.timestamp()


def _months_back(when: datetime, months: int) -> datetime:
    index = when.year * 12 + when.month - 1 - months
    year, month = max(1970, index // 12), index % 12 + 1
    last = (date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)).day
    return when.replace(year=year, month=month, day=min(when.day, last))
