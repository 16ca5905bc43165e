"""Orders that reduce: always allowed out, never past flat."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from desk_floor import AAPL, buy, floor, placed, run, sell

from alluse_core.errors import (
    OrderDenied,
)
from alluse_core.model import (
    LinkState,
    OrderState,
)

S = OrderState


def test_an_exit_that_cannot_leave_is_denied_and_may_be_tried_under_a_new_key(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.held["DU1", AAPL] = Decimal(100)
            await desk.orders.reconcile("fake")
            desk.broker.turn(LinkState.DOWN)
            ticket = await placed(desk, sell("exit"))
            assert ticket.state is S.DENIED
            assert "not sent" in ticket.known.reason

    run(scenario())


def test_two_exits_cannot_flip_the_position(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.held["DU1", AAPL] = Decimal(100)
            await desk.orders.reconcile("fake")
            book = desk.orders._book
            for quantity, proven in ((100, True), (101, False)):
                order = desk.orders._pipeline.complete(sell("x", quantity))
                assert book.reduces(order) is proven
            desk.broker.mode = "lose"
            await placed(desk, sell("first", 60))
            await desk.settle(15)
            assert desk.orders.get("first").state is S.UNKNOWN
            complete = desk.orders._pipeline.complete
            assert book.reduces(complete(sell("second", 40)))
            assert not book.reduces(complete(sell("second", 41)))
            assert not book.reduces(complete(buy("more", 1)))

    run(scenario())


def test_a_reduce_only_order_is_held_to_it_whatever_stages_run(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            with pytest.raises(OrderDenied) as caught:
                await desk.orders.submit(sell("one", reduce_only=True))
            assert caught.value.stage == "reduce_only"
            desk.broker.held["DU1", AAPL] = Decimal(100)
            await desk.orders.reconcile("fake")
            await placed(desk, sell("two", reduce_only=True))

    run(scenario())
