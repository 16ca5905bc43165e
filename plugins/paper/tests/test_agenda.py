"""What is to happen later happens then, in order, and never inside the call that enters it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, time

import pytest
from alluse_paper.agenda import Agenda
from alluse_paper.hours import FOREX_HOURS, FUTURES_HOURS, STOCK_HOURS, Hours

from alluse_core.testing.clock import VirtualClock


def test_actions_run_at_their_time_in_the_order_of_entry() -> None:
    async def whole() -> None:
        clock = VirtualClock()
        agenda = Agenda(clock)
        start = clock.monotonic()
        ran: list[tuple[str, float]] = []

        def note(name: str) -> None:
            ran.append((name, clock.monotonic() - start))

        agenda.enter(start + 5, lambda: note("late"))
        agenda.enter(start + 1, lambda: note("one"))
        agenda.enter(start + 1, lambda: note("two"))
        agenda.enter(start, lambda: note("now"))
        assert ran == []
        await clock.advance(3)
        agenda.enter(start + 4, lambda: note("between"))
        await clock.advance(3)
        assert ran == [("now", 0), ("one", 1), ("two", 1), ("between", 4), ("late", 5)]

    asyncio.run(whole())


def test_an_action_that_raises_does_not_stop_those_behind_it() -> None:
    async def whole() -> None:
        clock = VirtualClock()
        agenda = Agenda(clock)
        seen: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: seen.append(context["exception"])
        )
        agenda.enter(clock.monotonic(), lambda: [][0])
        agenda.enter(clock.monotonic(), lambda: seen.append("behind"))
        await clock.advance(1)
        assert isinstance(seen[0], IndexError)
        assert seen[1] == "behind"

    asyncio.run(whole())


def test_nothing_runs_after_close() -> None:
    async def whole() -> None:
        clock = VirtualClock()
        agenda = Agenda(clock)
        agenda.enter(clock.monotonic(), lambda: pytest.fail("ran"))
        agenda.enter(clock.monotonic() + 1, lambda: pytest.fail("ran"))
        agenda.close()
        await clock.advance(2)

    asyncio.run(whole())


@pytest.mark.parametrize(
    ("hours", "when", "open_"),
    [
        (STOCK_HOURS, datetime(2026, 1, 5, 14, 29, tzinfo=UTC), False),
        (STOCK_HOURS, datetime(2026, 1, 5, 14, 30, tzinfo=UTC), True),
        (STOCK_HOURS, datetime(2026, 1, 5, 21, 0, tzinfo=UTC), False),
        (STOCK_HOURS, datetime(2026, 1, 4, 15, 0, tzinfo=UTC), False),
        (STOCK_HOURS, datetime(2026, 7, 6, 13, 30, tzinfo=UTC), True),
        (FUTURES_HOURS, datetime(2026, 1, 4, 23, 30, tzinfo=UTC), True),
        (FUTURES_HOURS, datetime(2026, 1, 4, 22, 30, tzinfo=UTC), False),
        (FUTURES_HOURS, datetime(2026, 1, 5, 22, 30, tzinfo=UTC), False),
        (FOREX_HOURS, datetime(2026, 1, 7, 3, 0, tzinfo=UTC), True),
        (FOREX_HOURS, datetime(2026, 1, 10, 3, 0, tzinfo=UTC), False),
        (Hours(zone="UTC", open=time(0), close=time(0)), datetime(2026, 1, 7, tzinfo=UTC), True),
    ],
)
def test_an_exchange_is_open_by_its_own_clock(hours: Hours, when: datetime, open_: bool) -> None:
    assert hours.is_open(when) is open_
