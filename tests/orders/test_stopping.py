"""Halt, reduce, flatten, resume: pursued until they are so, over cut links and restarts."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from desk_floor import AAPL, Floor, buy, floor, run

from alluse_core.errors import OrderDenied, TradingHalted
from alluse_core.model import Instrument, LinkState, Order, OrderState, Side
from alluse_core.ports import TradingState

S = OrderState


def stop(key: str, quantity: int = 100) -> Order:
    return Order.stop(AAPL, Side.SELL, quantity, "90", key=key)


def kinds(desk: Floor) -> list[str]:
    return [kind for kind, _ in desk.broker.sent]


async def hold(desk: Floor, quantity: int = 100) -> None:
    desk.broker.held["DU1", AAPL] = Decimal(quantity)
    await desk.orders.reconcile("fake")


def test_a_halt_while_the_link_is_down_cancels_when_it_is_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await hold(desk)
            entry = await desk.orders.submit(buy("entry"))
            exit_ = await desk.orders.submit(stop("stop"))
            await desk.settle()
            desk.broker.turn(LinkState.DOWN)
            await desk.orders.halt("test")
            await desk.settle(5)
            assert "cancel" not in kinds(desk)
            desk.broker.turn(LinkState.UP)
            await desk.settle(2)
            assert (entry.state, exit_.state) == (S.CANCELED, S.ACCEPTED)

    run(scenario())


def test_a_restart_in_the_middle_of_a_halt_goes_on_with_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await hold(desk)
            await desk.orders.submit(buy("entry"))
            await desk.orders.submit(stop("stop"))
            await desk.settle()
            desk.broker.turn(LinkState.DOWN)
            await desk.orders.halt("test")
        async with floor(tmp_path, broker=desk.broker, clock=desk.clock) as again:
            assert again.orders.state is TradingState.HALTED
            await again.settle(40)
            assert again.orders.get("entry").state is S.CANCELED
            assert again.orders.get("stop").state is S.ACCEPTED

    run(scenario())


def test_a_cancel_that_came_to_nothing_is_asked_again_with_growing_pauses(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry = await desk.orders.submit(buy("entry"))
            await desk.settle()
            desk.broker.answers_cancels = False
            await desk.orders.halt("test")
            await desk.settle(60)
            tries = kinds(desk).count("cancel")
            assert 2 <= tries <= 6, "not once, and not each second"
            desk.broker.answers_cancels = True
            await desk.settle(60)
            assert entry.state is S.CANCELED

    run(scenario())


def test_a_stop_stays_while_the_position_it_may_protect_is_not_told(tmp_path: Path) -> None:
    """The entry filled while the link was down: our position is still zero when the halt comes."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry = await desk.orders.submit(buy("entry"))
            protection = await desk.orders.submit(stop("stop"))
            await desk.settle()
            desk.broker.lists_fail = True
            desk.broker.turn(LinkState.DOWN)
            await desk.orders.halt("test")
            desk.broker.turn(LinkState.UP)
            await desk.settle(5)
            assert protection.state is S.ACCEPTED
            assert entry.state is S.CANCELED
            desk.broker.lists_fail = False
            await desk.settle(60)
            assert protection.state is S.CANCELED, "it would open a short position"

    run(scenario())


