"""What persons changed of a bracket's exits in TWS is told, and left to them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from desk_floor import HeldDisk, amount, floor, heard, run, terms_of
from exits_lab import (
    ENTRY,
    STOP,
    C,
    S,
    at_the_broker,
    begun,
    bracket,
    by_hand,
    changes,
    due,
    ended_too_early,
    enlarged_again,
    enlarged_by_a_person,
    live,
    next_process,
    opened,
    prove,
    rebuilt,
    sent_unanswered,
)

from alluse_core.cli.story import tell
from alluse_core.errors import CommandRejected
from alluse_core.orders.live import Enlarged
from alluse_core.orders.reader import JournalReader
from alluse_core.orders.records import Kind


def test_a_person_is_told_once_where_the_broker_does_not_let_an_exit_fit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await enlarged_again(desk)
            desk.broker.answers_modifies = False
            await desk.settle(600)
            tries = [each for each in caplog.messages if f"{STOP} is for 100" in each]
            (told,) = (each for each in tries if "does not take the change" in each)
            assert f"{STOP} is for 100 where 60 are to close" in told
            assert tries.index(told) == 3, "at the fourth try"
            assert len(tries) > 5

    run(scenario())


def test_what_a_person_added_to_a_stop_is_left_to_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, _, stop = await enlarged_by_a_person(desk)
            await desk.settle(20)
            await desk.orders.reconcile("fake")
            await desk.settle(20)
            assert (at_the_broker(desk, stop), changes(desk)) == (90, [])
            assert stop.known.differences == ("quantity is 90 where 100 was asked for",)
            assert (await rebuilt(desk)).enlarged
        async with next_process(tmp_path, desk) as desk:
            await desk.settle(20)
            assert (at_the_broker(desk, stop), changes(desk)) == (90, [])
            assert desk.orders.get(STOP).known.differences

    run(scenario())


def test_a_stop_is_followed_again_when_what_a_person_added_is_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await enlarged_by_a_person(desk)
            await desk.settle(5)
            by_hand(desk, stop, 40)
            assert live(desk).enlarged, "a word may be older than the fills"
            rows = (await desk.broker.open_orders()).rows
            (row,) = (each for each in rows if each.identity.order_ref == stop.order_ref)
            desk.orders._parts.reports.take(row, "open orders", desk.clock.monotonic())
            assert (live(desk).enlarged, stop.order.quantity) == (None, 40)
            await desk.settle(5)
            assert not (await rebuilt(desk)).enlarged
            desk.broker.fill(take.order_ref, amount(10))
            assert (stop.order.quantity, stop.known.differences) == (30, ())
        with JournalReader(tmp_path / "journal.db") as reader:
            echoes = [each for each in reader.story(STOP) if each.kind == Kind.ECHO]
        told = [tell(each)[1] for each in echoes]
        names = {(each.body["broker"], each.body["account"]) for each in echoes}
        assert names == {("fake", "DU1")}
        assert told[0] == "has other terms: quantity is 150 where 100 was asked for"
        assert told[-1] == "has the quantity again that was asked for, or less"

    run(scenario())


def test_a_share_that_a_person_took_back_ends_though_the_entry_ended_short(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await bracket(desk)
            desk.broker.fill(entry.order_ref, amount(50))
            by_hand(desk, stop, 130)
            assert live(desk).enlarged == Enlarged(beside=amount(0))
            desk.broker.cancel_by_broker(entry.order_ref)
            await desk.settle(20)
            assert (at_the_broker(desk, stop), due(desk)) == (130, 50), "what was added is theirs"
            by_hand(desk, stop, 100)
            await desk.settle(20)
            assert live(desk).enlarged is None
            assert (at_the_broker(desk, stop), stop.order.quantity) == (50, 50)

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
            assert (
                (await rebuilt(desk)).enlarged == Enlarged(beside=amount(50)) == live(desk).enlarged
            )
            await desk.settle(10)
            assert not live(desk).enlarged
            assert stop.state is S.CANCELED, "nothing is left to close for it"

    run(scenario())


def test_a_change_that_waits_takes_nothing_off_that_a_person_adds_meanwhile(tmp_path: Path) -> None:
    disk = HeldDisk()

    async def scenario() -> None:
        async with floor(tmp_path, committer=disk) as desk:
            _, _, stop = await opened(desk)
            disk.holds = True
            price = begun(desk.orders.modify(STOP, stop_price="91"))
            sized = begun(desk.orders.modify(STOP, stop_price="92", quantity=120))
            await desk.settle()
            by_hand(desk, stop, 150)
            disk.release()
            assert (await price).state is C.REFUSED
            assert "a person made the order larger" in (await price).reason
            await desk.settle()
            assert (await sized).state is C.CONFIRMED
            assert (at_the_broker(desk, stop), stop.order.stop_price) == (120, 92)

    run(scenario())


def test_a_change_on_the_wire_takes_off_what_a_person_adds_meanwhile(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, _, stop = await opened(desk)
            await sent_unanswered(desk, stop_price="91")
            by_hand(desk, stop, 150)
            (message,) = changes(desk)
            desk.broker.answers_modifies = True
            desk.broker.modify(message, desk.broker.orders[stop.order_ref].identity)
            assert at_the_broker(desk, stop) == 100

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


def test_what_a_person_took_off_an_exit_is_not_put_back_with_a_late_fill(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await ended_too_early(desk)
            by_hand(desk, stop, 10)
            desk.broker.fill(entry.order_ref, amount(30))
            await desk.settle(20)
            await desk.orders.reconcile("fake")
            await desk.settle(20)
            assert at_the_broker(desk, stop) == 10
            assert stop.known.differences == ("quantity is 10 where 20 was asked for",)
            assert len([each for each in caplog.messages if f"{STOP} is off by -30" in each]) == 1

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


def test_a_fitting_that_waits_takes_nothing_off_that_a_person_adds_meanwhile(
    tmp_path: Path,
) -> None:
    disk = HeldDisk()

    async def scenario() -> None:
        async with floor(tmp_path, committer=disk) as desk:
            _, _, stop = await enlarged_again(desk)
            prove(desk)
            disk.holds = True
            fitting = begun(desk.orders._parts.trimming.tend())
            await desk.settle()
            by_hand(desk, stop, 150)
            assert live(desk).enlarged
            disk.release()
            await fitting
            await desk.settle(60)
            assert at_the_broker(desk, stop) == 150
            assert (await rebuilt(desk)).enlarged

    run(scenario())


@pytest.mark.parametrize("queued", [True, False])
def test_a_fitting_puts_nothing_back_that_a_person_takes_off_meanwhile(
    tmp_path: Path, queued: bool, caplog: pytest.LogCaptureFixture
) -> None:
    disk = HeldDisk()

    async def scenario() -> None:
        async with floor(tmp_path, committer=disk) as desk:
            _, _, stop = await enlarged_again(desk)
            prove(desk)
            sent = len(changes(desk))
            if queued:
                disk.holds = True
                fitting = begun(desk.orders._parts.trimming.tend())
                await desk.settle()
                by_hand(desk, stop, 30)
                disk.release()
                await fitting
            else:
                by_hand(desk, stop, 30)
            await desk.settle(60)
            assert (at_the_broker(desk, stop), len(changes(desk))) == (30, sent)
            assert "does not take the change" not in caplog.text

    run(scenario())
