"""A part-filled take-profit takes as much off its stop, and leaves the rest of it at work."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from desk_floor import NODE, Floor, HeldDisk, amount, buy, floor, heard, run, sell, terms_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alluse_core.cli.story import tell
from alluse_core.errors import CommandRejected, JournalError
from alluse_core.model import (
    BrokerStatus,
    Evidence,
    Execution,
    OrderGroup,
    OrderReport,
    OrderState,
)
from alluse_core.orders.increase import risk_increasing
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.reader import JournalReader
from alluse_core.orders.records import Kind
from alluse_core.orders.recovery import rebuild
from alluse_core.orders.states import CommandEvent, CommandState
from alluse_core.orders.ticket import Ticket
from alluse_core.ports import OrderMessage

S, C = OrderState, CommandState
ENTRY, TAKE, STOP = "one/entry", "one/entry/profit", "one/entry/stop"
GROUP = OrderGroup.bracket(buy(ENTRY), take_profit="110", stop="90")


async def bracket(desk: Floor) -> Sequence[Ticket]:
    """Submit a bracket of 100; return (entry, take-profit, stop)."""
    tickets = (await desk.orders.submit(GROUP)).tickets
    await desk.settle()
    return tickets


async def opened(desk: Floor) -> Sequence[Ticket]:
    """Return a bracket whose entry filled whole."""
    tickets = await bracket(desk)
    desk.broker.fill(tickets[0].order_ref)
    return tickets


@contextmanager
def held_back(desk: Floor) -> Any:
    """Let the broker's words wait; yield them."""
    hear, words = desk.broker._evidence, list[Evidence]()
    desk.broker._evidence = words.append
    yield words
    desk.broker._evidence = hear


def of(words: Sequence[Evidence], ref: str, kind: type) -> list[Any]:
    return [
        word
        for word in words
        if isinstance(word, kind) and word.identity.order_ref == ref  # type: ignore[attr-defined]
    ]


def live(desk: Floor, key: str = STOP) -> LiveOrder:
    return desk.orders._live(key)


def at_the_broker(desk: Floor, ticket: Ticket) -> Decimal:
    return desk.broker.orders[ticket.order_ref].message.order.quantity


def changes(desk: Floor) -> list[OrderMessage]:
    return [what for verb, what in desk.broker.sent if verb == "modify"]  # type: ignore[misc]


async def records(desk: Floor, kind: Kind = Kind.REDUCTION, key: str = STOP) -> list[Any]:
    await desk.orders.flush()
    with JournalReader(desk.journal.path) as reader:
        return [entry.body for entry in reader.entries(kind, key=key)]


async def rebuilt(desk: Floor) -> LiveOrder:
    """Return the stop as a start would."""
    await desk.orders.flush()
    with JournalReader(desk.journal.path) as reader:
        found = rebuild(reader.story(STOP))
    assert found is not None
    return found


