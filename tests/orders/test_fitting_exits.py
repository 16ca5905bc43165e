"""The exits of a bracket fit what it has open, whatever is heard late and whoever changed them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from desk_floor import NODE, Floor, HeldDisk, amount, floor, heard, run, sell, terms_of
from exits_lab import (
    ENTRY,
    STOP,
    TAKE,
    C,
    S,
    at_the_broker,
    begun,
    bracket,
    changes,
    due,
    enlarged_again,
    held_back,
    live,
    made_smaller_across_a_fill,
    of,
    opened,
    prove,
    proven,
    rebuilt,
    records,
)

from alluse_core.cli.story import tell
from alluse_core.errors import CommandRejected
from alluse_core.model import Execution, OrderReport
from alluse_core.orders.increase import risk_increasing
from alluse_core.orders.live import Enlarged
from alluse_core.orders.reader import JournalReader
from alluse_core.orders.records import Kind
from alluse_core.orders.ticket import Ticket


def by_hand(desk: Floor, ticket: Ticket, quantity: int) -> None:
    """Let a person change the quantity of an order in TWS."""
    order = desk.broker.orders[ticket.order_ref]
    changed = attrs.evolve(order.message.order, quantity=Decimal(quantity))
    order.message = attrs.evolve(order.message, order=changed)
    desk.broker.report(order)


async def _ended_without_a_figure(desk: Floor) -> tuple[Any, list[Any]]:
    """End an entry with 50 filled; heard are 20 of them, and the end without its figure."""
    tickets = await bracket(desk)
    entry = tickets[0]
    desk.broker.fill(entry.order_ref, amount(20))
    with held_back(desk) as words:
        desk.broker.fill(entry.order_ref, amount(30))
        desk.broker.cancel_by_broker(entry.order_ref)
    last = of(words, entry.order_ref, OrderReport)[-1]
    desk.broker.say(attrs.evolve(last, filled=None, remaining=None))
    assert (entry.state, entry.known.filled) == (S.CANCELED, 20)
    return tickets, words


async def _ended_too_early(desk: Floor) -> Any:
    """End an entry with 20 filled by the broker's figure; its exits are made to fit."""
    tickets = await bracket(desk)
    desk.broker.fill(tickets[0].order_ref, amount(20))
    desk.broker.cancel_by_broker(tickets[0].order_ref)
    await desk.settle(10)
    assert (tickets[2].order.quantity, at_the_broker(desk, tickets[2])) == (20, 20)
    return tickets


def late_fill(desk: Floor, entry: Ticket, quantity: int) -> None:
    """Tell of a fill from before the end of an entry."""
    desk.broker.fill(entry.order_ref, amount(quantity))


# --- what is heard late -------------------------------------------------------------------------


