"""Days on which an exchange is closed or closes early, by rule.

The rules are those of NYSE's, CME's and the currency market's own pages; what no rule gives (days
of mourning, storms) is in IRREGULAR. Years before 2000 follow the same rules and may differ from
what happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time, timedelta
from functools import lru_cache

import attrs

US_EQUITIES, US_FUTURES, FOREX = "us-equities", "us-futures", "forex"

IRREGULAR = (
    *(date(2001, 9, day) for day in (11, 12, 13, 14)),
    date(2004, 6, 11),
    date(2007, 1, 2),
    date(2012, 10, 29),
    date(2012, 10, 30),
    date(2018, 12, 5),
    date(2025, 1, 9),
)
"""Days on which US equities did not trade although no rule says so."""


@attrs.frozen
class SpecialDay:
    """``close`` and ``extended_close`` are local times; None: the day has no session at all."""

    close: time | None = None
    extended_close: time | None = None


CLOSED = SpecialDay()


def special_day(calendar: str, day: date) -> SpecialDay | None:
    """Return what is special about ``day``; None for an ordinary one or an unknown calendar."""
    return _days_of(calendar, day.year).get(day)


@lru_cache(maxsize=256)
def _days_of(calendar: str, year: int) -> Mapping[date, SpecialDay]:
    if calendar == US_EQUITIES:
        early = SpecialDay(time(13), time(17))
        return {
            **dict.fromkeys(_early_days(year), early),
            **dict.fromkeys((*_us_holidays(year).values(), *IRREGULAR), CLOSED),
        }
    if calendar == US_FUTURES:
        # Chicago's clock: noon on holidays of the stock market, a quarter past on its short days.
        named = _us_holidays(year)
        whole = {named.pop(name) for name in ("new year", "good friday", "christmas")}
        return {
            **dict.fromkeys(_early_days(year), SpecialDay(time(12, 15), time(12, 15))),
            **dict.fromkeys(named.values(), SpecialDay(time(12), time(12))),
            **dict.fromkeys(whole, CLOSED),
        }
    if calendar == FOREX:
        return {date(year, 1, 1): CLOSED, date(year, 12, 25): CLOSED}
    return {}


def _us_holidays(year: int) -> dict[str, date]:
    new_year = date(year, 1, 1)
    # A Saturday's New Year is not made up for on the Friday, which is in the old year's books.
    found = {
        "new year": new_year + timedelta(days=1) if new_year.weekday() == 6 else new_year,
        "presidents": _nth(year, 2, 0, 3),
        "good friday": _easter(year) - timedelta(days=2),
        "memorial": _last_monday(year, 5),
        "independence": _observed(date(year, 7, 4)),
        "labor": _nth(year, 9, 0, 1),
        "thanksgiving": _nth(year, 11, 3, 4),
        "christmas": _observed(date(year, 12, 25)),
    }
    if year >= 1998:
        found["king"] = _nth(year, 1, 0, 3)
    if year >= 2022:
        found["juneteenth"] = _observed(date(year, 6, 19))
    return found


def _early_days(year: int) -> list[date]:
    """The eve of Independence Day, the day after Thanksgiving, Christmas Eve: where they trade."""
    days = [_nth(year, 11, 3, 4) + timedelta(days=1)]
    if date(year, 7, 4).weekday() in (1, 2, 3, 4):
        days.append(date(year, 7, 3))
    if date(year, 12, 24).weekday() <= 3:
        days.append(date(year, 12, 24))
    return days


def _nth(year: int, month: int, weekday: int, number: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (number - 1))


def _last_monday(year: int, month: int) -> date:
    last = date(year, month + 1, 1) - timedelta(days=1)
    return last - timedelta(days=last.weekday())


def _observed(day: date) -> date:
    if day.weekday() == 5:
        return day - timedelta(days=1)
    return day + timedelta(days=1) if day.weekday() == 6 else day


def _easter(year: int) -> date:
    """Return Easter Sunday of the Gregorian calendar (Meeus, Astronomical Algorithms, ch. 8)."""
    a, b, c = year % 19, year // 100, year % 100
    g = (8 * b + 13) // 25
    h = (19 * a + b - b // 4 - g + 15) % 30
    i = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    m = (a + 11 * h + 22 * i) // 451
    month, day = divmod(h + i - 7 * m + 114, 31)
    return date(year, month, day + 1)