def _begun(call: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.ensure_future(call)


# --- what is asked of the broker ----------------------------------------------------------------


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


# --- following ----------------------------------------------------------------------------------


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
            assert [body["order"]["quantity"] for body in await records(desk)] == ["60", "50"]

    run(scenario())


def test_a_reduction_that_is_told_before_its_cause_is_looked_at_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            with held_back(desk) as words:
                desk.broker.fill(take.order_ref, amount(40))
            desk.broker.say(words[-1])
            # Without its cause it is what a person may have done.
            assert (stop.order.quantity, bool(stop.known.differences)) == (100, True)
            for word in reversed(words):
                desk.broker.say(word)
            assert (stop.order.quantity, stop.known.differences) == (60, ())
            for word in words:
                desk.broker.say(word)
            assert (stop.order.quantity, live(desk).reduced) == (60, 40)
            assert len(await records(desk)) == 1

    run(scenario())


def test_other_differences_stay_when_a_reduction_is_understood(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            with held_back(desk) as words:
                desk.broker.fill(take.order_ref, amount(40))
            (told,) = of(words, stop.order_ref, OrderReport)
            desk.broker.say(terms_of(told, time_in_force="DAY"))
            for word in of(words, take.order_ref, Execution):
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
            with held_back(desk) as words:
                desk.broker.fill(take.order_ref, amount(40))
            desk.broker.say(of(words, take.order_ref, Execution)[0])
            assert (stop.order.quantity, live(desk).exposed, live(desk).due) == (100, 100, 40)
            assert desk.orders.unprotected() == {}
            asked = desk.broker.queries
            await desk.settle(1)
            assert desk.broker.queries == asked
            await desk.settle(3)
            assert desk.broker.queries > asked, "it was overdue, and asked about"
            assert (stop.order.quantity, live(desk).due) == (60, 0)
            assert changes(desk) == []

    run(scenario())


def test_a_status_alone_tells_a_reduction(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            with held_back(desk) as words:
                desk.broker.fill(take.order_ref, amount(40))
            (told,) = of(words, stop.order_ref, OrderReport)
            status = attrs.evolve(told, terms=None)
            desk.broker.say(status)
            assert live(desk).quantity == 100, "nothing explains it yet"
            desk.broker.say(of(words, take.order_ref, Execution)[0])
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
            with held_back(desk) as words:
                desk.broker.fill(take.order_ref, amount(40))
                desk.broker.fill(stop.order_ref)
            desk.broker.say(of(words, take.order_ref, Execution)[0])
            last = of(words, stop.order_ref, OrderReport)[-1]
            assert (last.status, last.filled, last.remaining) == (BrokerStatus.FILLED, 60, 0)
            desk.broker.say(terms_of(last, quantity=Decimal(0)))
            assert (stop.state, stop.order.quantity) == (S.FILLED, 60)
            assert not stop.known.settled, "its executions are to come"
            for word in of(words, stop.order_ref, Execution):
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
            with held_back(desk) as words:
                desk.broker.fill(take.order_ref, amount(40))
                desk.broker.fill(stop.order_ref)
            reduction = of(words, stop.order_ref, OrderReport)[0]
            assert reduction.remaining == 60
            (execution,) = of(words, stop.order_ref, Execution)
            desk.broker.say(of(words, take.order_ref, Execution)[0])
            if reduction_first:
                desk.broker.say(reduction)
                desk.broker.say(execution)
            else:
                desk.broker.say(execution)
                assert stop.state is S.PARTIALLY_FILLED
                desk.broker.say(reduction)
            assert (stop.state, stop.order.quantity, stop.known.filled) == (S.FILLED, 60, 60)

    run(scenario())


def test_an_end_that_is_told_before_its_cause_is_named_rightly_afterwards(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            with held_back(desk) as words:
                desk.broker.fill(take.order_ref, amount(40))
                desk.broker.fill(stop.order_ref)
            for word in of(words, stop.order_ref, OrderReport):
                desk.broker.say(word)
            assert (stop.state, stop.order.quantity) == (S.FILLED, 100)
            desk.broker.say(of(words, take.order_ref, Execution)[0])
            assert (stop.state, stop.order.quantity) == (S.FILLED, 60)

    run(scenario())


def test_exits_follow_an_entry_that_ended_before_it_was_filled(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, take, stop = await bracket(desk)
            desk.broker.fill(entry.order_ref, amount(50))
            with held_back(desk) as words:
                desk.broker.fill(take.order_ref, amount(20))
            for word in words:
                desk.broker.say(word)
            assert stop.order.quantity == 80
            # Of the 50 that it opened 30 are open yet.
            told = terms_of(heard(desk, STOP), quantity=Decimal(30))
            desk.broker.say(attrs.evolve(told, remaining=Decimal(30)))
            assert stop.known.differences
            desk.broker.cancel_by_broker(entry.order_ref)
            assert (stop.order.quantity, stop.known.differences) == (30, ())
            assert (live(desk).reduced, live(desk).due) == (70, 0)
            assert desk.orders.unprotected() == {}

    run(scenario())


@pytest.mark.parametrize("told", [59, 0, 101])
def test_what_the_fills_do_not_explain_is_a_difference(tmp_path: Path, told: int) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            with held_back(desk):
                desk.broker.fill(take.order_ref, amount(40))
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
            await desk.orders.reconcile("fake")
            assert live(desk).surplus == 0

    run(scenario())


@settings(
    max_examples=int(os.environ.get("ALLUSE_REPLAYS", "8")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data(), parts=st.lists(st.integers(1, 30), min_size=1, max_size=3))
def test_words_of_fills_and_reductions_end_the_same_in_any_order(
    data: st.DataObject, parts: list[int], tmp_path_factory: Any, ran: Callable[[int], None]
) -> None:
    folder = tmp_path_factory.mktemp("words")

    async def scenario() -> None:
        async with floor(folder) as desk:
            _, take, stop = await opened(desk)
            with held_back(desk) as words:
                for part in parts:
                    desk.broker.fill(take.order_ref, amount(part))
            twice = words + data.draw(st.lists(st.sampled_from(words), max_size=4))
            for word in data.draw(st.permutations(twice)):
                desk.broker.say(word)
                assert live(desk).quantity >= 100 - sum(parts), "what may fill is never forgotten"
            await desk.settle(1)
            await desk.orders.reconcile("fake")
            left = 100 - sum(parts)
            assert (stop.order.quantity, live(desk).quantity, live(desk).due) == (left, left, 0)
            assert (stop.state, stop.known.differences) == (S.ACCEPTED, ())
            assert changes(desk) == []
            again = await rebuilt(desk)
            assert (again.order, again.reduced) == (stop.order, sum(parts))
            ran(1)

    run(scenario())


# --- over a restart, and told to people ---------------------------------------------------------


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
        again = attrs.evolve(NODE, incarnation="incarnation-2")
        async with floor(tmp_path, broker=desk.broker, node=again) as desk:
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
        assert told == [("broker", "reduced it to 50: its entry ended before it was filled")]

    run(scenario())


# --- changes of exits meanwhile -----------------------------------------------------------------


def test_a_change_of_the_price_keeps_the_reduced_quantity(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            desk.broker.fill(take.order_ref, amount(40))
            change = await desk.orders.modify(STOP, stop_price="91")
            await desk.settle()
            assert (change.state, at_the_broker(desk, stop)) == (C.CONFIRMED, 60)
            desk.broker.fill(take.order_ref, amount(10))
            assert (stop.order.quantity, stop.order.stop_price) == (50, 91)

    run(scenario())


def test_a_change_leaves_out_a_fill_whose_reduction_was_not_heard(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            with held_back(desk) as words:
                desk.broker.fill(take.order_ref, amount(40))
            desk.broker.say(of(words, take.order_ref, Execution)[0])
            change = await desk.orders.modify(STOP, stop_price="91")
            await desk.settle()
            assert (change.state, at_the_broker(desk, stop)) == (C.CONFIRMED, 60)
            assert (stop.order.quantity, live(desk).reduced, live(desk).due) == (60, 40, 0)

    run(scenario())


def test_a_change_leaves_out_what_is_filled_before_it_is_sent(tmp_path: Path) -> None:
    disk = HeldDisk()

    async def scenario() -> None:
        async with floor(tmp_path, committer=disk) as desk:
            _, take, stop = await opened(desk)
            disk.holds = True
            asked = _begun(desk.orders.modify(STOP, stop_price="91"))
            await desk.settle()
            desk.broker.fill(take.order_ref, amount(40))
            disk.release()
            change = await asked
            await desk.settle()
            assert [message.order.quantity for message in changes(desk)] == [60]
            assert (change.state, stop.order.quantity) == (C.CONFIRMED, 60)
            again = await rebuilt(desk)
            assert (again.order, again.reduced) == (stop.order, 40)

    run(scenario())


@pytest.mark.parametrize("known", [True, False])
def test_a_change_leaves_out_what_an_ended_entry_will_not_open(tmp_path: Path, known: bool) -> None:
    disk = HeldDisk()

    async def scenario() -> None:
        async with floor(tmp_path, committer=disk) as desk:
            entry, _, stop = await bracket(desk)
            desk.broker.fill(entry.order_ref, amount(50))
            disk.holds = True
            asked = _begun(desk.orders.modify(STOP, stop_price="91"))
            await desk.settle()
            desk.broker.cancel_by_broker(entry.order_ref)
            if known:
                told = terms_of(heard(desk, STOP), quantity=Decimal(50))
                desk.broker.say(attrs.evolve(told, remaining=Decimal(50)))
                assert (stop.order.quantity, live(desk).due) == (50, 0)
            disk.release()
            change = await asked
            await desk.settle()
            assert [message.order.quantity for message in changes(desk)] == [50]
            assert (change.state, stop.order.quantity, live(desk).due) == (C.CONFIRMED, 50, 0)

    run(scenario())


def test_a_change_that_has_nothing_left_to_close_is_refused(tmp_path: Path) -> None:
    disk = HeldDisk()

    async def scenario() -> None:
        async with floor(tmp_path, committer=disk) as desk:
            _, take, _ = await opened(desk)
            disk.holds = True
            asked = _begun(desk.orders.modify(STOP, stop_price="91"))
            await desk.settle()
            with held_back(desk) as words:
                desk.broker.fill(take.order_ref)
            desk.broker.say(of(words, take.order_ref, Execution)[0])
            disk.release()
            change = await asked
            await desk.settle()
            assert changes(desk) == []
            assert change.state is C.REFUSED
            assert "nothing is left to close" in change.reason
            with pytest.raises(CommandRejected, match="nothing is left to close"):
                await desk.orders.modify(STOP, stop_price="92")

    run(scenario())


async def _sent_unanswered(desk: Floor, **terms: Any) -> Any:
    """Send a change of the stop that the broker says nothing of."""
    desk.broker.answers_modifies = False
    change = await desk.orders.modify(STOP, **terms)
    await desk.settle()
    assert change.state is C.SENT
    return change


def test_a_change_that_crosses_a_fill_is_confirmed_with_what_is_left(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            change = await _sent_unanswered(desk, stop_price="91")
            with held_back(desk) as words:
                desk.broker.fill(take.order_ref, amount(40))
            (told,) = of(words, stop.order_ref, OrderReport)
            taken = terms_of(told, stop_price=Decimal(91))
            desk.broker.say(taken)
            assert change.state is C.SENT, "nothing explains the quantity yet"
            desk.broker.say(of(words, take.order_ref, Execution)[0])
            desk.broker.say(taken)
            assert change.state is C.CONFIRMED
            assert (stop.order.quantity, stop.order.stop_price) == (60, 91)
            assert (live(desk).reduced, stop.known.differences) == (40, ())
            again = await rebuilt(desk)
            assert (again.order, again.reduced) == (stop.order, 40)

    run(scenario())


def test_old_terms_less_what_was_filled_answer_no_change(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            resize = await _sent_unanswered(desk, quantity=80)
            desk.broker.fill(take.order_ref, amount(40))
            assert (stop.order.quantity, stop.order.stop_price) == (60, 90)
            assert resize.state is C.SENT
            assert live(desk).quantity == 80, "the change may have been made"
            # With other terms besides it is no answer either.
            desk.broker.say(terms_of(heard(desk, STOP), quantity=Decimal(50), time_in_force="DAY"))
            desk.broker.say(terms_of(heard(desk, STOP), quantity=Decimal(0), time_in_force="DAY"))
            desk.broker.say(terms_of(heard(desk, STOP), quantity=Decimal(30)))
            assert resize.state is C.SENT
            desk.broker.say(terms_of(heard(desk, STOP), quantity=Decimal(50)))
            assert (resize.state, stop.order.quantity) == (C.CONFIRMED, 50)

    run(scenario())


def test_a_late_echo_of_a_change_may_leave_out_what_was_filled(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            change = await _sent_unanswered(desk, stop_price="91")
            (command,) = live(desk).commands
            desk.orders._applier.command(
                live(desk), command, CommandEvent.REFUSE, "a list had the old terms", doubted=True
            )
            desk.broker.fill(take.order_ref, amount(40))
            assert stop.order.quantity == 60
            desk.broker.say(terms_of(heard(desk, STOP), stop_price=Decimal(91)))
            assert change.state is C.CONFIRMED
            assert (stop.order.quantity, stop.order.stop_price) == (60, 91)
            assert not live(desk).doubted

    run(scenario())


async def _made_smaller_across_a_fill(desk: Floor) -> Sequence[Ticket]:
    """Let a change to 60 reach the broker after it took 40 off the stop: it is for 60 still."""
    tickets = await opened(desk)
    await _sent_unanswered(desk, quantity=60)
    (message,) = changes(desk)
    desk.broker.answers_modifies = True
    desk.broker.fill(tickets[1].order_ref, amount(40))
    desk.broker.modify(message, desk.broker.orders[tickets[2].order_ref].identity)
    assert (at_the_broker(desk, tickets[2]), tickets[2].order.quantity) == (60, 60)
    return tickets


@pytest.mark.parametrize("seconds", [0, 10])
def test_a_price_changes_nothing_of_what_an_exit_closes_that_was_made_smaller_across_a_fill(
    tmp_path: Path, seconds: int
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await _made_smaller_across_a_fill(desk)
            await desk.settle(seconds)
            await desk.orders.modify(STOP, stop_price="91")
            await desk.settle(10)
            assert (at_the_broker(desk, stop), stop.order.stop_price) == (60, 91)
            assert desk.orders.unprotected() == {}
            assert (live(desk).due, live(desk).reduced) == (0, 40)
            desk.broker.fill(take.order_ref, amount(10))
            assert (at_the_broker(desk, stop), stop.order.quantity) == (50, 50)

    run(scenario())


def test_a_change_to_what_may_be_open_is_sent_as_it_is(tmp_path: Path) -> None:
    disk = HeldDisk()

    async def scenario() -> None:
        async with floor(tmp_path, committer=disk) as desk:
            _, take, stop = await opened(desk)
            disk.holds = True
            asked = _begun(desk.orders.modify(STOP, quantity=60))
            await desk.settle()
            desk.broker.fill(take.order_ref, amount(40))
            disk.release()
            change = await asked
            await desk.settle()
            assert (change.state, at_the_broker(desk, stop)) == (C.CONFIRMED, 60)
            assert (live(desk).due, live(desk).reduced) == (0, 40)

    run(scenario())


def test_a_halt_counts_an_exit_with_all_that_it_may_close(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await _made_smaller_across_a_fill(desk)
            await desk.orders.submit(sell("extra", 40, "120"))
            await desk.settle()
            both = [live(desk), live(desk, "extra")]
            # Of 60 that are held the stop may sell 60.
            assert risk_increasing(desk.orders._book, both) == [live(desk, "extra")]

    run(scenario())


# --- what the broker did not take off -----------------------------------------------------------


async def _enlarged_again(desk: Floor, filled: int = 40) -> Sequence[Ticket]:
    """Let a change that names 100 reach the broker after it took a fill off the stop."""
    entry, take, stop = await opened(desk)
    await _sent_unanswered(desk, stop_price="91")
    (message,) = changes(desk)
    desk.broker.answers_modifies = True
    with held_back(desk) as words:
        desk.broker.fill(take.order_ref, amount(filled))
        desk.broker.modify(message, desk.broker.orders[stop.order_ref].identity)
    for word in words:
        desk.broker.say(word)
    assert stop.order.quantity == at_the_broker(desk, stop) == 100
    assert live(desk).due == filled
    return entry, take, stop


def test_an_exit_that_a_crossing_change_enlarged_again_is_made_smaller(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await _enlarged_again(desk)
            await desk.settle(5)
            assert (at_the_broker(desk, stop), stop.order.quantity) == (60, 60)
            assert stop.order.stop_price == 91
            assert (live(desk).due, live(desk).surplus, live(desk).reduced) == (0, 0, 40)
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
            change = await _sent_unanswered(desk, stop_price="91")
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
            assert live(desk).due == 50
            again = await rebuilt(desk)
            assert (again.order, again.reduced) == (stop.order, live(desk).reduced)
            await desk.settle(10)
            assert (at_the_broker(desk, stop), stop.order.quantity) == (50, 50)
            assert live(desk).due == 0
            desk.broker.fill(take.order_ref, amount(20))
            assert (stop.order.quantity, stop.order.stop_price) == (30, 91)
            assert len(changes(desk)) == 3, "the agent's, once more by the test, and one by us"

    run(scenario())


def test_a_list_from_before_the_fill_proves_no_surplus(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, _, stop = await _enlarged_again(desk)
            rows = await desk.broker.open_orders()
            (row,) = [each for each in rows.rows if each.identity.order_ref == stop.order_ref]
            desk.orders._parts.reports.take(row, "open orders", live(desk).due_at)
            assert live(desk).surplus == 0
            desk.orders._parts.reports.take(row, "open orders", live(desk).due_at + 1)
            assert live(desk).surplus == 40
            desk.broker.fill(desk.orders.get(TAKE).order_ref, amount(10))
            assert live(desk).surplus == 0, "what is due is another amount now"

    run(scenario())


def test_an_exit_that_has_nothing_left_to_close_is_cancelled(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, take, stop = await _enlarged_again(desk, 40)
            with held_back(desk) as words:
                desk.broker.fill(take.order_ref, amount(60))
            desk.broker.orders[stop.order_ref].status = BrokerStatus.WORKING
            for word in of(words, take.order_ref, Execution):
                desk.broker.say(word)
            assert (entry.state, live(desk).due) == (S.FILLED, 100)
            await desk.settle(5)
            assert stop.state is S.CANCELED
            assert [verb for verb, _ in desk.broker.sent][-1] == "cancel"

    run(scenario())


def test_no_exit_is_made_smaller_than_what_its_entry_may_still_open(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await _enlarged_again(desk)
            live(desk, ENTRY).order = attrs.evolve(entry.order, quantity=Decimal(200))
            live(desk, ENTRY).state = S.PARTIALLY_FILLED
            await desk.settle(1)
            await desk.orders.reconcile("fake")
            await desk.orders._parts.trimming.tend()
            assert live(desk).surplus == 40
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
            live(desk).surplus = live(desk).due
            await desk.orders._parts.trimming.tend()
            assert changes(desk) == []
            for word in words:
                desk.broker.say(word)
            live(desk).surplus = live(desk).due
            await desk.orders._parts.trimming.tend()
            await desk.settle()
            assert at_the_broker(desk, stop) == 50

    run(scenario())


def test_an_exit_whose_entry_is_not_in_memory_is_let_be(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, _, stop = await _enlarged_again(desk)
            await desk.settle(1)
            await desk.orders.reconcile("fake")
            assert live(desk).surplus == 40
            desk.orders._book.remove(live(desk, ENTRY))
            await desk.orders._parts.trimming.tend()
            assert at_the_broker(desk, stop) == 100
            await desk.orders.modify(STOP, stop_price="92")
            await desk.settle()
            assert at_the_broker(desk, stop) == 60, (
                "what other exits filled is left out all the same"
            )

    run(scenario())


def test_a_surplus_that_cannot_be_taken_off_now_is_tried_again_later(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, _, stop = await _enlarged_again(desk)
            commands, tries = desk.orders._commands, list[Decimal]()
            modify: Callable[..., Any] = commands.modify

            async def full(*arguments: Any) -> Any:
                tries.append(arguments[3])
                raise JournalError("the disk is full")

            commands.modify = full  # type: ignore[method-assign]
            await desk.settle(12)
            assert 1 < len(tries) < 6
            assert set(tries) == {60}
            commands.modify = modify  # type: ignore[method-assign]
            await desk.settle(30)
            assert at_the_broker(desk, stop) == 60

    run(scenario())


def test_an_exit_that_is_being_changed_or_unknown_is_not_changed_besides(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await _enlarged_again(desk)
            await desk.orders.reconcile("fake")
            await _sent_unanswered(desk, stop_price="92")
            sent = len(changes(desk))
            live(desk).surplus = amount(40)
            await desk.orders._parts.trimming.tend()
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
            for word in of(words, take.order_ref, Execution):
                desk.broker.say(word)
            for word in of(words, stop.order_ref, Execution):
                desk.broker.say(word)
            last = of(words, stop.order_ref, OrderReport)[-1]
            # A broker may tell no more of it than what was filled.
            desk.broker.say(attrs.evolve(last, terms=None, remaining=Decimal(40)))
            assert (stop.state, stop.order.quantity) == (S.CANCELED, 60)
            assert desk.orders._desk.meters.impossible.value == 0

    run(scenario())


def test_a_rest_that_ends_with_no_more_than_it_filled_is_cancelled(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            with held_back(desk) as words:
                desk.broker.fill(take.order_ref, amount(80))
                desk.broker.fill(stop.order_ref, amount(20))
            for word in words:
                if isinstance(word, Execution):
                    desk.broker.say(word)
            last = of(words, stop.order_ref, OrderReport)[-1]
            assert last.filled == 20
            ended = attrs.evolve(last, status=BrokerStatus.CANCELED, terms=None)
            desk.broker.say(ended)
            assert (stop.state, stop.known.filled) == (S.CANCELED, 20)
            assert desk.orders._desk.meters.impossible.value == 0

    run(scenario())


# --- positions ----------------------------------------------------------------------------------


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
            with held_back(desk) as words:
                desk.broker.fill(take.order_ref, amount(40))
            desk.broker.say(of(words, take.order_ref, Execution)[0])
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
