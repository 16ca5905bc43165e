"""When an exchange trades, in its own time zone.

Weekends are closed; holidays are not known here, a market without events is as good as closed.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import attrs


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

    def session_on(self, day: date, *, extended: bool = False) -> tuple[datetime, datetime] | None:
        """Return (open, close) in UTC of the session that ends on ``day``; None on a weekend."""
        if day.weekday() >= 5:
            return None
        opens = self.extended_open if extended else self.open
        closes = self.extended_close if extended else self.close
        zone = ZoneInfo(self.zone)
        start = datetime.combine(day, opens, zone)
        end = datetime.combine(day, closes, zone)
        if opens >= closes:
            start = datetime.combine(day - timedelta(days=1), opens, zone)
        return start.astimezone(UTC), end.astimezone(UTC)

    def session_at(
        self, when: datetime, *, extended: bool = False
    ) -> tuple[datetime, datetime] | None:
        """Return the session that ``when`` lies in, or the next one to come within a week."""
        day = when.astimezone(ZoneInfo(self.zone)).date()
        for offset in range(-1, 8):
            session = self.session_on(day + timedelta(days=offset), extended=extended)
            if session is not None and when < session[1]:
                return session
        return None

    def is_open(self, when: datetime, *, extended: bool = False) -> bool:
        """Whether ``when`` (aware) lies in a session."""
        session = self.session_at(when, extended=extended)
        return session is not None and session[0] <= when


STOCK_HOURS = Hours()
OPTION_HOURS = Hours(extended_open=time(9, 30), extended_close=time(16, 0))
FUTURES_HOURS = Hours(
    open=time(18, 0), close=time(17, 0), extended_open=time(18, 0), extended_close=time(17, 0)
)
FOREX_HOURS = Hours(
    open=time(17, 0), close=time(17, 0), extended_open=time(17, 0), extended_close=time(17, 0)
)
