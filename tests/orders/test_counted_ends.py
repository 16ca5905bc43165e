"""What an entry filled before its end stays known, whatever of it is heard first or taken back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
from desk_floor import Floor, amount, deaf, floor, run
from exits_lab import (
    ENTRY,
    STOP,
    S,
    at_the_broker,
    bracket,
    by_hand,
    executions,
    held_back,
    live,
    next_process,
    rebuilt,
    records,
)

from alluse_core.model import Execution, OrderState
from alluse_core.orders.records import Kind
from alluse_core.orders.ticket import Ticket


@asynccontextmanager
async def next_day(folder: Path, desk: Floor) -> AsyncIterator[Floor]:
    """Start a process whose broker lists neither executions nor orders that ended; let it look."""
    orders, fills = desk.broker.orders, desk.broker.fills
    desk.broker.orders = {ref: order for ref, order in orders.items() if order.is_open}
    desk.broker.fills = []
    async with next_process(folder, desk) as again:
        await again.settle(60)
        yield again
    desk.broker.orders, desk.broker.fills = orders, fills


def busted_in_part(desk: Floor, entry: Ticket, *, deaf_to_the_end: bool) -> None:
    """Fill an entry with 40 and 60, and take the 40 back."""
    with deaf(desk.broker, *([Execution] if deaf_to_the_end else [object])):
        first = desk.broker.fill(entry.order_ref, amount(40))
        desk.broker.fill(entry.order_ref, amount(60))
    revised = first.execution_id[:-2] + "02"
    busted = attrs.evolve(first, execution_id=revised, quantity=amount(0))
    (place,) = desk.broker.held
    desk.broker.held[place] -= 40
    desk.broker.fills[desk.broker.fills.index(first)] = busted
    desk.broker.say(busted)


async def status_first(desk: Floor) -> Sequence[Ticket]:
    """End an entry with 50 filled; its last status is heard before its execution."""
    tickets = await bracket(desk)
    with held_back(desk) as words:
        desk.broker.fill(tickets[0].order_ref, amount(50))
        desk.broker.cancel_by_broker(tickets[0].order_ref)
    desk.broker.say(words[-1])
    assert live(desk, ENTRY).counted
    assert not (await rebuilt(desk, ENTRY)).counted, "its fill is not in hand"
    for word in executions(words, tickets[0]):
        desk.broker.say(word)
    return tickets


def test_an_end_that_was_told_before_its_execution_is_known_the_day_after(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await status_first(desk)
            await desk.orders.reconcile("fake")
            told = [
                body
                for kind in (Kind.EVENT, Kind.FILL)
                for body in await records(desk, kind, ENTRY)
                if "counted" in body
            ]
            assert [body["quantity"] for body in told] == ["50"], "once, with the fill"
        async with next_day(tmp_path, desk) as desk:
            assert live(desk, ENTRY).counted
            assert at_the_broker(desk, desk.orders.get(STOP)) == 50
            assert desk.orders.unprotected() == {}

    run(scenario())


def test_an_end_is_written_down_once_though_it_is_told_again_after_a_restart(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await status_first(desk)
        async with next_process(tmp_path, desk) as desk:
            await desk.orders.reconcile("fake")
            assert live(desk, ENTRY).counted
            told = await records(desk, Kind.EVENT, ENTRY)
            assert [body for body in told if "counted" in body] == []

    run(scenario())


def test_an_entry_that_filled_what_a_person_left_of_it_is_known_the_day_after(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, _ = await bracket(desk)
            by_hand(desk, entry, 80)
            desk.broker.fill(entry.order_ref)
            assert (entry.state, entry.known.filled) == (S.FILLED, 80)
        async with next_day(tmp_path, desk) as desk:
            assert live(desk, ENTRY).state is OrderState.FILLED
            assert at_the_broker(desk, desk.orders.get(STOP)) == 80

    run(scenario())


@pytest.mark.parametrize("deaf_to_the_end", [False, True])
def test_exits_fit_what_a_bust_left_of_an_entry_that_was_whole(
    tmp_path: Path, deaf_to_the_end: bool
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, _ = await bracket(desk)
            busted_in_part(desk, entry, deaf_to_the_end=deaf_to_the_end)
            assert (entry.state, entry.known.filled) == (S.FILLED, 60)
            told = await records(desk, Kind.EVENT, ENTRY)
            assert not any("counted" in body for body in told), "the executions say it"
        async with next_day(tmp_path, desk) as desk:
            assert at_the_broker(desk, desk.orders.get(STOP)) == 60
            assert desk.orders.unprotected() == {}

    run(scenario())


def test_an_entry_called_filled_by_a_person_may_have_opened_all_of_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await bracket(desk)
            desk.broker.fill(entry.order_ref, amount(20))
            desk.broker.orders.pop(entry.order_ref)
            await desk.settle(1)
            await desk.orders.reconcile("fake")
            assert entry.state is S.UNKNOWN
            await desk.orders.resolve(ENTRY, S.FILLED, by="ann")
            await desk.settle(60)
            assert at_the_broker(desk, stop) == 100

    run(scenario())
