"""Bugs of exposure and protection: what may still fill, or lacks its stop, is counted wrongly."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from alluse_core.model import OrderState
from alluse_core.orders import control, protection
from alluse_core.orders.book import Book
from alluse_core.orders.closing import CLOSING, closers
from alluse_core.orders.live import ZERO, LiveOrder
from alluse_sim.bug import Bug, Patch

_CAP = {"cap": 150, "restarts": 0}
_BRACKETS = {"brackets": 0.5, "cap": 0, "kill_at_batch": 0}


def _count_orders_only_once_acknowledged() -> Sequence[Patch]:
    working = Book.working

    def acknowledged(self: Book, account: Any, instrument: Any) -> list[LiveOrder]:
        found = working(self, account, instrument)
        return [live for live in found if live.state is not OrderState.SUBMITTED]

    return [(Book, "working", acknowledged)]


def _leave_unknown_orders_out() -> Sequence[Patch]:
    working = Book.working

    def known(self: Book, account: Any, instrument: Any) -> list[LiveOrder]:
        found = working(self, account, instrument)
        return [live for live in found if live.state is not OrderState.UNKNOWN]

    return [(Book, "working", known)]


def _count_a_status_as_a_fill_in_hand() -> Sequence[Patch]:
    def exposed(self: LiveOrder) -> Decimal:
        return ZERO if self.state.is_terminal else self.remaining

    return [(LiveOrder, "exposed", property(exposed))]  # type: ignore[list-item]


def _take_an_exit_for_working_whatever_became_of_it() -> Sequence[Patch]:
    return [(protection, "at_work", lambda live: max(live.order.quantity - live.filled, ZERO))]


def _take_an_exit_for_as_large_as_its_entry() -> Sequence[Patch]:
    covered = protection.Bracket.covered

    def whole(self: protection.Bracket) -> Decimal:
        return self.left if covered.fget(self) else ZERO  # type: ignore[attr-defined]

    return [(protection.Bracket, "covered", property(whole))]  # type: ignore[list-item]


def _count_only_flattens_own_orders() -> Sequence[Patch]:
    counted = closers

    def own(book: Book, row: Any) -> list[LiveOrder]:
        return [live for live in counted(book, row) if live.key.startswith(CLOSING)]

    return [(control, "closers", own)]


BUGS = (
    Bug(
        "count-when-acknowledged",
        "what may have been sent is reserved",
        _count_orders_only_once_acknowledged,
        {**_CAP, "faults": ("late-acks", "slow", "late-acks")},
    ),
    Bug(
        "unknown-is-nothing",
        "UNKNOWN counts in full",
        _leave_unknown_orders_out,
        {**_CAP, "faults": ("omit",) * 3},
    ),
    Bug(
        "status-is-a-fill",
        "a told fill counts until its execution is in hand",
        _count_a_status_as_a_fill_in_hand,
        {**_CAP, "faults": ("mute-fills", "mute-fills", "mute-fills")},
    ),
    Bug(
        "flatten-beside-exits",
        "an exit that may fill counts as filled before another is sent",
        _count_only_flattens_own_orders,
        {"stops": True, "restarts": 0, "cap": 0, "faults": ("late-acks", "slow", "outage")},
    ),
    Bug(
        "ended-exit-covers",
        "only an exit that works protects",
        _take_an_exit_for_working_whatever_became_of_it,
        {**_BRACKETS, "restarts": 0, "faults": ("reject", "partial", "reject")},
    ),
    Bug(
        "exit-covers-all",
        "an exit protects its own quantity, however much the entry filled",
        _take_an_exit_for_as_large_as_its_entry,
        {**_BRACKETS, "restarts": 0, "faults": ("slow", "slow", "slow")},
    ),
)
