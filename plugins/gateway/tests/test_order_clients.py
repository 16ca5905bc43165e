"""Whose order it is: several accounts, several clients, client 0 and the master client."""

from __future__ import annotations

import pytest
from alluse_gateway.account import REFRESH_SECONDS
from alluse_gateway.server import SimulatedGateway
from gateway_lab import AAPL, START, RawClient, client, make_exchange, quote, run, until
from test_order_faults import trading, working

ADVISED = ("DF1000000", "DU1000001", "DU1000002")


@pytest.mark.parametrize("name", ["ib_insync", "ib_async"])
def test_an_order_of_several_accounts_must_name_its_own(name: str) -> None:
    async def story() -> None:
        exchange = make_exchange(accounts=ADVISED)
        async with (
            SimulatedGateway(exchange) as gateway,
            trading(gateway, name=name) as trader,
        ):
            assert trader.ib.managedAccounts() == list(ADVISED)
            trader.buy(101.0)
            await until(lambda: trader.codes() == [321], "the refusal without an account")
            filled = trader.buy(101.0, 7, account="DU1000002")
            await until(lambda: filled.orderStatus.status == "Filled", "the fill")
            assert filled.fills[0].execution.acctNumber == "DU1000002"
            await until(lambda: trader.ib.positions(), "the position")
            held = {each.account: each.position for each in trader.ib.positions()}
            assert held == {"DU1000002": 7}
            assert exchange.accounts.position("DU1000001", AAPL) == 0
            values = {each.account for each in await trader.ib.accountSummaryAsync()}
            assert values >= set(ADVISED)

    run(story)


def test_only_the_client_that_placed_an_order_can_change_or_cancel_it() -> None:
    async def story() -> None:
        async with (
            SimulatedGateway(make_exchange()) as gateway,
            trading(gateway, 1) as owner,
            trading(gateway, 2) as other,
        ):
            trade = await working(owner.buy(90.0))
            (shown,) = await other.ib.reqAllOpenOrdersAsync()
            assert (shown.order.clientId, shown.order.permId) == (1, trade.order.permId)
            assert await other.ib.reqOpenOrdersAsync() == []
            other.ib.client.cancelOrder(trade.order.orderId, "")
            await until(lambda: 10147 in other.codes(), "the refusal of the cancel")
            (living,) = gateway.exchange.open_orders()
            assert living.number == trade.order.permId
            # The same number from another client is another order, not a change of this one.
            twin = other.lib.LimitOrder("BUY", 1, 91.0, orderId=trade.order.orderId)
            other.ib.client.placeOrder(trade.order.orderId, other.contract, twin)
            await until(lambda: len(gateway.exchange.open_orders()) == 2 or other.codes()[1:], "it")
            assert gateway.exchange.order(trade.order.permId).request.limit_price == 90

    run(story)


def test_the_master_client_hears_of_every_order_and_of_those_made_by_hand() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with (
            SimulatedGateway(exchange, master_client_id=9) as gateway,
            trading(gateway, 9) as master,
            trading(gateway, 1) as owner,
            trading(gateway, 2) as other,
        ):
            trade = await working(owner.buy(99.0, orderRef="owned"))
            gateway.control.manual_order("AAPL", "BUY", 5, "99")
            await until(lambda: len(master.ib.openTrades()) == 2, "both orders")
            quote(exchange, AAPL, 98.0, 98.5, at=START + 1)
            await until(lambda: len(master.ib.fills()) == 2, "both fills")
            assert {each.execution.clientId for each in master.ib.fills()} == {0, 1}
            assert trade.orderStatus.status == "Filled"
            assert other.ib.fills() == []

    run(story)


def test_client_0_gets_orders_made_by_hand_under_negative_ids_and_can_cancel_them() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway:
            gateway.control.manual_order("AAPL", "BUY", 5, "90")
            await until(lambda: gateway.ledger.of("ack"), "the first one")
            async with trading(gateway, 0) as person:
                # ib_insync asks to have them bound as it connects.
                gateway.control.manual_order("AAPL", "BUY", 6, "90")
                await until(lambda: len(person.ib.openTrades()) == 2, "both of them")
                numbers = sorted(each.order.orderId for each in person.ib.openTrades())
                assert numbers == [-2, -1]
                for number in numbers:
                    person.ib.client.cancelOrder(number, "")
                await until(lambda: not exchange.open_orders(), "the end of both")

    run(story)


def test_an_order_made_by_hand_while_binding_is_announced_before_it_is_told() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            raw = await RawClient.connect(gateway, 0)
            raw.send(15, 1, 1)
            raw.send(49, 1)
            await raw.read_until("49")
            gateway.control.manual_order("AAPL", "BUY", 5, "90")
            kinds = []
            while "3" not in kinds:
                fields = await raw.read()
                kinds.append(fields[0])
            assert kinds == ["100", "5", "3"]
            raw.close()

    run(story)


def test_auto_binding_is_for_client_0_alone() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            raw = await RawClient.connect(gateway, 4)
            raw.send(15, 1, 1)
            assert (await raw.error(321))[2] == "-1"
            raw.close()

    run(story)


def test_account_values_come_every_three_minutes_and_profit_each_second() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway, trading(gateway) as trader:
            bought = trader.buy(101.0, 100)
            await until(lambda: bought.orderStatus.status == "Filled", "the position")
            gateway.desks.accounts.tick()
            profit = trader.ib.reqPnL("DU1000001")
            await until(lambda: profit.dailyPnL == profit.dailyPnL, "the first figures")
            values: list[str] = []
            trader.ib.accountValueEvent += lambda each: values.append(each.tag)
            before = profit.unrealizedPnL
            quote(exchange, AAPL, 110.0, 110.1, at=START + 1)
            gateway.desks.accounts.tick()
            await until(lambda: profit.unrealizedPnL > before, "profit within the second")
            assert "NetLiquidation" not in values
            for _ in range(REFRESH_SECONDS):
                gateway.desks.accounts.tick()
            await until(lambda: "NetLiquidation" in values, "the values")

    run(story)


def test_a_bracket_of_ids_that_were_never_transmitted_is_released_by_its_last_child() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway, trading(gateway) as trader:
            entry, profit, loss = trader.ib.bracketOrder("BUY", 10, 99.0, 105.0, 95.0)
            trades = [trader.ib.placeOrder(trader.contract, each) for each in (entry, profit)]
            await trader.ib.reqCurrentTimeAsync()
            assert [each.orderStatus.status for each in trades] == ["PendingSubmit"] * 2
            async with client("ib_insync", gateway, 2) as other:
                assert await other.reqAllOpenOrdersAsync() == []
            trades.append(trader.ib.placeOrder(trader.contract, loss))
            await until(lambda: trades[0].orderStatus.status == "Submitted", "the entry")
            await until(
                lambda: (
                    [each.orderStatus.whyHeld for each in trades] == ["", "child", "child,trigger"]
                ),
                "the exits held",
            )
            trader.ib.cancelOrder(entry)
            await until(lambda: not exchange.open_orders(), "the exits go with their entry")

    run(story)
