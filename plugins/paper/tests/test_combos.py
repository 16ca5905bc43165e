"""Combos: one order, priced from its legs, filled whole units at a time."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from alluse_paper.orders import OrderFilled
from exchange_floor import ACCOUNT, IBM, OTHER, SPX, Floor
from hypothesis import given
from hypothesis import strategies as st

from alluse_core.model import ComboLeg, Instrument, OrderState, Side, TimeInForce

EXPIRY = date(2026, 6, 18)
LOW = Instrument.option("IBM", EXPIRY, 100, "C")
HIGH = Instrument.option("IBM", EXPIRY, 110, "C")
SPREAD = Instrument.combo("IBM", (ComboLeg(LOW, Side.BUY), ComboLeg(HIGH, Side.SELL)))
RATIO = Instrument.combo("IBM", (ComboLeg(LOW, Side.BUY), ComboLeg(HIGH, Side.SELL, 2)))


def floor(**model: object) -> Floor:
    made = Floor(IBM, SPX, LOW, HIGH, **model)
    made.quote(5.0, 5.2, 10, 10, LOW)
    made.quote(2.0, 2.1, 10, 10, HIGH)
    return made


def fills(made: Floor) -> list[OrderFilled]:
    return [each for each in made.said if isinstance(each, OrderFilled)]


def held(made: Floor, account: str = ACCOUNT) -> dict[Instrument, Decimal]:
    return {each.instrument: each.quantity for each in made.exchange.accounts.positions(account)}


def test_a_combo_trades_at_the_sum_of_its_legs_and_only_the_legs_move_positions() -> None:
    made = floor()
    number = made.place("BUY", 3, "3.20", instrument=SPREAD)
    (event,) = fills(made)
    fill = event.execution
    assert (fill.instrument, fill.quantity, fill.price) == (SPREAD, 3, Decimal("3.2"))
    assert [(each.instrument, each.side, each.quantity, each.price) for each in fill.legs] == [
        (LOW, Side.BUY, 3, Decimal("5.2")),
        (HIGH, Side.SELL, 3, Decimal("2.0")),
    ]
    assert fill.commission == fill.realized == 0
    assert held(made) == {LOW: 3, HIGH: -3}
    paid = sum(each.commission for each in fill.legs)
    assert paid > 0
    cash = made.exchange.accounts.cash(ACCOUNT)["USD"]
    assert cash == 10_000_000 - 3 * 100 * Decimal("3.2") - paid
    assert made.exchange.order(number).state is OrderState.FILLED


def test_selling_a_combo_sells_what_buying_it_buys() -> None:
    made = floor()
    made.place("SELL", 2, "2.90", instrument=SPREAD)
    (event,) = fills(made)
    assert event.execution.price == Decimal("2.9")
    assert held(made) == {LOW: -2, HIGH: 2}


def test_a_combo_may_cost_less_than_nothing() -> None:
    made = floor()
    made.quote(3.0, 3.1, 10, 10, HIGH)
    assert made.exchange.top(RATIO).ask == pytest.approx(-0.8)  # type: ignore[union-attr]
    waits = made.place("BUY", 2, "-0.90", instrument=RATIO)
    assert made.exchange.order(waits).state is OrderState.ACCEPTED
    made.quote(3.05, 3.1, 10, 10, HIGH)
    order = made.exchange.order(waits)
    assert (order.state, order.average_price) == (OrderState.FILLED, Decimal("-0.9"))
    assert held(made) == {LOW: 2, HIGH: -4}


def test_a_combo_may_cost_nothing_at_all() -> None:
    made = floor()
    made.quote(2.6, 2.7, 10, 10, HIGH)
    number = made.place("BUY", 1, "0.00", instrument=RATIO)
    assert made.exchange.order(number).average_price == 0
    assert held(made) == {LOW: 1, HIGH: -2}


def test_a_combo_fills_in_whole_units_of_what_its_legs_show() -> None:
    made = floor()
    made.quote(2.0, 2.1, 5, 5, HIGH)
    number = made.place("BUY", 4, "5.00", instrument=RATIO)
    order = made.exchange.order(number)
    assert (order.state, order.filled) == (OrderState.PARTIALLY_FILLED, 2)
    assert held(made) == {LOW: 2, HIGH: -4}
    # What the combo took is not there for an order in one leg, until the market shows more.
    single = made.place("SELL", 5, "2.00", instrument=HIGH)
    assert made.exchange.order(single).filled == 1
    made.quote(1.9, 2.1, 50, 5, HIGH)
    assert made.exchange.order(number).filled == 4
    assert held(made)[LOW] == 4


def test_a_resting_combo_fills_at_its_own_limit_and_its_legs_make_that_price() -> None:
    made = floor()
    number = made.place("BUY", 1, "3.00", instrument=SPREAD)
    assert made.exchange.order(number).state is OrderState.ACCEPTED
    made.quote(4.5, 4.8, 10, 10, LOW)
    (event,) = fills(made)
    low, high = event.execution.legs
    assert event.execution.price == 3
    assert low.price - high.price == 3
    assert event.execution.average_price == 3


def test_a_combo_does_not_trade_while_a_leg_is_halted_or_has_no_quote() -> None:
    made = floor()
    made.exchange.halt(HIGH)
    number = made.place("BUY", 1, "4.00", instrument=SPREAD)
    assert made.exchange.order(number).state is OrderState.ACCEPTED
    made.exchange.halt(HIGH, False)
    made.run()
    assert made.exchange.order(number).state is OrderState.FILLED
    made.quote(float("nan"), 2.1, 0, 10, HIGH)
    other = made.place("BUY", 1, "", instrument=SPREAD)
    assert made.exchange.order(other).state is OrderState.ACCEPTED


def test_fill_or_kill_asks_all_legs() -> None:
    made = floor()
    kill = made.place("BUY", 6, "9.00", instrument=RATIO, time_in_force=TimeInForce.FOK)
    assert made.exchange.order(kill).state is OrderState.CANCELED
    assert held(made) == {}
    fill = made.place("BUY", 5, "9.00", instrument=RATIO, time_in_force=TimeInForce.FOK)
    assert made.exchange.order(fill).state is OrderState.FILLED


def test_a_resting_combo_can_be_changed_and_cancelled() -> None:
    made = floor()
    number = made.place("BUY", 2, "2.00", instrument=SPREAD)
    made.exchange.replace(number, limit_price=Decimal("2.50"), quantity=Decimal(3))
    made.run()
    assert made.exchange.order(number).request.limit_price == Decimal("2.50")
    made.cancel(number)
    assert made.exchange.order(number).state is OrderState.CANCELED
    made.quote(2.0, 2.1, 10, 10, LOW)
    assert held(made) == {}


def test_two_accounts_meet_in_a_combo() -> None:
    made = floor()
    made.place("SELL", 1, "3.10", instrument=SPREAD, account=OTHER)
    made.place("BUY", 1, "3.10", instrument=SPREAD)
    assert held(made) == {LOW: 1, HIGH: -1}
    assert held(made, OTHER) == {LOW: -1, HIGH: 1}
    for event in fills(made):
        low, high = event.execution.legs
        assert low.price - high.price == event.execution.price == Decimal("3.1")


def test_shares_against_an_option_are_priced_a_share() -> None:
    made = floor()
    made.quote(103.0, 103.1, 1000, 1000, IBM)
    covered = Instrument.combo("IBM", (ComboLeg(IBM, Side.BUY, 100), ComboLeg(LOW, Side.SELL)))
    number = made.place("BUY", 2, "98.10", instrument=covered)
    assert made.exchange.order(number).average_price == Decimal("98.1")
    assert held(made) == {IBM: 200, LOW: -2}


@pytest.mark.parametrize(
    ("legs", "said"),
    [
        ((), "no legs"),
        ((ComboLeg(LOW, Side.BUY), ComboLeg(LOW, Side.SELL)), "one instrument"),
        ((ComboLeg(LOW, Side.BUY, 0), ComboLeg(HIGH, Side.SELL)), "ratio"),
        ((ComboLeg(LOW, Side.BUY), ComboLeg(SPX, Side.SELL)), "a share, an option or a future"),
        ((ComboLeg(Instrument.stock("ABSENT"), Side.BUY),), "does not list"),
    ],
)
def test_what_is_no_combo_is_rejected(legs: tuple[ComboLeg, ...], said: str) -> None:
    made = floor()
    number = made.place("BUY", 1, "1.00", instrument=Instrument.combo("IBM", legs))
    order = made.exchange.order(number)
    assert order.state is OrderState.REJECTED
    assert said in order.reason


def test_margin_is_what_the_legs_need() -> None:
    made = floor(check_margin=True)
    poor = Floor(LOW, HIGH, deposit=Decimal(1000))
    poor.quote(5.0, 5.2, 10, 10, LOW)
    poor.quote(2.0, 2.1, 10, 10, HIGH)
    number = poor.place("SELL", 1, "2.90", instrument=SPREAD)
    assert "insufficient margin" in poor.exchange.order(number).reason
    number = made.place("SELL", 1, "2.90", instrument=SPREAD)
    assert made.exchange.order(number).state is OrderState.FILLED


def test_an_expired_leg_ends_the_orders_for_its_combos() -> None:
    made = floor()
    number = made.place("BUY", 1, "1.00", instrument=SPREAD, time_in_force=TimeInForce.GTC)
    made.market_time += 200 * 86400
    made.quote(5.0, 5.2, 10, 10, IBM)
    assert made.exchange.order(number).state is OrderState.CANCELED


@given(
    st.lists(st.tuples(st.integers(1, 400), st.integers(1, 50)), min_size=2, max_size=2),
    st.lists(st.integers(1, 4), min_size=2, max_size=2),
    st.sampled_from(["BUY", "SELL"]),
    st.integers(1, 30),
)
def test_legs_always_add_up(
    quotes: list[tuple[int, int]], ratios: list[int], side: str, quantity: int
) -> None:
    made = Floor(LOW, HIGH)
    for instrument, (price, size) in zip((LOW, HIGH), quotes, strict=True):
        made.quote(price / 20, price / 20 + 0.05, size, size, instrument)
    legs = (ComboLeg(LOW, Side.BUY, ratios[0]), ComboLeg(HIGH, Side.SELL, ratios[1]))
    number = made.place(side, quantity, instrument=Instrument.combo("IBM", legs))
    order = made.exchange.order(number)
    room = min(size // ratio for (_, size), ratio in zip(quotes, ratios, strict=True))
    assert order.filled == min(quantity, room)
    sign = 1 if side == "BUY" else -1
    wanted = {LOW: sign * ratios[0] * order.filled, HIGH: -sign * ratios[1] * order.filled}
    assert held(made) == {each: amount for each, amount in wanted.items() if amount}
    for event in fills(made):
        low, high = event.execution.legs
        # A leg's price may be a recurring fraction: what a share of the combo's price comes to.
        told = low.price * ratios[0] - high.price * ratios[1]
        assert abs(told - event.execution.price) < Decimal("1e-9")
