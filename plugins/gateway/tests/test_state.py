"""What outlives a gateway: a second one started on the same folder, as a client sees it."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from alluse_gateway.server import SimulatedGateway
from alluse_gateway.state import FILE
from alluse_paper.exchange import Exchange
from alluse_paper.fill_model import FillModel
from alluse_paper.market import Listing
from gateway_lab import AAPL, START, client, make_exchange, quote, run, until
from test_order_faults import trading, working

from alluse_core.clock import SystemClock
from alluse_core.errors import StateError

ACCOUNT = "DU1000001"


class LaterClock:
    """The system's clock, ahead by ``ahead``."""

    def __init__(self, ahead: timedelta) -> None:
        self._clock, self._ahead = SystemClock(), ahead

    def now(self) -> datetime:
        return self._clock.now() + self._ahead

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


def later_exchange(clock: LaterClock) -> Exchange:
    exchange = Exchange(
        clock, [Listing.of(AAPL)], fill_model=FillModel(latency_ms=0, enforce_hours=False)
    )
    quote(exchange, AAPL, 100.0, 100.1)
    return exchange


def test_orders_ids_executions_and_positions_outlive_a_restart(tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            SimulatedGateway(make_exchange(), state=tmp_path) as gateway,
            trading(gateway) as trader,
        ):
            filled = trader.buy(101.0, 100, orderRef="filled")
            resting = await working(trader.buy(90.0, tif="GTC", orderRef="resting"))
            await until(lambda: filled.orderStatus.status == "Filled", "the fill")
            cancelled = await working(trader.buy(91.0, orderRef="cancelled"))
            trader.ib.cancelOrder(cancelled.order)
            await until(lambda: cancelled.orderStatus.status == "Cancelled", "the cancel")
            next_id = trader.ib.client.getReqId()
            cash = gateway.exchange.accounts.cash(ACCOUNT)
        exchange = make_exchange()
        async with (
            SimulatedGateway(exchange, state=tmp_path) as gateway,
            trading(gateway) as trader,
        ):
            assert gateway.ledger.of("restored")[0]["orders"] == 3
            (shown,) = trader.ib.openTrades()
            assert shown.order.orderRef == "resting"
            assert shown.order.permId == resting.order.permId
            assert shown.order.orderId == resting.order.orderId
            assert shown.orderStatus.status == "Submitted"
            (execution,) = trader.ib.fills()
            assert execution.execution.execId == filled.fills[0].execution.execId
            done = await trader.ib.reqCompletedOrdersAsync(False)
            assert {each.order.orderRef for each in done} == {"filled", "cancelled"}
            (position,) = trader.ib.positions()
            assert (position.position, position.avgCost) == (100, 100.1)
            assert exchange.accounts.cash(ACCOUNT) == cash
            assert trader.ib.client.getReqId() > next_id - 5
            again = await working(trader.buy(92.0))
            assert again.order.orderId > cancelled.order.orderId
            assert again.order.permId > cancelled.order.permId
            quote(exchange, AAPL, 89.0, 89.5, at=START + 1)
            await until(lambda: shown.orderStatus.status == "Filled", "the order of yesterday")
            ids = [fill.execution.execId for fill in trader.ib.fills()]
            assert len(set(ids)) == len(ids) == 3

    run(story)


def test_a_second_gateway_before_the_same_exchange_finds_its_orders_once(tmp_path: Path) -> None:
    async def story() -> None:
        exchange = make_exchange()
        for expected in (1, 2):
            async with (
                SimulatedGateway(exchange, state=tmp_path) as gateway,
                trading(gateway) as trader,
            ):
                assert len(trader.ib.openTrades()) == expected - 1
                await working(trader.buy(90.0, tif="GTC"))
                assert len(exchange.open_orders()) == expected

    run(story)


def test_a_bracket_goes_on_after_a_restart(tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            SimulatedGateway(make_exchange(), state=tmp_path) as gateway,
            trading(gateway) as trader,
        ):
            for order in trader.ib.bracketOrder("BUY", 10, 99.0, 105.0, 95.0):
                order.tif = "GTC"
                trader.ib.placeOrder(trader.contract, order)
            await until(lambda: len(gateway.ledger.of("held")) >= 2, "the bracket")
            await until(lambda: gateway.ledger.of("ack"), "its entry")
        exchange = make_exchange()
        async with (
            SimulatedGateway(exchange, state=tmp_path) as gateway,
            trading(gateway) as trader,
        ):
            statuses = sorted(each.orderStatus.status for each in trader.ib.openTrades())
            assert statuses == ["PreSubmitted", "PreSubmitted", "Submitted"]
            quote(exchange, AAPL, 98.0, 98.5, at=START + 1)
            await until(lambda: len(gateway.ledger.of("fill")) == 1, "the entry")
            quote(exchange, AAPL, 105.5, 105.6, at=START + 2)
            await until(lambda: len(gateway.ledger.of("fill")) == 2, "the exit")
            await until(lambda: not exchange.open_orders(), "the end of the other exit")

    run(story)


