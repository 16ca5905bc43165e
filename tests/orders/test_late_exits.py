"""Exits fit what their entry filled before its end, and trades that were busted, heard late."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from desk_floor import Floor, HeldDisk, amount, floor, heard, run, sell
from exits_lab import (
    ENTRY,
    STOP,
    C,
    S,
    at_the_broker,
    begun,
    bracket,
    bust,
    due,
    ended_too_early,
    ended_without_a_figure,
    held_back,
    live,
    made_smaller_across_a_fill,
    next_process,
    of,
    opened,
    proven,
    rebuilt,
    records,
)

from alluse_core.model import Execution
from alluse_core.orders.increase import risk_increasing
from alluse_core.orders.records import Kind


def test_a_change_before_the_last_fill_of_an_ended_entry_is_heard_leaves_nothing_bare(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            (entry, _, stop), words = await ended_without_a_figure(desk)
            await desk.orders.modify(STOP, stop_price="91")
            await desk.settle()
            assert at_the_broker(desk, stop) == 100, "as much as may be open"
            for word in words:
                desk.broker.say(word)
            await desk.settle(10)
            assert (entry.known.filled, at_the_broker(desk, stop)) == (50, 50)
            assert desk.orders.unprotected() == {}

    run(scenario())


def test_what_an_ended_entry_filled_is_asked_for_where_its_end_did_not_say(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            (entry, take, stop), _ = await ended_without_a_figure(desk)
            assert due(desk) == 0
            await desk.settle(10)
            assert entry.known.filled == 50
            assert (at_the_broker(desk, take), at_the_broker(desk, stop)) == (50, 50)

    run(scenario())


def test_a_list_of_executions_counts_no_entry_as_it_reaches_back_to_midnight_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            (entry, _, stop), _ = await ended_without_a_figure(desk)
            completed = desk.broker.completed_orders
            fills, desk.broker.fills = desk.broker.fills, []
            desk.broker.completed_orders = desk.broker.open_orders  # type: ignore[method-assign]
            await desk.settle(10)
            assert not live(desk, ENTRY).counted
            assert at_the_broker(desk, stop) == 100
            asked = [each for each in caplog.messages if "its fills are not counted" in each]
            assert len(asked) == 1, "where no list tells it, asking again does not help"
            desk.broker.fills = fills
            desk.broker.completed_orders = completed  # type: ignore[method-assign]
            await desk.orders.reconcile("fake")
            await desk.settle(10)
            assert at_the_broker(desk, stop) == entry.known.filled == 50

    run(scenario())


@pytest.mark.parametrize("end", [ended_too_early, ended_without_a_figure])
def test_what_an_ended_entry_filled_is_known_after_a_restart_that_no_list_tells_it_to(
    tmp_path: Path, end: Callable[[Floor], Awaitable[Any]]
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await end(desk)
            await desk.settle(10)
            size = at_the_broker(desk, desk.orders.get(STOP))
            assert size == live(desk, ENTRY).filled
            await desk.orders.reconcile("fake")
            told = await records(desk, Kind.EVENT, ENTRY)
            assert [body["event"] for body in told if "counted" in body] == ["CANCEL"], "once"
            orders = desk.broker.orders
            desk.broker.orders = {ref: each for ref, each in orders.items() if each.is_open}
        async with next_process(tmp_path, desk) as desk:
            assert live(desk, ENTRY).counted
            assert (at_the_broker(desk, desk.orders.get(STOP)), due(desk)) == (size, 0)

    run(scenario())


def test_an_end_is_not_written_down_as_counted_before_its_fills_are_in_hand(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            tickets = await bracket(desk)
            with held_back(desk) as words:
                desk.broker.fill(tickets[0].order_ref, amount(50))
                desk.broker.cancel_by_broker(tickets[0].order_ref)
            desk.broker.say(words[-1])
            assert (live(desk, ENTRY).counted, live(desk, ENTRY).filled) == (True, 50)
            again = await rebuilt(desk, ENTRY)
            assert (again.counted, again.filled) == (False, 0)

    run(scenario())


def test_an_entry_that_is_alive_again_is_rebuilt_uncounted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, _ = await ended_too_early(desk)
            assert (await rebuilt(desk, ENTRY)).counted
            desk.broker.orders[entry.order_ref].status = heard(desk, STOP).status
            await desk.settle(1)
            await desk.orders.reconcile("fake")
            assert not (await rebuilt(desk, ENTRY)).counted

    run(scenario())


def test_a_halt_leaves_the_stop_whose_entry_may_have_opened_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await ended_without_a_figure(desk)
            assert risk_increasing(desk.orders._book, [live(desk)]) == []

    run(scenario())


def test_an_entry_that_is_listed_again_after_its_end_may_open_all_of_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, _ = await ended_too_early(desk)
            assert live(desk, ENTRY).counted
            desk.broker.orders[entry.order_ref].status = heard(desk, STOP).status
            await desk.settle(1)
            await desk.orders.reconcile("fake")
            assert entry.state is S.PARTIALLY_FILLED
            assert not live(desk, ENTRY).counted
            await desk.settle(10)
            await desk.orders.reconcile("fake")
            await desk.settle(10)
            assert at_the_broker(desk, entry) == live(desk).order.quantity == 100

    run(scenario())


def test_what_a_late_fill_opened_is_put_back_on_the_exits(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, take, stop = await ended_too_early(desk)
            desk.broker.fill(entry.order_ref, amount(30))
            assert due(desk) == -30
            await desk.settle(10)
            assert (at_the_broker(desk, stop), at_the_broker(desk, take)) == (50, 50)
            assert (stop.order.quantity, live(desk).reduced, due(desk)) == (50, 50, 0)
            assert desk.orders.unprotected() == {}
            asked = [body["by"] for body in await records(desk, Kind.COMMAND) if "by" in body]
            assert asked == ["bracket", "bracket"]
            desk.broker.fill(entry.order_ref, amount(10))
            await desk.settle(10)
            assert at_the_broker(desk, stop) == 60
            desk.broker.fill(take.order_ref, amount(10))
            assert (stop.order.quantity, stop.known.differences) == (50, ())

    run(scenario())


def test_nothing_is_put_back_before_a_list_shows_that_it_is_missing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await ended_too_early(desk)
            desk.broker.fill(entry.order_ref, amount(30))
            await desk.orders.modify(STOP, stop_price="91")
            await desk.settle()
            assert (at_the_broker(desk, stop), live(desk).reduced) == (20, 80)
            await desk.settle(1)
            await desk.orders.reconcile("fake")
            assert proven(desk) == -30
            await desk.orders.modify(STOP, stop_price="92")
            await desk.settle()
            assert (at_the_broker(desk, stop), stop.order.stop_price) == (50, 92)

    run(scenario())


def test_a_change_on_its_way_out_asks_for_no_more_than_was_approved(tmp_path: Path) -> None:
    disk = HeldDisk()

    async def scenario() -> None:
        async with floor(tmp_path, committer=disk) as desk:
            entry, _, stop = await ended_too_early(desk)
            disk.holds = True
            asked = begun(desk.orders.modify(STOP, stop_price="91"))
            await desk.settle()
            desk.broker.fill(entry.order_ref, amount(30))
            disk.release()
            change = await asked
            await desk.settle()
            assert (change.state, at_the_broker(desk, stop)) == (C.CONFIRMED, 20)
            await desk.settle(10)
            assert at_the_broker(desk, stop) == 50

    run(scenario())


def test_a_trade_that_was_busted_is_put_back_on_the_stop(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            bust(desk, desk.broker.fill(take.order_ref, amount(40)))
            await desk.settle(10)
            assert (at_the_broker(desk, stop), stop.order.quantity) == (100, 100)

    run(scenario())


@pytest.mark.parametrize("restarted", [False, True])
def test_a_trade_that_was_busted_makes_no_exit_larger_than_it_was_asked_for(
    tmp_path: Path, restarted: bool
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await made_smaller_across_a_fill(desk)
            (fill,) = of(desk.broker.fills, take.order_ref, Execution)
            await desk.settle(5)
            await desk.orders.reconcile("fake")
            assert (due(desk), live(desk).reduced) == (0, 40)
            if not restarted:
                bust(desk, fill)
                await desk.settle(20)
        async with next_process(tmp_path, desk) as desk:
            if restarted:
                bust(desk, fill)
                await desk.settle(20)
            assert (at_the_broker(desk, stop), live(desk).order.quantity) == (60, 60)
            assert (due(desk), live(desk).reduced) == (0, 0)
            desk.broker.fill(take.order_ref, amount(10))
            assert (at_the_broker(desk, stop), live(desk).order.quantity) == (50, 50)

    run(scenario())


async def sold_elsewhere(desk: Floor, quantity: int) -> None:
    """Close a part of the position without the bracket's exits."""
    order = sell(f"elsewhere-{quantity}", quantity, "100")
    elsewhere = await desk.orders.submit(order)
    await desk.settle()
    desk.broker.fill(elsewhere.order_ref)


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize(("sold", "fits"), [(20, 30), (120, 20)])
def test_no_exit_is_made_larger_than_what_is_held(
    tmp_path: Path, sold: int, fits: int, counted: bool
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await ended_too_early(desk)
            await sold_elsewhere(desk, sold)
            await desk.settle(10)
            desk.broker.fill(entry.order_ref, amount(30))
            if not counted:
                desk.broker.completed_orders = desk.broker.open_orders  # type: ignore[method-assign]
                live(desk, ENTRY).counted = False
            await desk.settle(60)
            assert live(desk, ENTRY).counted is counted
            assert at_the_broker(desk, stop) == fits

    run(scenario())


def test_an_exit_that_filled_in_part_is_made_larger_by_all_that_is_held(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await ended_too_early(desk)
            desk.broker.fill(stop.order_ref, amount(10))
            await desk.settle(10)
            desk.broker.fill(entry.order_ref, amount(30))
            await desk.settle(60)
            assert (at_the_broker(desk, stop), stop.known.filled) == (50, 10)
            assert desk.orders.unprotected() == {}

    run(scenario())
