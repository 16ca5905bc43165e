"""The exits of a bracket fit an entry, or a quantity of their own, that was changed."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import attrs
import pytest
from desk_floor import amount, floor, heard, run, sell, terms_of
from exits_lab import (
    ENTRY,
    STOP,
    TAKE,
    at_the_broker,
    bracket,
    by_hand,
    changes,
    due,
    ended_too_early,
    enlarged_again,
    executions,
    held_back,
    live,
    made_smaller_across_a_fill,
    next_process,
    opened,
    proven,
    rebuilt,
    records,
    reports,
    told_alone,
    unheard,
)

from alluse_core.cli.story import tell
from alluse_core.orders.reader import JournalReader
from alluse_core.orders.records import Kind
from alluse_core.orders.reductions import PATIENCE


@pytest.mark.parametrize("restarted", [False, True])
def test_exits_fit_an_entry_that_was_made_smaller(tmp_path: Path, restarted: bool) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, take, stop = await bracket(desk)
            await desk.orders.modify(ENTRY, quantity=50)
            await desk.settle()
            assert (entry.order.quantity, due(desk)) == (50, 50)
            if not restarted:
                desk.broker.fill(entry.order_ref)
                await desk.settle(10)
        async with next_process(tmp_path, desk) as desk:
            if restarted:
                desk.broker.fill(entry.order_ref)
                await desk.settle(20)
            assert (at_the_broker(desk, take), at_the_broker(desk, stop)) == (50, 50)
            assert desk.orders.get(STOP).order.quantity == 50
            assert desk.orders.unprotected() == {}

    run(scenario())


def test_exits_that_the_broker_fits_to_a_smaller_entry_are_followed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await bracket(desk)
            await desk.orders.modify(ENTRY, quantity=50)
            await desk.settle()
            for ticket in (take, stop):
                by_hand(desk, ticket, 50)
            assert (stop.order.quantity, stop.known.differences) == (50, ())
            assert any("to 50: its entry opens 50" in word for word in stop.known.evidence)
            await desk.settle(10)
            assert len(changes(desk)) == 1, "the entry's alone"

    run(scenario())


def test_exits_grow_back_with_an_entry_that_is_made_larger_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, _, stop = await bracket(desk)
            await desk.orders.modify(ENTRY, quantity=50)
            await desk.settle(10)
            assert at_the_broker(desk, stop) == 50
            await desk.orders.modify(ENTRY, quantity=200)
            await desk.settle(10)
            assert at_the_broker(desk, stop) == 100, "as much as was asked for"

    run(scenario())


def test_no_exit_grows_beyond_what_is_held_and_what_its_entry_may_open(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await bracket(desk)
            desk.broker.fill(entry.order_ref, amount(20))
            await desk.orders.modify(ENTRY, quantity=50)
            await desk.settle(10)
            assert at_the_broker(desk, stop) == 50
            elsewhere = await desk.orders.submit(sell("elsewhere", 20, "100"))
            await desk.settle()
            desk.broker.fill(elsewhere.order_ref)
            await desk.orders.modify(ENTRY, quantity=100)
            await desk.settle(10)
            assert at_the_broker(desk, stop) == 80

    run(scenario())


def test_exits_that_are_for_less_than_what_their_entry_opened_keep_their_quantity(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, take, stop = await bracket(desk)
            await desk.orders.modify(STOP, quantity=60)
            await desk.settle()
            desk.broker.fill(entry.order_ref, amount(80))
            desk.broker.cancel_by_broker(entry.order_ref)
            await desk.settle(10)
            assert (at_the_broker(desk, stop), at_the_broker(desk, take)) == (60, 80)
            for left in (40, 30):
                desk.broker.fill(take.order_ref, amount(at_the_broker(desk, stop) - left))
                assert (stop.order.quantity, due(desk)) == (left, 0)
            assert live(desk).reduced == 30

    run(scenario())


def test_an_exit_that_the_agent_made_larger_follows_its_entry_that_ended_short(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await bracket(desk)
            await desk.orders.modify(STOP, quantity=150)
            await desk.settle()
            desk.broker.fill(entry.order_ref, amount(70))
            desk.broker.cancel_by_broker(entry.order_ref)
            by_hand(desk, stop, 70)
            assert (stop.order.quantity, stop.known.differences) == (70, ())

    run(scenario())


def test_an_exit_for_more_than_its_entry_is_not_taken_for_one_whose_entry_ended_short(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await bracket(desk)
            await desk.orders.modify(STOP, quantity=150)
            desk.broker.fill(entry.order_ref)
            await desk.settle()
            by_hand(desk, stop, 100)
            assert stop.known.differences == ("quantity is 100 where 150 was asked for",)

    run(scenario())


def test_what_was_closed_without_its_exits_makes_no_exit_larger(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await ended_too_early(desk)
            live(desk, ENTRY).closed_elsewhere = amount(10)
            desk.broker.fill(entry.order_ref, amount(30))
            await desk.settle(10)
            assert at_the_broker(desk, stop) == 40

    run(scenario())


def test_lists_that_show_the_same_each_time_are_written_down_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await ended_too_early(desk)
            live(desk, ENTRY).closed_elsewhere = amount(30)
            desk.broker.fill(entry.order_ref, amount(30))
            before = len(await records(desk, Kind.ECHO))
            for _ in range(5):
                await desk.settle(PATIENCE)
                await desk.orders.reconcile("fake")
            assert (due(desk), proven(desk), at_the_broker(desk, stop)) == (-30, 0, 20)
            assert len(await records(desk, Kind.ECHO)) == before, "nothing was learnt"

    run(scenario())


def test_a_quantity_that_is_asked_for_by_its_number_is_let_be(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await ended_too_early(desk)
            await desk.orders.modify(STOP, quantity=30)
            await desk.settle(10)
            assert (at_the_broker(desk, stop), due(desk)) == (30, 0)
            await desk.orders.modify(STOP, quantity=15)
            await desk.settle(10)
            assert (at_the_broker(desk, stop), due(desk)) == (15, 0)
            desk.broker.fill(entry.order_ref, amount(5))
            await desk.settle(10)
            assert at_the_broker(desk, stop) == 15
            desk.orders._book.remove(live(desk, ENTRY))
            await desk.orders.modify(STOP, quantity=10)
            await desk.settle()
            assert (at_the_broker(desk, stop), live(desk).reduced) == (10, 0)

    run(scenario())


def test_what_a_list_shows_that_the_broker_left_is_not_explained_later(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, _, stop = await made_smaller_across_a_fill(desk)
            assert due(desk) == 40
            await desk.settle(1)
            await desk.orders.reconcile("fake")
            assert due(desk) == 40, "the broker may be about to take it off"
            await desk.settle(5)
            assert (due(desk), live(desk).reduced) == (0, 40)
            by_hand(desk, stop, 30)
            assert stop.known.differences == ("quantity is 30 where 60 was asked for",)

    run(scenario())


def test_what_a_list_shows_to_be_left_out_already_is_known_after_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await made_smaller_across_a_fill(desk)
            assert (await rebuilt(desk)).reduced == 0
            await desk.settle(5)
            again = await rebuilt(desk)
            assert (again.reduced, again.asked) == (40, 60)
            assert (live(desk).reduced, live(desk).asked) == (40, 60)
            desk.broker.fill(take.order_ref, amount(10))
            await desk.orders.modify(STOP, stop_price="91")
            await desk.settle()
            assert (stop.order.quantity, live(desk).reduced, live(desk).asked) == (50, 50, 60)
            again = await rebuilt(desk)
            assert (again.order, again.reduced, again.asked) == (stop.order, 50, 60)
        with JournalReader(tmp_path / "journal.db") as reader:
            told = [tell(each)[1] for each in reader.story(STOP) if each.kind == Kind.ECHO]
        assert told == ["lists it for 60: 40 are left out already"]

    run(scenario())


def test_an_enlarged_exit_that_fills_crossed_is_trimmed_and_its_sibling_let_be(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await enlarged_again(desk)
            await desk.settle(10)
            assert at_the_broker(desk, desk.orders.get(TAKE)) == 100
            assert at_the_broker(desk, desk.orders.get(STOP)) == 60

    run(scenario())


def test_both_causes_of_a_reduction_are_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, take, stop = await bracket(desk)
            desk.broker.fill(entry.order_ref, amount(50))
            with held_back(desk) as words:
                desk.broker.fill(take.order_ref, amount(20))
                desk.broker.cancel_by_broker(entry.order_ref)
                by_hand(desk, stop, 30)
            last = reports(words, stop)[-1]
            for word in (*executions(words, take), *words[-2:], last):
                desk.broker.say(word)
            assert stop.order.quantity == 30
        with JournalReader(tmp_path / "journal.db") as reader:
            told = [tell(each)[1] for each in reader.story(STOP) if each.kind == Kind.REDUCTION]
        assert told == ["reduced it to 30: other exits filled 20, its entry opens 50"]

    run(scenario())


def test_reductions_that_come_one_by_one_after_their_fills_are_followed_one_by_one(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            words = unheard(desk, (take, 40), (take, 10))
            for word in executions(words, take):
                desk.broker.say(word)
            found = []
            for word in reports(words, stop):
                desk.broker.say(word)
                found.append((stop.order.quantity, live(desk).reduced, due(desk)))
            assert found == [(60, 40, 10), (50, 50, 0)]

    run(scenario())


def test_a_twin_that_tells_a_smaller_quantity_is_not_followed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            report = heard(desk, STOP)
            twin = attrs.evolve(report, identity=attrs.evolve(report.identity, perm_id=77))
            desk.broker.say(twin)
            told_alone(desk, take, 40)
            desk.broker.say(terms_of(twin, quantity=Decimal(60)))
            assert stop.order.quantity == 100

    run(scenario())


def test_what_was_made_to_fit_is_forgotten(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await ended_too_early(desk)
            assert not desk.orders._parts.trimming._pauses._next

    run(scenario())