def test_day_orders_of_an_earlier_session_are_gone_without_a_word(tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            SimulatedGateway(make_exchange(), state=tmp_path) as gateway,
            trading(gateway) as trader,
        ):
            await working(trader.buy(90.0, orderRef="day"))
            kept = await working(trader.buy(90.0, tif="GTC", orderRef="gtc"))
            filled = trader.buy(101.0, orderRef="filled")
            await until(lambda: filled.orderStatus.status == "Filled", "the fill")
        clock = LaterClock(timedelta(days=5))
        exchange = later_exchange(clock)
        async with (
            SimulatedGateway(exchange, state=tmp_path, clock=clock) as gateway,
            trading(gateway) as trader,
        ):
            assert [each["order_ref"] for each in gateway.ledger.of("expired")] == ["day"]
            (shown,) = trader.ib.openTrades()
            assert shown.order.permId == kept.order.permId
            # Executions and completed orders are of this day only; the position stays.
            assert trader.ib.fills() == []
            assert await trader.ib.reqCompletedOrdersAsync(False) == []
            assert [each.position for each in trader.ib.positions()] == [10]
            assert trader.told == []

    run(story)


def test_what_clients_were_told_is_on_disk_before_the_process_can_be_killed(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with (
            SimulatedGateway(make_exchange(), state=tmp_path) as gateway,
            trading(gateway) as trader,
        ):
            filled = trader.buy(101.0, orderRef="told")
            await until(lambda: filled.orderStatus.status == "Filled", "the fill")
            # A copy of the files as they are is what a kill leaves behind.
            left = tmp_path / "left"
            left.mkdir()
            for path in tmp_path.glob(f"{FILE}*"):
                (left / path.name).write_bytes(path.read_bytes())
        async with (
            SimulatedGateway(make_exchange(), state=left) as gateway,
            client("ib_insync", gateway, 9) as ib,
        ):
            (fill,) = await ib.reqExecutionsAsync()
            assert fill.execution.orderRef == "told"
            assert [each.position for each in ib.positions()] == [10]

    run(story)


def test_ids_can_roll_back_at_a_restart_and_orders_made_by_hand_stay_bound(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with (
            SimulatedGateway(make_exchange(), state=tmp_path) as gateway,
            trading(gateway, 0) as person,
        ):
            gateway.control.manual_order("AAPL", "BUY", 5, "90")
            await until(lambda: person.ib.openTrades(), "the order made by hand")
            used = await working(person.buy(90.0, tif="GTC"))
            gateway.control.next_order_id(0, 2)
        async with (
            SimulatedGateway(make_exchange(), state=tmp_path) as gateway,
            trading(gateway, 0) as person,
        ):
            assert gateway.desks.orders.book.next_id(0) == used.order.orderId + 1
            assert {each.order.orderId for each in person.ib.openTrades()} >= {used.order.orderId}

    run(story)


def test_a_folder_that_cannot_be_used_is_one_clear_error(tmp_path: Path) -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange(), state=tmp_path):
            with pytest.raises(StateError, match="cannot be used"):
                await SimulatedGateway(make_exchange(), state=tmp_path).start()
        spoilt = sqlite3.connect(tmp_path / FILE)
        spoilt.execute("INSERT INTO kept VALUES ('order', '7', '{\"order\": 1}')")
        spoilt.commit()
        spoilt.close()
        with pytest.raises(StateError, match="does not hold"):
            await SimulatedGateway(make_exchange(), state=tmp_path).start()
        spoilt = sqlite3.connect(tmp_path / FILE)
        spoilt.execute("DROP TABLE kept")
        spoilt.execute("CREATE TABLE kept (of TEXT, another TEXT, program TEXT)")
        spoilt.commit()
        spoilt.close()
        with pytest.raises(StateError, match="does not hold"):
            await SimulatedGateway(make_exchange(), state=tmp_path).start()

    run(story)


def test_an_exchange_goes_on_with_the_numbers_and_the_margin_of_the_one_before() -> None:
    async def story() -> None:
        first = make_exchange()
        async with SimulatedGateway(first) as gateway, trading(gateway) as trader:
            await working(trader.buy(90.0, 500, tif="GTC"))
            state = first.accounts.state(ACCOUNT)
            orders = first.open_orders()
        second = make_exchange(deposit=Decimal(1))
        second.restore(orders, {ACCOUNT: state, "DU9": state})
        assert [each.number for each in second.open_orders()] == [orders[0].number]
        assert second.accounts.cash(ACCOUNT) == {"USD": Decimal(1_000_000)}
        assert second.open_orders()[0].placed_at == orders[0].placed_at
        assert orders[0].placed_at is not None
        assert orders[0].placed_at < datetime.now(UTC)
        assert second.knows(orders[0].number)

    run(story)
