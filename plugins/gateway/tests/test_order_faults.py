"""What goes wrong with orders at a real TWS, put in by the control interface."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from alluse_gateway.server import SimulatedGateway
from gateway_lab import (
    AAPL,
    LIBRARIES,
    START,
    RawClient,
    client,
    library,
    make_exchange,
    quote,
    run,
    until,
)

from alluse_core.errors import UsageError


class Trader:
    """A real client, its AAPL contract, and the errors it was told."""

    def __init__(self, ib: Any, lib: Any, contract: Any) -> None:
        self.ib, self.lib, self.contract = ib, lib, contract
        self.told: list[tuple[int, int, str]] = []
        ib.errorEvent += lambda number, code, text, *_: self.told.append((number, code, text))

    def buy(self, price: float, quantity: float = 10, **terms: Any) -> Any:
        order = self.lib.LimitOrder("BUY", quantity, price, **terms)
        return self.ib.placeOrder(self.contract, order)

    def codes(self) -> list[int]:
        return [code for _, code, _ in self.told]


@asynccontextmanager
async def trading(
    gateway: SimulatedGateway, client_id: int = 1, name: str = "ib_insync"
) -> AsyncIterator[Trader]:
    lib = library(name)
    async with client(name, gateway, client_id) as ib:
        (contract,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
        yield Trader(ib, lib, contract)


async def working(trade: Any) -> Any:
    """Wait until an order works."""
    await until(lambda: trade.orderStatus.status == "Submitted", "the ack")
    return trade


def test_a_preset_changes_the_time_in_force_and_the_order_lives() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway, trading(gateway) as trader:
            gateway.control.preset("DAY")
            trade = trader.buy(90.0, tif="GTC")
            await until(lambda: 10349 in trader.codes(), "the notice")
            # What the museum knows: the library takes it for cancelled although it lives.
            assert "Cancelled" in [entry.status for entry in trade.log]
            await until(lambda: gateway.ledger.of("ack"), "the exchange")
            (order,) = gateway.exchange.open_orders()
            assert order.request.time_in_force == "DAY"
            async with client("ib_insync", gateway, 2) as other:
                (shown,) = await other.reqAllOpenOrdersAsync()
                assert shown.order.tif == "DAY"
                assert shown.orderStatus.status == "Submitted"
            assert [each["time_in_force"] for each in gateway.ledger.of("preset")] == ["DAY"]
            gateway.control.preset("")
            later = await working(trader.buy(90.0, tif="GTC"))
            assert later.order.tif == "GTC"

    run(story)


@pytest.mark.parametrize("name", LIBRARIES)
def test_an_order_without_a_time_in_force_is_given_the_presets_and_told(name: str) -> None:
    async def story() -> None:
        async with (
            SimulatedGateway(make_exchange()) as gateway,
            trading(gateway, name=name) as trader,
        ):
            await working(trader.buy(90.0, tif=""))
            (plain,) = gateway.exchange.open_orders()
            assert plain.request.time_in_force == "DAY"
            assert 10349 not in trader.codes()
            gateway.control.preset("DAY")
            trader.buy(90.0, tif="")
            await until(lambda: 10349 in trader.codes(), "the notice")
            await until(lambda: len(gateway.exchange.open_orders()) == 2, "the order lives")
            assert [each["time_in_force"] for each in gateway.ledger.of("preset")] == ["DAY"]

    run(story)


def test_precautions_stop_an_order_that_is_too_large_or_too_far_from_the_market() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway, trading(gateway) as trader:
            gateway.control.precautions(size=500, percent=3)
            large, far, fine = trader.buy(90.0, 501), trader.buy(110.0), trader.buy(90.0, 500)
            await working(fine)
            refused = {number: code for number, code, _ in trader.told}
            assert refused[large.order.orderId] == 383
            assert refused[far.order.orderId] == 109
            assert len(gateway.exchange.open_orders()) == 1

    run(story)


def test_a_read_only_api_refuses_orders_and_the_questions_about_them() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            async with trading(gateway) as trader:
                trade = await working(trader.buy(90.0))
                gateway.control.read_only()
                refused = trader.buy(91.0)
                trader.ib.client.cancelOrder(trade.order.orderId, "")
                await until(lambda: trader.codes().count(321) == 2, "both refusals")
                assert "Read-Only" in trader.told[0][2]
                assert refused.order.orderId in {number for number, _, _ in trader.told}
                assert len(gateway.exchange.open_orders()) == 1
            async with client("ib_insync", gateway, 2, readonly=True) as reader:
                assert await reader.reqExecutionsAsync() == []
            gateway.control.read_only(False)
            async with trading(gateway) as trader:
                assert len(trader.ib.openOrders()) == 1

    run(story)


def test_a_change_that_is_not_echoed_holds_at_the_exchange_all_the_same() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway, trading(gateway) as trader:
            trade = await working(trader.buy(90.0))
            gateway.control.silent_modifies()
            trade.order.lmtPrice = 91.0
            trader.ib.placeOrder(trader.contract, trade.order)
            await until(lambda: gateway.ledger.of("replaced"), "the change")
            (order,) = gateway.exchange.open_orders()
            assert order.request.limit_price == 91
            (shown,) = await trader.ib.reqAllOpenOrdersAsync()
            assert shown.order.lmtPrice == 90.0
            trade.order.lmtPrice = 92.0
            trader.ib.placeOrder(trader.contract, trade.order)
            await until(lambda: len(gateway.ledger.of("replaced")) == 2, "the second change")
            # The echo of the change may be the first of two.
            *_, shown = await trader.ib.reqAllOpenOrdersAsync()
            assert shown.order.lmtPrice == 92.0

    run(story)


def test_a_change_during_an_outage_can_leave_two_permanent_ids_alive() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway, trading(gateway) as trader:
            trade = await working(trader.buy(90.0, orderRef="agent/1"))
            gateway.control.split_modifies()
            gateway.control.broadcast(1100)
            trade.order.lmtPrice = 95.0
            trader.ib.placeOrder(trader.contract, trade.order)
            await until(lambda: gateway.ledger.of("deferred"), "the change that waits")
            gateway.control.broadcast(1102)
            await until(lambda: len(exchange.open_orders()) == 2, "both orders")
            (split,) = gateway.ledger.of("split")
            assert split["old_perm_id"] != split["perm_id"]
            trader.ib.client.cancelOrder(trade.order.orderId, "")
            await until(lambda: gateway.ledger.of("canceled"), "the end of the new one")
            (survivor,) = exchange.open_orders()
            assert survivor.number == split["old_perm_id"]
            shown = await trader.ib.reqAllOpenOrdersAsync()
            assert [each.order.orderRef for each in shown] == ["agent/1"]
            quote(exchange, AAPL, 89.0, 89.5, at=START + 1)
            await until(lambda: gateway.ledger.of("fill"), "the survivor's fill")
            assert gateway.ledger.of("fill")[0]["order_ref"] == "agent/1"

    run(story)


def test_commissions_can_be_late_or_never_come() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway, trading(gateway) as trader:
            gateway.control.delay(["commissionReport"], 0.15)
            late = trader.buy(101.0)
            await until(lambda: late.orderStatus.status == "Filled", "the fill")
            assert late.fills[0].commissionReport.commission == 0
            await until(lambda: late.fills[0].commissionReport.commission > 0, "the commission")
            gateway.control.lose(["commissionReport"])
            lost = trader.buy(101.0)
            await until(lambda: lost.orderStatus.status == "Filled", "the second fill")
            await trader.ib.reqCurrentTimeAsync()
            assert lost.fills[0].commissionReport.execId == ""
            await trader.ib.reqExecutionsAsync()
            assert lost.fills[0].commissionReport.commission > 0

    run(story)


def test_a_202_that_nobody_asked_for_ends_an_order() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway, trading(gateway) as trader:
            trade = await working(trader.buy(90.0))
            gateway.control.cancel_order(1, trade.order.orderId, "the destination has closed")
            await until(lambda: trade.orderStatus.status == "Cancelled", "the end")
            await until(lambda: trader.told, "the notice")
            ((number, code, text),) = trader.told
            assert (number, code) == (trade.order.orderId, 202)
            assert "the destination has closed" in text
            assert not gateway.ledger.of("cancel")
            with pytest.raises(UsageError, match="no living order"):
                gateway.control.cancel_order(1, trade.order.orderId)

    run(story)


def test_a_sale_of_shares_nobody_lends_waits_with_404_until_they_are_located() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway, trading(gateway) as trader:
            gateway.control.unlocate("AAPL")
            short = trader.ib.placeOrder(trader.contract, trader.lib.MarketOrder("SELL", 10))
            await until(lambda: 404 in trader.codes(), "the hold")
            assert short.orderStatus.status == "PreSubmitted"
            assert short.orderStatus.whyHeld == "locate"
            held = trader.buy(101.0)
            await until(lambda: held.orderStatus.status == "Filled", "a purchase")
            # What is held may be sold; the short sale waits, for it wants more than what is left.
            sale = trader.ib.placeOrder(trader.contract, trader.lib.MarketOrder("SELL", 10))
            await until(lambda: sale.orderStatus.status == "Filled", "the sale of what is held")
            gateway.control.locate("AAPL")
            await until(lambda: short.orderStatus.status == "Filled", "the short sale")
            assert exchange.accounts.position("DU1000001", AAPL) == -10

    run(story)


def test_a_position_can_be_liquidated_and_its_execution_says_so() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with (
            SimulatedGateway(exchange) as gateway,
            trading(gateway, 0) as person,
            trading(gateway, 3) as trader,
        ):
            bought = trader.buy(101.0, 100)
            await until(lambda: bought.orderStatus.status == "Filled", "the purchase")
            gateway.control.liquidate("AAPL")
            await until(lambda: gateway.ledger.of("fill")[1:], "the liquidation")
            await until(lambda: person.ib.fills(), "client 0 to hear of it")
            (fill,) = person.ib.fills()
            assert fill.execution.liquidation == 1
            assert (fill.execution.side, fill.execution.shares) == ("SLD", 100)
            await until(lambda: not trader.ib.positions(), "the position")
            assert len(trader.ib.fills()) == 1
            shown = await trader.ib.reqExecutionsAsync()
            assert sorted(each.execution.liquidation for each in shown) == [0, 1]
            with pytest.raises(UsageError, match="holds 0"):
                gateway.control.liquidate("AAPL")

    run(story)


def test_an_account_below_its_maintenance_margin_is_liquidated_as_far_as_needed() -> None:
    async def story() -> None:

        exchange = make_exchange(deposit=Decimal(100_000))
        async with SimulatedGateway(exchange) as gateway, trading(gateway) as trader:
            bought = trader.buy(101.0, 1900)
            quote(exchange, AAPL, 100.0, 100.1, size=1900, at=START + 1)
            await until(lambda: bought.orderStatus.filled == 1900, "the purchase")
            quote(exchange, AAPL, 60.0, 60.1, size=5000, at=START + 2)
            await until(lambda: gateway.ledger.of("margin_call"), "the call")

            def carried() -> bool:
                excess = exchange.accounts.figures("DU1000001").excess_liquidity
                return excess is not None and excess >= 0

            await until(carried, "the liquidation")
            assert 0 < exchange.accounts.position("DU1000001", AAPL) < 1900
            assert gateway.ledger.of("fill")[-1]["cause"] == "liquidation"

    run(story)


def test_a_corrected_execution_comes_again_under_the_next_revision() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway, trading(gateway) as trader:
            bought = trader.buy(101.0, 100)
            await until(lambda: bought.orderStatus.status == "Filled", "the purchase")
            first = bought.fills[0].execution
            gateway.control.correct(price="100.35")
            await until(lambda: len(bought.fills) == 2, "the correction")
            second = bought.fills[1].execution
            assert first.execId[:-2] == second.execId[:-2]
            assert (first.execId[-2:], second.execId[-2:]) == ("01", "02")
            assert (second.shares, second.price, second.cumQty) == (100, 100.35, 100)
            (holding,) = exchange.accounts.positions("DU1000001")
            assert str(holding.average_cost) == "100.35"
            gateway.control.bust(second.execId)
            await until(lambda: len(bought.fills) == 3, "the bust")
            assert bought.fills[2].execution.shares == 0
            assert not exchange.accounts.positions("DU1000001")
            assert [each["was"] for each in gateway.ledger.of("correction")] == [
                first.execId,
                second.execId,
            ]
            shown = await trader.ib.reqExecutionsAsync()
            assert {each.execution.execId[-2:] for each in shown} == {"03"}

    run(story)


def test_the_control_port_knows_the_faults_of_orders_and_refuses_nonsense() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            control = gateway.control
            assert await control.command({"do": "read_only", "on": False}) == {"ok": True}
            for wrong in (
                {"do": "preset", "tif": "DAYS"},
                {"do": "precautions", "size": -1},
                {"do": "precautions", "size": "many"},
                {"do": "silent_modifies", "count": -1},
                {"do": "unlocate", "symbol": "NONE"},
                {"do": "liquidate", "symbol": "AAPL", "account": "DU9"},
                {"do": "correct", "execution_id": "none"},
                {"do": "assign", "symbol": "AAPL"},
            ):
                noted = len(gateway.ledger.of("inject"))
                with pytest.raises(UsageError):
                    await control.command(wrong)
                assert len(gateway.ledger.of("inject")) == noted

    run(story)


def test_a_fill_can_overtake_a_cancel_that_is_on_its_way() -> None:
    async def story() -> None:
        exchange = make_exchange(latency_ms=40)
        async with SimulatedGateway(exchange) as gateway:
            raw = await RawClient.connect(gateway)
            async with trading(gateway, 2) as trader:
                trade = await working(trader.buy(99.0))
                trader.ib.cancelOrder(trade.order)
                await until(lambda: gateway.ledger.of("cancel"), "the cancel on its way")
                quote(exchange, AAPL, 98.0, 98.5, at=START + 1)
                await until(lambda: trade.fills, "the fill")
                await until(lambda: 10148 in trader.codes(), "the refusal of the cancel")
                assert trade.orderStatus.status in ("Filled", "Cancelled")
                assert [each["event"] for each in gateway.ledger if each["event"] in _ENDS] == [
                    "fill",
                    "command_refused",
                ]
            raw.close()

    run(story)


_ENDS = ("fill", "canceled", "command_refused")
