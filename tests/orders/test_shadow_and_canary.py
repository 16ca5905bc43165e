"""Deciding without sending, and caps for what is new."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from desk_floor import AAPL, Stage, buy, floor, run, sell

from alluse_core.errors import CommandRejected, OrderDenied, OrderError, UsageError
from alluse_core.model import Order, OrderGroup, OrderState, Side
from alluse_core.orders.journal import JournalReader, verify
from alluse_core.ports import deny
from alluse_core.settings import CanarySettings, OrdersMode, OrdersSettings

SHADOW = OrdersSettings(stages=(), settle_seconds=0.0, mode=OrdersMode.SHADOW)


def capped(**caps: object) -> OrdersSettings:
    canary = CanarySettings(version="2", **caps)  # type: ignore[arg-type]
    return OrdersSettings(stages=(), settle_seconds=0.0, canary=canary)


def test_a_shadow_order_is_decided_and_journaled_and_never_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        refuse = Stage(lambda order, _: deny("too much") if order.quantity > 500 else deny_not())
        async with floor(tmp_path, settings=SHADOW, stages=(refuse,)) as desk:
            ticket = await desk.orders.submit(buy("one"))
            group = OrderGroup.bracket(buy("entry"), take_profit="110", stop="90")
            bracket = await desk.orders.submit(group)
            with pytest.raises(OrderDenied, match="too much"):
                await desk.orders.submit(buy("two", 501))
            await desk.settle(30)
            assert desk.broker.sent == []
            assert ticket.shadow
            assert all(each.shadow for each in bracket.tickets)
            assert repr(ticket) == "Ticket('one', SHADOW)"
            known = ticket.known
            assert (known.state, known.settled, known.filled) == (OrderState.DENIED, True, 0)
            assert known.reason.startswith("SHADOW")
            assert desk.orders.positions().rows == ()
            with pytest.raises(CommandRejected):
                await desk.orders.cancel("one")
            with pytest.raises(UsageError, match="shadow"):
                await desk.orders.flatten()
        async with floor(tmp_path, broker=desk.broker, clock=desk.clock) as again:
            assert again.orders.get("one").shadow, "also after the mode has changed"
            assert await again.orders.submit(buy("one")) == ticket, "and its key stays used"
            assert again.broker.sent == []
        assert verify(tmp_path / "journal.db").ok
        with JournalReader(tmp_path / "journal.db") as reader:
            states = [entry.state for entry in reader.story("one")]
            assert states == ["INTENT", "DENIED"], "it was never said that it may have left"

    run(scenario())


def deny_not() -> object:
    from alluse_core.ports import ALLOW

    return ALLOW


def test_a_new_version_is_capped_until_a_person_lifts_it(tmp_path: Path) -> None:
    settings = capped(
        orders=2, hours=1.0, max_quantity=Decimal(10), max_value=Decimal(900), max_orders=3
    )

    async def scenario() -> None:
        async with floor(tmp_path, settings=settings) as desk:
            orders = desk.orders
            with pytest.raises(OrderDenied, match="quantity"):
                await orders.submit(buy("big", 11, "1"))
            with pytest.raises(OrderDenied, match="value"):
                await orders.submit(buy("dear", 10, "100"))
            with pytest.raises(OrderDenied, match="value"):
                await orders.submit(Order.market(AAPL, Side.BUY, 9, key="market"))
            await orders.submit(buy("one", 1))
            with pytest.raises(OrderError, match="1 of 2 orders"):
                await orders.lift_canary("Ada")
            await orders.submit(buy("two", 1))
            with pytest.raises(OrderError, match="until"):
                await orders.lift_canary("Ada")
        async with floor(
            tmp_path, settings=settings, broker=desk.broker, clock=desk.clock
        ) as again:
            await again.orders.submit(buy("three", 1))
            with pytest.raises(OrderDenied, match="number of orders"):
                await again.orders.submit(buy("four", 1))
            await again.settle(3600)
            with pytest.raises(UsageError):
                await again.orders.lift_canary("")
            await again.orders.lift_canary("Ada")
            await again.orders.submit(buy("five", 100))
        async with floor(
            tmp_path, settings=settings, broker=desk.broker, clock=desk.clock
        ) as third:
            await third.orders.submit(buy("six", 100))
            with pytest.raises(OrderError, match="no caps"):
                await third.orders.lift_canary("Ada")

    run(scenario())


def test_orders_from_before_a_version_began_do_not_count_towards_its_caps(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            for number in range(3):
                await desk.orders.submit(buy(f"before-{number}", 1))
        settings = capped(max_orders=2)
        async with floor(
            tmp_path, settings=settings, broker=desk.broker, clock=desk.clock
        ) as again:
            await again.orders.submit(buy("one", 1))
            await again.orders.submit(buy("two", 1))
            with pytest.raises(OrderDenied, match="number of orders"):
                await again.orders.submit(buy("three", 1))

    run(scenario())


def test_a_group_counts_with_all_its_orders(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, settings=capped(max_orders=4)) as desk:
            with pytest.raises(OrderDenied, match="number of orders"):
                await desk.orders.submit(OrderGroup.oca(*(buy(f"k{i}") for i in range(5)), key="g"))
            assert desk.broker.sent == []
            await desk.orders.submit(OrderGroup.bracket(buy("e"), take_profit="110", stop="90"))
            with pytest.raises(OrderDenied, match="number of orders"):
                await desk.orders.submit(OrderGroup.oca(buy("a"), buy("b"), key="pair"))
            await desk.orders.submit(buy("one"))
            await desk.settle()
            await desk.orders.modify("one", limit_price="99")
            with pytest.raises(OrderDenied, match="number of orders"):
                await desk.orders.submit(buy("two"))

    run(scenario())


def test_the_caps_never_hold_back_an_exit(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, settings=capped(max_quantity=Decimal(10))) as desk:
            desk.broker.held["DU1", AAPL] = Decimal(100)
            await desk.orders.reconcile("fake")
            await desk.orders.submit(sell("exit", 100))

    run(scenario())