def test_a_change_before_the_last_fill_of_an_ended_entry_is_heard_leaves_nothing_bare(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            (entry, _, stop), words = await _ended_without_a_figure(desk)
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
            (entry, take, stop), _ = await _ended_without_a_figure(desk)
            assert due(desk) == 0
            await desk.settle(10)
            assert entry.known.filled == 50
            assert (at_the_broker(desk, take), at_the_broker(desk, stop)) == (50, 50)

    run(scenario())


def test_a_list_of_executions_counts_no_entry_as_it_reaches_back_to_midnight_only(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            (entry, _, stop), _ = await _ended_without_a_figure(desk)
            completed = desk.broker.completed_orders
            fills, desk.broker.fills = desk.broker.fills, []
            desk.broker.completed_orders = desk.broker.open_orders  # type: ignore[method-assign]
            await desk.settle(10)
            assert not live(desk, ENTRY).counted
            assert at_the_broker(desk, stop) == 100
            desk.broker.fills = fills
            desk.broker.completed_orders = completed  # type: ignore[method-assign]
            await desk.orders.reconcile("fake")
            await desk.settle(10)
            assert at_the_broker(desk, stop) == entry.known.filled == 50

    run(scenario())


@pytest.mark.parametrize("end", [_ended_too_early, _ended_without_a_figure])
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
            forgotten = desk.broker
            forgotten.orders = {
                ref: order for ref, order in forgotten.orders.items() if order.is_open
            }
        again = attrs.evolve(NODE, incarnation="incarnation-2")
        async with floor(tmp_path, broker=forgotten, node=again) as desk:
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
            entry, _, _ = await _ended_too_early(desk)
            assert (await rebuilt(desk, ENTRY)).counted
            desk.broker.orders[entry.order_ref].status = heard(desk, STOP).status
            await desk.settle(1)
            await desk.orders.reconcile("fake")
            assert not (await rebuilt(desk, ENTRY)).counted

    run(scenario())


def test_a_halt_leaves_the_stop_whose_entry_may_have_opened_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await _ended_without_a_figure(desk)
            assert risk_increasing(desk.orders._book, [live(desk)]) == []

    run(scenario())


def test_an_entry_that_is_listed_again_after_its_end_may_open_all_of_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, _ = await _ended_too_early(desk)
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
            entry, take, stop = await _ended_too_early(desk)
            late_fill(desk, entry, 30)
            assert due(desk) == -30
            await desk.settle(10)
            assert (at_the_broker(desk, stop), at_the_broker(desk, take)) == (50, 50)
            assert (stop.order.quantity, live(desk).reduced, due(desk)) == (50, 50, 0)
            assert desk.orders.unprotected() == {}
            asked = [body["by"] for body in await records(desk, Kind.COMMAND) if "by" in body]
            assert asked == ["bracket", "bracket"]
            late_fill(desk, entry, 10)
            await desk.settle(10)
            assert at_the_broker(desk, stop) == 60
            desk.broker.fill(take.order_ref, amount(10))
            assert (stop.order.quantity, stop.known.differences) == (50, ())

    run(scenario())


def test_nothing_is_put_back_before_a_list_shows_that_it_is_missing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await _ended_too_early(desk)
            late_fill(desk, entry, 30)
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
            entry, _, stop = await _ended_too_early(desk)
            disk.holds = True
            asked = begun(desk.orders.modify(STOP, stop_price="91"))
            await desk.settle()
            late_fill(desk, entry, 30)
            disk.release()
            change = await asked
            await desk.settle()
            assert (change.state, at_the_broker(desk, stop)) == (C.CONFIRMED, 20)
            await desk.settle(10)
            assert at_the_broker(desk, stop) == 50

    run(scenario())


def bust(desk: Floor, fill: Execution) -> None:
    """Take a fill of an exit back."""
    revised = fill.execution_id[:-2] + "02"
    busted = attrs.evolve(fill, execution_id=revised, quantity=Decimal(0))
    desk.broker.fills.append(busted)
    for place in desk.broker.held:
        desk.broker.held[place] += fill.quantity
    desk.broker.say(busted)


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
        again = attrs.evolve(NODE, incarnation="incarnation-2")
        async with floor(tmp_path, broker=desk.broker, node=again) as desk:
            if restarted:
                bust(desk, fill)
                await desk.settle(20)
            assert (at_the_broker(desk, stop), live(desk).order.quantity) == (60, 60)
            assert (due(desk), live(desk).reduced) == (0, 0)
            desk.broker.fill(take.order_ref, amount(10))
            assert (at_the_broker(desk, stop), live(desk).order.quantity) == (50, 50)

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


def test_no_exit_is_made_larger_than_what_is_held(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await _ended_too_early(desk)
            elsewhere = await desk.orders.submit(sell("elsewhere", 20, "100"))
            await desk.settle()
            desk.broker.fill(elsewhere.order_ref)
            await desk.settle(10)
            late_fill(desk, entry, 30)
            await desk.settle(60)
            assert at_the_broker(desk, stop) == 30

    run(scenario())


def test_a_person_is_told_once_where_the_broker_does_not_let_an_exit_fit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await enlarged_again(desk)
            desk.broker.answers_modifies = False
            await desk.settle(3600)
            told = [each for each in caplog.messages if "does not take the change" in each]
            assert len(told) == 1
            assert f"{STOP} is for 100 where 60 are to close" in told[0]

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


# --- what persons changed -----------------------------------------------------------------------


async def _enlarged_by_a_person(desk: Floor) -> Any:
    tickets = await opened(desk)
    by_hand(desk, tickets[2], 150)
    desk.broker.fill(tickets[1].order_ref, amount(40))
    desk.broker.fill(tickets[1].order_ref, amount(20))
    return tickets


def test_what_a_person_added_to_a_stop_is_left_to_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, _, stop = await _enlarged_by_a_person(desk)
            await desk.settle(20)
            await desk.orders.reconcile("fake")
            await desk.settle(20)
            assert (at_the_broker(desk, stop), changes(desk)) == (90, [])
            assert stop.known.differences == ("quantity is 90 where 100 was asked for",)
            assert (await rebuilt(desk)).enlarged
        again = attrs.evolve(NODE, incarnation="incarnation-2")
        async with floor(tmp_path, broker=desk.broker, node=again) as desk:
            await desk.settle(20)
            assert (at_the_broker(desk, stop), changes(desk)) == (90, [])
            assert desk.orders.get(STOP).known.differences

    run(scenario())


def test_a_stop_is_followed_again_when_what_a_person_added_is_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await _enlarged_by_a_person(desk)
            await desk.settle(5)
            by_hand(desk, stop, 40)
            assert live(desk).enlarged, "a word may be older than the fills"
            await desk.settle(5)
            assert (live(desk).enlarged, stop.order.quantity) == (None, 40)
            assert not (await rebuilt(desk)).enlarged
            desk.broker.fill(take.order_ref, amount(10))
            assert (stop.order.quantity, stop.known.differences) == (30, ())
        with JournalReader(tmp_path / "journal.db") as reader:
            told = [tell(each)[1] for each in reader.story(STOP) if each.kind == Kind.ECHO]
        assert told[0] == "has other terms: quantity is 150 where 100 was asked for"
        assert told[-1] == "has the quantity again that was asked for, or less"

    run(scenario())


def test_a_word_that_came_late_is_no_persons_share_once_a_list_says_less(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, take, stop = await bracket(desk)
            await desk.orders.modify(ENTRY, quantity=50)
            await desk.settle(0.1)
            desk.broker.fill(entry.order_ref)
            desk.broker.fill(take.order_ref, amount(50))
            assert (stop.order.quantity, due(desk)) == (50, 50)
            now = heard(desk, STOP)
            desk.broker.say(terms_of(now, quantity=amount(100)))
            assert live(desk).enlarged
            desk.broker.say(terms_of(now, quantity=amount(50), stop_price=amount(89)))
            assert (await rebuilt(desk)).enlarged == Enlarged(due=amount(50)) == live(desk).enlarged
            await desk.settle(10)
            assert not live(desk).enlarged
            assert stop.state is S.CANCELED, "nothing is left to close for it"

    run(scenario())


def test_a_price_alone_takes_nothing_off_that_a_person_added(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, _, stop = await opened(desk)
            by_hand(desk, stop, 150)
            with pytest.raises(CommandRejected, match="for 150 at the broker") as refused:
                await desk.orders.modify(STOP, stop_price="91")
            assert "name the quantity" in refused.value.hint
            await desk.settle(10)
            assert (at_the_broker(desk, stop), changes(desk)) == (150, [])
            more = desk.registry.gauge("trading_system", "exits_surplus", account="DU1").value
            assert more == 50, "what it is larger than what is open is measured"

    run(scenario())


@pytest.mark.parametrize("quantity", [100, 150])
def test_a_change_that_names_the_quantity_takes_the_place_of_what_a_person_added(
    tmp_path: Path, quantity: int
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            by_hand(desk, stop, 150)
            assert live(desk).enlarged
            await desk.orders.modify(STOP, stop_price="91", quantity=quantity)
            await desk.settle()
            assert (at_the_broker(desk, stop), live(desk).enlarged) == (quantity, None)
            assert not (await rebuilt(desk)).enlarged
            desk.broker.fill(take.order_ref, amount(40))
            await desk.settle(10)
            assert at_the_broker(desk, stop) == stop.order.quantity == quantity - 40

    run(scenario())


def test_what_a_person_takes_off_after_an_enlarged_entry_ended_is_a_difference(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await bracket(desk)
            desk.broker.fill(entry.order_ref, amount(50))
            await desk.orders.modify(ENTRY, quantity=200)
            await desk.settle()
            desk.broker.fill(entry.order_ref, amount(50))
            desk.broker.cancel_by_broker(entry.order_ref)
            assert due(desk) == 0
            by_hand(desk, stop, 30)
            assert stop.known.differences == ("quantity is 30 where 100 was asked for",)
            assert stop.order.quantity == 100

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


# --- entries that are changed -------------------------------------------------------------------


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
        again = attrs.evolve(NODE, incarnation="incarnation-2")
        async with floor(tmp_path, broker=desk.broker, node=again) as desk:
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


def test_a_quantity_that_is_asked_for_by_its_number_is_let_be(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await _ended_too_early(desk)
            await desk.orders.modify(STOP, quantity=30)
            await desk.settle(10)
            assert (at_the_broker(desk, stop), due(desk)) == (30, 0)
            await desk.orders.modify(STOP, quantity=15)
            await desk.settle(10)
            assert (at_the_broker(desk, stop), due(desk)) == (15, 0)
            late_fill(desk, entry, 5)
            await desk.settle(10)
            assert at_the_broker(desk, stop) == 15
            desk.orders._book.remove(live(desk, ENTRY))
            await desk.orders.modify(STOP, quantity=10)
            await desk.settle()
            assert (at_the_broker(desk, stop), live(desk).reduced) == (10, 0)

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
            last = of(words, stop.order_ref, OrderReport)[-1]
            for word in (*of(words, take.order_ref, Execution), *words[-2:], last):
                desk.broker.say(word)
            assert stop.order.quantity == 30
        with JournalReader(tmp_path / "journal.db") as reader:
            told = [tell(each)[1] for each in reader.story(STOP) if each.kind == Kind.REDUCTION]
        assert told == ["reduced it to 30: other exits filled 20, its entry opens 50"]

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


def test_what_a_person_took_off_an_exit_is_not_put_back_with_a_late_fill(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await _ended_too_early(desk)
            by_hand(desk, stop, 10)
            late_fill(desk, entry, 30)
            await desk.settle(20)
            await desk.orders.reconcile("fake")
            await desk.settle(20)
            assert at_the_broker(desk, stop) == 10
            assert stop.known.differences == ("quantity is 10 where 20 was asked for",)

    run(scenario())


def test_a_surplus_is_left_alone_once_a_person_added_to_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, _, stop = await enlarged_again(desk)
            prove(desk)
            by_hand(desk, stop, 150)
            await desk.settle(20)
            assert at_the_broker(desk, stop) == 150

    run(scenario())


def test_reductions_that_come_one_by_one_after_their_fills_are_followed_one_by_one(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            with held_back(desk) as words:
                desk.broker.fill(take.order_ref, amount(40))
                desk.broker.fill(take.order_ref, amount(10))
            for word in of(words, take.order_ref, Execution):
                desk.broker.say(word)
            found = []
            for word in of(words, stop.order_ref, OrderReport):
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
            with held_back(desk) as words:
                desk.broker.fill(take.order_ref, amount(40))
            desk.broker.say(of(words, take.order_ref, Execution)[0])
            desk.broker.say(terms_of(twin, quantity=Decimal(60)))
            assert stop.order.quantity == 100

    run(scenario())


def test_what_was_made_to_fit_is_forgotten(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await _ended_too_early(desk)
            assert not desk.orders._parts.trimming._pauses._next

    run(scenario())
