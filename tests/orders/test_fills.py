"""Executions count once, whatever order they come in and however often they are told."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import attrs
import pytest
from desk_floor import AAPL, floor, heard, placed, run

from alluse_core.errors import (
    UsageError,
)
from alluse_core.model import (
    BrokerStatus,
    Commission,
    Execution,
    Instrument,
    Order,
    OrderIdentity,
    OrderState,
    Side,
)
from alluse_core.model.instrument import ComboLeg
from alluse_core.orders import commissions
from alluse_core.orders.live import is_newer
from alluse_core.orders.recovery import rebuild
from alluse_core.ports import TradingState

S = OrderState


def test_a_fill_after_a_cancel_still_counts(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            await desk.orders.cancel("one")
            await desk.settle()
            assert ticket.state is S.CANCELED
            desk.broker.fill(ticket.order_ref, Decimal(40))
            assert (ticket.state, ticket.known.filled) == (S.CANCELED, 40)
            assert desk.orders.positions().rows[0].quantity == 40

    run(scenario())


def test_a_fill_counts_once_and_a_correction_replaces_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            fill = desk.broker.fill(ticket.order_ref, Decimal(40), execution_id="aa.bb.01.01")
            for _ in range(3):
                desk.broker.say(fill)
            assert (desk.count("fills"), desk.count("duplicate_fills")) == (1, 3)
            correction = attrs.evolve(fill, execution_id="aa.bb.01.02", quantity=Decimal(30))
            desk.broker.say(correction)
            desk.broker.say(fill)
            assert desk.orders._live("one").executed == 30
            assert desk.orders.positions().rows[0].quantity == 30
            assert desk.count("fill_corrections") == 1

    run(scenario())


def test_an_order_whose_trade_was_busted_waits_for_nothing_more(tmp_path: Path) -> None:
    def revised(fill: Execution, revision: int, quantity: int) -> Execution:
        name = f"aa.bb.01.{revision:02d}"
        return attrs.evolve(fill, execution_id=name, quantity=Decimal(quantity))

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            live = desk.orders._live("one")
            fill = desk.broker.fill(ticket.order_ref, execution_id="aa.bb.01.01")
            filled = heard(desk, "one")
            for revision, quantity in ((2, 0), (3, 100), (4, 60), (5, 0)):
                desk.broker.say(revised(fill, revision, quantity))
                desk.broker.say(filled)
                assert (live.executed, live.filled, live.exposed) == (quantity, quantity, 0)
                assert ticket.known.settled
            desk.broker.held.clear()
            await desk.orders.reconcile("fake")
            assert (ticket.state, live.exposed) == (S.FILLED, 0)
        async with floor(tmp_path, broker=desk.broker, clock=desk.clock) as again:
            live = again.orders._live("one")
            again.broker.say(filled)
            assert (live.executed, live.exposed, live.settled) == (0, 0, True)
            await again.orders.reconcile("fake")
            assert not again.orders.positions().rows

    run(scenario())


def test_a_bust_takes_back_no_fill_that_has_not_come_yet(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            first = desk.broker.fill(ticket.order_ref, Decimal(40), execution_id="aa.bb.01.01")
            filled = attrs.evolve(
                heard(desk, "one"),
                status=BrokerStatus.FILLED,
                filled=Decimal(100),
                remaining=Decimal(0),
            )
            desk.broker.say(filled)
            bust = attrs.evolve(first, execution_id="aa.bb.01.02", quantity=Decimal(0))
            desk.broker.say(bust)
            live = desk.orders._live("one")
            assert (live.exposed, live.settled) == (60, False)

    run(scenario())


def test_a_liquidation_pages_and_leaves_only_what_reduces(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            fill = Execution(
                "fake",
                OrderIdentity("", 5),
                "liq.01",
                "DU1",
                AAPL,
                Side.SELL,
                Decimal(10),
                Decimal(90),
                desk.clock.now(),
                liquidation=True,
            )
            desk.broker.say(fill)
            desk.broker.say(fill)
            assert desk.orders.state is TradingState.REDUCING
            assert desk.orders.positions().rows[0].quantity == -10
            await desk.orders.resume("Ada")
            with pytest.raises(UsageError):
                await desk.orders.resume(" ")

    run(scenario())


def test_a_commission_counts_once_and_may_come_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            cost = Commission("fake", "early.01", Decimal("1.5"), "USD")
            desk.broker.say(cost)
            desk.broker.say(cost)
            desk.broker.fill(ticket.order_ref, execution_id="early.01")
            await desk.settle()
            rows = list(desk.journal.read().entries("commission"))
            assert [(row.key, row.body["amount"]) for row in rows] == [("", "1.5"), ("one", "1.00")]

    run(scenario())


SPREAD = Instrument.combo(
    "SPY",
    (
        ComboLeg(Instrument.stock("SPY"), Side.BUY, 1),
        ComboLeg(Instrument.stock("QQQ"), Side.SELL, 2),
    ),
)


def test_the_legs_of_a_combo_move_positions_and_do_not_fill_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            order = Order.limit(SPREAD, Side.BUY, 1, "2", key="one")
            ticket = await placed(desk, order)
            waiting = asyncio.ensure_future(ticket.outcome(timeout=5))
            await desk.settle()
            identity = desk.broker.orders[ticket.order_ref].identity
            for number, leg in enumerate(SPREAD.legs):
                fill = Execution(
                    "fake",
                    identity,
                    f"leg{number}.01",
                    "DU1",
                    leg.instrument,
                    leg.side,
                    Decimal(leg.ratio),
                    Decimal(10),
                    desk.clock.now(),
                )
                desk.broker.say(fill)
                desk.broker.say(fill)
            assert (ticket.state, ticket.known.filled) == (S.ACCEPTED, 0)
            rows = {row.instrument: row.quantity for row in desk.orders.positions().rows}
            assert rows == {SPREAD.legs[0].instrument: 1, SPREAD.legs[1].instrument: -2}
            report = attrs.evolve(
                heard(desk), status=BrokerStatus.FILLED, filled=Decimal(1), remaining=Decimal(0)
            )
            desk.broker.say(report)
            outcome = await waiting
            assert (outcome.state, outcome.settled) == (S.FILLED, True)
            live = desk.orders._live("one")
            assert live.exposed == 0, "its legs are the position"
            await desk.orders.flush()
            again = rebuild(desk.orders._archive.reader().story("one"))
            assert again is not None
            assert (again.legs, again.fills, again.executed) == (live.legs, {}, 0)

    run(scenario())


@pytest.mark.parametrize("named", [True, False])
def test_a_combos_own_execution_fills_it_and_moves_no_position(tmp_path: Path, named: bool) -> None:
    """TWS tells of it with the contract type alone: the legs are known by the order."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk, Order.limit(SPREAD, Side.BUY, 1, "2", key="one"))
            told = SPREAD if named else Instrument.combo(SPREAD.symbol, ())
            fill = Execution(
                "fake",
                desk.broker.orders[ticket.order_ref].identity,
                "combo.01.01",
                "DU1",
                told,
                Side.BUY,
                Decimal(1),
                Decimal(2),
                desk.clock.now(),
            )
            desk.broker.say(fill)
            desk.broker.say(fill)
            assert (ticket.state, ticket.known.filled) == (S.FILLED, 1)
            assert desk.orders.positions().rows == ()

    run(scenario())


