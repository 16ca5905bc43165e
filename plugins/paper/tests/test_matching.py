"""What fills an order, and at which price."""

from __future__ import annotations

import math

import pytest
from exchange_floor import ACCOUNT, IBM, OTHER, Floor

from alluse_core.model.order import TimeInForce

NAN = math.nan


@pytest.mark.parametrize(
    ("side", "quantity", "price", "quote", "fills"),
    [
        # side, quantity, limit, (bid, ask, bid size, ask size), fills
        ("BUY", 100, "", (99.98, 100.02, 300, 200), [(100, "100.02")]),
        ("SELL", 100, "", (99.98, 100.02, 300, 200), [(100, "99.98")]),
        ("BUY", 300, "", (99.98, 100.02, 300, 200), [(200, "100.02")]),
        ("BUY", 100, "100.05", (99.98, 100.02, 300, 200), [(100, "100.02")]),
        ("BUY", 100, "100.01", (99.98, 100.02, 300, 200), []),
        ("SELL", 100, "99.98", (99.98, 100.02, 300, 200), [(100, "99.98")]),
        ("SELL", 100, "99.99", (99.98, 100.02, 300, 200), []),
        ("BUY", 100, "", (100.00, 100.00, 300, 200), [(100, "100.0")]),
        ("BUY", 100, "", (99.98, NAN, 300, 0), []),
        ("BUY", 100, "", (99.98, 0.0, 300, 200), []),
        ("SELL", 100, "", (NAN, 100.02, 0, 200), []),
        ("SELL", 100, "", (0.0, 100.02, 300, 200), []),
        ("BUY", 100, "", (100.05, 100.02, 300, 200), []),
        ("SELL", 100, "100.00", (100.05, 100.02, 300, 200), []),
        ("BUY", 100, "", (99.98, 100.02, 300, 0), []),
    ],
)
def test_an_arriving_order_takes_what_is_displayed_on_a_valid_side_and_no_more(
    side: str,
    quantity: int,
    price: str,
    quote: tuple[float, float, float, float],
    fills: list[tuple[int, str]],
) -> None:
    floor = Floor()
    floor.quote(*quote)
    number = floor.place(side, quantity, price)
    assert floor.fills(number) == fills


def test_a_market_order_waits_for_a_side_that_is_valid() -> None:
    floor = Floor()
    floor.quote(99.98, NAN)
    number = floor.place("BUY", 100)
    floor.trade(100.0, 500)
    assert floor.state(number) == "ACCEPTED"
    floor.quote(99.98, 100.02)
    assert floor.fills(number) == [(100, "100.02")]


def test_the_rest_of_a_sweep_walks_along_with_the_displayed_prices() -> None:
    floor = Floor()
    floor.quote(99.98, 100.02, 300, 200)
    number = floor.place("BUY", 500, "100.10")
    floor.quote(99.98, 100.04, 300, 200)
    floor.quote(99.98, 100.10, 300, 50)
    assert floor.fills(number) == [(200, "100.02"), (200, "100.04"), (50, "100.1")]


def test_what_the_market_leaves_behind_of_a_sweep_is_a_resting_order() -> None:
    floor = Floor()
    floor.quote(99.98, 100.02, 300, 200)
    number = floor.place("BUY", 500, "100.02")
    floor.quote(99.98, 100.05, 300, 200)
    floor.trade(100.02, 120)
    floor.quote(99.98, 100.00, 300, 100)
    assert floor.fills(number) == [(200, "100.02"), (120, "100.02"), (100, "100.02")]


def test_dirt_says_nothing_of_the_queue() -> None:
    floor = Floor()
    floor.quote(100.00, 100.02, 300, 200)
    number = floor.place("BUY", 100, "100.00")
    for bid, ask in ((NAN, 100.02), (0.0, 100.02), (100.05, 100.02), (99.0, NAN)):
        floor.quote(bid, ask, 1, 200)
    floor.trade(100.00, 250)
    assert floor.fills(number) == []


