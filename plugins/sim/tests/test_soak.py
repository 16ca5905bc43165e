"""A week with restarts every night, and longer with ``ALLUSE_SOAK_DAYS=365``.

``ALLUSE_SECONDS`` ends it after the day in which so many have gone by.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import date

import pytest
from alluse_sim.soak import FIRST_DAY, NEW_YORK, Day, soak

DAYS = int(os.environ.get("ALLUSE_SOAK_DAYS", "7"))
SECONDS = float(os.environ.get("ALLUSE_SECONDS", "inf"))


@pytest.mark.slow
@pytest.mark.timeout(300 + 10 * DAYS)
def test_a_week_of_restarts_a_login_and_a_dst_change_leaves_nothing_wrong_or_larger(
    ran: Callable[[int], None],
) -> None:
    until = time.monotonic() + SECONDS

    def goes_on(_: Day) -> bool:
        ran(1)
        return time.monotonic() < until

    told = soak(DAYS, goes_on=goes_on)
    assert not told.problems
    days = len(told.days)
    assert days == DAYS or time.monotonic() >= until
    assert told.restarts == days
    assert told.logins >= days // 7
    assert told.jumps >= days // 4, "days with a clock that is right show little"
    assert told.days[-1].fills >= 2 * (days // 2)
    # Everything is loaded after the first days; what a day adds must not stay.
    # A night without a link ends with its questions unanswered, so single days may differ.
    held = [day.held for day in told.days]
    assert min(held[-3:]) < 1.1 * max(held[:3]), held


@pytest.mark.slow
def test_an_early_close_ends_the_orders_of_its_day_and_no_others() -> None:
    """Thanksgiving, when nothing opens, and the Friday after it, which ends at 13:00."""
    told = soak(2, first=date(2026, 11, 26))
    assert not told.problems
    assert told.early_closes == 1
    assert told.days[0].fills == 0 < told.days[1].fills


def test_the_week_that_is_played_holds_a_change_of_the_clocks() -> None:
    from datetime import datetime, timedelta

    days = [FIRST_DAY + timedelta(days=n) for n in range(8)]
    noons = [datetime(day.year, day.month, day.day, 12, tzinfo=NEW_YORK) for day in days]
    assert len({noon.utcoffset() for noon in noons}) == 2


@pytest.mark.slow
def test_a_soak_finds_a_window_that_is_not_where_it_should_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from alluse_ibkr import windows

    parse = windows.parse_restart

    def an_hour_off(text: str) -> windows.Window:
        clock, _, zone = text.partition(" ")
        return parse(f"{(int(clock[:2]) + 1) % 24:02}{clock[2:]} {zone}")

    monkeypatch.setattr(windows, "parse_restart", an_hour_off)
    assert any("window" in problem for problem in soak(1, first=date(2026, 3, 4)).problems)
