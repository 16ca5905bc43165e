"""Which days are no trading days, and which end early."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import pytest
from alluse_paper.holidays import CLOSED, FOREX, US_EQUITIES, US_FUTURES, special_day
from alluse_paper.hours import FUTURES_HOURS, STOCK_HOURS
from exchange_floor import EURUSD, IBM, OPEN, Floor

from alluse_core.model.order import OrderState, TimeInForce


@pytest.mark.parametrize(
    "day",
    # NYSE's own list for 2026, and what was special in years before.
    [
        "2026-01-01",
        "2026-01-19",
        "2026-02-16",
        "2026-04-03",
        "2026-05-25",
        "2026-06-19",
        "2026-07-03",
        "2026-09-07",
        "2026-11-26",
        "2026-12-25",
        "2023-01-02",
        "2021-07-05",
        "2021-12-24",
        "2025-01-09",
        "2012-10-29",
        "2024-03-29",
        "2025-04-18",
        "2019-04-19",
    ],
)
def test_the_stock_exchange_is_closed_on_its_holidays(day: str) -> None:
    when = date.fromisoformat(day)
    assert special_day(US_EQUITIES, when) == CLOSED
    assert STOCK_HOURS.session_on(when) is None
    assert STOCK_HOURS.session_on(when, extended=True) is None


@pytest.mark.parametrize(
    "day", ["2026-11-27", "2026-12-24", "2025-07-03", "2015-12-24", "2013-07-03", "2024-11-29"]
)
def test_the_stock_exchange_closes_at_one_on_its_short_days(day: str) -> None:
    session = STOCK_HOURS.session_on(date.fromisoformat(day))
    assert session is not None
    assert (session[1] - session[0]).total_seconds() == 3.5 * 3600


@pytest.mark.parametrize("day", ["2022-01-03", "2021-12-31", "2026-07-02", "2021-06-18"])
def test_days_beside_a_holiday_are_ordinary(day: str) -> None:
    assert special_day(US_EQUITIES, date.fromisoformat(day)) is None


def test_futures_stop_at_noon_on_most_holidays_and_currencies_stop_twice_a_year() -> None:
    thanksgiving = FUTURES_HOURS.session_on(date(2026, 11, 26))
    assert thanksgiving is not None
    assert thanksgiving[1] == datetime(2026, 11, 26, 18, 0, tzinfo=UTC)
    assert FUTURES_HOURS.session_on(date(2026, 4, 3)) is None
    assert special_day(US_FUTURES, date(2026, 11, 27)).close == time(12, 15)  # type: ignore[union-attr]
    assert special_day(FOREX, date(2026, 11, 26)) is None
    assert special_day(FOREX, date(2026, 12, 25)) == CLOSED


def test_the_session_after_a_holiday_weekend_is_the_next_trading_day() -> None:
    session = STOCK_HOURS.session_at(datetime(2026, 4, 2, 21, 0, tzinfo=UTC))
    assert session is not None
    assert session[0].date() == date(2026, 4, 6)


def test_an_early_close_ends_day_orders_and_shows_no_more_until_the_next_session() -> None:
    floor = Floor()
    floor.quote(10.0, 10.1)
    day = floor.place("BUY", 1, "9")
    later = floor.place("BUY", 1, "9.5", time_in_force=TimeInForce.GTC)
    closed = floor.exchange.close_early(US_EQUITIES, floor.market_time + 60)
    assert [str(each) for each in closed] == ["IBM", "SPX"]
    assert floor.exchange.hours(floor.exchange.listing(EURUSD)).calendar == FOREX
    floor.market_time += 60
    floor.quote(9.0, 9.1)
    top = floor.exchange.top(IBM)
    assert top is not None
    assert top.bid == 10.0
    floor.quote(1.1, 1.2, instrument=EURUSD)
    assert floor.order(day).state is OrderState.EXPIRED
    assert floor.order(later).state is OrderState.HELD
    floor.market_time = OPEN + 86_400
    floor.quote(9.0, 9.1)
    assert floor.order(later).state is OrderState.FILLED


def test_an_early_close_of_what_is_not_open_concerns_nothing() -> None:
    floor = Floor()
    assert floor.exchange.close_early("unheard-of", OPEN + 60) == ()
    assert floor.exchange.close_early(US_EQUITIES, OPEN - 86_400 * 2) == ()
