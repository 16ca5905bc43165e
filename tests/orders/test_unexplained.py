"""Fills that are told after a position list which held them already."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from desk_floor import AAPL, NODE, buy, floor, run

from alluse_core.errors import OrderDenied
from alluse_core.model import Execution, OrderIdentity, Side
from alluse_core.orders.approval import believed
from alluse_core.orders.journal import JournalReader
from alluse_core.orders.records import Kind
from alluse_core.orders.unexplained import Late, Unexplained

NOON = datetime(2026, 3, 2, 17, tzinfo=UTC)
PLACE = ("fake", "DU1", AAPL.id)


def _fill(change: int, seconds_before_the_list: float) -> tuple[Execution, Decimal]:
    side = Side.BUY if change > 0 else Side.SELL
    time = NOON - timedelta(seconds=seconds_before_the_list)
    nobody = OrderIdentity("", 1, 0, 0)
    fill = Execution(
        "fake", nobody, "x.01", "DU1", AAPL, side, Decimal(abs(change)), Decimal(1), time
    )
    return fill, Decimal(change)


@pytest.mark.parametrize(
    ("change", "before", "where", "left"),
    [
        (100, 5, Late.INSIDE, 0),
        (40, 5, Late.INSIDE, 60),
        (40, 1, Late.INSIDE, 60),
        (40, 0.5, Late.UNCLEAR, 100),
        (40, 0, Late.UNCLEAR, 100),
        (40, -0.1, Late.AFTER, 100),
        (101, 5, Late.UNCLEAR, 100),
        (-40, 5, Late.UNCLEAR, 100),
    ],
)
def test_a_late_fill_is_a_part_of_what_the_list_had_beyond_the_fills(
    change: int, before: float, where: Late, left: int
) -> None:
    unexplained = Unexplained()
    unexplained.note(PLACE, Decimal(100), NOON)
    assert unexplained.place(*_fill(change, before)) is where
    assert unexplained.open == ({PLACE: left} if left else {})


def test_where_list_and_fills_agreed_every_fill_is_new() -> None:
    unexplained = Unexplained()
    assert unexplained.place(*_fill(100, 5)) is Late.AFTER
    unexplained.note(PLACE, Decimal(100), NOON)
    unexplained.note(PLACE, Decimal(-100), NOON)
    assert unexplained.open == {}
    assert unexplained.place(*_fill(100, 5)) is Late.AFTER


def _late(key: str, ref: str, quantity: int, time: datetime) -> Execution:
    identity = OrderIdentity(ref, 9001, 1, 1)
    return Execution(
        "fake", identity, f"{key}.01", "DU1", AAPL, Side.BUY, Decimal(quantity), Decimal(100), time
    )


def test_a_fill_told_after_the_list_that_held_it_moves_no_position(tmp_path: Path) -> None:
    """Seed 2102: its order was believed 125 too long, and a cap was passed on the other side."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle(5)
            happened = desk.clock.now()
            await desk.settle(5)
            desk.broker.held["DU1", AAPL] = Decimal(100)
            await desk.orders.reconcile("fake")
            assert desk.count("position_mismatches") == 1
            desk.broker.say(_late("a", ticket.order_ref, 60, happened))
            desk.broker.say(_late("b", ticket.order_ref, 40, happened))
            (row,) = desk.orders.positions().rows
            assert row.quantity == 100
            assert ticket.known.filled == 100
            assert desk.orders.reconciling
            await desk.settle(2)
            # What comes now is new.
            other = await desk.orders.submit(buy("two"))
            desk.broker.say(_late("c", other.order_ref, 100, desk.clock.now()))
            (row,) = desk.orders.positions().rows
            assert row.quantity == 200
        with JournalReader(tmp_path / "journal.db") as reader:
            assert believed(reader, "fake", 0).positions == {("DU1", AAPL.id): 200}

    run(scenario())


