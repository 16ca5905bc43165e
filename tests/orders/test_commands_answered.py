"""Commands: which answer belongs to which, what an answer leaves, and what ends unasked."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from desk_floor import Floor, HeldDisk, buy, floor, placed, run

from alluse_core.errors import CommandRejected
from alluse_core.model import (
    BrokerStatus,
    LinkState,
    OrderState,
    TimeInForce,
)
from alluse_core.orders.live import Command
from alluse_core.orders.states import CommandEvent, CommandState

S, C = OrderState, CommandState


def test_a_command_is_not_answered_before_it_was_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, rate=1) as desk:
            await placed(desk)
            change = await desk.orders.modify("one", quantity=150)
            live = desk.orders._live("one")
            (command,) = live.commands
            before = desk.count("impossible_events")
            desk.orders._applier.command(live, command, CommandEvent.CONFIRM)
            assert change.state is C.QUEUED
            assert live.order.quantity == 100
            assert desk.count("impossible_events") == before + 1
            assert live.words[-1] == "modify: CONFIRM after QUEUED"

    run(scenario())


def test_an_answer_reaches_who_still_waits_when_another_gave_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            desk.broker.answers_cancels = False
            cancel = await desk.orders.cancel("one")
            gave_up = [
                asyncio.ensure_future(cancel.outcome()),
                asyncio.ensure_future(ticket.outcome()),
            ]
            waiting = [
                asyncio.ensure_future(cancel.outcome()),
                asyncio.ensure_future(ticket.outcome()),
            ]
            await desk.settle()
            live = desk.orders._live("one")
            for observer in (live.commands[0].observers[0], live.observers[0]):
                observer.cancel()
            for task in gave_up:
                task.cancel()
            desk.broker.cancel_by_broker(ticket.order_ref)
            state, outcome = await asyncio.gather(*waiting)
            assert state is C.CONFIRMED
            assert outcome.state is S.CANCELED

    run(scenario())


# --- unasked and unnamed ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tif", "ask", "counted"),
    [
        (TimeInForce.GTC, False, 1),
        (TimeInForce.GTC, True, 0),
        (TimeInForce.DAY, False, 0),
    ],
)
def test_a_lasting_order_that_ends_unasked_is_counted(
    tmp_path: Path, tif: TimeInForce, ask: bool, counted: int
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk, buy("one", time_in_force=tif))
            if ask:
                desk.broker.answers_cancels = False
                await desk.orders.cancel("one")
            for _ in range(2):
                desk.broker.cancel_by_broker(ticket.order_ref)
            assert ticket.state is S.CANCELED
            assert desk.count("unasked_cancels") == counted

    run(scenario())


def test_a_listed_order_that_the_broker_has_not_begun_to_work_is_held(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.mode = "silent"
            ticket = await placed(desk)
            desk.broker.orders[ticket.order_ref].status = BrokerStatus.PENDING
            desk.broker.report(desk.broker.orders[ticket.order_ref])
            assert ticket.state is S.SUBMITTED, "told by itself, it is on its way"
            await desk.orders.reconcile("fake")
            assert ticket.state is S.HELD

    run(scenario())


# --- a person's word ------------------------------------------------------------------------------


@pytest.mark.parametrize("as_state", [S.FILLED, S.CANCELED, S.REJECTED, S.EXPIRED])
def test_an_order_that_a_person_resolves_ends_the_cancel_that_waits(
    tmp_path: Path, as_state: OrderState
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.mode = "lose"
            await desk.orders.submit(buy("one"))
            await desk.settle(60)
            assert desk.orders.get("one").state is S.UNKNOWN
            desk.broker.turn(LinkState.DOWN)
            ticket = await desk.orders.cancel("one")
            waiter = asyncio.create_task(ticket.outcome())
            await desk.settle()
            assert not waiter.done()
            await desk.orders.resolve("one", as_state, by="Ada")
            # It never left: nobody may say that it was carried out.
            assert await waiter is C.WITHDRAWN
            assert ticket.reason == f"the order was resolved as {as_state.value} by Ada"
            assert desk.orders.get("one").known.reason == "resolved by Ada"
            assert not live_commands(desk)
            await desk.broker.connect()
            await desk.settle(60)
            assert [kind for kind, _ in desk.broker.sent].count("cancel") == 0
            assert desk.orders.get("one").state is as_state
        async with floor(tmp_path) as desk:
            assert desk.orders.get("one").state is as_state
            assert not live_commands(desk)

    run(scenario())


def test_a_cancel_without_an_answer_ends_with_the_order_that_a_person_resolves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.mode = "lose"
            await desk.orders.submit(buy("one"))
            await desk.settle(60)
            monkeypatch.setattr(desk.broker, "cancel", lambda _: None)
            ticket = await desk.orders.cancel("one")
            waiter = asyncio.create_task(ticket.outcome())
            await desk.settle()
            assert ticket.state is C.SENT
            await desk.orders.resolve("one", S.REJECTED, by="Ada")
            with pytest.raises(CommandRejected, match="resolved as REJECTED by Ada"):
                await waiter

    run(scenario())


def live_commands(desk: Floor) -> list[Command]:
    live = desk.orders._live("one")
    return live.commands


def test_a_stage_sees_the_old_quantity_as_soon_as_a_larger_one_was_not_sent(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        disk = HeldDisk()
        async with floor(tmp_path, committer=disk) as desk:
            await placed(desk)
            live = desk.orders._live("one")
            disk.holds = True
            asking = asyncio.ensure_future(desk.orders.modify("one", quantity=150))
            await desk.settle()
            assert live.as_working().remaining == 150
            desk.broker.link = LinkState.DOWN
            disk.release()
            await desk.settle()
            assert (await asking).state is C.REFUSED
            assert live.as_working().remaining == 100

    run(scenario())


@pytest.mark.parametrize(("first", "timed"), [(BrokerStatus.WORKING, 1), (BrokerStatus.HELD, 0)])
def test_the_first_answer_is_timed_and_not_where_it_says_that_the_order_is_held(
    tmp_path: Path, first: BrokerStatus, timed: int
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.mode = "silent"
            ticket = await placed(desk)
            order = desk.broker.orders[ticket.order_ref]
            for status in (first, BrokerStatus.WORKING):
                order.status = status
                desk.broker.report(order)
            assert desk.count("orders_acked") == 1
            took = desk.registry.timer("trading_system", "wire_to_ack_ms", "ms")
            assert took.current.count == timed

    run(scenario())
