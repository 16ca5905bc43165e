"""Flatten beside other exits: everything is closed in the end, and no position is flipped."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from desk_floor import AAPL, Floor, buy, floor, run, sell

from alluse_core.model import Order, OrderGroup, OrderState, OrderType, Position, Side, TimeInForce
from alluse_core.model.order import GroupKind
from alluse_core.orders.closing import closers, makes_way, possibly_closed
from alluse_core.orders.live import LiveOrder

S = OrderState


def stop(key: str, quantity: int = 100) -> Order:
    return Order.stop(AAPL, Side.SELL, quantity, "90", key=key)


def market(key: str, quantity: int = 100) -> Order:
    return Order.market(AAPL, Side.SELL, quantity, key=key)


async def hold(desk: Floor, quantity: int = 100) -> None:
    desk.broker.held["DU1", AAPL] = Decimal(quantity)
    await desk.orders.reconcile("fake")


def placed(desk: Floor) -> list[tuple[str, Decimal]]:
    """Return what flatten sent: (side, quantity) of each order."""
    return [
        (each.message.order.side.value, each.message.order.quantity)
        for each in desk.broker.orders.values()
        if each.message.order.key.startswith("flatten/")
    ]


def closing(desk: Floor) -> str:
    """Return the orderRef of flatten's newest order."""
    keys = [each for each in desk.orders.all() if each.key.startswith("flatten/")]
    return keys[-1].order_ref


@pytest.mark.parametrize("mode", ["accept", "silent"])
def test_an_exit_under_way_is_not_doubled(tmp_path: Path, mode: str) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await hold(desk)
            desk.broker.mode = mode
            exit_ = await desk.orders.submit(market("exit"))
            await desk.settle()
            await desk.orders.begin_flatten()
            await desk.settle(5)
            assert placed(desk) == []
            desk.broker.fill(exit_.order_ref)
            await desk.settle(3)
            assert not any(desk.broker.held.values())
            assert placed(desk) == []
            assert not desk.orders.flattening

    run(scenario())


