"""What goes on by itself outlives what it raises, and says so."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from desk_floor import AAPL, Floor, buy, floor, run

from alluse_core.errors import CommandRejected, JournalError
from alluse_core.model import Instrument, LinkState, Order, OrderState, Side
from alluse_core.ports import TradingState
from alluse_core.testing import VirtualClock
from alluse_core.testing.fakes import FakeBroker

S = OrderState
WRONG = ValueError("one row that nobody can read")


@pytest.fixture(autouse=True)
def no_traceback_on_the_screen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL + 1, "alluse_core")


def failures(desk: Floor, part: str) -> int:
    return desk.count("background_failures", part=part)


def fails(times: int, error: BaseException, then: Any) -> Any:
    left = [times]

    async def answer() -> Any:
        if left[0]:
            left[0] -= 1
            raise error
        return await then()

    return answer


@pytest.mark.parametrize("error", [WRONG, asyncio.CancelledError()])
def test_a_round_that_raises_is_asked_again_and_a_person_is_paged(
    tmp_path: Path, error: BaseException
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.positions = fails(2, error, desk.broker.positions)  # type: ignore[method-assign]
            desk.broker.turn(LinkState.DOWN)
            desk.broker.turn(LinkState.UP)
            await desk.settle(0.5)
            assert desk.orders.reconciling, "nothing is proven yet"
            assert desk.orders.state is TradingState.REDUCING
            assert "reconcile-fake failed" in desk.orders.reason
            await desk.settle(10)
            assert failures(desk, "reconcile-fake") == 2
            assert desk.count("pages") == 1, "once for the same failure"
            assert not desk.orders.reconciling
            await desk.orders.resume("Ada")
            assert (await desk.orders.submit(buy("one"))).key == "one"

    run(scenario())


def test_a_start_whose_first_round_raises_waits_with_new_risk(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        broker = FakeBroker(lambda _: None, clock=clock)
        broker.positions = fails(1, WRONG, broker.positions)  # type: ignore[method-assign]
        async with floor(tmp_path, broker=broker, clock=clock) as desk:
            assert desk.orders.reconciling
            await desk.settle(3)
            assert not desk.orders.reconciling

    run(scenario())


def test_a_step_of_the_watch_that_raises_keeps_no_other_from_being_done(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            protection = desk.orders._protection
            look = protection.look

            def broken() -> Any:
                raise WRONG

            protection.look = broken  # type: ignore[method-assign]
            desk.broker.mode = "lose"
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle(60)
            assert ticket.state is S.UNKNOWN, "what is overdue was asked for"
            assert failures(desk, "protection") == 60
            assert desk.count("pages") == 1
            protection.look = look  # type: ignore[method-assign]
            await desk.settle(2)
            protection.look = broken  # type: ignore[method-assign]
            await desk.settle(1)
            assert desk.count("pages") == 2, "it had worked in between"

    run(scenario())


@pytest.mark.parametrize("at_once", [True, False])
def test_a_lane_that_raises_goes_on_where_it_was(tmp_path: Path, at_once: bool) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            passes, turn = desk.pacer.passes, desk.pacer.turn
            left = [1]

            def broken_once() -> None:
                if left[0]:
                    left[0] -= 1
                    raise RuntimeError("the pacer broke")

            def passes_once(messages: int) -> bool:
                if at_once:
                    broken_once()
                return at_once and passes(messages)

            async def turn_once(*args: Any) -> float:
                broken_once()
                desk.pacer.passes = passes  # type: ignore[method-assign]
                return await turn(*args)

            desk.pacer.passes = passes_once  # type: ignore[method-assign]
            desk.pacer.turn = turn_once  # type: ignore[method-assign]
            first, second = await asyncio.gather(
                desk.orders.submit(buy("one")), desk.orders.submit(buy("two"))
            )
            await desk.settle(3)
            assert (first.state, second.state) == (S.ACCEPTED, S.ACCEPTED)
            assert len(desk.broker.sent) == 2
            assert failures(desk, "fake-ORDER") == 1

    run(scenario())


def test_a_part_that_just_ends_begins_again_and_is_told_of(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            begun = 0

            async def short() -> None:
                nonlocal begun
                begun += 1
                if begun == 3:
                    await desk.clock.sleep(100)

            task = desk.orders._background.task("short", short)
            await desk.settle(20)
            assert begun == 3, "after one second, and after two"
            assert failures(desk, "short") == 2
            await desk.settle(90)
            assert begun > 3, "the pause is short again after it had worked for long"
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()

    run(scenario())


def test_a_page_that_cannot_be_journaled_ends_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:

            def closed(*_: Any, **__: Any) -> None:
                raise JournalError("the journal is closed")

            append, desk.journal.append = desk.journal.append, closed  # type: ignore[method-assign]
            desk.orders._background.failed("part", WRONG)
            desk.journal.append = append  # type: ignore[method-assign]
            assert desk.orders.state is TradingState.REDUCING

    run(scenario())


# --- a broker that the settings do not name any more ---------------------------------------------


async def left_behind(folder: Path) -> tuple[FakeBroker, VirtualClock]:
    async with floor(folder) as desk:
        await desk.orders.submit(buy("old"))
        await desk.settle()
    clock = VirtualClock()
    return FakeBroker(lambda _: None, clock=clock, name="other"), clock


def test_an_order_of_a_broker_that_is_gone_is_refused_its_commands_by_name(tmp_path: Path) -> None:
    async def scenario() -> None:
        broker, clock = await left_behind(tmp_path)
        async with floor(tmp_path, broker=broker, clock=clock) as desk:
            for call in (desk.orders.cancel("old"), desk.orders.modify("old", limit_price="1")):
                with pytest.raises(CommandRejected, match="'fake', which is not among"):
                    await call
            assert desk.orders.get("old").known.pending is None

    run(scenario())


def test_a_halt_passes_over_the_orders_of_a_broker_that_is_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        broker, clock = await left_behind(tmp_path)
        async with floor(tmp_path, broker=broker, clock=clock) as desk:
            entry = await desk.orders.submit(buy("new"))
            await desk.settle()
            await desk.orders.halt("test")
            await desk.settle(5)
            assert entry.state is S.CANCELED
            assert not desk.count("background_failures", part="stopping")

    run(scenario())


def test_a_flatten_beside_a_broker_that_is_gone_closes_the_rest_and_ends(tmp_path: Path) -> None:
    async def scenario() -> None:
        broker, clock = await left_behind(tmp_path)
        async with floor(tmp_path, broker=broker, clock=clock) as desk:
            broker.held["DU1", AAPL] = Decimal(50)
            msft = Instrument.stock("MSFT")
            await desk.orders.submit(Order.limit(msft, Side.BUY, 10, "100", key="new"))
            await desk.orders.reconcile("other")
            broker.mode = "fill"
            await desk.orders.begin_flatten()
            await desk.settle(10)
            assert not any(broker.held.values())
            assert not desk.orders.flattening
            assert desk.orders.get("new").state is S.CANCELED

    run(scenario())
