"""A halt, or a flatten, leaves as much protection as is held, and no more."""

from __future__ import annotations

from pathlib import Path

import pytest
from desk_floor import AAPL, Floor, HeldDisk, amount, floor, run, sell
from exits_lab import STOP, at_the_broker, begun, by_hand, changes, live, opened

from alluse_core.errors import AllUseError
from alluse_core.model import LinkState, Order, Side
from alluse_core.orders.ticket import Ticket


async def half_is_sold_by_hand(desk: Floor, *made_50: int) -> tuple[Ticket, ...]:
    """Let a person sell 50 of an open bracket's 100, and make some of its orders 50."""
    tickets = tuple(await opened(desk))
    for place in made_50:
        by_hand(desk, tickets[place], 50)
    desk.broker.held["DU1", AAPL] -= 50
    await desk.orders.reconcile("fake")
    await desk.orders.reconcile("fake")
    return tickets


def at_work(desk: Floor, *tickets: Ticket) -> list[int]:
    found = [desk.broker.orders[each.order_ref] for each in tickets]
    return [int(each.message.order.quantity) if each.is_open else 0 for each in found]


def test_exits_that_a_person_made_as_small_as_what_is_held_stay(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await half_is_sold_by_hand(desk, 1, 2)
            await desk.orders.halt("enough")
            await desk.settle(20)
            assert at_work(desk, take, stop) == [50, 50]
            assert (changes(desk), desk.orders.unprotected()) == ([], {})

    run(scenario())


@pytest.mark.parametrize("asked", [50, 80])
def test_in_a_halt_a_stop_that_a_person_made_smaller_is_made_no_larger_than_what_is_held(
    tmp_path: Path, asked: int
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, _, stop = await half_is_sold_by_hand(desk, 1, 2)
            await desk.orders.halt("enough")
            if asked > 50:
                with pytest.raises(AllUseError, match="HALTED"):
                    await desk.orders.modify(STOP, stop_price="91", quantity=asked)
            else:
                await desk.orders.modify(STOP, stop_price="91", quantity=asked)
            await desk.settle(20)
            assert at_the_broker(desk, stop) == 50

    run(scenario())


def test_exits_that_are_larger_than_what_is_held_are_made_smaller(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await half_is_sold_by_hand(desk)
            await desk.orders.halt("enough")
            await desk.settle(20)
            assert at_work(desk, take, stop) == [50, 50]
            assert desk.orders.unprotected() == {}
            assert len(changes(desk)) == 2, "once for each"
            desk.broker.fill(stop.order_ref)
            await desk.settle()
            assert desk.broker.held["DU1", AAPL] == 0
            assert at_work(desk, take, stop) == [0, 0]

    run(scenario())


def test_what_one_stop_leaves_of_a_position_the_next_one_keeps(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await opened(desk)
            stops = [
                Order.stop(AAPL, Side.SELL, quantity, "80", key=f"lone/{quantity}")
                for quantity in (100, 30)
            ]
            desk.broker.held["DU1", AAPL] += 40
            await desk.orders.reconcile("fake")
            await desk.orders.reconcile("fake")
            lone = [await desk.orders.submit(each) for each in stops]
            rest = await desk.orders.submit(sell("limit", 40, "120"))
            await desk.settle()
            await desk.orders.halt("enough")
            await desk.settle(20)
            assert at_work(desk, *lone, rest) == [40, 0, 0]
            assert at_the_broker(desk, desk.orders.get(STOP)) == 100

    run(scenario())


def test_what_the_broker_does_not_make_smaller_is_cancelled(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await half_is_sold_by_hand(desk)
            desk.broker.answers_modifies = False
            await desk.orders.halt("enough")
            await desk.settle(2)
            assert at_work(desk, take, stop) == [100, 100], "the answer is waited for"
            await desk.settle(60)
            assert at_work(desk, take, stop) == [0, 0]
            assert len(changes(desk)) == 2, "once for each"

    run(scenario())


def test_protection_is_made_smaller_once_the_link_is_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await half_is_sold_by_hand(desk)
            desk.broker.link = LinkState.DOWN
            await desk.orders.halt("enough")
            await desk.settle(10)
            desk.broker.link = LinkState.UP
            await desk.settle(10)
            assert at_work(desk, take, stop) == [50, 50]

    run(scenario())


def test_nothing_is_cancelled_while_the_disk_holds_the_change_that_makes_it_smaller(
    tmp_path: Path,
) -> None:
    disk = HeldDisk()

    async def scenario() -> None:
        async with floor(tmp_path, committer=disk) as desk:
            _, take, stop = await half_is_sold_by_hand(desk)
            disk.holds = True
            halting = begun(desk.orders.halt("enough"))
            again = begun(desk.orders._parts.control.pursue())
            await desk.settle(5)
            disk.release()
            await again
            await halting
            await desk.settle(5)
            assert at_work(desk, take, stop) == [50, 50]

    run(scenario())


def test_what_a_person_added_beyond_what_is_held_is_taken_off(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            by_hand(desk, stop, 150)
            await desk.orders.halt("enough")
            await desk.settle(10)
            assert at_work(desk, take, stop) == [100, 100]

    run(scenario())


def test_a_larger_quantity_that_is_on_its_way_counts_whatever_the_broker_told(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, _, stop = await half_is_sold_by_hand(desk, 1, 2)
            desk.broker.answers_modifies = False
            await desk.orders.modify(STOP, quantity=100)
            await desk.settle()
            desk.broker.answers_modifies = True
            await desk.orders.halt("enough")
            await desk.settle(20)
            assert [int(each.order.quantity) for each in changes(desk)] == [100, 50]
            assert (at_the_broker(desk, stop), stop.order.quantity) == (50, 50)

    run(scenario())


def test_protection_that_cannot_be_made_smaller_is_cancelled(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await half_is_sold_by_hand(desk)
            live(desk).reported = amount(60)
            await desk.orders.halt("enough")
            await desk.settle(10)
            assert f"order {STOP} could not be made smaller" in caplog.text
            assert at_work(desk, take, stop) == [40, 0], "40 are left to close for the other one"

    run(scenario())


def test_a_flatten_leaves_a_stop_at_work_until_the_position_is_closed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await half_is_sold_by_hand(desk)
            await desk.orders.begin_flatten()
            await desk.settle(3)
            assert at_work(desk, stop) == [50]
            (closing,) = (each for each in desk.orders.all() if each.order.key.startswith("flat"))
            desk.broker.fill(closing.order_ref)
            await desk.settle(5)
            assert at_work(desk, take, stop) == [0, 0]
            assert desk.broker.held["DU1", AAPL] == 0

    run(scenario())
