"""An order's own time to leave: what could not be sent within it is not sent, and says so."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import attrs
import pytest
from desk_floor import AAPL, Floor, buy, floor, run, sell

from alluse_core.errors import KeyConflict
from alluse_core.model import Order, OrderGroup, OrderState, Side
from alluse_core.orders.records import digest_of, order_fields, order_from
from alluse_core.settings import OrdersSettings

S = OrderState
PATIENT = OrdersSettings(stages=(), settle_seconds=0.0, send_within=0.0)


async def _queue(desk: Floor, orders: int) -> None:
    """Put so many orders before the next one; two leave in a second."""
    for turn in range(orders):
        await desk.orders.submit(buy(f"before-{turn}"))


def test_it_is_not_sent_after_its_time_and_the_others_wait_for_theirs(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, settings=PATIENT, rate=2.0) as desk:
            await _queue(desk, 10)
            short = await desk.orders.submit(buy("short", send_within=2.0))
            await desk.orders.submit(buy("long", send_within=60))
            await desk.orders.submit(buy("without"))
            await desk.settle(10)
            assert {desk.orders.get(key).state for key in ("long", "without")} == {S.ACCEPTED}
            outcome = await short.outcome()
            assert (outcome.state, outcome.settled) == (S.DENIED, True)
            assert "of the 2 s it may wait" in outcome.reason
            assert desk.count("orders_too_late") == 1
            assert short.order_ref not in desk.broker.orders

    run(scenario())


def test_it_may_be_longer_than_that_of_the_settings_and_holds_for_exits_too(
    tmp_path: Path,
) -> None:
    hasty = attrs.evolve(PATIENT, send_within=1.0)

    async def scenario() -> None:
        async with floor(tmp_path, settings=hasty, rate=2.0) as desk:
            desk.broker.mode = "fill"
            await desk.orders.submit(buy("held"))
            await desk.settle(5)
            desk.broker.mode = "accept"
            for turn in range(10):
                await desk.orders.submit(sell(f"exit-{turn}", 1))
            await desk.orders.submit(sell("hurried", 1, send_within=0.5))
            for turn in range(10):
                await desk.orders.submit(buy(f"entry-{turn}", send_within=90))
            await desk.settle(30)
            states = {ticket.key: ticket.state for ticket in desk.orders.all()}
            assert states.pop("hurried") is S.DENIED
            assert states.pop("held") is S.FILLED
            assert set(states.values()) == {S.ACCEPTED}

    run(scenario())


def test_a_group_leaves_whole_or_not_at_all(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, settings=PATIENT, rate=3.0) as desk:
            await _queue(desk, 12)
            entry = buy("entry", send_within=1.0)
            await desk.orders.submit(OrderGroup.bracket(entry, take_profit="120", stop="80"))
            await desk.settle(20)
            members = [each for each in desk.orders.all() if each.key.startswith("entry")]
            assert [each.state for each in members] == [S.DENIED] * 3

    run(scenario())


def test_what_waited_when_the_process_ended_is_not_sent_by_the_next_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, settings=PATIENT, rate=2.0) as desk:
            await _queue(desk, 10)
            await desk.orders.submit(buy("short", send_within=60))
            # Killed: nothing is withdrawn in order, and the journal stays as it is.
            desk.orders._life.withdraw_unsent = lambda: None  # type: ignore[method-assign]
            broker, clock = desk.broker, desk.clock
        sent = len(broker.sent)
        async with floor(tmp_path, settings=PATIENT, broker=broker, clock=clock) as again:
            await again.settle(120)
            short = again.orders.get("short")
            assert (short.state, short.order.send_within) == (S.CANCELED, 60)
            assert len(broker.sent) == sent

    run(scenario())


def test_a_key_asked_for_again_with_another_time_is_the_same_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, settings=PATIENT) as desk:
            first = await desk.orders.submit(buy("one", send_within=5))
            assert await desk.orders.submit(buy("one", send_within=3)) == first
            assert await desk.orders.submit(buy("one")) == first
            with pytest.raises(KeyConflict):
                await desk.orders.submit(buy("one", 99, send_within=5))

    run(scenario())


def test_it_is_written_down_and_older_journals_read_as_before() -> None:
    plain, timed = buy("one"), buy("one", send_within=2.5)
    assert "send_within" not in order_fields(plain)
    assert digest_of(plain) == digest_of(timed)
    assert order_from("one", order_fields(timed)) == timed
    assert order_from("one", order_fields(plain)) == plain


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (0, ValueError),
        (-1.0, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        ("5", TypeError),
        (True, TypeError),
    ],
)
def test_a_time_that_is_none_is_refused(given: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="send_within"):
        Order.limit(AAPL, Side.BUY, 1, 1, key="k", send_within=given)
