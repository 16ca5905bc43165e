"""An order that a broken link doubled: each of its permIds may fill, and each of them counts."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner
from desk_floor import AAPL, Floor, Stage, amount, buy, floor, run, sell

from alluse_core.cli.orders import orders_show
from alluse_core.model import BrokerNotice, BrokerStatus, Order, OrderReport, OrderState
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.recovery import rebuild
from alluse_core.ports import ALLOW, Decision, OrderView
from alluse_core.testing.fakes import BrokerOrder

ELDER, NEWER = 9_001, 9_900


class Twin:
    """The older of two orders of one key, at a broker that thinks of the newer one by its id."""

    def __init__(self, desk: Floor, live: LiveOrder) -> None:
        self.live = live
        self._desk = desk
        self._elder = desk.broker.orders[live.ref]
        newer = attrs.evolve(self._elder.identity, perm_id=NEWER)
        self._newer = BrokerOrder(self._elder.message, newer, self._elder.status)
        self._show(self._newer)

    def _show(self, order: BrokerOrder) -> None:
        self._desk.broker.orders[self.live.ref] = order
        self._desk.broker.report(order)

    def fill(self, perm_id: int, quantity: int | None = None) -> None:
        order = self._elder if perm_id == ELDER else self._newer
        self._desk.broker.orders[self.live.ref] = order
        self._desk.broker.fill(self.live.ref, None if quantity is None else amount(quantity))

    def say(self, perm_id: int, status: BrokerStatus, **more: object) -> None:
        order = self._elder if perm_id == ELDER else self._newer
        order.status = status
        report: OrderReport = attrs.evolve(self._desk.broker.report_of(order), **more)
        self._desk.broker.say(report)


async def doubled(desk: Floor, order: Order) -> Twin:
    ticket = await desk.orders.submit(order)
    await desk.settle()
    twin = Twin(desk, ticket._live)
    assert twin.live.perm_ids == (ELDER, NEWER)
    return twin


def counted(desk: Floor) -> int:
    (working,) = desk.orders._book.working(("fake", "DU1"), AAPL)
    assert working.as_working().remaining == working.exposed
    return int(working.exposed)


def test_both_count_until_both_have_filled_or_ended(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            twin = await doubled(desk, buy("one"))
            assert counted(desk) == 200
            twin.fill(ELDER, 30)
            assert counted(desk) == 170
            twin.fill(ELDER)
            assert (counted(desk), twin.live.state) == (100, OrderState.PARTIALLY_FILLED)
            assert not twin.live.settled
            twin.fill(NEWER)
            assert (twin.live.exposed, twin.live.state) == (0, OrderState.FILLED)
            assert twin.live.settled
            assert desk.orders.positions().rows[0].quantity == 200

    run(scenario())


def test_an_end_of_one_leaves_the_other_counted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            twin = await doubled(desk, buy("one"))
            for _ in range(2):
                twin.say(NEWER, BrokerStatus.CANCELED)
                assert (counted(desk), twin.live.state) == (100, OrderState.ACCEPTED)
            twin.fill(ELDER)
            assert (twin.live.state, twin.live.settled) == (OrderState.FILLED, True)

    run(scenario())


def test_what_was_filled_whole_by_one_is_filled_when_the_other_is_cancelled(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            twin = await doubled(desk, buy("one"))
            twin.fill(ELDER)
            twin.say(NEWER, BrokerStatus.CANCELED)
            assert (twin.live.state, twin.live.settled) == (OrderState.FILLED, True)
            assert twin.live.exposed == 0

    run(scenario())


def test_a_status_before_its_execution_counts_neither_twice_nor_nowhere(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            twin = await doubled(desk, buy("one"))
            twin.say(ELDER, BrokerStatus.FILLED, filled=amount(100), remaining=amount(0))
            assert (counted(desk), twin.live.state) == (200, OrderState.PARTIALLY_FILLED)
            twin.say(NEWER, BrokerStatus.CANCELED)
            assert counted(desk) == 100
            twin.fill(ELDER)
            assert (twin.live.state, twin.live.exposed) == (OrderState.FILLED, 0)

    run(scenario())


def test_each_counts_with_the_quantity_that_the_broker_has_it_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            desk.broker.answers_modifies = False
            await desk.orders.modify("one", quantity=40)
            await desk.settle()
            # What was asked for is not decided yet: the larger quantity counts for the newer one.
            twin = Twin(desk, ticket._live)
            assert counted(desk) == 200
            twin._newer.message = attrs.evolve(
                twin._newer.message, order=attrs.evolve(buy("one", 40), account="DU1")
            )
            twin.say(NEWER, BrokerStatus.WORKING)
            assert ticket.order.quantity == 40
            assert counted(desk) == 140
            assert ticket._live.elder_exposed == 100

    run(scenario())


def test_a_change_is_judged_beside_what_it_does_not_reach(tmp_path: Path) -> None:
    seen: list[list[int]] = []

    def look(order: Order, view: OrderView) -> Decision:
        seen.append([int(each.remaining) for each in view.working(order.instrument)])
        return ALLOW

    async def scenario() -> None:
        async with floor(tmp_path, stages=(Stage(look),)) as desk:
            twin = await doubled(desk, buy("one"))
            await desk.orders.resume("a person")
            await desk.orders.modify("one", quantity=110)
            await desk.settle()
            twin.say(ELDER, BrokerStatus.CANCELED)
            await desk.orders.modify("one", quantity=120)
            assert seen == [[], [100], []]

    run(scenario())


def test_two_exits_of_one_key_are_not_proven_to_reduce(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.mode = "fill"
            await desk.orders.submit(buy("position", 150))
            await desk.settle()
            desk.broker.mode = "accept"
            ticket = await desk.orders.submit(sell("exit", 50))
            await desk.settle()
            more = attrs.evolve(sell("more", 100), broker="fake", account="DU1")
            assert desk.orders._book.reduces(more)
            twin = Twin(desk, ticket._live)
            assert not desk.orders._book.reduces(more)
            changed = attrs.evolve(ticket.order, quantity=amount(101))
            assert not desk.orders._book.reduces(changed)
            assert twin.live.key == "exit"

    run(scenario())


def test_which_of_two_ended_is_known_after_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            venue = desk.broker
            twin = await doubled(desk, buy("one"))
            twin.say(NEWER, BrokerStatus.CANCELED)
            venue.orders[twin.live.ref] = twin._elder
        async with floor(tmp_path, broker=venue) as desk:
            assert desk.orders.get("one")._live.ended_perm_ids == {NEWER}
            assert counted(desk) == 100
        shown = CliRunner().invoke(orders_show, ["one", "--out", str(tmp_path)])
        assert f"permId {NEWER} alone" in shown.output

    run(scenario())


def test_the_end_that_makes_a_filled_order_whole_is_known_after_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            twin = await doubled(desk, buy("one"))
            twin.fill(ELDER)
            twin.say(NEWER, BrokerStatus.CANCELED)
            assert twin.live.state is OrderState.FILLED
            ended = twin.live.ended_perm_ids
            assert NEWER in ended
            await desk.orders.flush()
            rebuilt = rebuild(desk.orders._archive.reader().story("one"))
            assert rebuilt is not None
            assert rebuilt.ended_perm_ids == ended

    run(scenario())


def test_which_of_two_lives_again_is_known_after_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            twin = await doubled(desk, buy("one"))
            for perm_id in (ELDER, NEWER):
                twin.say(perm_id, BrokerStatus.CANCELED)
            assert twin.live.ended_perm_ids == {ELDER, NEWER}
            await desk.settle(1)
            twin._newer.status = BrokerStatus.WORKING
            await desk.orders.reconcile("fake")
            assert twin.live.ended_perm_ids == {ELDER}
            await desk.orders.flush()
            rebuilt = rebuild(desk.orders._archive.reader().story("one"))
            assert rebuilt is not None
            assert rebuilt.ended_perm_ids == {ELDER}

    run(scenario())


def test_a_word_of_a_person_or_of_the_hours_ends_both(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            twin = await doubled(desk, buy("one"))
            desk.broker.orders.clear()
            await desk.settle(60)
            for _ in range(2):
                await desk.orders.reconcile("fake")
            assert twin.live.state is OrderState.UNKNOWN
            assert counted(desk) == 200
            await desk.orders.resolve("one", OrderState.CANCELED, "a person")
            assert (twin.live.exposed, twin.live.settled) == (0, True)

    run(scenario())


def test_an_ended_order_that_lives_on_under_a_new_name_counts_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            desk.broker.cancel_by_broker(ticket.order_ref)
            live = ticket._live
            booked = desk.broker.orders[live.ref]
            newer = attrs.evolve(booked.identity, perm_id=NEWER)
            desk.broker.orders[live.ref] = BrokerOrder(booked.message, newer)
            await desk.settle(1)
            await desk.orders.reconcile("fake")
            assert (live.state, live.exposed) == (OrderState.ACCEPTED, 100)

    run(scenario())


def seen_by_stages(desk: Floor) -> int:
    """Return what a stage is told that the one order at work may still fill."""
    (working,) = desk.orders._book.working(("fake", "DU1"), AAPL)
    return int(working.as_working().remaining)


def test_a_stage_sees_both_as_soon_as_a_status_names_the_second(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            assert seen_by_stages(desk) == 100
            second = attrs.evolve(desk.broker.orders[ticket.order_ref].identity, perm_id=NEWER)
            desk.broker.say(OrderReport("fake", second, BrokerStatus.WORKING))
            assert seen_by_stages(desk) == 200

    run(scenario())


def test_a_stage_sees_one_less_as_soon_as_one_ended(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            twin = await doubled(desk, buy("one"))
            assert seen_by_stages(desk) == 200
            twin.say(NEWER, BrokerStatus.CANCELED, terms=None)
            assert seen_by_stages(desk) == 100

    run(scenario())


def test_an_enlargement_that_may_have_been_made_counts_for_the_newer_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            twin = await doubled(desk, buy("one"))
            await desk.orders.resume("a person")
            desk.broker.answers_modifies = False
            await desk.orders.modify("one", quantity=150)
            await desk.settle()
            assert counted(desk) == 250
            assert twin.live.elder_exposed == 100
            twin.say(ELDER, BrokerStatus.CANCELED, terms=None)
            assert counted(desk) == 150

    run(scenario())


def test_once_the_old_terms_are_shown_a_filled_twin_is_at_work_no_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            twin = await doubled(desk, buy("one"))
            await desk.orders.resume("a person")
            desk.broker.answers_modifies = False
            await desk.orders.modify("one", quantity=150)
            await desk.settle()
            names = attrs.evolve(desk.broker.orders[twin.live.ref].identity, perm_id=NEWER)
            desk.broker.say(BrokerNotice("fake", 201, "no", names, names.order_id))
            twin.say(ELDER, BrokerStatus.CANCELED, terms=None)
            told = {"filled": amount(100), "remaining": amount(0)}
            hear, desk.broker._evidence = desk.broker._evidence, lambda _: None
            twin.fill(NEWER)
            desk.broker._evidence = hear
            desk.broker.say(desk.broker.fills[0])
            twin.say(NEWER, BrokerStatus.FILLED, terms=None, **told)
            assert twin.live.state is OrderState.FILLED
            assert counted(desk) == 50, "it may be for 150"
            twin.say(NEWER, BrokerStatus.FILLED, **told)
            assert desk.orders._book.working(("fake", "DU1"), AAPL) == []

    run(scenario())


def test_the_end_of_one_is_written_down_with_where_it_was_and_who_told_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            twin = await doubled(desk, buy("one"))
            twin.say(NEWER, BrokerStatus.CANCELED)
            await desk.orders.flush()
            told = desk.journal.read().story("one")[-1].body
            assert told["ended_perm_id"] == NEWER
            where = (told["broker"], told["account"], told["source"], told["event"])
            assert where == ("fake", "DU1", "report", "CANCEL")

    run(scenario())


def test_the_end_of_one_in_the_list_of_open_orders_is_no_order_of_others(tmp_path: Path) -> None:
    """TWS lists an order that it refused for a reason that may pass as open, and inactive."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            twin = await doubled(desk, buy("one"))
            ended = attrs.evolve(
                desk.broker.report_of(twin._newer), status=BrokerStatus.REJECTED, terms=None
            )
            desk.broker.orders[twin.live.ref] = twin._elder
            desk.broker.foreign = [ended]
            found = await desk.orders.reconcile("fake")
            assert twin.live.ended_perm_ids == {NEWER}
            assert found.external == 0

    run(scenario())


@pytest.mark.parametrize("alive", [1, ELDER])
def test_an_order_is_not_settled_while_any_of_its_perm_ids_may_fill(alive: int) -> None:
    order = attrs.evolve(buy("one"), broker="fake", account="DU1")
    live = LiveOrder(order, "digest", "AU-x", state=OrderState.FILLED)
    live.perm_ids, live.ended_perm_ids = (alive, NEWER), frozenset({NEWER})
    assert not live.settled
    live.ended_perm_ids |= {alive}
    assert live.settled
