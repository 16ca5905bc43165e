"""What lists prove that end early, or that cross with orders, fills and ends on their way."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from desk_floor import AAPL, Floor, floor, placed, run

from alluse_core.model import LinkState, OrderState
from alluse_core.orders.records import Kind
from alluse_core.orders.states import CommandState
from alluse_core.settings import OrdersSettings
from alluse_core.testing import VirtualClock
from alluse_core.testing.fakes import FakeBroker

S = OrderState
PATIENCE = OrdersSettings().acknowledge_within
LISTS = ("open_orders", "completed_orders", "executions", "positions")


def unfinished(desk: Floor, question: str) -> None:
    """Have the broker never finish one of its lists."""
    usual = getattr(desk.broker, question)

    async def cut() -> Any:
        return attrs.evolve(await usual(), complete=False)

    setattr(desk.broker, question, cut)


def unheard_fill(desk: Floor, ref: str, quantity: int) -> None:
    """Have the broker fill of an order what it tells of in its lists alone."""
    hear, desk.broker._evidence = desk.broker._evidence, lambda _: None
    desk.broker.fill(ref, Decimal(quantity))
    desk.broker._evidence = hear


@pytest.mark.parametrize("question", LISTS)
def test_new_risk_stays_out_while_one_list_is_not_whole(tmp_path: Path, question: str) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            usual = getattr(desk.broker, question)
            unfinished(desk, question)
            desk.broker.turn(LinkState.DEGRADED)
            desk.broker.turn(LinkState.UP)
            await desk.settle(30)
            assert desk.orders.reconciling
            setattr(desk.broker, question, usual)
            await desk.settle(10)
            assert not desk.orders.reconciling

    run(scenario())


@pytest.mark.parametrize("question", LISTS[:3])
def test_nothing_is_concluded_from_an_absence_while_one_list_is_not_whole(
    tmp_path: Path, question: str
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            unfinished(desk, question)
            desk.broker.orders.clear()
            await desk.settle(1)
            found = await desk.orders.reconcile("fake")
            assert (found.complete, found.unknown) == (False, ())
            assert ticket.state is S.ACCEPTED

    run(scenario())


def test_new_risk_stays_out_while_no_position_list_stands_still(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            usual = desk.broker.positions

            async def busy() -> Any:
                answer = await usual()
                desk.broker.fill(ticket.order_ref, Decimal(1))
                return answer

            desk.broker.positions = busy  # type: ignore[method-assign]
            desk.broker.turn(LinkState.DEGRADED)
            desk.broker.turn(LinkState.UP)
            await desk.settle(5)
            assert desk.orders.reconciling
            desk.broker.positions = usual  # type: ignore[method-assign]
            await desk.settle(5)
            assert not desk.orders.reconciling

    run(scenario())


def test_an_order_that_leaves_at_the_moment_of_the_question_is_not_judged_by_the_answer(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.mode = "lose"
            ticket = await placed(desk)
            assert (await desk.orders.reconcile("fake")).unknown == ()
            assert ticket.state is S.SUBMITTED
            await desk.settle(1)
            assert (await desk.orders.reconcile("fake")).unknown == ("one",)

    run(scenario())


def test_an_order_that_ended_while_the_list_was_on_its_way_is_no_order_of_others(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            usual = desk.broker.open_orders

            async def slow() -> Any:
                answer = await usual()
                desk.broker.cancel_by_broker(ticket.order_ref)
                return answer

            desk.broker.open_orders = slow  # type: ignore[method-assign]
            found = await desk.orders.reconcile("fake")
            assert (ticket.state, found.external) == (S.CANCELED, 0)

    run(scenario())


def test_an_order_that_only_the_list_of_executions_knows_is_filled_and_never_in_doubt(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            unheard_fill(desk, ticket.order_ref, 100)
            desk.broker.orders.clear()
            await desk.settle(0.5)
            found = await desk.orders.reconcile("fake")
            assert (ticket.state, found.unknown) == (S.FILLED, ())
            assert desk.count("orders_unknown") == 0

    run(scenario())


def test_what_a_list_of_executions_told_is_written_down_as_its_word(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            usual = desk.broker.positions

            async def beside() -> Any:
                unheard_fill(desk, ticket.order_ref, 30)
                desk.broker.positions = usual  # type: ignore[method-assign]
                return await usual()

            unheard_fill(desk, ticket.order_ref, 20)
            desk.broker.positions = beside  # type: ignore[method-assign]
            await desk.orders.reconcile("fake")
            desk.broker.fill(ticket.order_ref, Decimal(50))
            await desk.orders.flush()
            told = desk.journal.read().entries(Kind.FILL)
            assert [(each.body["quantity"], each.body["source"]) for each in told] == [
                ("20", "executions"),
                ("30", "executions"),
                ("50", "execution"),
            ]

    run(scenario())


def test_an_order_that_is_filled_since_no_list_has_its_rest_is_so_by_its_executions(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            desk.broker.answers_modifies = False
            await desk.orders.modify("one", quantity=200)
            await desk.settle()
            unheard_fill(desk, ticket.order_ref, 100)
            desk.broker.say(desk.broker.fills[0])
            desk.broker.orders.clear()
            await desk.settle(1)
            await desk.orders.reconcile("fake")
            assert ticket.state is S.FILLED
            assert "executions: FILL" in ticket.known.evidence

    run(scenario())


def test_a_start_that_could_not_ask_asks_again_after_the_first_pause(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        broker = FakeBroker(lambda _: None, clock=clock)
        broker.lists_fail = True
        async with floor(tmp_path, broker=broker, clock=clock) as desk:
            assert desk.orders.reconciling
            await desk.settle()
            broker.lists_fail = False
            await desk.settle(1)
            assert not desk.orders.reconciling

    run(scenario())


def test_a_command_has_until_its_patience_ran_out_to_be_answered_and_not_longer(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await placed(desk)
            desk.broker.answers_modifies = False
            change = await desk.orders.modify("one", quantity=150)
            await desk.settle()
            desk.clock._monotonic += PATIENCE
            await desk.orders.reconcile("fake")
            assert change.state is CommandState.REFUSED

    run(scenario())


def test_a_position_is_held_without_a_row_as_long_as_patience_and_not_longer(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.held["DU1", AAPL] = Decimal(70)
            await desk.orders.reconcile("fake")
            del desk.broker.held["DU1", AAPL]
            await desk.orders.reconcile("fake")
            assert len(desk.orders.positions().rows) == 1
            desk.clock._monotonic += PATIENCE
            await desk.orders.reconcile("fake")
            assert desk.orders.positions().rows == ()

    run(scenario())
