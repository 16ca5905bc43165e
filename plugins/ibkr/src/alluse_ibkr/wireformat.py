"""Numbers as the wire has them, and as they are meant."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from alluse_core.errors import InvalidValue, NotSent

NAN = math.nan
_UNSET = 1e300
_UNSET_INTEGER = 2147483647


def exact(value: float | str | Decimal | None) -> Decimal | None:
    """Return a wire number as Decimal; None where it was unset (1.79e308, NaN, empty)."""
    if value is None or value == "":
        return None
    if value.__class__ is float:
        return _exact_float(value)
    if not isinstance(value, Decimal):
        number = float(value)
        if not math.isfinite(number) or abs(number) >= _UNSET:
            return None
        if number == _UNSET_INTEGER:
            return None
        value = Decimal(str(value))
    whole = value.to_integral_value()
    return whole if whole == value else value.normalize()


def _exact_float(value: float) -> Decimal | None:
    if not -_UNSET < value < _UNSET or value == _UNSET_INTEGER:
        return None
    # The shortest text that reads back as the same float, which is what the wire had.
    return Decimal(int(value)) if value.is_integer() else Decimal(repr(value))


def exact_or_zero(value: float | str | None) -> Decimal:
    """Return a wire number as Decimal, 0 where it was unset."""
    number = exact(value)
    return Decimal(0) if number is None else number


def number_in(text: str) -> Decimal | None:
    """Return a figure that came as text; None where it is a word."""
    try:
        return exact(text)
    except ValueError:
        return None


def day_in(text: str) -> date | None:
    """Return the day of ``YYYYMMDD``; None where the text is none."""
    if len(text) != 8 or not text.isdigit():
        return None
    return date(int(text[:4]), int(text[4:6]), int(text[6:]))


def wire(value: Decimal | None) -> str:
    """Return a Decimal in plain notation for the wire; "" for None."""
    return "" if value is None else format(value, "f")


def plain(text: str) -> str:
    """Return ``text`` if it can be a field of a message, or raise NotSent.

    A NUL would end the field early and shift every field behind it.
    """
    if text.isascii() and (text.isprintable() or not text):
        return text
    raise NotSent(
        f"{text!r} cannot be sent: it is not printable ASCII",
        hint="use letters, digits and punctuation only",
    )


def wire_time(moment: datetime) -> str:
    """Return an aware time in the UTC form of the API, yyyymmdd-hh:mm:ss."""
    return moment.astimezone(UTC).strftime("%Y%m%d-%H:%M:%S")


def wire_duration(duration: timedelta) -> str:
    """Return how far back history is asked for: whole seconds up to a day, then whole days."""
    seconds = max(1, math.ceil(duration.total_seconds()))
    if seconds <= 86400:
        return f"{seconds} S"
    days = math.ceil(seconds / 86400)
    return f"{days} D" if days <= 365 else f"{math.ceil(days / 365)} Y"


_BAR_SIZES = {
    **{timedelta(seconds=n): f"{n} secs" for n in (5, 10, 15, 30)},
    timedelta(seconds=1): "1 secs",
    timedelta(minutes=1): "1 min",
    **{timedelta(minutes=n): f"{n} mins" for n in (2, 3, 5, 10, 15, 20, 30)},
    timedelta(hours=1): "1 hour",
    **{timedelta(hours=n): f"{n} hours" for n in (2, 3, 4, 8)},
    timedelta(days=1): "1 day",
    timedelta(weeks=1): "1 week",
    timedelta(days=30): "1 month",
}


def wire_bar_size(size: timedelta) -> str:
    """Return the API's name of a bar size; 30 days mean a calendar month.

    Raises InvalidValue for sizes it has no name for.
    """
    if size not in _BAR_SIZES:
        raise InvalidValue(f"bars come in {', '.join(_BAR_SIZES.values())}, not in {size}")
    return _BAR_SIZES[size]


def bar_time(text: str) -> datetime:
    """Read a bar's start: epoch seconds, or yyyymmdd for bars of a day and longer."""
    if len(text) == 8:
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC)
    if text.isdigit():
        return datetime.fromtimestamp(int(text), UTC)
    day, clock, *zone = text.split()
    tz = ZoneInfo(zone[0]) if zone else UTC
    return datetime.strptime(day + clock, "%Y%m%d%H:%M:%S").replace(tzinfo=tz).astimezone(UTC)