def test_reducing_keeps_working_orders_and_refuses_new_risk(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await hold(desk)
            entry = await desk.orders.submit(buy("entry"))
            await desk.settle()
            await desk.orders.reduce("test")
            assert desk.orders.state is TradingState.REDUCING
            with pytest.raises(TradingHalted):
                await desk.orders.submit(buy("new"))
            await desk.orders.submit(stop("stop"))
            await desk.settle(3)
            assert entry.state is S.ACCEPTED
            await desk.orders.halt("worse")
            await desk.orders.reduce("no weaker by this")
            assert desk.orders.state is TradingState.HALTED

    run(scenario())


def test_a_liquidation_by_the_broker_turns_to_reducing(tmp_path: Path) -> None:
    async def scenario() -> None:
        import attrs

        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            fill = desk.broker.fill(ticket.order_ref)
            taken = attrs.evolve(
                fill,
                execution_id="x.01",
                side=Side.SELL,
                liquidation=1,
                identity=attrs.evolve(fill.identity, order_ref="", perm_id=77, order_id=0),
            )
            desk.broker.say(taken)
            assert desk.orders.state is TradingState.REDUCING
            assert "closed" in desk.orders.reason

    run(scenario())


def test_flatten_waits_for_the_link_and_then_closes_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await hold(desk)
            await desk.orders.submit(stop("stop"))
            await desk.settle()
            desk.broker.turn(LinkState.DOWN)
            await desk.orders.begin_flatten()
            await desk.settle(5)
            assert desk.orders.flattening
            desk.broker.mode = "fill"
            desk.broker.turn(LinkState.UP)
            await desk.settle(10)
            assert kinds(desk) == ["place", "place", "cancel"], "close, then what protected"
            assert not desk.orders.flattening
            assert not desk.orders.positions().rows
            with pytest.raises(TradingHalted):
                await desk.orders.submit(buy("new"))

    run(scenario())


def test_a_restart_in_the_middle_of_a_flatten_closes_no_position_twice(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await hold(desk)
            await desk.orders.begin_flatten()
            await desk.settle(3)
            assert kinds(desk) == ["place"], "one closing order, which rests"
        async with floor(tmp_path, broker=desk.broker, clock=desk.clock) as again:
            assert again.orders.flattening
            await again.settle(60)
            assert kinds(again) == ["place"]
            (closing,) = [each for each in again.orders.all() if not each.state.is_terminal]
            again.broker.fill(closing.order_ref)
            await again.settle(3)
            assert not again.orders.flattening
        async with floor(tmp_path, broker=desk.broker, clock=desk.clock) as third:
            assert not third.orders.flattening
            assert third.orders.state is TradingState.REDUCING

    run(scenario())


def test_a_closing_order_that_is_unknown_counts_as_filled(tmp_path: Path) -> None:
    """Two exits would flip the position."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await hold(desk)
            desk.broker.mode = "lose"
            await desk.orders.begin_flatten()
            await desk.settle(120)
            assert [each.state for each in desk.orders.all()] == [S.UNKNOWN]
            assert kinds(desk).count("place") == 1

    run(scenario())


def test_a_refused_closing_order_is_tried_again_with_growing_pauses(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await hold(desk)
            desk.broker.mode = "reject"
            await desk.orders.begin_flatten()
            await desk.settle(60)
            assert 2 <= kinds(desk).count("place") <= 7
            desk.broker.mode = "fill"
            await desk.settle(60)
            assert not desk.orders.positions().rows
            assert not desk.orders.flattening

    run(scenario())


@pytest.mark.parametrize("from_", [LinkState.UP, LinkState.DOWN])
def test_a_flatten_in_the_restart_window_closes_and_a_halt_cancels_stops(
    tmp_path: Path, from_: LinkState
) -> None:
    """Safe means able to get out: the gate is for new risk, and the socket works."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await hold(desk)
            msft = Instrument.stock("MSFT")
            entry = Order.stop(msft, Side.BUY, 10, "120", key="stop-entry")
            opening = await desk.orders.submit(entry)
            protection = await desk.orders.submit(stop("stop"))
            await desk.settle()
            desk.broker.turn(from_)
            desk.broker.turn(LinkState.GATED, "the nightly reset")
            await desk.settle(1)
            with pytest.raises(OrderDenied, match="gated"):
                await desk.orders.submit(buy("new"))
            await desk.orders.halt("test")
            await desk.settle(2)
            assert (opening.state, protection.state) == (S.CANCELED, S.ACCEPTED)
            desk.broker.mode = "fill"
            await desk.orders.begin_flatten()
            await desk.settle(5)
            assert not any(desk.broker.held.values())
            assert not desk.orders.flattening

    run(scenario())


def test_a_flatten_while_the_uplink_is_lost_waits_for_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await hold(desk)
            desk.broker.turn(LinkState.DEGRADED, "1100")
            desk.broker.mode = "fill"
            await desk.orders.begin_flatten()
            await desk.settle(5)
            assert kinds(desk) == []
            desk.broker.turn(LinkState.UP, "1102")
            await desk.settle(5)
            assert kinds(desk) == ["place"]
            assert not desk.orders.flattening

    run(scenario())


def test_resuming_ends_a_flatten(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await hold(desk)
            desk.broker.turn(LinkState.DOWN)
            await desk.orders.begin_flatten()
            await desk.orders.resume("Ada")
            desk.broker.turn(LinkState.UP)
            await desk.settle(5)
            assert kinds(desk) == []
            assert desk.orders.state is TradingState.ACTIVE

    run(scenario())
