"""Orders and groups: what can be meant, and what is refused before it can be sent."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alluse_core.errors import AllUseError, InvalidType, InvalidValue
from alluse_core.model import (
    GroupKind,
    Instrument,
    Order,
    OrderGroup,
    OrderState,
    OrderType,
    SecurityType,
    Side,
    TimeInForce,
)
from alluse_core.model.number import decimal

AAPL = Instrument.stock("AAPL")


def limit(key: str = "k/1", **more: Any) -> Order:
    return attrs.evolve(Order.limit(AAPL, Side.BUY, 100, "189.50", key=key), **more)


def test_the_constructors_say_what_kind_of_order_it_is() -> None:
    market = Order.market(AAPL, Side.SELL, 5, key="m")
    stop = Order.stop(AAPL, Side.SELL, 5, "180", key="s")
    stop_limit = Order.stop(AAPL, Side.SELL, 5, "180", limit_price="179", key="sl")
    assert [order.order_type for order in (market, limit(), stop, stop_limit)] == list(OrderType)
    assert limit().limit_price == Decimal("189.50")
    assert (stop_limit.stop_price, stop_limit.limit_price) == (Decimal(180), Decimal(179))


@pytest.mark.parametrize("value", [0.1, 100.0, float("nan"), True, None, b"1", [1]])
def test_a_float_is_no_price_and_no_quantity(value: Any) -> None:
    with pytest.raises(TypeError) as told:
        decimal(value)
    assert isinstance(told.value, InvalidType)


@pytest.mark.parametrize("value", ["", "abc", "1,5", "NaN", "Infinity", "-Infinity", "sNaN"])
def test_text_that_is_no_finite_number_is_refused(value: str) -> None:
    with pytest.raises(ValueError) as told:
        decimal(value)
    assert isinstance(told.value, InvalidValue)
    assert told.value.hint


@pytest.mark.parametrize(
    "value",
    [
        "1_000",
        "\uff11\uff10\uff10",
        "\u0661",
        "1" * 29,
        "0." + "1" * 5000,
        10**4000,
        Decimal.from_float(0.1),
        "1E5000",
        Decimal("1E5000"),
        Decimal("-1E15"),
        "1E-19",
        "0E5000",
        Decimal("0E-5000"),
    ],
)
def test_a_number_beyond_any_price_or_quantity_is_refused_in_a_short_sentence(value: Any) -> None:
    with pytest.raises(InvalidValue) as told:
        Order.limit(AAPL, Side.BUY, 1, value, key="k")
    assert told.value.hint
    assert len(str(told.value)) < 120
    with pytest.raises(InvalidValue):
        Instrument.option("AAPL", date(2026, 12, 18), value, "C")


@given(st.decimals(-(10**14), 10**14, places=12) | st.integers(-(10**15) + 1, 10**15 - 1))
def test_a_number_is_kept_to_the_last_digit(number: Decimal | int) -> None:
    assert decimal(str(number)).as_tuple() == Decimal(number).as_tuple()
    assert decimal(number).as_tuple() == Decimal(number).as_tuple()


@pytest.mark.parametrize("quantity", [0, -1, "0", "-0.5"])
def test_a_quantity_is_positive(quantity: Any) -> None:
    with pytest.raises(ValueError, match="positive"):
        Order.market(AAPL, Side.BUY, quantity, key="k")


def test_a_price_may_be_negative_as_that_of_a_spread_is() -> None:
    assert Order.limit(AAPL, Side.BUY, 1, "-0.35", key="k").limit_price == Decimal("-0.35")


@pytest.mark.parametrize(
    ("kind", "prices"),
    [
        (OrderType.MARKET, {"limit_price": 1}),
        (OrderType.MARKET, {"stop_price": 1}),
        (OrderType.LIMIT, {}),
        (OrderType.LIMIT, {"limit_price": 1, "stop_price": 1}),
        (OrderType.STOP, {}),
        (OrderType.STOP, {"stop_price": 1, "limit_price": 1}),
        (OrderType.STOP_LIMIT, {"stop_price": 1}),
        (OrderType.STOP_LIMIT, {"limit_price": 1}),
    ],
)
def test_an_order_has_exactly_the_prices_of_its_type(kind: OrderType, prices: Any) -> None:
    with pytest.raises(ValueError, match=kind.value):
        Order(AAPL, Side.BUY, 1, kind, "k", **prices)


@pytest.mark.parametrize("key", ["", " ", "   ", "a\nb", "a\x00b", "x" * 201])
def test_a_key_is_short_and_printable(key: str) -> None:
    with pytest.raises(InvalidValue, match="key"):
        limit(key)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: limit(""),
        lambda: limit(side="BUY"),
        lambda: limit(stop_price=1),
        lambda: limit(quantity=0),
        lambda: limit(send_within=-1),
        lambda: limit(send_within="1"),
        lambda: limit(good_till=datetime(2026, 1, 1, tzinfo=UTC)),
        lambda: limit(good_till="2026-01-01", time_in_force=TimeInForce.GTD),
        lambda: Instrument.stock(7),  # type: ignore[arg-type]
        lambda: Instrument.stock("A", currency=None),  # type: ignore[arg-type]
        lambda: Instrument.option("A", "20261218", 1, "C"),  # type: ignore[arg-type]
        lambda: Instrument.option("A", date(2026, 12, 18), 1.5, "C"),  # type: ignore[arg-type]
        lambda: Instrument("A", SecurityType.FUTURE, multiplier=0.5),  # type: ignore[arg-type]
        lambda: OrderGroup.bracket(limit()),
        lambda: OrderGroup.oca(limit("a"), limit("a"), key="g"),
        lambda: OrderGroup.oca(limit("a"), limit("b"), key=" "),
        lambda: OrderGroup.oca(limit("a"), limit("b", account="DU2"), key="g"),
        lambda: Instrument.stock(""),
        lambda: Instrument.stock("A B:"),
        lambda: Instrument.forex("EUR"),
        lambda: Instrument.parse("a:b"),
        lambda: Instrument.option("A", date(2026, 12, 18), 1, "X"),
        lambda: Instrument("A", strike=Decimal(1)),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_way_out(wrong: Callable[[], object]) -> None:
    with pytest.raises(AllUseError) as told:
        wrong()
    assert isinstance(told.value, ValueError | TypeError)
    assert told.value.exit_code == 2
    assert told.value.hint
    copied = pickle.loads(pickle.dumps(told.value))  # noqa: S301 - our own, made here
    assert (type(copied), str(copied), copied.hint) == (
        type(told.value),
        str(told.value),
        told.value.hint,
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"side": "BUY"},
        {"instrument": "AAPL"},
        {"order_type": "LMT"},
        {"time_in_force": "DAY"},
        {"key": 7},
        {"broker": None},
        {"account": None},
    ],
)
def test_a_word_that_only_looks_like_a_side_is_refused(fields: dict[str, Any]) -> None:
    # "BUY" == Side.BUY and "BUY" is not Side.BUY: code that asks by identity would sell.
    with pytest.raises(TypeError):
        attrs.evolve(limit(), **fields)


def test_good_till_belongs_to_gtd_and_carries_a_zone() -> None:
    till = datetime(2026, 12, 18, 21, tzinfo=UTC)
    assert limit(time_in_force=TimeInForce.GTD, good_till=till).good_till == till
    with pytest.raises(ValueError, match="GTD"):
        limit(time_in_force=TimeInForce.GTD)
    with pytest.raises(ValueError, match="GTD"):
        limit(good_till=till)
    with pytest.raises(ValueError, match="time zone"):
        limit(time_in_force=TimeInForce.GTD, good_till=till.replace(tzinfo=None))


def test_orders_compare_by_value_and_cannot_be_changed() -> None:
    assert limit() == limit()
    assert limit() != limit("k/2")
    assert len({limit(), limit()}) == 1
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        limit().quantity = Decimal(1)  # type: ignore[misc]


def test_a_bracket_closes_what_its_entry_opens() -> None:
    entry = limit(broker="main", account="DU1", outside_rth=True)
    group = OrderGroup.bracket(entry, take_profit="195", stop="185")
    first, profit, stop = group.orders
    assert group.kind is GroupKind.BRACKET
    assert first is entry
    assert [order.key for order in group.orders] == ["k/1", "k/1/profit", "k/1/stop"]
    for order in (profit, stop):
        assert order.side is Side.SELL
        assert order.quantity == entry.quantity
        assert (order.broker, order.account, order.outside_rth) == ("main", "DU1", True)
        assert order.time_in_force is TimeInForce.GTC
    assert profit.limit_price == Decimal(195)
    assert stop.stop_price == Decimal(185)


def test_a_bracket_without_an_exit_is_refused() -> None:
    with pytest.raises(ValueError, match="two orders"):
        OrderGroup.bracket(limit())


def test_an_oca_group_has_two_orders_of_different_keys_and_one_account() -> None:
    assert OrderGroup.oca(limit("a"), limit("b"), key="g").kind is GroupKind.OCA
    with pytest.raises(ValueError, match="keys"):
        OrderGroup.oca(limit("a"), limit("a"), key="g")
    with pytest.raises(ValueError, match="account"):
        OrderGroup.oca(limit("a"), limit("b", account="DU2"), key="g")
    with pytest.raises(ValueError, match="key"):
        OrderGroup.oca(limit("a"), limit("b"), key="")


@pytest.mark.parametrize("kind", ["bracket", "oca", "g", None])
def test_a_group_of_another_kind_is_refused(kind: object) -> None:
    """Told by identity, a plain "bracket" was sent as an OCA group: the entry ended its stop."""
    with pytest.raises(TypeError, match="kind is a GroupKind"):
        OrderGroup(kind, "g", (limit("a"), limit("b")))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="made of orders"):
        OrderGroup(GroupKind.OCA, "g", (limit("a"), kind))  # type: ignore[arg-type]


def test_five_states_are_terminal_and_unknown_is_none_of_them() -> None:
    terminal = {state.value for state in OrderState if state.is_terminal}
    assert terminal == {"DENIED", "FILLED", "CANCELED", "REJECTED", "EXPIRED"}
