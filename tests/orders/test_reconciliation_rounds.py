"""What a round of questions settles, and what it leaves open."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from desk_floor import AAPL, NODE, Floor, answered_by, buy, floor, placed, run

from alluse_core.errors import OrderDenied
from alluse_core.model import (
    AccountValue,
    BrokerStatus,
    LinkState,
    OrderReport,
    OrderState,
    Snapshot,
)
from alluse_core.orders.ticket import Ticket
from alluse_core.settings import OrdersSettings
from alluse_core.testing import VirtualClock
from alluse_core.testing.fakes import FakeBroker

S = OrderState
PATIENCE = OrdersSettings().acknowledge_within


def test_evidence_that_comes_during_the_settling_time_settles_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        settings = OrdersSettings(stages=(), settle_seconds=2.0)
        async with floor(tmp_path, settings=settings) as desk:
            late, gone = await placed(desk), await placed(desk, buy("two"))
            held = dict(desk.broker.orders)
            desk.broker.orders.clear()
            await desk.settle(0.5)
            asking = asyncio.ensure_future(desk.orders.reconcile("fake"))
            await desk.settle(1.0)
            assert not asking.done()
            desk.broker.orders[late.order_ref] = held[late.order_ref]
            await desk.settle(1.5)
            assert (await asking).unknown == ("two",)
            assert (late.state, gone.state) == (S.ACCEPTED, S.UNKNOWN)

    run(scenario())


def test_an_order_that_ends_while_it_is_asked_for_again_stays_ended(tmp_path: Path) -> None:
    async def scenario() -> None:
        settings = OrdersSettings(stages=(), settle_seconds=2.0)
        async with floor(tmp_path, settings=settings) as desk:
            ticket = await placed(desk)
            order = desk.broker.orders.pop(ticket.order_ref)
            await desk.settle(0.5)
            asking = asyncio.ensure_future(desk.orders.reconcile("fake"))
            await desk.settle(1.0)
            desk.broker.orders[ticket.order_ref] = order
            desk.broker.cancel_by_broker(ticket.order_ref)
            del desk.broker.orders[ticket.order_ref]
            await desk.settle(1.5)
            assert (await asking).unknown == ()
            assert ticket.state is S.CANCELED

    run(scenario())


def test_a_fill_between_positions_and_executions_counts_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            asked = 0

            async def fills(answer: Snapshot[Any]) -> Snapshot[Any]:
                nonlocal asked
                asked += 1
                desk.broker.fill(ticket.order_ref, Decimal(10))
                return answer

            answered_by(desk, "positions", fills)
            before = desk.broker.queries
            await desk.orders.reconcile("fake")
            assert asked == 1
            assert desk.broker.queries - before == 3 + 2 * 2 + 1, "asked again, since one was new"
            assert [row.quantity for row in desk.orders.positions().rows] == [10]
            assert desk.count("position_mismatches") == 0

    run(scenario())


def test_a_market_that_never_rests_does_not_hold_a_round_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            usual = desk.broker.positions

            async def busy() -> Any:
                answer = await usual()
                desk.broker.fill(ticket.order_ref, Decimal(1))
                return answer

            desk.broker.positions = busy  # type: ignore[method-assign]
            await desk.orders.reconcile("fake")
            assert [row.quantity for row in desk.orders.positions().rows] == [3]
            assert desk.count("position_mismatches") == 0

    run(scenario())


def test_a_link_that_falls_while_it_asks_keeps_new_risk_out(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:

            async def falls(answer: Snapshot[Any]) -> Snapshot[Any]:
                desk.broker.turn(LinkState.DEGRADED)
                return answer

            answered_by(desk, "account_values", falls)
            await desk.orders.reconcile("fake")
            assert desk.orders.reconciling
            desk.broker.turn(LinkState.UP)
            await desk.settle(1)
            assert not desk.orders.reconciling

    run(scenario())


def test_a_round_from_before_an_outage_does_not_let_new_risk_in_after_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            told, good = asyncio.Event(), desk.broker.account_values
            values = await good()

            async def slow() -> Snapshot[Any]:
                await told.wait()
                return values

            desk.broker.account_values = slow  # type: ignore[method-assign]
            asked = asyncio.create_task(desk.orders.reconcile("fake"))
            await desk.settle()
            desk.broker.turn(LinkState.DEGRADED, "1100")
            desk.broker.turn(LinkState.UP, "1102")
            desk.broker.account_values = good  # type: ignore[method-assign]
            desk.broker.lists_fail = True
            told.set()
            await asked
            await desk.settle(30)
            assert desk.orders.reconciling
            with pytest.raises(OrderDenied, match="evidence"):
                await desk.orders.submit(buy("new"))
            desk.broker.lists_fail = False
            await desk.settle(30)
            await desk.orders.submit(buy("newer"))

    run(scenario())


def test_lists_without_their_end_let_no_new_risk_in_and_are_asked_for_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        broker = FakeBroker(lambda _: None, clock=clock)
        broker.lists_complete = False
        async with floor(tmp_path, broker=broker, clock=clock) as desk:
            await desk.settle(60)
            assert desk.orders.reconciling
            asked = desk.count("reconciliations", broker="fake")
            assert 3 <= asked <= 60, "again and again, and not without a pause"
            with pytest.raises(OrderDenied, match="evidence"):
                await desk.orders.submit(buy("new"))
            broker.lists_complete = True
            await desk.settle(30)
            await desk.orders.submit(buy("newer"))

    run(scenario())


def test_an_unfinished_position_list_moves_no_position(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.held["DU1", AAPL] = Decimal(70)
            await desk.orders.reconcile("fake")
            before = desk.count("position_mismatches")

            async def cut(answer: Snapshot[Any]) -> Snapshot[Any]:
                return attrs.evolve(answer, rows=(), complete=False)

            answered_by(desk, "positions", cut)
            await desk.orders.reconcile("fake")
            (row,) = desk.orders.positions().rows
            assert (row.quantity, row.average_cost) == (70, 100)
            assert desk.count("position_mismatches") == before

    run(scenario())


def test_a_position_without_a_row_is_held_until_no_list_has_one_for_long(tmp_path: Path) -> None:
    """Absence proves nothing: a list may leave rows out and end as if it were whole."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.held["DU1", AAPL] = Decimal(70)
            await desk.orders.reconcile("fake")
            before = desk.count("position_mismatches")
            del desk.broker.held["DU1", AAPL]
            await desk.orders.reconcile("fake")
            assert [row.quantity for row in desk.orders.positions().rows] == [70]
            assert desk.orders.reconciling
            with pytest.raises(OrderDenied, match="reconciling"):
                await desk.orders.submit(buy("meanwhile"))
            assert desk.count("position_rows_absent", broker="fake") == 1
            await desk.settle(PATIENCE - 1)
            assert [row.quantity for row in desk.orders.positions().rows] == [70]
            assert desk.orders.reconciling
            # It is asked again by itself, and believed then.
            await desk.settle(4)
            assert desk.orders.positions().rows == ()
            assert not desk.orders.reconciling
            assert desk.count("position_mismatches") == before + 1
            assert desk.count("position_rows_absent", broker="fake") == 1

    run(scenario())


