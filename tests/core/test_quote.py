"""Quotes: what may price an order, and what only looks as if it could."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alluse_core.model import DataType, Instrument, Quote, QuoteCondition, Side

AAPL = Instrument.stock("AAPL")
NAN = math.nan
PRICES = st.floats(-1e300, 1e300) | st.sampled_from([0.0, NAN, math.inf, -math.inf])


def quote(bid: float = NAN, ask: float = NAN, **more: object) -> Quote:
    return Quote(AAPL, bid, ask, data_type=DataType.LIVE, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bid", "ask", "condition"),
    [
        (10.0, 10.01, QuoteCondition.NORMAL),
        (10.0, 10.0, QuoteCondition.LOCKED),
        (10.02, 10.01, QuoteCondition.CROSSED),
        (-0.35, -0.30, QuoteCondition.NORMAL),
        (10.0, 0.0, QuoteCondition.ONE_SIDED),
        (0.0, 10.0, QuoteCondition.ONE_SIDED),
        (10.0, NAN, QuoteCondition.ONE_SIDED),
        (10.0, math.inf, QuoteCondition.ONE_SIDED),
        (0.0, 0.0, QuoteCondition.EMPTY),
        (-0.0, NAN, QuoteCondition.EMPTY),
        (NAN, NAN, QuoteCondition.EMPTY),
        (math.inf, -math.inf, QuoteCondition.EMPTY),
    ],
)
def test_the_condition_follows_from_the_two_sides(
    bid: float, ask: float, condition: QuoteCondition
) -> None:
    assert quote(bid, ask).condition is condition


@given(PRICES, PRICES)
def test_a_quote_is_priceable_only_with_two_valid_sides_that_do_not_cross(
    bid: float, ask: float
) -> None:
    valid = all(math.isfinite(price) and price != 0 for price in (bid, ask)) and bid <= ask
    assert quote(bid, ask).priceable == valid
    if not valid:
        assert math.isnan(quote(bid, ask).mid)


@pytest.mark.parametrize("data_type", [item for item in DataType if item is not DataType.LIVE])
def test_only_live_data_prices_an_order(data_type: DataType) -> None:
    held = quote(10.0, 10.01)
    assert held.priceable
    held.data_type = data_type
    assert not held.priceable


def test_a_halted_instrument_prices_no_order() -> None:
    assert not quote(10.0, 10.01, halted=True).priceable


def test_a_new_quote_knows_nothing_and_says_so() -> None:
    empty = Quote(AAPL)
    numbers = (empty.bid, empty.ask, empty.last, empty.volume, empty.changed_at, empty.age(5.0))
    assert all(math.isnan(number) for number in numbers)
    assert not empty.priceable
    assert empty.data_type is DataType.UNKNOWN


def test_age_is_counted_from_the_confirmation_not_from_the_change() -> None:
    assert quote(10.0, 10.01, changed_at=100.0, confirmed_at=160.0).age(161.5) == 1.5


def test_the_touch_is_the_other_sides_price_and_absent_where_that_side_is() -> None:
    held = quote(10.0, 0.0)
    assert held.touch(Side.SELL) == 10.0
    assert math.isnan(held.touch(Side.BUY))