def test_displayed_size_is_taken_once_until_the_market_shows_it_anew() -> None:
    floor = Floor()
    floor.quote(99.98, 100.02, 300, 200)
    one, two = floor.place("BUY", 200), floor.place("BUY", 200)
    floor.quote(99.97, 100.02, 300, 200)
    assert floor.fills(one) == [(200, "100.02")]
    assert floor.fills(two) == []
    floor.quote(99.97, 100.02, 300, 150)
    assert floor.fills(two) == [(150, "100.02")]


def test_a_resting_order_fills_at_its_limit_when_the_other_side_comes_to_it() -> None:
    floor = Floor()
    floor.quote(99.98, 100.02)
    number = floor.place("BUY", 150, "100.00")
    floor.quote(99.90, 99.95, 100, 100)
    assert floor.fills(number) == [(100, "100.00")]


def test_a_resting_order_stands_behind_what_was_displayed_at_its_price() -> None:
    floor = Floor()
    floor.quote(100.00, 100.02, 300, 200)
    number = floor.place("BUY", 100, "100.00")
    floor.trade(100.00, 250)
    assert floor.fills(number) == []
    floor.trade(100.00, 100)
    assert floor.fills(number) == [(50, "100.00")]
    floor.trade(100.00, 500)
    assert floor.fills(number) == [(50, "100.00"), (50, "100.00")]


def test_size_that_leaves_the_queue_without_a_trade_brings_an_order_forward() -> None:
    floor = Floor()
    floor.quote(100.00, 100.02, 300, 200)
    number = floor.place("BUY", 100, "100.00")
    floor.quote(100.00, 100.02, 50, 200)
    floor.quote(100.00, 100.02, 900, 200)
    floor.trade(100.00, 100)
    assert floor.fills(number) == [(50, "100.00")]


def test_an_order_behind_the_top_queues_when_the_top_comes_to_it() -> None:
    floor = Floor()
    floor.quote(100.00, 100.02, 300, 200)
    number = floor.place("BUY", 100, "99.95")
    floor.quote(99.95, 100.02, 400, 200)
    floor.trade(99.95, 450)
    assert floor.fills(number) == [(50, "99.95")]


def test_a_trade_through_the_limit_fills_whatever_stood_ahead() -> None:
    floor = Floor()
    floor.quote(100.00, 100.02, 300, 200)
    number = floor.place("BUY", 100, "100.00")
    floor.trade(99.99, 60)
    assert floor.fills(number) == [(60, "100.00")]


def test_an_order_that_betters_the_market_is_first_in_line() -> None:
    floor = Floor()
    floor.quote(100.00, 100.04, 300, 200)
    number = floor.place("BUY", 100, "100.02")
    floor.trade(100.02, 70)
    assert floor.fills(number) == [(70, "100.02")]


def test_without_the_queue_model_a_trade_at_the_price_is_enough() -> None:
    floor = Floor(queue=False)
    floor.quote(100.00, 100.02, 300, 200)
    number = floor.place("BUY", 100, "100.00")
    floor.trade(100.00, 100)
    assert floor.fills(number) == [(100, "100.00")]


def test_own_orders_of_one_price_fill_in_the_order_they_came() -> None:
    floor = Floor()
    floor.quote(100.00, 100.04)
    first, second = floor.place("BUY", 100, "100.02"), floor.place("BUY", 100, "100.02")
    better = floor.place("BUY", 100, "100.03")
    floor.trade(100.01, 250)
    assert [sum(q for q, _ in floor.fills(n)) for n in (better, first, second)] == [100, 100, 50]


def test_a_bar_that_reached_through_the_limit_fills_and_one_that_only_touched_it_does_not() -> None:
    floor = Floor()
    floor.quote(100.00, 100.10, 300, 200)
    number = floor.place("BUY", 100, "100.00")
    floor.trade(100.05, 5_000, low=100.00, high=100.10)
    assert floor.fills(number) == []
    floor.trade(100.05, 5_000, low=99.99, high=100.10)
    assert floor.fills(number) == [(100, "100.00")]


