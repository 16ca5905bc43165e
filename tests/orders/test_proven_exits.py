"""Safe means able to get out: what is proven to reduce risk, and what only looks like it."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest
from desk_floor import AAPL, Floor, Stage, buy, floor, run, sell

from alluse_core.errors import (
    JournalCorrupt,
    JournalError,
    KeyConflict,
    OrderDenied,
    RequestFailed,
    TradingHalted,
)
from alluse_core.model import LinkState, Order, OrderGroup, OrderState, Position, Side, Snapshot
from alluse_core.orders.ticket import GroupTicket
from alluse_core.ports import ALLOW, deny


async def hold(desk: Floor, quantity: int = 100) -> None:
    desk.broker.held["DU1", AAPL] = Decimal(quantity)
    await desk.orders.reconcile("fake")


async def filled_bracket(desk: Floor, part: int = 100) -> GroupTicket:
    group = OrderGroup.bracket(buy("e"), take_profit="120", stop="90")
    ticket = await desk.orders.submit(group)
    await desk.settle()
    desk.broker.fill(ticket.tickets[0].order_ref, Decimal(part))
    await desk.settle(1)
    return ticket


def test_nothing_is_proven_to_reduce_a_position_that_the_broker_did_not_tell(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await hold(desk, -100)
            bought = await desk.orders.submit(buy("b"))
            await desk.settle()
        # While nobody ran it closed the short; the next process learns of the fill alone.
        desk.broker.fill(bought.order_ref)

        async def silent() -> Snapshot[Position]:
            raise RequestFailed("positions timed out")

        told, desk.broker.positions = desk.broker.positions, silent  # type: ignore[method-assign]
        async with floor(tmp_path, broker=desk.broker, clock=desk.clock) as again:
            assert again.orders.get("b").state is OrderState.FILLED
            with pytest.raises(OrderDenied, match="reduce-only"):
                await again.orders.submit(sell("exit", reduce_only=True))
            await again.orders.halt("test")
            with pytest.raises(TradingHalted):
                await again.orders.submit(sell("other"))
            desk.broker.positions = told  # type: ignore[method-assign]
            await hold(again, 40)
            await again.orders.submit(sell("told", 40, reduce_only=True))

    run(scenario())


def test_an_exit_is_not_proven_while_the_newest_list_leaves_its_position_out(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await hold(desk)
            del desk.broker.held["DU1", AAPL]
            await desk.orders.reconcile("fake")
            with pytest.raises(OrderDenied, match="reduce-only"):
                await desk.orders.submit(sell("early", reduce_only=True))
            await hold(desk)
            await desk.orders.submit(sell("exit", reduce_only=True))

    run(scenario())


def test_an_exit_of_a_position_once_told_passes_while_the_broker_is_away(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await hold(desk)
            desk.broker.turn(LinkState.DEGRADED)
            await desk.orders.halt("test")
            exit_ = await desk.orders.submit(sell("exit", reduce_only=True))
            desk.broker.turn(LinkState.UP)
            await desk.settle(2)
            assert exit_.state is OrderState.ACCEPTED

    run(scenario())


def test_cancels_that_waited_for_the_link_leave_before_all_else(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, rate=1) as desk:
            await hold(desk)
            await desk.orders.submit(buy("entry"))
            await desk.settle(5)
            before = len(desk.broker.sent)
            desk.broker.turn(LinkState.DOWN)
            await desk.orders.cancel("entry")
            await desk.settle(5)
            assert len(desk.broker.sent) == before, "it waits"
            # It uses up its turn although nothing leaves, so that what follows has to wait for one.
            vain = await desk.orders.submit(sell("in vain", 10))
            await desk.settle()
            assert vain.state is OrderState.DENIED
            desk.broker.turn(LinkState.UP)
            await desk.orders.submit(sell("exit", 10))
            await desk.orders.submit(sell("other", 10))
            await desk.settle(10)
            kinds = [kind for kind, _ in desk.broker.sent[before:]]
            assert kinds == ["cancel", "place", "place"]

    run(scenario())


def test_over_a_damaged_journal_no_new_risk_is_sent_and_exits_and_cancels_are(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await hold(desk)
            await desk.orders.submit(Order.stop(AAPL, Side.SELL, 50, "90", key="stop"))
            await desk.orders.submit(buy("entry"))
            await desk.settle()
        with sqlite3.connect(tmp_path / "journal.db") as connection:
            connection.execute("DELETE FROM record WHERE seq = 1")
        connection.close()
        async with floor(tmp_path, broker=desk.broker, clock=desk.clock) as again:
            assert "record" in again.journal.problem
            with pytest.raises(JournalCorrupt, match="new risk is stopped"):
                await again.orders.submit(buy("new"))
            exit_ = await again.orders.submit(sell("exit", 50, reduce_only=True))
            await again.orders.modify("stop", stop_price="91")
            with pytest.raises(JournalError):
                await again.orders.modify("entry", limit_price="101")
            await again.orders.cancel("entry")
            await again.settle()
            assert exit_.state is OrderState.ACCEPTED
            assert again.orders.get("stop").order.stop_price == 91
            assert again.orders.get("entry").state is OrderState.CANCELED

    run(scenario())


def test_a_bracket_whose_entry_closes_a_position_cannot_open_one_with_its_exits(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        never = Stage(lambda _, __: deny("no"))
        async with floor(tmp_path, stages=(never,)) as desk:
            await hold(desk)
            group = OrderGroup.bracket(sell("e"), take_profit="90", stop="110")
            with pytest.raises(OrderDenied, match="test_stage"):
                await desk.orders.submit(group)
            await desk.orders.halt("test")
            again = OrderGroup.bracket(sell("f"), take_profit="90", stop="110")
            with pytest.raises(TradingHalted):
                await desk.orders.submit(again)
            assert desk.broker.sent == []

    run(scenario())


@pytest.mark.parametrize("part", [100, 40])
def test_the_stop_of_a_held_position_can_be_tightened_whatever_is_shut(
    tmp_path: Path, part: int
) -> None:
    async def scenario() -> None:
        open_ = [True]
        gate = Stage(lambda _, __: deny("stale") if not open_[0] else ALLOW)
        async with floor(tmp_path, stages=(gate,)) as desk:
            await filled_bracket(desk, part)
            open_[0] = False
            await desk.orders.modify("e/stop", stop_price="91")
            await desk.settle()
            await desk.orders.reduce("test")
            await desk.orders.modify("e/profit", limit_price="110")
            await desk.settle()
            desk.orders._gate.reconciling.add("fake")
            await desk.orders.modify("e/stop", stop_price="92")
            await desk.settle()
            await desk.orders.modify("e/stop", stop_price="93", quantity=part)
            await desk.settle()
            order = desk.orders.get("e/stop").order
            assert (order.stop_price, order.quantity) == (Decimal(93), part)
            with pytest.raises(TradingHalted):
                await desk.orders.modify("e/stop", quantity=101)

    run(scenario())


def test_the_price_of_what_could_open_a_position_waits_with_new_risk(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await desk.orders.submit(buy("entry", 10))
            await hold(desk)
            await desk.orders.submit(OrderGroup.bracket(sell("e"), take_profit="90", stop="110"))
            await desk.orders.submit(Order.stop(AAPL, Side.SELL, 150, "80", key="flips"))
            await desk.settle()
            await desk.orders.reduce("test")
            for key, change in (
                ("entry", {"limit_price": "101"}),
                ("e/profit", {"limit_price": "200"}),
                ("flips", {"stop_price": "99"}),
            ):
                with pytest.raises(TradingHalted):
                    await desk.orders.modify(key, **change)

    run(scenario())


def test_what_is_filled_of_an_exit_does_not_count_against_its_change(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await hold(desk)
            exit_ = await desk.orders.submit(sell("exit", 50))
            await desk.settle()
            desk.broker.fill(exit_.order_ref, Decimal(40))
            await desk.settle()
            await desk.orders.reduce("test")
            await desk.orders.modify("exit", quantity=100)
            await desk.settle()
            with pytest.raises(TradingHalted):
                await desk.orders.modify("exit", quantity=101)

    run(scenario())


def test_orders_that_were_sent_one_by_one_are_no_group(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            single = [sell("a", price="110"), sell("b", price="120")]
            for order in single:
                await desk.orders.submit(order)
            with pytest.raises(KeyConflict, match="outside of this group"):
                await desk.orders.submit(OrderGroup.oca(*single, key="pair"))
            tied = OrderGroup.oca(sell("c"), sell("d"), key="tied")
            first = await desk.orders.submit(tied)
            again = await desk.orders.submit(tied)
            assert again.tickets == first.tickets, "the same group is the same"
            with pytest.raises(KeyConflict):
                await desk.orders.submit(OrderGroup.oca(sell("c"), sell("d"), key="other"))
        async with floor(tmp_path, broker=desk.broker, clock=desk.clock) as next_:
            again = await next_.orders.submit(tied)
            assert again.tickets == first.tickets, "also after a restart"

    run(scenario())
