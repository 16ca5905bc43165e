"""Why an order that has arrived does not work yet, and until when."""

from __future__ import annotations

import math
from datetime import datetime

from alluse_core.clock import Clock
from alluse_core.model.instrument import Instrument, Side
from alluse_paper.accounts import Accounts
from alluse_paper.book import Book
from alluse_paper.combos import moves
from alluse_paper.groups import Groups
from alluse_paper.sessions import Sessions, utc
from alluse_paper.working import UNTRANSMITTED, Working

CLOSE = "waits for the close"
CLOSING_SECONDS = 1.0
"""How long before the end of the session an order for the close goes to work."""
LOCATE = "waits for shares to be located"
OPEN = "waits for the market to open"
TIME = "waits for its time"


class Holds:
    """Judges what an order waits for. ``unlocated`` is what nobody lends now.

    An order that waits for its session is put among those that its book lets go.
    """

    def __init__(
        self, clock: Clock, accounts: Accounts, groups: Groups, sessions: Sessions
    ) -> None:
        self.unlocated: set[Instrument] = set()
        self._clock = clock
        self._accounts = accounts
        self._groups = groups
        self._sessions = sessions

    def reason(self, order: Working, book: Book, market_time: float) -> str:
        """Return what an order waits for; empty where it may work."""
        if not order.transmitted:
            return UNTRANSMITTED
        parent = self._groups.parent_of(order)
        if parent is not None and parent.filled == 0:
            return f"waits for its parent {parent.number}"
        starts = order.request.good_after
        if starts is not None and starts > self._clock.now():
            return TIME
        if self._is_unlocated(order):
            return LOCATE
        if not self._sessions.bind(order, book.listing, market_time):
            if order not in book.waiting:
                book.waiting.append(order)
            return OPEN
        if order.request.at_close and self._waits_for_close(order, book, market_time):
            return CLOSE
        return ""

    def until(self, order: Working, reason: str) -> datetime | None:
        """Return when the reason ends by itself; None where nobody knows."""
        if reason == TIME:
            return order.request.good_after
        return (
            utc(order.opens_at)
            if reason in (OPEN, CLOSE) and math.isfinite(order.opens_at)
            else None
        )

    def _waits_for_close(self, order: Working, book: Book, market_time: float) -> bool:
        if not self._sessions.binds_at(market_time):
            return False
        starts = order.expires_at - CLOSING_SECONDS
        if market_time >= starts:
            return False
        order.opens_at = starts
        if order not in book.waiting:
            book.waiting.append(order)
        return True

    def _is_unlocated(self, order: Working) -> bool:
        """Whether it sells more than is held of what nobody lends."""
        request = order.request
        return bool(self.unlocated) and any(
            instrument in self.unlocated
            and side is Side.SELL
            and quantity > self._accounts.position(request.account, instrument)
            for instrument, side, quantity in moves(
                request.instrument, request.side, order.remaining
            )
        )