def test_a_fill_that_may_be_in_the_list_holds_new_risk_back_until_a_list_tells(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle(5)
            desk.broker.held["DU1", AAPL] = Decimal(100)
            await desk.orders.reconcile("fake")
            desk.broker.say(_late("a", ticket.order_ref, 100, desk.clock.now()))
            assert desk.orders.reconciling
            await desk.settle(1)
            assert not desk.orders.reconciling
            (row,) = desk.orders.positions().rows
            assert row.quantity == 100

    run(scenario())


def test_a_round_that_took_its_list_before_such_a_fill_lets_no_new_risk_pass(
    tmp_path: Path,
) -> None:
    """Seed 111175: the round still asked for account values, and then opened the gate."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle(5)
            desk.broker.held["DU1", AAPL] = Decimal(100)
            ask, late = desk.broker.account_values, [1]

            async def account_values() -> Any:
                if late:
                    late.pop()
                    desk.broker.say(_late("a", ticket.order_ref, 100, desk.clock.now()))
                return await ask()

            desk.broker.account_values = account_values  # type: ignore[method-assign]
            await desk.orders.reconcile("fake")
            assert not late
            assert desk.orders.positions().rows[0].quantity == 200, "by the stream, and the list"
            assert desk.orders.reconciling
            with pytest.raises(OrderDenied, match="evidence of fake is being asked for"):
                await desk.orders.submit(buy("two"))
            await desk.settle(2)
            assert desk.orders.positions().rows[0].quantity == 100
            assert not desk.orders.reconciling
            assert (await desk.orders.submit(buy("three"))).key == "three"

    run(scenario())


def test_the_first_list_after_a_start_is_measured_by_what_the_journal_knew(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle(5)
        happened = desk.clock.now()
        desk.broker.held["DU1", AAPL] = Decimal(100)
        node = attrs.evolve(NODE, incarnation="incarnation-2")
        async with floor(tmp_path, broker=desk.broker, node=node, clock=desk.clock) as again:
            await again.settle(5)
            await again.orders.reconcile("fake")
            desk.broker.say(_late("a", ticket.order_ref, 100, happened - timedelta(seconds=2)))
            (row,) = again.orders.positions().rows
            assert row.quantity == 100

    run(scenario())


def test_a_fill_of_less_than_one_is_a_part_of_what_the_list_had_beyond_the_fills() -> None:
    unexplained = Unexplained()
    unexplained.note(PLACE, Decimal("0.5"), NOON)
    fill, _ = _fill(1, 5)
    half = Decimal("0.5")
    assert unexplained.place(attrs.evolve(fill, quantity=half), half) is Late.INSIDE
    assert unexplained.open == {}


def test_a_fill_that_moves_nothing_explains_nothing_of_a_list() -> None:
    unexplained = Unexplained()
    unexplained.note(PLACE, Decimal(100), NOON)
    assert unexplained.place(*_fill(0, 5)) is Late.UNCLEAR
    assert unexplained.open == {PLACE: 100}


def test_late_fills_explain_no_more_than_the_list_had_beyond_the_fills(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one", 300))
            await desk.settle(5)
            desk.broker.fill(ticket.order_ref, Decimal(100))
            happened = desk.clock.now()
            await desk.settle(5)
            desk.broker.held["DU1", AAPL] = Decimal(130)
            await desk.orders.reconcile("fake")
            await desk.orders.flush()
            (told,) = desk.journal.read().entries(Kind.ADJUSTMENT)
            assert (told.body["change"], told.body["cause"]) == ("30", "unexplained")
            assert (told.body["ours"], told.body["theirs"]) == ("100", "130")
            for key, quantity, held in (("a", 30, 130), ("b", 40, 170)):
                desk.broker.say(_late(key, ticket.order_ref, quantity, happened))
                (row,) = desk.orders.positions().rows
                assert row.quantity == held

    run(scenario())


def test_a_late_fill_of_nobodys_order_that_the_list_held_is_written_down_as_such(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await desk.settle(5)
            happened = desk.clock.now()
            await desk.settle(5)
            desk.broker.held["DU1", AAPL] = Decimal(100)
            await desk.orders.reconcile("fake")
            by_hand = attrs.evolve(_late("a", "", 100, happened), identity=OrderIdentity("", 77))
            desk.broker.say(by_hand)
            (row,) = desk.orders.positions().rows
            assert row.quantity == 100
            await desk.orders.flush()
            (told,) = desk.journal.read().entries(Kind.FILL)
            assert (told.body["listed"], told.body["counts"]) == (True, False)
            assert believed(desk.journal.read(), "fake", 0).positions == {("DU1", AAPL.id): 100}

    run(scenario())


def test_a_list_that_says_again_what_it_said_outweighs_the_fills_between_also_after_a_restart(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle(5)
            desk.broker.held["DU1", AAPL] = Decimal(100)
            await desk.orders.reconcile("fake")
            # It may be in the list already, so it counts until another list tells.
            desk.broker.say(_late("a", ticket.order_ref, 100, desk.clock.now()))
            assert desk.orders.positions().rows[0].quantity == 200
            await desk.settle(1)
            assert desk.orders.positions().rows[0].quantity == 100
        node = attrs.evolve(NODE, incarnation="incarnation-2")
        async with floor(tmp_path, broker=desk.broker, node=node, clock=desk.clock) as again:
            assert again.orders.positions().rows[0].quantity == 100
            assert [each.kind for each in again.orders.differences] == []
            assert again.orders._book.unexplained.open == {}

    run(scenario())
