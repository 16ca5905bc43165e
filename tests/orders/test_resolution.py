"""A person's word for an UNKNOWN order."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from desk_floor import Floor, buy, floor, run

from alluse_core.errors import OrderError
from alluse_core.model import OrderState
from alluse_core.orders.journal import JournalReader
from alluse_core.orders.ticket import Ticket

S = OrderState


async def lost(desk: Floor, filled: int = 0) -> Ticket:
    """Return an order that the broker does not know any more."""
    ticket = await desk.orders.submit(buy("one"))
    await desk.settle()
    if filled:
        desk.broker.fill(ticket.order_ref, Decimal(filled))
    await desk.settle(1)
    del desk.broker.orders[ticket.order_ref]
    await desk.orders.reconcile("fake")
    assert ticket.state is S.UNKNOWN
    return ticket


@pytest.mark.parametrize("state", [S.FILLED, S.CANCELED, S.REJECTED, S.EXPIRED])
def test_an_unknown_order_is_settled_by_a_name_and_stays_so(tmp_path: Path, state: S) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await lost(desk)
            await desk.orders.resolve("one", state, by="Ada")
            assert ticket.state is state
            assert not desk.orders.positions().rows, "no fill is invented"
        async with floor(tmp_path, broker=desk.broker, clock=desk.clock) as again:
            assert again.orders.get("one").state is state
        with JournalReader(tmp_path / "journal.db") as reader:
            assert reader.story("one")[-1].body["reason"] == "resolved by Ada"

    run(scenario())


def test_a_state_that_fills_contradict_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await lost(desk, filled=40)
            with pytest.raises(OrderError, match="40 of 100 are filled"):
                await desk.orders.resolve("one", S.REJECTED, by="Ada")
            assert ticket.state is S.UNKNOWN
            await desk.orders.resolve("one", S.CANCELED, by="Ada")

    run(scenario())


def test_the_broker_is_asked_once_more_and_its_word_wins(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            await desk.settle(1)
            kept = desk.broker.orders.pop(ticket.order_ref)
            await desk.orders.reconcile("fake")
            desk.broker.orders[ticket.order_ref] = kept
            with pytest.raises(OrderError, match="is ACCEPTED, not UNKNOWN"):
                await desk.orders.resolve("one", S.CANCELED, by="Ada")

    run(scenario())


def test_a_cancel_that_waits_ends_with_its_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await lost(desk)
            desk.broker.answers_cancels = False
            await desk.orders.cancel("one")
            await desk.orders.resolve("one", S.EXPIRED, by="Ada")
            assert ticket.known.pending is None

    run(scenario())