def test_a_position_whose_row_comes_again_was_never_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.held["DU1", AAPL] = Decimal(70)
            await desk.orders.reconcile("fake")
            before = desk.count("position_mismatches")
            del desk.broker.held["DU1", AAPL]
            await desk.orders.reconcile("fake")
            desk.broker.held["DU1", AAPL] = Decimal(70)
            await desk.settle(4)
            assert not desk.orders.reconciling
            assert [row.quantity for row in desk.orders.positions().rows] == [70]
            assert desk.count("position_mismatches") == before
            # What is missing later has to be missing for as long.
            await desk.settle(PATIENCE)
            del desk.broker.held["DU1", AAPL]
            await desk.orders.reconcile("fake")
            assert [row.quantity for row in desk.orders.positions().rows] == [70]

    run(scenario())


def test_a_start_does_not_take_a_missing_row_for_a_closed_position(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.held["DU1", AAPL] = Decimal(70)
            await desk.orders.reconcile("fake")
        del desk.broker.held["DU1", AAPL]
        node = attrs.evolve(NODE, incarnation="incarnation-2")
        async with floor(tmp_path, broker=desk.broker, node=node) as again:
            assert again.orders.reconciling
            again.broker.held["DU1", AAPL] = Decimal(70)
            await again.settle(4)
            assert not again.orders.reconciling
            assert [row.quantity for row in again.orders.positions().rows] == [70]
            assert again.orders.differences == ()
        del desk.broker.held["DU1", AAPL]
        node = attrs.evolve(NODE, incarnation="incarnation-3")
        async with floor(tmp_path, broker=desk.broker, node=node) as third:
            await third.settle(PATIENCE + 4)
            assert not third.orders.reconciling
            assert third.orders.positions().rows == ()
            (difference,) = third.orders.differences
            assert (difference.kind, difference.what) == ("position", AAPL.id)

    run(scenario())


def test_account_values_are_as_the_broker_last_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            for figure in ("100", "90"):
                desk.broker.values = [
                    AccountValue("fake", "DU1", name, Decimal(figure), "USD")
                    for name in ("NetLiquidation", "BuyingPower")
                ]
                await desk.orders.reconcile("fake")
            values = desk.orders.account_values()
            assert {(row.name, row.value) for row in values.rows} == {
                ("NetLiquidation", Decimal(90)),
                ("BuyingPower", Decimal(90)),
            }
            assert (values.complete, values.as_of) == (True, desk.clock.now())

    run(scenario())


def test_a_failed_round_is_repeated_with_growing_pauses_until_it_succeeds(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.turn(LinkState.DEGRADED)
            desk.broker.lists_fail = True
            desk.broker.turn(LinkState.UP)
            failures = []
            for seconds in (0, 1, 2, 4, 8, 16, 30, 30):
                await desk.settle(seconds)
                failures.append(desk.count("reconcile_failures", broker="fake"))
            assert failures == [1, 2, 3, 4, 5, 6, 7, 8]
            assert desk.count("retries", what="reconciliation", outcome="made") == 7
            assert desk.orders.reconciling
            desk.broker.lists_fail = False
            await desk.settle(30)
            assert not desk.orders.reconciling
            desk.broker.lists_fail = True
            desk.broker.turn(LinkState.UP)
            await desk.settle(0)
            await desk.settle(1)
            assert desk.count("reconcile_failures", broker="fake") == 10, "the pause is short again"

    run(scenario())


def test_the_word_of_a_broker_that_the_settings_name_no_longer_still_counts(tmp_path: Path) -> None:
    async def scenario() -> None:
        gone = FakeBroker(lambda _: None, name="gone", clock=VirtualClock())
        async with floor(tmp_path, broker=gone) as desk:
            ticket = await placed(desk)
            report = heard(desk, ticket)
        async with floor(tmp_path) as desk:
            desk.orders.evidence(attrs.evolve(report, status=BrokerStatus.CANCELED))
            assert desk.orders.get("one").state is S.CANCELED
            assert desk.count("evidence_errors") == 0

    def heard(desk: Floor, ticket: Ticket) -> OrderReport:
        return desk.broker.report_of(desk.broker.orders[ticket.order_ref])

    run(scenario())