def test_a_suspicious_print_neither_moves_the_last_price_nor_fills() -> None:
    floor = Floor()
    floor.quote(100.00, 100.02)
    number = floor.place("BUY", 100, "100.00")
    floor.trade(50.0, 5_000, suspicious=True)
    top = floor.exchange.top(IBM)
    assert top is not None
    assert math.isnan(top.last)
    assert floor.fills(number) == []


def test_orders_of_two_accounts_meet_and_those_of_one_account_do_not() -> None:
    floor = Floor()
    floor.quote(99.90, 100.10)
    resting = floor.place("SELL", 100, "100.00")
    same = floor.place("BUY", 40, "100.00")
    assert floor.fills(same) == []
    other = floor.place("BUY", 60, "100.05", account=OTHER)
    assert floor.fills(resting) == [(60, "100.00")]
    assert floor.fills(other) == [(60, "100.00")]
    assert floor.exchange.accounts.position(OTHER, IBM) == 60
    assert floor.exchange.accounts.position(ACCOUNT, IBM) == -60


@pytest.mark.parametrize(
    ("side", "stop", "price", "fills"),
    [("BUY", "100.50", 100.49, []), ("BUY", "100.50", 100.50, [(100, "100.02")]),
     ("SELL", "99.50", 99.51, []), ("SELL", "99.50", 99.40, [(100, "99.98")])],
)  # fmt: skip
def test_a_stop_becomes_a_market_order_when_the_last_price_reaches_it(
    side: str, stop: str, price: float, fills: list[tuple[int, str]]
) -> None:
    floor = Floor()
    floor.quote(99.98, 100.02, 300, 200)
    floor.trade(100.0, 100)
    number = floor.place(side, 100, stop=stop)
    floor.trade(price, 100)
    assert floor.fills(number) == fills
    assert floor.order(number).triggered == bool(fills)


def test_a_stop_limit_order_rests_at_its_limit_once_triggered() -> None:
    floor = Floor()
    floor.quote(99.98, 100.02)
    number = floor.place("BUY", 100, "100.00", stop="100.01")
    floor.trade(100.01, 100)
    assert floor.order(number).triggered
    assert floor.fills(number) == []
    floor.quote(99.90, 99.99)
    assert floor.fills(number) == [(100, "100.00")]


def test_a_stop_in_an_instrument_that_never_traded_goes_by_the_quote() -> None:
    floor = Floor()
    floor.quote(99.98, 100.02)
    number = floor.place("SELL", 100, stop="99.50")
    floor.quote(99.40, 99.60)
    assert floor.fills(number) == [(100, "99.4")]


def test_nothing_fills_in_a_halt_and_all_of_it_does_after() -> None:
    floor = Floor()
    floor.quote(99.98, 100.02, 300, 200)
    floor.exchange.halt(IBM)
    number = floor.place("BUY", 100)
    floor.trade(100.02, 500)
    floor.quote(99.98, 100.01, 300, 200)
    assert floor.fills(number) == []
    floor.exchange.halt(IBM, False)
    floor.run()
    assert floor.fills(number) == [(100, "100.01")]


@pytest.mark.parametrize(
    ("tif", "quantity", "state", "filled"),
    [
        (TimeInForce.IOC, 100, "FILLED", 100),
        (TimeInForce.IOC, 300, "CANCELED", 200),
        (TimeInForce.FOK, 200, "FILLED", 200),
        (TimeInForce.FOK, 201, "CANCELED", 0),
        (TimeInForce.DAY, 300, "PARTIALLY_FILLED", 200),
        (TimeInForce.GTC, 300, "PARTIALLY_FILLED", 200),
    ],
)
def test_a_time_in_force_says_what_becomes_of_the_rest(
    tif: TimeInForce, quantity: int, state: str, filled: int
) -> None:
    floor = Floor()
    floor.quote(99.98, 100.02, 300, 200)
    number = floor.place("BUY", quantity, time_in_force=tif)
    assert (floor.state(number), floor.order(number).filled) == (state, filled)
