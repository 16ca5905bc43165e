"""Two agents of one name on one account: what can be seen of it stops new risk."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import attrs
from desk_floor import AAPL, Floor, buy, floor, placed, run

from alluse_core.model import OrderIdentity, OrderReport
from alluse_core.ports import TradingState


async def of_another(desk: Floor, name: str, client_id: int) -> OrderReport:
    """Return an open order that bears our name and is in no journal of ours."""
    ticket = await desk.orders.submit(buy(f"model of {name}"))
    await desk.settle()
    report = desk.broker.report_of(desk.broker.orders[ticket.order_ref])
    stem = ticket.order_ref.rpartition("-")[0]
    number = len(desk.broker.foreign) + 500
    identity = OrderIdentity(f"{stem}-{name}", number, number, client_id)
    return attrs.evolve(report, identity=identity)


def test_an_order_of_our_name_under_another_client_id_stops_new_risk_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.foreign.append(await of_another(desk, "FIRST", 18))
            await desk.orders.reconcile("fake")
            assert desk.orders.state is TradingState.REDUCING
            assert "another agent of this name trades at fake under client id 18" in (
                desk.orders.reason
            )
            await desk.orders.resume(by="Ada")
            desk.broker.foreign.append(await of_another(desk, "SECOND", 18))
            await desk.orders.reconcile("fake")
            assert desk.orders.state is TradingState.ACTIVE, "the same one pages once"
            desk.broker.foreign.append(await of_another(desk, "THIRD", 19))
            desk.broker.lists_complete = False
            await desk.orders.reconcile("fake")
            assert desk.orders.state is TradingState.ACTIVE
            desk.broker.lists_complete = True
            await desk.orders.reconcile("fake")
            assert "client id 19" in desk.orders.reason

    run(scenario())


def test_an_order_of_another_that_filled_at_once_stops_new_risk_too(tmp_path: Path) -> None:
    """A market order stands in no list of open orders."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await placed(desk)
            desk.broker.fill(desk.orders.get("one").order_ref, Decimal(40))
            (ours,) = (await desk.broker.executions()).rows
            before = await of_another(desk, "BEFORE", 18)

            broker = desk.broker

            def fills(name: str, client_id: int) -> None:
                reference = before.identity.order_ref.replace("BEFORE", name)
                identity = OrderIdentity(reference, 900, 900, client_id)
                fill = attrs.evolve(ours, execution_id=f"{name}.01", identity=identity)
                broker.fills.append(fill)
                broker.held["DU1", AAPL] += fill.change

            fills("BEFORE", 18)
        async with floor(tmp_path, broker=broker, clock=desk.clock) as again:
            fills("LOST", broker.client_id)
            await again.orders.reconcile("fake")
            assert again.orders.state is TradingState.ACTIVE
            fills("NOW", 18)
            broker.lists_complete = False
            await again.orders.reconcile("fake")
            assert again.orders.state is TradingState.ACTIVE
            broker.lists_complete = True
            await again.orders.reconcile("fake")
            assert again.orders.state is TradingState.REDUCING
            assert "under client id 18 (order " in again.orders.reason

    run(scenario())


def test_what_a_start_finds_or_bears_our_client_id_is_an_earlier_process_of_ours(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            broker, clock = desk.broker, desk.clock
            before = await of_another(desk, "BEFORE", 18)
            lost = await of_another(desk, "LOST", broker.client_id)
        broker.foreign.append(before)
        async with floor(tmp_path, broker=broker, clock=clock) as again:
            broker.foreign.append(lost)
            await again.orders.reconcile("fake")
            assert again.orders.state is TradingState.ACTIVE
            (orphan,) = again.orders.differences
            assert "(client id 18) bears our name" in orphan.text

    run(scenario())
