"""IBKR's own client over TCP, in the protobuf era and at each of its thresholds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from alluse_gateway.server import SimulatedGateway
from gateway_lab import AAPL, START, make_exchange, quote, trade
from ibapi_lab import IbapiClient, ibapi_client, order, stock

THRESHOLDS = (201, 203, 204, 205, 206, 207, 208, 210, 211, 212, 213, 214, 220, 226)
SINCE = {
    "executionDetails": 201,
    "executionDetailsEnd": 201,
    "orderStatus": 203,
    "openOrder": 203,
    "error": 203,
    "openOrdersEnd": 204,
    "completedOrder": 204,
    "completedOrdersEnd": 204,
    "contractData": 205,
    "contractDataEnd": 205,
    "tickPrice": 206,
    "tickReqParams": 206,
    "managedAccounts": 207,
    "position": 207,
    "positionEnd": 207,
    "updateAccountValue": 207,
    "accountSummary": 207,
    "historicalData": 208,
    "pnl": 210,
    "commissionAndFeesReport": 211,
    "marketRule": 212,
    "symbolSamples": 212,
    "nextValidId": 213,
    "currentTime": 213,
}
"""Callbacks that a message in protobuf makes, and the version since which its message is that."""


async def trade_and_look(ib: IbapiClient) -> None:
    """What any program does: look at a contract, trade it, and look at the account."""
    ask = ib.ask
    ask.reqContractDetails(11, stock())
    ((_, details),) = await ib.hears("contractDetails")
    await ib.hears("contractDetailsEnd")
    assert (details.contract.symbol, details.contract.primaryExchange) == ("AAPL", "NASDAQ")
    assert details.longName == "APPLE INC \\ é"
    assert details.minTick == 0.01

    ask.reqMktData(12, stock(), "", False, False, [])
    _, kind, price, _ = await ib.hears_that("tickPrice", lambda _, kind, *rest: kind == 1)
    assert (kind, price) == (1, 100.0)
    await ib.hears_that("tickSize", lambda _, kind, size: kind == 0 and size == 1000)
    ask.cancelMktData(12)

    await place_change_and_cancel(ib)
    ask.placeOrder(2, stock(), order("BUY", 100, "MKT", orderRef="two"))
    _, contract, execution = await ib.hears_that("execDetails", lambda *_: True)
    assert (contract.symbol, execution.price, execution.shares) == ("AAPL", 100.1, 100)
    assert (execution.orderRef, execution.side, execution.orderId) == ("two", "BOT", 2)
    ((report,),) = await ib.hears("commissionAndFeesReport")
    assert (report.commissionAndFees, report.execId) == (1.0, execution.execId)
    await look_back(ib)


async def place_change_and_cancel(ib: IbapiClient) -> None:
    ask = ib.ask
    ask.placeOrder(1, stock(), order("BUY", 10, "LMT", 90.0, orderRef="one", tif="GTC"))
    status = await ib.hears_that("orderStatus", lambda _, word, *rest: word == "Submitted")
    assert (status[0], status[2], status[3]) == (1, 0, 10)
    ask.placeOrder(1, stock(), order("BUY", 10, "LMT", 91.0, orderRef="one", tif="GTC"))
    _, contract, echo, state = await ib.hears_that(
        "openOrder", lambda _, contract, echo, state: echo.lmtPrice == 91.0
    )
    assert (contract.symbol, echo.orderRef, echo.tif, echo.action) == ("AAPL", "one", "GTC", "BUY")
    assert (echo.totalQuantity, echo.orderType, echo.permId > 0) == (10, "LMT", True)
    assert state.status in ("PreSubmitted", "Submitted")
    ask.cancelOrder(1, _cancel())
    await ib.hears_that("orderStatus", lambda _, word, *rest: word == "Cancelled")
    await ib.hears_that("error", lambda number, time, code, *rest: (number, code) == (1, 202))


def _cancel() -> Any:
    from ibapi.order_cancel import OrderCancel

    return OrderCancel()


async def look_back(ib: IbapiClient) -> None:
    ask = ib.ask
    from ibapi.execution import ExecutionFilter

    ask.reqExecutions(21, ExecutionFilter())
    await ib.hears("execDetailsEnd")
    assert [each[2].orderRef for each in ib.of("execDetails") if each[0] == 21] == ["two"]
    ask.reqCompletedOrders(False)
    await ib.hears("completedOrdersEnd")
    ended = {echo.orderRef: state.status for _, echo, state in ib.of("completedOrder")}
    assert ended == {"one": "Cancelled", "two": "Filled"}
    ask.reqOpenOrders()
    await ib.hears("openOrderEnd")
    ask.reqPositions()
    await ib.hears("positionEnd")
    _, contract, held, cost = ib.of("position")[0]
    assert (contract.symbol, held, cost) == ("AAPL", 100, 100.1)
    ask.reqAccountSummary(22, "All", "NetLiquidation")
    (row,) = await ib.hears("accountSummary")
    assert (row[2], row[4], float(row[3]) > 900_000) == ("NetLiquidation", "USD", True)
    await ib.hears("accountSummaryEnd")
    ask.reqPnL(23, "DU1000001", "")
    await ib.hears("pnl")
    ask.reqAccountUpdates(True, "DU1000001")
    await ib.hears("accountDownloadEnd")
    assert any(key == "NetLiquidation" for key, *_ in ib.of("updateAccountValue"))
    ask.reqMarketRule(int(ib.of("contractDetails")[0][1].marketRuleIds.split(",")[0]))
    ((_, steps),) = await ib.hears("marketRule")
    assert steps[0].increment == 0.01
    ask.reqMatchingSymbols(24, "AAP")
    ((_, found),) = await ib.hears("symbolSamples")
    assert [each.contract.symbol for each in found] == ["AAPL"]
    ask.reqHistoricalData(25, stock(), "", "3600 S", "1 min", "TRADES", 0, 2, False, [])
    bars = await ib.hears("historicalData", 4)
    assert [bar.close for _, bar in bars] == pytest.approx([100.35, 100.95, 101.55, 101.75])
    await ib.hears("historicalDataEnd")
    ask.reqCurrentTime()
    await ib.hears("currentTime")
    assert set(ib.errors()) == {202}


@pytest.mark.parametrize("version", THRESHOLDS)
def test_the_client_is_told_the_same_at_every_version(version: int) -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with (
            SimulatedGateway(exchange, version=version, rate_limit=0) as gateway,
            ibapi_client(gateway, version=version) as ib,
        ):
            for second in range(0, 180, 5):
                trade(exchange, AAPL, 100.0 + second / 100, size=10.0, at=START + second)
            quote(exchange, AAPL, 100.0, 100.1, at=START + 180)
            await trade_and_look(ib)
            forms = ib.forms()
            assert {name for name, since in SINCE.items() if version >= since} <= forms
            assert forms.isdisjoint(name for name, since in SINCE.items() if version < since)

    asyncio.run(story())
