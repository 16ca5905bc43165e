"""What a person took off an order in TWS is put back by nothing that names no quantity."""

from __future__ import annotations

from pathlib import Path

import pytest
from desk_floor import AAPL, Floor, HeldDisk, amount, floor, heard, placed, run
from exits_lab import (
    STOP,
    C,
    at_the_broker,
    begun,
    by_hand,
    changes,
    executions,
    held_back,
    opened,
    reports,
)

from alluse_core.errors import AllUseError, CommandRejected
from alluse_core.orders.ticket import Ticket


async def half_is_sold_by_hand(desk: Floor) -> tuple[Ticket, Ticket]:
    """Let a person make both exits of an open bracket 50, and sell 50; return the exits."""
    _, take, stop = await opened(desk)
    by_hand(desk, stop, 50)
    by_hand(desk, take, 50)
    desk.broker.held["DU1", AAPL] -= 50
    await desk.orders.reconcile("fake")
    await desk.orders.reconcile("fake")
    return take, stop


def test_a_price_alone_puts_nothing_back_that_a_person_took_off(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, stop = await half_is_sold_by_hand(desk)
            with pytest.raises(CommandRejected, match="for 50 at the broker, where 100") as refused:
                await desk.orders.modify(STOP, stop_price="91")
            assert "name the quantity" in refused.value.hint
            await desk.settle(60)
            assert changes(desk) == []
            desk.broker.fill(stop.order_ref)
            assert desk.broker.held["DU1", AAPL] == 0

    run(scenario())


@pytest.mark.parametrize("quantity", [50, 80])
def test_a_change_that_names_the_quantity_takes_the_place_of_what_a_person_took_off(
    tmp_path: Path, quantity: int
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, _, stop = await opened(desk)
            by_hand(desk, stop, 50)
            desk.broker.answers_modifies = False
            await desk.orders.modify(STOP, stop_price="91", quantity=quantity)
            await desk.settle()
            desk.broker.answers_modifies = True
            await desk.orders.modify(STOP, stop_price="92")
            await desk.settle()
            assert at_the_broker(desk, stop) == stop.order.quantity == quantity
            assert stop.order.stop_price == 92

    run(scenario())


def test_a_change_that_waits_puts_nothing_back_that_a_person_takes_off_meanwhile(
    tmp_path: Path,
) -> None:
    disk = HeldDisk()

    async def scenario() -> None:
        async with floor(tmp_path, committer=disk) as desk:
            _, _, stop = await opened(desk)
            disk.holds = True
            price = begun(desk.orders.modify(STOP, stop_price="91"))
            await desk.settle()
            by_hand(desk, stop, 50)
            disk.release()
            assert (await price).state is C.REFUSED
            assert "nobody named a quantity" in (await price).reason
            assert (at_the_broker(desk, stop), changes(desk)) == (50, [])

    run(scenario())


def test_a_price_alone_puts_nothing_back_on_an_order_of_no_bracket(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            order = await placed(desk)
            by_hand(desk, order, 50)
            with pytest.raises(CommandRejected, match="for 50 at the broker, where 100"):
                await desk.orders.modify("one", limit_price="99")
            await desk.orders.modify("one", limit_price="99", quantity=50)
            await desk.settle()
            assert (at_the_broker(desk, order), order.order.quantity) == (50, 50)
            await desk.orders.modify("one", limit_price="98")
            await desk.settle()
            assert (at_the_broker(desk, order), order.order.limit_price) == (50, 98)

    run(scenario())


def test_more_than_a_person_left_at_work_is_new_risk_though_more_was_asked_for(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            order = await placed(desk)
            by_hand(desk, order, 50)
            await desk.orders.reduce("no new risk")
            with pytest.raises(AllUseError, match="no new risk"):
                await desk.orders.modify("one", quantity=80)
            await desk.orders.modify("one", quantity=50)
            await desk.settle()
            assert (at_the_broker(desk, order), order.order.quantity) == (50, 50)

    run(scenario())


def test_a_price_waits_for_the_cause_of_a_reduction_that_was_told_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            with held_back(desk) as words:
                desk.broker.fill(take.order_ref, amount(40))
            desk.broker.say(reports(words, stop)[-1])
            with pytest.raises(CommandRejected, match="nothing that is known explains"):
                await desk.orders.modify(STOP, stop_price="91")
            desk.broker.say(executions(words, take)[0])
            await desk.orders.modify(STOP, stop_price="91")
            await desk.settle()
            assert (at_the_broker(desk, stop), stop.order.quantity) == (60, 60)

    run(scenario())


def test_a_word_from_before_our_own_change_keeps_no_price_for_long(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, _, stop = await opened(desk)
            await desk.orders.modify(STOP, quantity=60)
            await desk.settle()
            word = heard(desk, STOP)
            await desk.orders.modify(STOP, quantity=100)
            await desk.settle()
            desk.broker.say(word)
            with pytest.raises(CommandRejected, match="for 60 at the broker"):
                await desk.orders.modify(STOP, stop_price="91")
            await desk.settle(1)
            await desk.orders.modify(STOP, stop_price="91")
            await desk.settle()
            assert (at_the_broker(desk, stop), stop.order.stop_price) == (100, 91)

    run(scenario())
