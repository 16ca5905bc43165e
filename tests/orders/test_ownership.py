"""Whose order a message is about, and the names that an order goes by."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import attrs
import pytest
from desk_floor import Floor, buy, floor, heard, placed, run, terms_of

from alluse_core.errors import KeyConflict
from alluse_core.model import (
    BrokerStatus,
    OrderIdentity,
    OrderReport,
    OrderState,
)
from alluse_core.ports import OrderMessage, TradingState

S = OrderState


def test_two_perm_ids_of_one_order_are_both_tracked_and_both_cancelled(tmp_path: Path) -> None:
    """nautilus #4564: a modify during link loss leaves two live permIds."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            order = desk.broker.orders[ticket.order_ref]
            twin = attrs.evolve(order.identity, perm_id=555)
            desk.broker.say(OrderReport("fake", twin, BrokerStatus.WORKING))
            assert desk.count("second_perm_ids") == 1
            await desk.orders.cancel("one")
            await desk.settle()
            cancelled = {what.perm_id for kind, what in desk.broker.sent if kind == "cancel"}  # type: ignore[attr-defined]
            assert cancelled == {order.identity.perm_id, 555}

    run(scenario())


def test_an_order_that_lives_twice_calls_a_person_and_ends_with_the_last_of_both(
    tmp_path: Path,
) -> None:
    """nautilus #4564: the survivor was taken for cancelled, and filled six hours later."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            first = desk.broker.orders[ticket.order_ref].identity
            twin = attrs.evolve(first, perm_id=555)
            desk.broker.say(OrderReport("fake", twin, BrokerStatus.WORKING))
            assert desk.orders.state is TradingState.REDUCING
            assert "lives twice" in desk.orders.reason
            desk.broker.say(OrderReport("fake", twin, BrokerStatus.CANCELED))
            assert ticket.state is S.ACCEPTED
            desk.broker.say(OrderReport("fake", first, BrokerStatus.CANCELED))
            assert ticket.state is S.CANCELED

    run(scenario())


def test_an_order_with_our_name_that_the_journal_lost_is_ours(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            report = desk.broker.report_of(desk.broker.orders[ticket.order_ref])
            stem = ticket.order_ref.rpartition("-")[0]
            lost = attrs.evolve(report, identity=OrderIdentity(f"{stem}-LOST", 12, 34, 1))
            by_hand = attrs.evolve(report, identity=OrderIdentity("", 13, 35, 0))
            desk.broker.foreign = [lost, by_hand]
            found = await desk.orders.reconcile("fake")
            assert found.external == 1
            assert desk.orders.get(f"orphan/{stem}-LOST").state is S.ACCEPTED
            assert desk.count("orphans_adopted") == 1
            await desk.orders.halt("test")
            await desk.orders.begin_flatten()
            await desk.settle(3)
            named = {what.order_ref for kind, what in desk.broker.sent if kind == "cancel"}  # type: ignore[attr-defined]
            assert named == {ticket.order_ref, f"{stem}-LOST"}, "never one placed by hand"

    run(scenario())


def test_an_order_whose_number_a_crash_lost_can_be_cancelled_once_it_is_seen(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.mode = "silent"
            ticket = await placed(desk)
            live = desk.orders._live("one")
            number, live.order_id = live.order_id, 0
            await desk.orders.reconcile("fake")
            assert desk.orders._live("one").order_id == number
            await desk.orders.cancel("one")
            await desk.settle()
            assert ticket.state is S.CANCELED

    run(scenario())


@pytest.mark.parametrize(
    "changes",
    [
        {"order_type": "TRAIL"},
        {"instrument": None},
        {"quantity": Decimal(0)},
        {"time_in_force": "GTX"},
    ],
)
def test_an_order_with_our_name_and_terms_that_cannot_be_named_counts_as_external(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            stem = ticket.order_ref.rpartition("-")[0]
            identity = OrderIdentity(f"{stem}-LOST", 12, 34, 1)
            desk.broker.foreign = [
                attrs.evolve(terms_of(heard(desk), **changes), identity=identity),
                attrs.evolve(heard(desk), identity=identity, terms=None),
            ]
            assert (await desk.orders.reconcile("fake")).external == 2
            assert desk.count("orphans_adopted") == 0
            assert [each.key for each in desk.orders.all()] == ["one"]

    run(scenario())


def _lost(desk: Floor, key: str = "lost") -> OrderReport:
    """Return an order of ours that the journal knows nothing of, as the broker lists it."""
    reference = desk.orders._desk.references.of(key)
    return attrs.evolve(heard(desk), identity=OrderIdentity(reference, 12, 34, 1))


def test_an_order_that_the_journal_lost_becomes_unknown_where_it_vanishes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await placed(desk)
            desk.broker.foreign = [_lost(desk)]
            await desk.orders.reconcile("fake")
            (orphan,) = (each for each in desk.orders.all() if each.key != "one")
            desk.broker.foreign = []
            await desk.settle(1)
            assert (await desk.orders.reconcile("fake")).unknown == (orphan.key,)
            assert orphan.state is S.UNKNOWN

    run(scenario())


def test_a_lost_key_is_not_sent_again_when_its_order_came_ended_and_left_memory_meanwhile(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.orders._book.keep_ended = 0
            await placed(desk)
            lost = _lost(desk)
            desk.broker.say(lost)
            desk.broker.say(attrs.evolve(lost, status=BrokerStatus.CANCELED))
            assert [each.key for each in desk.orders.all()] == ["one"]
            await desk.orders.flush()
            with pytest.raises(KeyConflict, match="orphan/"):
                await desk.orders.submit(buy("lost"))

    run(scenario())


def test_a_change_of_an_order_that_the_journal_lost_makes_it_no_part_of_anything(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await placed(desk)
            desk.broker.say(_lost(desk))
            (orphan,) = (each for each in desk.orders.all() if each.key != "one")
            await desk.orders.modify(orphan.key, limit_price="99")
            await desk.settle()
            kind, message = desk.broker.sent[-1]
            assert kind == "modify"
            assert isinstance(message, OrderMessage)
            assert (message.order_ref, message.order_id) == (orphan.order_ref, 34)
            assert (message.parent_order_id, message.oca_group) == (0, "")
            assert message.reducing is False, "nothing proves it"

    run(scenario())
