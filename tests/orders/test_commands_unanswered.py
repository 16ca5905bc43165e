"""A change without an answer is judged by the terms that the broker lists."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from desk_floor import Floor, answered_by, floor, hours_pass, placed, run

from alluse_core.model import OrderReport, OrderState, Snapshot
from alluse_core.orders.states import CommandState
from alluse_core.settings import OrdersSettings

S, C = OrderState, CommandState
PATIENCE = OrdersSettings().acknowledge_within


async def _deaf_modify(desk: Floor) -> Any:
    await placed(desk)
    desk.broker.answers_modifies = False
    change = await desk.orders.modify("one", quantity=150)
    await desk.settle()
    assert change.state is C.SENT
    return change


def test_a_modify_is_refused_where_the_broker_lists_the_old_terms(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            change = await _deaf_modify(desk)
            await desk.settle(PATIENCE - 1)
            await desk.orders.reconcile("fake")
            assert change.state is C.SENT, "its answer may still come"
            await desk.settle(2)
            await desk.orders.reconcile("fake")
            assert (change.state, change.reason) == (C.REFUSED, "the broker lists the old terms")
            assert desk.orders._live("one").quantity == 100

    run(scenario())


@pytest.mark.parametrize(
    ("listed", "state"),
    [
        ("without terms", C.LOST),
        ("with other terms", C.SENT),
        ("with the new terms", C.CONFIRMED),
        ("in a list without its end", C.SENT),
    ],
)
def test_a_modify_without_an_answer_is_judged_by_what_is_listed(
    tmp_path: Path, listed: str, state: CommandState
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            change = await _deaf_modify(desk)
            report_of = desk.broker.report_of
            quantity = Decimal(150 if listed == "with the new terms" else 120)

            def told(order: Any, reason: str = "") -> OrderReport:
                report = report_of(order, reason)
                assert report.terms is not None
                if listed == "in a list without its end":
                    return report
                if listed == "without terms":
                    return attrs.evolve(report, terms=None)
                return attrs.evolve(report, terms=attrs.evolve(report.terms, quantity=quantity))

            desk.broker.report_of = told  # type: ignore[method-assign]
            desk.broker.lists_complete = listed != "in a list without its end"
            desk.clock._monotonic += PATIENCE + 1
            await desk.orders.reconcile("fake")
            assert change.state is state
            if state is C.LOST:
                assert desk.orders._live("one").quantity == 150, "it may have been carried out"

    run(scenario())


def test_a_command_of_an_order_that_is_heard_of_while_it_is_not_listed_still_waits(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            change = await _deaf_modify(desk)
            hours_pass(desk, hours=1)

            async def omits(answer: Snapshot[Any]) -> Snapshot[Any]:
                for order in desk.broker.orders.values():
                    desk.broker.report(order)
                return attrs.evolve(answer, rows=())

            answered_by(desk, "open_orders", omits)
            found = await desk.orders.reconcile("fake")
            assert found.unknown == ()
            assert change.state is C.SENT

    run(scenario())
