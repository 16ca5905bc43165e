"""What the broker left on an exit is taken off it, and what is open is closed once."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import attrs
import pytest
from desk_floor import amount, deaf, floor, run, sell
from exits_lab import (
    ENTRY,
    STOP,
    TAKE,
    C,
    S,
    at_the_broker,
    bracket,
    changes,
    due,
    enlarged_again,
    executions,
    held_back,
    live,
    opened,
    prove,
    proven,
    rebuilt,
    records,
    reports,
    sent_unanswered,
    told_alone,
    unheard,
)

from alluse_core.model import (
    BrokerStatus,
    Execution,
    OrderReport,
)
from alluse_core.orders.live import Due
from alluse_core.orders.records import Kind
from alluse_core.orders.reductions import PATIENCE


def test_an_exit_that_a_crossing_change_enlarged_again_is_made_smaller(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await enlarged_again(desk)
            await desk.settle(5)
            assert (at_the_broker(desk, stop), stop.order.quantity) == (60, 60)
            assert stop.order.stop_price == 91
            assert (due(desk), proven(desk), live(desk).reduced) == (0, 0, 40)
            assert stop.known.differences == ()
            await desk.settle(60)
            assert len(changes(desk)) == 3, "the agent's, once more by the test, and one by us"
            asked = [body["by"] for body in await records(desk, Kind.COMMAND) if "by" in body]
            assert asked == ["agent", "bracket"]
            desk.broker.fill(take.order_ref, amount(10))
            assert stop.order.quantity == 50

    run(scenario())


def test_an_exit_that_a_change_enlarged_across_its_entrys_end_is_made_smaller(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, take, stop = await bracket(desk)
            desk.broker.fill(entry.order_ref, amount(50))
            change = await sent_unanswered(desk, stop_price="91")
            (message,) = changes(desk)
            desk.broker.answers_modifies = True
            desk.broker.cancel_by_broker(entry.order_ref)
            for ticket in (take, stop):
                order = desk.broker.orders[ticket.order_ref]
                smaller = attrs.evolve(order.message.order, quantity=amount(50))
                order.message = attrs.evolve(order.message, order=smaller)
                desk.broker.report(order)
            assert stop.order.quantity == 50
            desk.broker.modify(message, desk.broker.orders[stop.order_ref].identity)
            assert (change.state, at_the_broker(desk, stop)) == (C.CONFIRMED, 100)
            assert due(desk) == 50
            again = await rebuilt(desk)
            assert (again.order, again.reduced) == (stop.order, live(desk).reduced)
            await desk.settle(10)
            assert (at_the_broker(desk, stop), stop.order.quantity) == (50, 50)
            assert due(desk) == 0
            desk.broker.fill(take.order_ref, amount(20))
            assert (stop.order.quantity, stop.order.stop_price) == (30, 91)
            assert len(changes(desk)) == 3, "the agent's, once more by the test, and one by us"

    run(scenario())


def test_what_is_due_is_asked_about_once_the_broker_has_had_its_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await enlarged_again(desk)
            now, found = desk.clock.monotonic(), []
            for late in (PATIENCE - 1, PATIENCE):
                live(desk).due = Due(amount(40), since=now - late)
                await desk.orders._parts.trimming.tend()
                found.append(live(desk).due.asked)
            assert found == [False, True]

    run(scenario())


def test_a_list_from_before_the_fill_proves_no_surplus(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, _, stop = await enlarged_again(desk)
            rows = await desk.broker.open_orders()
            (row,) = [each for each in rows.rows if each.identity.order_ref == stop.order_ref]
            desk.orders._parts.reports.take(row, "open orders", live(desk).due.since)
            assert proven(desk) == 0
            desk.orders._parts.reports.take(row, "open orders", live(desk).due.since + 1)
            assert proven(desk) == 40
            desk.broker.fill(desk.orders.get(TAKE).order_ref, amount(10))
            assert proven(desk) == 0, "what is due is another amount now"

    run(scenario())


def test_an_exit_that_has_nothing_left_to_close_is_cancelled(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, take, stop = await enlarged_again(desk, 40)
            words = unheard(desk, (take, 60))
            desk.broker.orders[stop.order_ref].status = BrokerStatus.WORKING
            for word in executions(words, take):
                desk.broker.say(word)
            assert (entry.state, due(desk)) == (S.FILLED, 100)
            await desk.settle(5)
            assert stop.state is S.CANCELED
            assert [verb for verb, _ in desk.broker.sent][-1] == "cancel"

    run(scenario())


def test_no_exit_is_made_smaller_than_what_its_entry_may_still_open(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await enlarged_again(desk)
            live(desk, ENTRY).order = attrs.evolve(entry.order, quantity=Decimal(200))
            live(desk, ENTRY).state = S.PARTIALLY_FILLED
            await desk.settle(1)
            await desk.orders.reconcile("fake")
            await desk.orders._parts.trimming.tend()
            assert proven(desk) == 40
            assert at_the_broker(desk, stop) == 100

    run(scenario())


def test_nothing_is_taken_off_before_the_fills_of_an_ended_entry_are_in_hand(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await bracket(desk)
            with held_back(desk) as words:
                desk.broker.fill(entry.order_ref, amount(50))
                desk.broker.cancel_by_broker(entry.order_ref)
            desk.broker.say(words[-1])
            assert (entry.state, entry.known.settled) == (S.CANCELED, False)
            prove(desk)
            await desk.orders._parts.trimming.tend()
            await desk.settle()
            assert changes(desk) == []
            for word in words:
                desk.broker.say(word)
            prove(desk)
            await desk.orders._parts.trimming.tend()
            await desk.settle()
            assert at_the_broker(desk, stop) == 50

    run(scenario())


def test_a_person_is_told_once_of_an_entry_whose_executions_no_list_tells(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await bracket(desk)
            with deaf(desk.broker, OrderReport):
                desk.broker.fill(entry.order_ref, amount(50))
                desk.broker.cancel_by_broker(entry.order_ref)
            fills, desk.broker.fills = desk.broker.fills, []

            def told() -> list[str]:
                return [each for each in caplog.messages if "no list tells" in each]

            await desk.settle(8)
            assert (due(desk), proven(desk), told()) == (50, 50, []), "they may be on their way"
            await desk.settle(600)
            (once,) = told()
            assert f"order {ENTRY} ended with 50 filled" in once
            assert "stays for 100 where 50 seem to be left" in once
            assert at_the_broker(desk, stop) == 100
            desk.broker.fills = fills
            await desk.orders.reconcile("fake")
            await desk.settle(2)
            assert at_the_broker(desk, stop) == 50

    run(scenario())


def test_an_exit_whose_entry_is_not_in_memory_is_let_be(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, _, stop = await enlarged_again(desk)
            await desk.settle(1)
            await desk.orders.reconcile("fake")
            assert proven(desk) == 40
            desk.orders._book.remove(live(desk, ENTRY))
            await desk.orders._parts.trimming.tend()
            assert at_the_broker(desk, stop) == 100
            await desk.orders.modify(STOP, stop_price="92")
            await desk.settle()
            assert at_the_broker(desk, stop) == 60, (
                "what other exits filled is left out all the same"
            )

    run(scenario())


def test_an_exit_that_is_being_changed_or_unknown_is_not_changed_besides(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await enlarged_again(desk)
            await desk.orders.reconcile("fake")
            await sent_unanswered(desk, stop_price="92")
            sent = len(changes(desk))
            prove(desk)
            await desk.orders._parts.trimming.tend()
            await desk.settle()
            assert len(changes(desk)) == sent
            live(desk).commands = ()
            live(desk).state = S.UNKNOWN
            await desk.orders._parts.trimming.tend()
            assert len(changes(desk)) == sent

    run(scenario())


def test_a_rest_that_is_cancelled_with_its_reduction_unheard_is_cancelled(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            with held_back(desk) as words:
                desk.broker.fill(take.order_ref, amount(40))
                desk.broker.fill(stop.order_ref, amount(20))
                desk.broker.cancel_by_broker(stop.order_ref)
            for word in executions(words, take):
                desk.broker.say(word)
            for word in executions(words, stop):
                desk.broker.say(word)
            last = reports(words, stop)[-1]
            # A broker may tell no more of it than what was filled.
            desk.broker.say(attrs.evolve(last, terms=None, remaining=Decimal(40)))
            assert (stop.state, stop.order.quantity) == (S.CANCELED, 60)
            assert desk.orders._desk.meters.impossible.value == 0

    run(scenario())


def test_a_rest_that_ends_with_no_more_than_it_filled_is_cancelled(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            words = unheard(desk, (take, 80), (stop, 20))
            for word in words:
                if isinstance(word, Execution):
                    desk.broker.say(word)
            last = reports(words, stop)[-1]
            assert last.filled == 20
            ended = attrs.evolve(last, status=BrokerStatus.CANCELED, terms=None)
            desk.broker.say(ended)
            assert (stop.state, stop.known.filled) == (S.CANCELED, 20)
            assert desk.orders._desk.meters.impossible.value == 0

    run(scenario())


def test_a_flatten_beside_a_reduced_bracket_closes_what_is_held(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, _ = await opened(desk)
            desk.broker.fill(take.order_ref, amount(40))
            desk.broker.mode = "fill"
            await desk.orders.flatten()
            await desk.settle(5)
            assert desk.orders.positions().rows == ()
            assert desk.broker.held[("DU1", take.order.instrument)] == 0
            assert all(ticket.state.is_terminal for ticket in desk.orders.all())

    run(scenario())


def test_a_halt_leaves_the_stop_whose_reduction_was_not_heard(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            told_alone(desk, take, 40)
            assert (stop.order.quantity, live(desk).exposed) == (100, 100)
            await desk.orders.halt("a test")
            await desk.settle(1)
            assert (stop.state, stop.known.pending) == (S.ACCEPTED, None)
            await desk.settle(5)
            assert (stop.state, stop.order.quantity) == (S.ACCEPTED, 60)

    run(scenario())


def test_an_exit_of_ones_own_beside_a_reduced_stop_is_counted_with_what_is_left(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            desk.broker.fill(take.order_ref, amount(40))
            book = desk.orders._book
            assert not book.reduces(sell("exit", 60, broker="fake", account="DU1"))
            desk.broker.fill(stop.order_ref, amount(30))
            assert (take.order.quantity, stop.known.filled) == (70, 30)
            assert desk.orders.unprotected() == {}

    run(scenario())
