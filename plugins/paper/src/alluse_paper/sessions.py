"""Which session an order waits for, and which one ends it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from alluse_paper.holidays import SpecialDay
from alluse_paper.hours import Hours
from alluse_paper.market import Listing
from alluse_paper.working import Working


class Sessions:
    """Binds orders to the sessions of their instruments, in market time (epoch seconds).

    Where hours are not enforced, or the market has not told its time yet (NaN), every order may
    work at once and none ends.
    """

    def __init__(self, enforced: bool) -> None:
        self._enforced = enforced
        self._ends: list[tuple[float, int]] = []
        self._changed: dict[Hours, Hours] = {}

    def hours(self, listing: Listing) -> Hours:
        """Return the hours of ``listing`` with what was changed since it was listed."""
        return self._changed.get(listing.hours, listing.hours)

    def change(self, listing: Listing, hours: Hours) -> None:
        """Let everything that has the hours of ``listing`` have ``hours`` from now on."""
        self._changed[listing.hours] = hours

    def shortened(self, listing: Listing, at: float) -> tuple[Hours, float] | None:
        """Return the hours with a session that ends at ``at``, and when the next one opens.

        None where no session is on then.
        """
        hours = self.hours(listing)
        session = hours.session_at(utc(at), extended=True)
        if session is None or session[0] > utc(at):
            return None
        zone = ZoneInfo(hours.zone)
        close = utc(at).astimezone(zone).time()
        day = (session[1] - timedelta(seconds=1)).astimezone(zone).date()
        shorter = hours.with_special(day, SpecialDay(close, close))
        following = shorter.session_at(session[1] + timedelta(seconds=1), extended=True)
        opens = following[0] if following else session[1]
        return shorter, opens.timestamp()

    def binds_at(self, market_time: float) -> bool:
        """Whether hours mean anything now."""
        return self._enforced and not math.isnan(market_time)

    def is_open(self, listing: Listing, market_time: float) -> bool:
        """Whether the regular session is on; False where hours do not bind."""
        return self.binds_at(market_time) and self.hours(listing).is_open(utc(market_time))

    def bind(self, order: Working, listing: Listing, market_time: float) -> bool:
        """Set when an order may work and when its session ends; return whether it may now."""
        if not self.binds_at(market_time):
            return True
        extended = order.request.outside_rth
        session = self.hours(listing).session_at(utc(market_time), extended=extended)
        assert session is not None, "ten days always have a session"
        order.opens_at, ends_at = session[0].timestamp(), session[1].timestamp()
        if order.expires_at != ends_at:
            order.expires_at = ends_at
            heapq.heappush(self._ends, (ends_at, order.number))
        return order.opens_at <= market_time

    def ended(self, market_time: float) -> Iterator[tuple[float, int]]:
        """Yield (end, order number) of the sessions that have ended by ``market_time``."""
        while self._ends and market_time >= self._ends[0][0]:
            yield heapq.heappop(self._ends)


def day_end(listing: Listing, market_time: float) -> float:
    """Return when the extended day of ``market_time`` ends."""
    session = listing.hours.session_at(utc(market_time), extended=True)
    return session[1].timestamp() if session else math.inf


def utc(epoch: float) -> datetime:
    """Return epoch seconds as an aware datetime."""
    return datetime.fromtimestamp(epoch, UTC)
