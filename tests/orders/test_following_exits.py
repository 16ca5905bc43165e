"""A part-filled take-profit takes as much off its stop, and leaves the rest of it at work."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from desk_floor import amount, buy, floor, heard, run, terms_of
from exits_lab import (
    ENTRY,
    GROUP,
    STOP,
    TAKE,
    S,
    bracket,
    by_hand,
    changes,
    due,
    executions,
    live,
    next_process,
    opened,
    proven,
    rebuilt,
    records,
    reports,
    told_alone,
    unheard,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alluse_core.cli.story import tell
from alluse_core.model import (
    BrokerStatus,
    OrderGroup,
)
from alluse_core.orders.reader import JournalReader
from alluse_core.orders.records import Kind


def test_exits_of_a_bracket_reduce_and_orders_of_a_group_of_ones_own_cancel_each_other(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await bracket(desk)
            await desk.orders.submit(OrderGroup.oca(buy("a"), buy("b"), key="two"))
            await desk.settle()
            reduces = {
                message.order.key: message.oca_reduces
                for _, messages in desk.broker.sent
                for message in messages  # type: ignore[attr-defined]
            }
            assert reduces == {ENTRY: False, TAKE: True, STOP: True, "a": False, "b": False}
            await desk.orders.modify(STOP, stop_price="91")
            await desk.settle()
            assert [message.oca_reduces for message in changes(desk)] == [True]

    run(scenario())


def test_the_rest_of_a_part_filled_take_profit_keeps_its_stop(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            desk.broker.fill(take.order_ref, amount(40))
            assert (stop.order.quantity, stop.state, stop.known.differences) == (60, S.ACCEPTED, ())
            assert live(desk).exposed == 60
            assert desk.orders.unprotected() == {}
            assert any("reduced it to 60" in word for word in stop.known.evidence)
            desk.broker.fill(take.order_ref, amount(10))
            assert stop.order.quantity == 50
            desk.broker.fill(stop.order_ref)
            assert (stop.state, stop.known.filled, stop.known.settled) == (S.FILLED, 50, True)
            assert (take.state, take.known.filled) == (S.CANCELED, 50)
            assert desk.orders.positions().rows == ()
            assert desk.count("echo_differences") == 0
            assert desk.count("unasked_cancels") == 0
            written = await records(desk)
            assert [body["order"]["quantity"] for body in written] == ["60", "50"]
            assert {(body["broker"], body["account"]) for body in written} == {("fake", "DU1")}

    run(scenario())


def test_a_reduction_that_is_told_before_its_cause_is_looked_at_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            words = unheard(desk, (take, 40))
            desk.broker.say(words[-1])
            # Without its cause it is what a person may have done.
            assert (stop.order.quantity, bool(stop.known.differences)) == (100, True)
            assert live(desk).as_working().remaining == 100
            changed = asyncio.get_running_loop().create_future()
            live(desk).watch(changed)
            desk.broker.say(executions(words, take)[0])
            assert (stop.order.quantity, stop.known.differences) == (60, ())
            assert live(desk).as_working().remaining == 60
            assert changed.done()
            for word in reversed(words):
                desk.broker.say(word)
            for word in words:
                desk.broker.say(word)
            assert (stop.order.quantity, live(desk).reduced) == (60, 40)
            assert len(await records(desk)) == 1

    run(scenario())


def test_other_differences_stay_when_a_reduction_is_understood(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            words = unheard(desk, (take, 40))
            (told,) = reports(words, stop)
            desk.broker.say(terms_of(told, time_in_force="DAY"))
            for word in executions(words, take):
                desk.broker.say(word)
            assert stop.order.quantity == 60
            assert stop.known.differences == ("time in force is DAY where GTC was asked for",)

    run(scenario())


def test_a_reduction_that_is_not_heard_counts_nothing_less_until_a_list_tells_it(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            told_alone(desk, take, 40)
            assert (stop.order.quantity, live(desk).exposed, due(desk)) == (100, 100, 40)
            assert desk.orders.unprotected() == {}
            asked = desk.broker.queries
            await desk.settle(1)
            assert desk.broker.queries == asked
            await desk.settle(3)
            assert desk.broker.queries > asked, "it was overdue, and asked about"
            assert (stop.order.quantity, due(desk)) == (60, 0)
            assert changes(desk) == []

    run(scenario())


def test_a_status_alone_tells_a_reduction(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            words = unheard(desk, (take, 40))
            (told,) = reports(words, stop)
            status = attrs.evolve(told, terms=None)
            desk.broker.say(status)
            assert live(desk).quantity == 100, "nothing explains it yet"
            desk.broker.say(executions(words, take)[0])
            desk.broker.say(attrs.evolve(status, filled=None))
            desk.broker.say(attrs.evolve(status, remaining=None))
            assert stop.order.quantity == 100
            desk.broker.say(status)
            assert stop.order.quantity == 60

    run(scenario())


def test_a_completed_order_without_its_total_tells_it_by_its_fills(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            words = unheard(desk, (take, 40), (stop, 60))
            desk.broker.say(executions(words, take)[0])
            last = reports(words, stop)[-1]
            assert (last.status, last.filled, last.remaining) == (BrokerStatus.FILLED, 60, 0)
            desk.broker.say(terms_of(last, quantity=Decimal(0)))
            assert (stop.state, stop.order.quantity) == (S.FILLED, 60)
            assert not stop.known.settled, "its executions are to come"
            for word in executions(words, stop):
                desk.broker.say(word)
            assert stop.known.settled

    run(scenario())


@pytest.mark.parametrize("reduction_first", [True, False])
def test_executions_that_reach_the_reduced_quantity_fill_it(
    tmp_path: Path, reduction_first: bool
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            words = unheard(desk, (take, 40), (stop, 60))
            reduction = reports(words, stop)[0]
            assert reduction.remaining == 60
            (execution,) = executions(words, stop)
            desk.broker.say(executions(words, take)[0])
            if reduction_first:
                desk.broker.say(reduction)
                desk.broker.say(execution)
            else:
                desk.broker.say(execution)
                assert stop.state is S.PARTIALLY_FILLED
                desk.broker.say(reduction)
            assert (stop.state, stop.order.quantity, stop.known.filled) == (S.FILLED, 60, 60)
            assert reduction_first or "executions: FILL" in stop.known.evidence

    run(scenario())


def test_an_end_that_is_told_before_its_cause_is_named_rightly_afterwards(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            words = unheard(desk, (take, 40), (stop, 60))
            for word in reports(words, stop):
                desk.broker.say(word)
            assert (stop.state, stop.order.quantity) == (S.FILLED, 100)
            desk.broker.say(executions(words, take)[0])
            assert (stop.state, stop.order.quantity) == (S.FILLED, 60)

    run(scenario())


def test_exits_follow_an_entry_that_ended_before_it_was_filled(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, take, stop = await bracket(desk)
            desk.broker.fill(entry.order_ref, amount(50))
            words = unheard(desk, (take, 20))
            for word in words:
                desk.broker.say(word)
            assert stop.order.quantity == 80
            # Of the 50 that it opened 30 are open yet.
            told = terms_of(heard(desk, STOP), quantity=Decimal(30))
            desk.broker.say(attrs.evolve(told, remaining=Decimal(30)))
            assert stop.known.differences
            desk.broker.cancel_by_broker(entry.order_ref)
            assert (stop.order.quantity, stop.known.differences) == (30, ())
            assert (live(desk).reduced, due(desk)) == (70, 0)
            assert desk.orders.unprotected() == {}

    run(scenario())


@pytest.mark.parametrize("told", [59, 0, 101])
def test_what_the_fills_do_not_explain_is_a_difference(tmp_path: Path, told: int) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            unheard(desk, (take, 40))
            desk.broker.report(desk.broker.orders[take.order_ref])
            report = attrs.evolve(heard(desk, STOP), filled=None, remaining=None)
            desk.broker.say(terms_of(report, quantity=Decimal(told)))
            assert stop.order.quantity == 100
            assert stop.known.differences
            assert await records(desk) == []

    run(scenario())


def test_a_smaller_quantity_of_a_group_of_ones_own_is_a_difference(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            group = await desk.orders.submit(OrderGroup.oca(buy("a"), buy("b"), key="two"))
            await desk.settle()
            desk.broker.fill(group.tickets[0].order_ref, amount(40))
            desk.broker.say(terms_of(heard(desk, "b"), quantity=Decimal(60)))
            assert group["b"].order.quantity == 100
            assert group["b"].known.differences

    run(scenario())


def test_an_exit_with_two_perm_ids_follows_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            report = heard(desk, STOP)
            twin = attrs.evolve(report.identity, perm_id=77)
            desk.broker.say(attrs.evolve(report, identity=twin))
            desk.broker.fill(take.order_ref, amount(40))
            assert stop.order.quantity == 100
            by_hand(desk, stop, 100)
            await desk.settle(1)
            await desk.orders.reconcile("fake")
            assert (due(desk), proven(desk)) == (40, 0)

    run(scenario())


@settings(
    max_examples=int(os.environ.get("ALLUSE_REPLAYS", "8")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data(), parts=st.lists(st.integers(1, 30), min_size=1, max_size=3))
def test_words_of_fills_and_reductions_end_the_same_in_any_order(
    data: st.DataObject, parts: list[int], tmp_path_factory: Any, ran: Callable[[int], None]
) -> None:
    folder = tmp_path_factory.mktemp("words")

    async def scenario() -> None:
        async with floor(folder) as desk:
            _, take, stop = await opened(desk)
            words = unheard(desk, *((take, part) for part in parts))
            twice = words + data.draw(st.lists(st.sampled_from(words), max_size=4))
            for word in data.draw(st.permutations(twice)):
                desk.broker.say(word)
                assert live(desk).quantity >= 100 - sum(parts), "what may fill is never forgotten"
            await desk.settle(1)
            await desk.orders.reconcile("fake")
            left = 100 - sum(parts)
            assert (stop.order.quantity, live(desk).quantity, due(desk)) == (left, left, 0)
            assert (stop.state, stop.known.differences) == (S.ACCEPTED, ())
            assert changes(desk) == []
            again = await rebuilt(desk)
            assert (again.order, again.reduced) == (stop.order, sum(parts))
            ran(1)

    run(scenario())


def test_a_reduction_is_known_after_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            desk.broker.fill(take.order_ref, amount(40))
            desk.broker.answers_modifies = False
            await desk.orders.modify(STOP, stop_price="91")
            await desk.settle()
            found = await rebuilt(desk)
            with JournalReader(desk.journal.path) as reader:
                assert reader.order(STOP).order.quantity == 60
            assert (found.order, found.reduced, found.oca_reduces) == (stop.order, 40, True)
            (command,) = found.commands
            assert command.order is not None
            assert (command.order.quantity, command.reduced) == (60, 40)
        desk.broker.lists_fail = True
        async with next_process(tmp_path, desk) as desk:
            assert desk.orders.get(STOP).order.quantity == 60
            assert live(desk).exposed == 60
            assert desk.orders.get(STOP).known.differences == ()
            # What is asked for again under its key is what was asked for first.
            tickets = (await desk.orders.submit(GROUP)).tickets
            assert tickets[2].order.quantity == 60
            assert [verb for verb, _ in desk.broker.sent].count("place") == 1

    run(scenario())


def test_a_change_of_a_reduced_exit_is_rebuilt_with_what_it_left_out(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            desk.broker.fill(take.order_ref, amount(40))
            await desk.orders.modify(STOP, stop_price="91")
            await desk.settle()
            again = await rebuilt(desk)
            assert (again.order, again.reduced) == (stop.order, 40)
            assert (stop.order.quantity, stop.order.stop_price) == (60, 91)

    run(scenario())


def test_people_are_told_why_an_exit_is_smaller(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, _ = await opened(desk)
            desk.broker.fill(take.order_ref, amount(40))
        with JournalReader(tmp_path / "journal.db") as reader:
            told = [tell(entry) for entry in reader.story(STOP) if entry.kind == Kind.REDUCTION]
        assert told == [("broker", "reduced it to 60: other exits filled 40")]

    run(scenario())


def test_people_are_told_that_the_entry_ended_short(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await bracket(desk)
            desk.broker.fill(entry.order_ref, amount(50))
            desk.broker.cancel_by_broker(entry.order_ref)
            told = terms_of(heard(desk, STOP), quantity=Decimal(50))
            desk.broker.say(attrs.evolve(told, remaining=Decimal(50)))
            assert stop.order.quantity == 50
        with JournalReader(tmp_path / "journal.db") as reader:
            told = [tell(entry) for entry in reader.story(STOP) if entry.kind == Kind.REDUCTION]
        assert told == [("broker", "reduced it to 50: its entry opens 50")]

    run(scenario())
