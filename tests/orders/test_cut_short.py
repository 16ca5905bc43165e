"""Calls that are cut short: whoever waited is gone, and what was asked for happens all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from desk_floor import AAPL, Floor, HeldDisk, buy, floor, run

from alluse_core.model import Order, OrderState, Side
from alluse_core.orders.states import CommandState
from alluse_core.ports import TradingState

S = OrderState


Call = Callable[[Floor], Coroutine[Any, Any, Any]]


async def cut_short(desk: Floor, disk: HeldDisk, call: Call) -> None:
    """Ask for something and give up before its record is on disk, as wait_for does."""
    disk.holds = True
    asked = asyncio.create_task(call(desk))
    for _ in range(4):
        await asyncio.sleep(0)
    assert asked.cancel(), "it had ended already"
    with pytest.raises(asyncio.CancelledError):
        await asked
    disk.release()
    await desk.settle(1)


def kinds(desk: Floor) -> list[str]:
    return [kind for kind, _ in desk.broker.sent]


def test_a_cancel_whose_caller_gave_up_is_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = HeldDisk()
        async with floor(tmp_path, committer=disk) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            await cut_short(desk, disk, lambda desk: desk.orders.cancel("one"))
            assert kinds(desk) == ["place", "cancel"]
            assert ticket.state is S.CANCELED

    run(scenario())


def test_a_second_cancel_after_one_that_was_given_up_tells_of_the_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = HeldDisk()
        async with floor(tmp_path, committer=disk) as desk:
            await desk.orders.submit(buy("one"))
            await desk.settle()
            desk.broker.answers_cancels = False
            await cut_short(desk, disk, lambda desk: desk.orders.cancel("one"))
            again = await desk.orders.cancel("one")
            assert again.state is CommandState.SENT
            assert kinds(desk).count("cancel") == 1

    run(scenario())


def test_a_submit_whose_caller_gave_up_is_not_retracted(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = HeldDisk()
        async with floor(tmp_path, committer=disk) as desk:
            await cut_short(desk, disk, lambda desk: desk.orders.submit(buy("one")))
            assert desk.orders.get("one").state is S.ACCEPTED

    run(scenario())


def test_a_cancel_of_a_waiting_order_whose_caller_gave_up_withdraws_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, rate=2) as desk:
            for place in range(8):
                await desk.orders.submit(buy(f"{place}"))
            asked = asyncio.create_task(desk.orders.cancel("7"))
            await asyncio.sleep(0)
            asked.cancel()
            await desk.settle(30)
            assert desk.orders.get("7").state is S.CANCELED
            assert "cancel" not in kinds(desk)

    run(scenario())


def test_a_change_whose_caller_gave_up_is_made(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = HeldDisk()
        async with floor(tmp_path, committer=disk) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            await cut_short(desk, disk, lambda desk: desk.orders.modify("one", quantity=300))
            assert kinds(desk) == ["place", "modify"]
            assert ticket.order.quantity == 300
            assert ticket.known.pending is None

    run(scenario())


def test_a_halt_whose_caller_gave_up_cancels_every_entry(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = HeldDisk()
        async with floor(tmp_path, committer=disk) as desk:
            tickets = [await desk.orders.submit(buy(f"{each}")) for each in range(5)]
            await desk.settle()
            await cut_short(desk, disk, lambda desk: desk.orders.halt("test"))
            await desk.settle(2)
            assert desk.orders.state is TradingState.HALTED
            assert [each.state for each in tickets] == [S.CANCELED] * 5

    run(scenario())


def test_a_flatten_whose_caller_gave_up_closes_once_and_cancels_the_rest(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = HeldDisk()
        async with floor(tmp_path, committer=disk) as desk:
            entry = await desk.orders.submit(buy("entry"))
            await desk.settle()
            desk.broker.fill(entry.order_ref)
            rest = await desk.orders.submit(buy("rest", price="90"))
            stop = Order.stop(AAPL, Side.SELL, 100, "80", key="stop")
            protection = await desk.orders.submit(stop)
            await desk.settle()
            desk.broker.mode = "fill"
            await cut_short(desk, disk, lambda desk: desk.orders.flatten())
            await desk.settle(5)
            assert not desk.orders.flattening
            assert not any(desk.broker.held.values())
            assert (rest.state, protection.state) == (S.CANCELED, S.CANCELED)
            assert kinds(desk).count("place") == 4, "one order closed the position"

    run(scenario())
