"""Orders that a journal holds and that none is made like any more: read as they were written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from desk_floor import AAPL, buy, floor, placed, run

from alluse_core.errors import InvalidValue
from alluse_core.model import Order, OrderState, OrderType, Side, TimeInForce, number, order
from alluse_core.orders.reader import JournalReader
from alluse_core.orders.records import order_fields, order_from
from alluse_core.ports import TradingState

HUGE = "9" * 3000
LONG = f"1.{'0' * 3000}1"
OLDER: list[dict[str, Any]] = [
    {"key": "one", "quantity": HUGE, "price": "100"},
    {"key": "one", "quantity": "100", "price": LONG},
    {"key": "  ", "quantity": "1E+5000", "price": "1E+5000"},
    {"key": "k" * 500, "quantity": "100", "price": "100"},
]


@contextmanager
def _as_before() -> Iterator[None]:
    """Take what orders once took."""
    with (
        mock.patch.object(number, "check_decimal", return_value=None),
        mock.patch.object(number, "_plain", Decimal),
        mock.patch.object(order, "_check_key", return_value=None),
    ):
        yield


@pytest.mark.parametrize("terms", OLDER)
def test_an_order_that_is_not_made_any_more_is_read_back_and_its_start_is_sound(
    tmp_path: Path, terms: dict[str, Any]
) -> None:
    async def scenario() -> None:
        with _as_before():
            async with floor(tmp_path) as before:
                before.broker.mode = "reject"
                assert (await placed(before, buy(**terms))).state is OrderState.REJECTED
        async with floor(tmp_path, broker=before.broker, clock=before.clock) as desk:
            assert desk.orders.state is TradingState.ACTIVE
            found = desk.orders.get(terms["key"])
            assert found.state is OrderState.REJECTED
            assert found.order.quantity == Decimal(terms["quantity"])
            assert found.order.limit_price == Decimal(terms["price"])
        with JournalReader(tmp_path / "journal.db") as reader:
            assert [each.key for each in reader.orders()] == [terms["key"]]

    run(scenario())


def test_one_whose_fate_is_not_known_is_settled_by_a_persons_word_after_a_start(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        with _as_before():
            async with floor(tmp_path) as before:
                before.broker.mode = "silent"
                await placed(before, buy("one", HUGE))  # type: ignore[arg-type]
                before.broker.orders.clear()
        async with floor(tmp_path, broker=before.broker, clock=before.clock) as desk:
            await desk.settle(1)
            assert desk.orders.get("one").state is OrderState.UNKNOWN
            await desk.orders.resolve("one", OrderState.REJECTED, by="Ada")
            desk.broker.mode = "accept"
            assert (await placed(desk, buy("two"))).state is OrderState.ACCEPTED

    run(scenario())


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": "NaN"},
        {"quantity": "Infinity"},
        {"quantity": "0"},
        {"quantity": "-1"},
        {"limit": "Infinity"},
        {"limit": None},
        {"stop": "1"},
        {"tif": "GTD"},
    ],
)
def test_what_never_was_an_order_is_not_read_as_one(changes: dict[str, Any]) -> None:
    fields = {**order_fields(buy("one")), **changes}
    with pytest.raises(InvalidValue):
        order_from("one", fields)


def test_an_order_of_today_is_read_back_as_it_is() -> None:
    terms = {"time_in_force": TimeInForce.GTC, "stop_price": "98", "limit_price": "99.50"}
    made = Order(AAPL, Side.SELL, "5", OrderType.STOP_LIMIT, "one", **terms)  # type: ignore[arg-type]
    assert order_from("one", order_fields(made)) == made
