"""When an exchange trades, in its own time zone.

Weekends are closed; holidays and early closes come from :mod:`alluse_paper.holidays` by the name
of a calendar, and from ``special`` where a day was made different by hand.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import attrs

from alluse_paper.holidays import (
    FOREX,
    US_EQUITIES,
    US_FUTURES,
    SpecialDay,
    special_day,
)


@attrs.frozen
class Hours:
    """One regular and one extended session a day, ``[open, close)`` in ``zone``.

    Where ``open`` is later than ``close`` the session begins on the evening before (futures).
    Equal times mean around the clock, Monday to Friday, the day changing at that time.
    """

    zone: str = "America/New_York"
    open: time = time(9, 30)
    close: time = time(16, 0)
    extended_open: time = time(4, 0)
    extended_close: time = time(20, 0)
    calendar: str = ""
    special: tuple[tuple[date, SpecialDay], ...] = ()

    @property
    def tzinfo(self) -> ZoneInfo:
        """The exchange's own zone."""
        return ZoneInfo(self.zone)

    def with_special(self, day: date, special: SpecialDay) -> Hours:
        """Return these hours with ``day`` made different."""
        kept = [row for row in self.special if row[0] != day]
        return attrs.evolve(self, special=(*kept, (day, special)))

    def special_on(self, day: date) -> SpecialDay | None:
        """Return what is special about ``day``, None where nothing is."""
        for known, special in self.special:
            if known == day:
                return special
        return special_day(self.calendar, day) if self.calendar else None

    def session_on(self, day: date, *, extended: bool = False) -> tuple[datetime, datetime] | None:
        """Return (open, close) in UTC of the session that ends on ``day``; None where it is closed.

        On a day that closes early the session ends then.
        """
        if day.weekday() >= 5:
            return None
        opens = self.extended_open if extended else self.open
        closes = self.extended_close if extended else self.close
        overnight = opens >= closes
        special = self.special_on(day)
        if special is not None:
            early = special.extended_close if extended else special.close
            if early is None:
                return None
            closes = min(closes, early)
        zone = ZoneInfo(self.zone)
        start = datetime.combine(day - timedelta(days=1) if overnight else day, opens, zone)
        end = datetime.combine(day, closes, zone)
        return start.astimezone(UTC), end.astimezone(UTC)

    def session_at(
        self, when: datetime, *, extended: bool = False
    ) -> tuple[datetime, datetime] | None:
        """Return the session that ``when`` lies in, or the next one to come within ten days."""
        day = when.astimezone(ZoneInfo(self.zone)).date()
        for offset in range(-1, 11):
            session = self.session_on(day + timedelta(days=offset), extended=extended)
            if session is not None and when < session[1]:
                return session
        return None

    def is_open(self, when: datetime, *, extended: bool = False) -> bool:
        """Whether ``when`` (aware) lies in a session."""
        session = self.session_at(when, extended=extended)
        return session is not None and session[0] <= when


STOCK_HOURS = Hours(calendar=US_EQUITIES)
OPTION_HOURS = Hours(extended_open=time(9, 30), extended_close=time(16, 0), calendar=US_EQUITIES)
FUTURES_HOURS = Hours(
    zone="America/Chicago",
    open=time(17, 0),
    close=time(16, 0),
    extended_open=time(17, 0),
    extended_close=time(16, 0),
    calendar=US_FUTURES,
)
FOREX_HOURS = Hours(
    open=time(17, 0),
    close=time(17, 0),
    extended_open=time(17, 0),
    extended_close=time(17, 0),
    calendar=FOREX,
)