def test_a_fill_beyond_the_quantity_is_counted_and_believed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            desk.broker.fill(ticket.order_ref, Decimal(100))
            assert desk.count("overfills") == 0
            desk.broker.fill(ticket.order_ref, Decimal(30))
            assert desk.count("overfills") == 1
            assert (ticket.state, ticket.known.filled) == (S.FILLED, 130)
            assert desk.orders.positions().rows[0].quantity == 130
            live = desk.orders._live("one")
            assert (live.remaining, live.exposed) == (0, 0)

    run(scenario())


def test_a_status_that_speaks_of_fills_counts_until_they_are_in_hand(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            live = desk.orders._live("one")
            done = attrs.evolve(
                heard(desk), status=BrokerStatus.FILLED, filled=Decimal(100), remaining=Decimal(0)
            )
            desk.broker.say(attrs.evolve(done, filled=Decimal(40), remaining=Decimal(60)))
            assert (ticket.state, live.filled, live.remaining) == (S.PARTIALLY_FILLED, 40, 60)
            assert live.exposed == 100
            desk.broker.say(done)
            assert (ticket.state, live.settled, live.exposed) == (S.FILLED, False, 100)
            desk.broker.say(attrs.evolve(done, filled=Decimal(10)))
            assert live.reported == 100, "what was once told stays told"
            desk.broker.fill(ticket.order_ref)
            assert (live.settled, live.exposed) == (True, 0)

    run(scenario())


@pytest.mark.parametrize(
    ("revision", "than", "newer"),
    [
        ("02", "01", True),
        ("10", "9", True),
        ("9", "10", False),
        ("01", "01", False),
        ("b", "a", True),
        ("a", "b", False),
        ("a", "a", False),
        ("1a", "01", True),
        ("", "", False),
    ],
)
def test_a_revision_is_newer_by_its_number_or_where_it_has_none_by_its_text(
    revision: str, than: str, newer: bool
) -> None:
    assert is_newer(revision, than) is newer


def test_what_is_remembered_of_fills_and_costs_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(commissions, "_KEPT", 3)
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            for _ in range(5):
                desk.broker.fill(ticket.order_ref, Decimal(20))
            known = desk.orders._parts.commissions
            assert len(known._owners) == len(known._costs) == 3
            newest = [fill.execution_id for fill in desk.broker.fills[-3:]]
            assert list(known._owners) == newest, "the oldest go first"
            assert [fill for fill, _ in known._costs] == newest
            assert ticket.known.filled == 100

    run(scenario())


def test_fills_that_only_a_status_after_the_end_tells_of_may_still_move_the_position(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            await desk.orders.cancel("one")
            await desk.settle()
            late = attrs.evolve(heard(desk), filled=Decimal(40), remaining=Decimal(60), terms=None)
            desk.broker.say(late)
            assert (ticket.state, ticket.known.settled) == (S.CANCELED, False)
            (owed,) = desk.orders._book.working(("fake", "DU1"), AAPL)
            assert (owed.key, owed.as_working().remaining) == ("one", 40)

    run(scenario())


@pytest.mark.parametrize("told", ["filled", "remaining"])
def test_a_status_that_tells_only_one_of_filled_and_remaining_is_taken(
    tmp_path: Path, told: str
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            unsaid = {"filled": "remaining", "remaining": "filled"}[told]
            status = attrs.evolve(heard(desk), **{told: Decimal(40), unsaid: None})
            desk.broker.say(status)
            assert ticket.known.filled == (40 if told == "filled" else 0)
            assert desk.count("evidence_errors") == 0

    run(scenario())


def test_a_correction_takes_back_only_what_it_corrects_of_what_a_status_told(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            first = desk.broker.fill(ticket.order_ref, Decimal(40), execution_id="aa.bb.01.01")
            done = attrs.evolve(
                heard(desk),
                status=BrokerStatus.FILLED,
                filled=Decimal(100),
                remaining=Decimal(0),
            )
            desk.broker.say(done)
            smaller = attrs.evolve(first, execution_id="aa.bb.01.02", quantity=Decimal(30))
            desk.broker.say(smaller)
            live = desk.orders._live("one")
            assert (live.executed, live.filled) == (30, 90)
            assert (live.exposed, live.settled) == (60, False)

    run(scenario())


def test_any_revision_is_newer_than_an_execution_told_without_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            first = desk.broker.fill(ticket.order_ref, Decimal(40), execution_id="aa")
            desk.broker.say(attrs.evolve(first, execution_id="aa.01", quantity=Decimal(30)))
            assert desk.count("fill_corrections") == 1
            assert desk.orders.positions().rows[0].quantity == 30

    run(scenario())


def test_an_execution_that_comes_before_any_status_acknowledges_its_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.mode = "silent"
            ticket = await placed(desk)
            assert desk.count("orders_acked") == 0
            hear, desk.broker._evidence = desk.broker._evidence, lambda _: None
            fill = desk.broker.fill(ticket.order_ref, Decimal(40))
            desk.broker._evidence = hear
            desk.broker.say(fill)
            assert desk.count("orders_acked") == 1

    run(scenario())
