"""A change of an exit leaves out what its siblings filled and what its entry will not open."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import attrs
import pytest
from desk_floor import HeldDisk, amount, floor, heard, run, sell, terms_of
from exits_lab import (
    STOP,
    C,
    at_the_broker,
    begun,
    bracket,
    changes,
    due,
    executions,
    live,
    made_smaller_across_a_fill,
    opened,
    rebuilt,
    reports,
    sent_unanswered,
    told_alone,
    unheard,
)

from alluse_core.errors import CommandRejected
from alluse_core.orders.increase import risk_increasing
from alluse_core.orders.states import CommandEvent


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
            told_alone(desk, take, 40)
            change = await desk.orders.modify(STOP, stop_price="91")
            await desk.settle()
            assert (change.state, at_the_broker(desk, stop)) == (C.CONFIRMED, 60)
            assert (stop.order.quantity, live(desk).reduced, due(desk)) == (60, 40, 0)

    run(scenario())


def test_a_change_leaves_out_what_is_filled_before_it_is_sent(tmp_path: Path) -> None:
    disk = HeldDisk()

    async def scenario() -> None:
        async with floor(tmp_path, committer=disk) as desk:
            _, take, stop = await opened(desk)
            disk.holds = True
            asked = begun(desk.orders.modify(STOP, stop_price="91"))
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
            asked = begun(desk.orders.modify(STOP, stop_price="91"))
            await desk.settle()
            desk.broker.cancel_by_broker(entry.order_ref)
            if known:
                told = terms_of(heard(desk, STOP), quantity=Decimal(50))
                desk.broker.say(attrs.evolve(told, remaining=Decimal(50)))
                assert (stop.order.quantity, due(desk)) == (50, 0)
            disk.release()
            change = await asked
            await desk.settle()
            assert [message.order.quantity for message in changes(desk)] == [50]
            assert (change.state, stop.order.quantity, due(desk)) == (C.CONFIRMED, 50, 0)

    run(scenario())


def test_a_change_that_has_nothing_left_to_close_is_refused(tmp_path: Path) -> None:
    disk = HeldDisk()

    async def scenario() -> None:
        async with floor(tmp_path, committer=disk) as desk:
            _, take, _ = await opened(desk)
            disk.holds = True
            asked = begun(desk.orders.modify(STOP, stop_price="91"))
            await desk.settle()
            told_alone(desk, take, 100)
            disk.release()
            change = await asked
            await desk.settle()
            assert changes(desk) == []
            assert change.state is C.REFUSED
            assert "nothing is left to close" in change.reason
            with pytest.raises(CommandRejected, match="nothing is left to close"):
                await desk.orders.modify(STOP, stop_price="92")

    run(scenario())


def test_a_change_that_crosses_a_fill_is_confirmed_with_what_is_left(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            change = await sent_unanswered(desk, stop_price="91")
            words = unheard(desk, (take, 40))
            (told,) = reports(words, stop)
            taken = terms_of(told, stop_price=Decimal(91))
            desk.broker.say(taken)
            assert change.state is C.SENT, "nothing explains the quantity yet"
            desk.broker.say(executions(words, take)[0])
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
            resize = await sent_unanswered(desk, quantity=80)
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
            change = await sent_unanswered(desk, stop_price="91")
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


@pytest.mark.parametrize("seconds", [0, 10])
def test_a_price_changes_nothing_of_what_an_exit_closes_that_was_made_smaller_across_a_fill(
    tmp_path: Path, seconds: int
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await made_smaller_across_a_fill(desk)
            await desk.settle(seconds)
            await desk.orders.modify(STOP, stop_price="91")
            await desk.settle(10)
            assert (at_the_broker(desk, stop), stop.order.stop_price) == (60, 91)
            assert desk.orders.unprotected() == {}
            assert (due(desk), live(desk).reduced) == (0, 40)
            desk.broker.fill(take.order_ref, amount(10))
            assert (at_the_broker(desk, stop), stop.order.quantity) == (50, 50)

    run(scenario())


def test_a_change_to_what_may_be_open_is_sent_as_it_is(tmp_path: Path) -> None:
    disk = HeldDisk()

    async def scenario() -> None:
        async with floor(tmp_path, committer=disk) as desk:
            _, take, stop = await opened(desk)
            disk.holds = True
            asked = begun(desk.orders.modify(STOP, quantity=60))
            await desk.settle()
            desk.broker.fill(take.order_ref, amount(40))
            disk.release()
            change = await asked
            await desk.settle()
            assert (change.state, at_the_broker(desk, stop)) == (C.CONFIRMED, 60)
            assert (due(desk), live(desk).reduced) == (0, 40)

    run(scenario())


def test_a_halt_counts_an_exit_with_all_that_it_may_close(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await made_smaller_across_a_fill(desk)
            await desk.orders.submit(sell("extra", 40, "120"))
            await desk.settle()
            both = [live(desk), live(desk, "extra")]
            # Of 60 that are held the stop may sell 60.
            assert risk_increasing(desk.orders._book, both) == [live(desk, "extra")]

    run(scenario())