def test_an_exit_that_is_unknown_is_not_doubled(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await hold(desk)
            desk.broker.mode = "lose"
            exit_ = await desk.orders.submit(market("exit", 40))
            await desk.settle(60)
            assert exit_.state is S.UNKNOWN
            desk.broker.mode = "fill"
            await desk.orders.begin_flatten()
            await desk.settle(10)
            assert placed(desk) == [("SELL", Decimal(60))], "what it leaves is closed"
            await desk.orders.resolve("exit", S.CANCELED, "Ada")
            await desk.settle(60)
            assert not any(desk.broker.held.values())
            assert not desk.orders.flattening

    run(scenario())


def test_a_limit_that_rests_makes_way_before_its_part_is_closed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await hold(desk)
            limit = await desk.orders.submit(sell("limit", 40, "150"))
            await desk.settle()
            desk.broker.answers_cancels = False
            await desk.orders.begin_flatten()
            await desk.settle(3)
            assert placed(desk) == [("SELL", Decimal(60))]
            desk.broker.fill(limit.order_ref, Decimal(15))
            desk.broker.fill(closing(desk))
            desk.broker.cancel_by_broker(limit.order_ref)
            desk.broker.mode = "fill"
            await desk.settle(3)
            assert placed(desk) == [("SELL", Decimal(60)), ("SELL", Decimal(25))]
            assert not any(desk.broker.held.values())
            assert not desk.orders.flattening

    run(scenario())


def test_one_call_closes_what_a_resting_limit_was_to_close(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await hold(desk)
            limit = await desk.orders.submit(sell("limit", 100, "150"))
            protection = await desk.orders.submit(stop("stop"))
            await desk.settle()
            desk.broker.mode = "fill"
            done = await desk.orders.flatten()
            assert done.still_open == ()
            await desk.settle(2)
            assert (limit.state, protection.state) == (S.CANCELED, S.CANCELED)
            kinds = [kind for kind, _ in desk.broker.sent]
            assert kinds[2:] == ["cancel", "place", "cancel"], "the stop is cancelled last"

    run(scenario())


def test_a_stop_that_fills_first_leaves_no_closing_order_at_work(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await hold(desk)
            protection = await desk.orders.submit(stop("stop"))
            await desk.settle()
            await desk.orders.begin_flatten()
            await desk.settle(2)
            assert placed(desk) == [("SELL", Decimal(100))]
            assert protection.state is S.ACCEPTED, "protection is cancelled last"
            desk.broker.fill(protection.order_ref)
            await desk.settle(2)
            assert not any(each.is_open for each in desk.broker.orders.values())
            assert not desk.orders.flattening
            assert len(placed(desk)) == 1

    run(scenario())


def test_what_a_stop_opens_that_fills_beside_the_closing_order_is_closed_too(
    tmp_path: Path,
) -> None:
    """Protection is cancelled last, so at an open both may execute: that is not held."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await hold(desk)
            protection = await desk.orders.submit(stop("stop"))
            await desk.settle()
            await desk.orders.begin_flatten()
            await desk.settle(2)
            desk.broker.fill(protection.order_ref)
            desk.broker.fill(closing(desk))
            assert desk.orders.positions().rows[0].quantity == -100
            await desk.settle(3)
            assert placed(desk) == [("SELL", Decimal(100)), ("BUY", Decimal(100))]
            desk.broker.fill(closing(desk))
            await desk.settle(3)
            assert not any(desk.broker.held.values())
            assert not desk.orders.flattening

    run(scenario())


def test_a_closing_order_larger_than_what_is_left_is_replaced(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await hold(desk)
            protection = await desk.orders.submit(stop("stop", 70))
            await desk.settle()
            await desk.orders.begin_flatten()
            await desk.settle(2)
            desk.broker.fill(protection.order_ref)
            await desk.settle(5)
            assert placed(desk) == [("SELL", Decimal(100)), ("SELL", Decimal(30))]
            desk.broker.fill(closing(desk))
            await desk.settle(3)
            assert not any(desk.broker.held.values())
            assert not desk.orders.flattening

    run(scenario())


def test_a_closing_order_stays_while_its_position_is_not_told_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await hold(desk)
            await desk.orders.begin_flatten()
            await desk.settle(2)
        desk.broker.lists_fail = True
        async with floor(tmp_path, broker=desk.broker, clock=desk.clock) as again:
            await again.settle(5)
            assert [kind for kind, _ in again.broker.sent] == ["place"]
            again.broker.lists_fail = False
            again.broker.fill(closing(again))
            await again.settle(60)
            assert not again.orders.flattening

    run(scenario())


def test_a_bracket_is_closed_whole_with_its_stop_cancelled_last(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            orders = (buy("entry"), sell("take", price="150"), stop("stop"))
            await desk.orders.submit(OrderGroup(GroupKind.BRACKET, "bracket", orders))
            await desk.settle()
            desk.broker.fill(desk.orders.get("entry").order_ref)
            await desk.settle()
            desk.broker.mode = "fill"
            await desk.orders.flatten()
            await desk.settle(3)
            assert placed(desk) == [("SELL", Decimal(100))]
            assert not any(desk.broker.held.values())
            assert not any(each.is_open for each in desk.broker.orders.values())

    run(scenario())


@pytest.mark.parametrize(
    ("kind", "tif", "state", "counts", "leaves"),
    [
        (OrderType.MARKET, TimeInForce.DAY, S.SUBMITTED, True, False),
        (OrderType.MARKET, TimeInForce.DAY, S.ACCEPTED, True, False),
        (OrderType.MARKET, TimeInForce.DAY, S.HELD, True, True),
        (OrderType.MARKET, TimeInForce.DAY, S.UNKNOWN, True, True),
        (OrderType.MARKET, TimeInForce.OPG, S.ACCEPTED, True, True),
        (OrderType.LIMIT, TimeInForce.GTC, S.SUBMITTED, True, False),
        (OrderType.LIMIT, TimeInForce.GTC, S.PARTIALLY_FILLED, True, True),
        (OrderType.LIMIT, TimeInForce.GTC, S.UNKNOWN, True, True),
        (OrderType.STOP, TimeInForce.GTC, S.SUBMITTED, True, False),
        (OrderType.STOP, TimeInForce.GTC, S.ACCEPTED, False, False),
        (OrderType.STOP, TimeInForce.GTC, S.PARTIALLY_FILLED, True, False),
        (OrderType.STOP_LIMIT, TimeInForce.GTC, S.HELD, False, False),
        (OrderType.STOP_LIMIT, TimeInForce.GTC, S.PARTIALLY_FILLED, True, True),
    ],
)
def test_what_may_fill_at_any_moment_counts_and_what_only_rests_makes_way(
    kind: OrderType, tif: TimeInForce, state: OrderState, counts: bool, leaves: bool
) -> None:
    from alluse_core.orders.book import Book

    book = Book()
    limit = Decimal(99) if kind in (OrderType.LIMIT, OrderType.STOP_LIMIT) else None
    trigger = Decimal(90) if kind in (OrderType.STOP, OrderType.STOP_LIMIT) else None
    order = Order(
        AAPL,
        Side.SELL,
        Decimal(100),
        kind,
        "exit",
        limit_price=limit,
        stop_price=trigger,
        time_in_force=tif,
        broker="fake",
        account="DU1",
    )
    live = LiveOrder(order, "digest", "ref", state)
    book.add(live)
    row = Position("fake", "DU1", AAPL, Decimal(100), Decimal(0))
    found = closers(book, row)
    assert bool(found) is counts
    assert possibly_closed(found) == (100 if counts else 0)
    assert counts is False or makes_way(live) is leaves
