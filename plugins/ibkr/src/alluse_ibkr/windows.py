"""When IBKR resets its servers, and what an outage at such a time means. Pure functions.

The windows are those of IBKR's system status page ("Daily Reset Schedule", Sunday to Friday, and
the weekend's); that the weekly login falls due each Sunday at 01:00 New York is of the TWS guide,
"Auto Restart Considerations".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs

_NEW_YORK = "America/New_York"
_FRIDAY, _SUNDAY = 4, 6
_NOT_SATURDAY = frozenset({6, 0, 1, 2, 3, 4})
_EVERY_DAY = frozenset(range(7))

RESTART_MINUTES = 5
"""Minutes that a restart of TWS or IB Gateway takes at most as a rule (1 to 5)."""

_LOGIN_FALLS_DUE = time(1, 0)
_LOGIN_DAYS = 2
"""Days after Sunday within which the restart that needs the login has come."""


@attrs.frozen
class Window:
    """A span that begins at a local time on some weekdays (0 is Monday) and lasts ``minutes``."""

    name: str
    zone: str
    begins: time
    minutes: int
    weekdays: frozenset[int] = _EVERY_DAY

    def spans(self, now: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield the spans that begin from a day before to a day after aware ``now``, in order."""
        zone = ZoneInfo(self.zone)
        today = now.astimezone(zone).date()
        for day in (today + timedelta(days=n) for n in (-1, 0, 1)):
            if day.weekday() in self.weekdays:
                begin = datetime.combine(day, self.begins, zone).astimezone(now.tzinfo)
                yield begin, begin + timedelta(minutes=self.minutes)


_WEEKEND = Window("the weekend's reset", _NEW_YORK, time(23, 0), 240, frozenset({_FRIDAY}))
_NIGHT = "the nightly reset"

REGIONS: dict[str, tuple[Window, ...]] = {
    "north-america": (Window(_NIGHT, _NEW_YORK, time(0, 15), 90, _NOT_SATURDAY), _WEEKEND),
    "europe": (Window(_NIGHT, "Europe/Zurich", time(6, 25), 80, _NOT_SATURDAY), _WEEKEND),
    "asia-pacific": (
        Window(_NIGHT, "Asia/Hong_Kong", time(4, 45), 80, _NOT_SATURDAY),
        Window(_NIGHT, "Asia/Hong_Kong", time(20, 15), 60, _NOT_SATURDAY),
        _WEEKEND,
    ),
}


def parse_restart(text: str) -> Window:
    """Read ``23:45 America/New_York``, when TWS restarts by itself. Raises ValueError."""
    clock, _, zone = text.strip().partition(" ")
    try:
        ZoneInfo(zone.strip())
        begins = time.fromisoformat(clock)
    except (ValueError, ZoneInfoNotFoundError) as error:
        raise ValueError(
            f"{text!r} is no time and zone such as '23:45 America/New_York'"
        ) from error
    early = (24 * 60 + 60 * begins.hour + begins.minute - 1) % (24 * 60)
    hours, minutes = divmod(early, 60)
    return Window("the restart of TWS", zone.strip(), time(hours, minutes), RESTART_MINUTES + 1)


def windows_of(region: str, restart_at: str) -> tuple[Window, ...]:
    """Return the windows of a region ("" none) and of the terminal's own restart ("" none)."""
    own = (parse_restart(restart_at),) if restart_at else ()
    return (*REGIONS.get(region, ()), *own)


def inside(windows: Sequence[Window], now: datetime) -> tuple[Window, datetime] | None:
    """Return the window that aware ``now`` falls into and its end, the latest of several."""
    found = [
        (end, window)
        for window in windows
        for begin, end in window.spans(now)
        if begin <= now < end
    ]
    if not found:
        return None
    end, window = max(found, key=lambda each: each[0])
    return window, end


@attrs.frozen
class Outage:
    """What to say of an outage: when the link is due back, and what a person must do."""

    due: datetime
    overdue: bool
    login: bool
    text: str


def judge(windows: Sequence[Window], since: datetime, now: datetime) -> Outage:
    """Judge an outage that began at aware ``since``.

    One that begins in a window, or shortly before, is due back with the window's end; another
    within the minutes of a restart. Overdue at the start of the week it is the weekly login.
    """
    grace = timedelta(minutes=RESTART_MINUTES)
    found = inside(windows, since) or inside(windows, since + grace)
    due = found[1] if found else since + grace
    overdue = now >= due
    login = overdue and _login_due(since)
    down = _span(now - since)
    why = f" in {found[0].name}" if found else ""
    if login:
        text = (
            f"down for {down}: THE WEEKLY LOGIN is due since Sunday 01:00 New York. A person must "
            "log in at TWS or IB Gateway with the second factor; until then nothing can be sent. "
            "Orders that rest at the broker work on"
        )
    elif overdue:
        text = (
            f"down for {down}{why}, overdue for {_span(now - due)}: look at TWS or IB Gateway, a "
            "dialog or a login may be waiting there"
        )
    else:
        text = f"down for {down}{why}, due back within {_span(due - now)}"
    return Outage(due, overdue, login, text)


def _login_due(since: datetime) -> bool:
    """Return whether an outage began on Sunday after the tokens ended, or in the next night."""
    local = since.astimezone(ZoneInfo(_NEW_YORK))
    days = (local.weekday() - _SUNDAY) % 7
    if days == 0:
        return local.time() >= _LOGIN_FALLS_DUE
    return days < _LOGIN_DAYS


def _span(length: timedelta) -> str:
    minutes, seconds = divmod(int(length.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"
