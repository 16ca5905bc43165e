"""Families of requests by IBKR's own client, before they moved to protobuf and after."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any

import pytest
from alluse_gateway.server import SimulatedGateway
from alluse_paper.exchange import Exchange
from alluse_paper.fill_model import FillModel
from alluse_paper.market import Listing
from gateway_lab import AAPL, START, client, library, make_exchange, quote, trade, until
from ibapi.scanner import ScannerSubscription
from ibapi_lab import IbapiClient, ibapi_client, order, stock

from alluse_core import Instrument
from alluse_core.clock import SystemClock

Story = Callable[[IbapiClient, SimulatedGateway], Awaitable[None]]
ACCOUNT = "DU1000001"
CALL = Instrument.option("AAPL", date(2026, 12, 18), 190, "C")
BOTH_FORMS = pytest.mark.parametrize("version", [201, 226])
"""Text with the id in four bytes, and protobuf."""


def play(version: int, story: Story, exchange: Exchange | None = None) -> IbapiClient:
    """Run one client's story against a gateway of that version, and return what it was told."""
    told: list[IbapiClient] = []

    async def run() -> None:
        async with (
            SimulatedGateway(exchange or make_exchange(), version=version, rate_limit=0) as gateway,
            ibapi_client(gateway, version=version) as ib,
        ):
            told.append(ib)
            await story(ib, gateway)

    asyncio.run(asyncio.wait_for(run(), 20))
    return told[0]


@BOTH_FORMS
def test_tick_by_tick_data_is_every_change(version: int) -> None:
    async def story(ib: IbapiClient, gateway: SimulatedGateway) -> None:
        ib.ask.reqTickByTickData(1, stock(), "AllLast", 0, False)
        ib.ask.reqTickByTickData(2, stock(), "BidAsk", 0, False)
        ib.ask.reqTickByTickData(3, stock(), "MidPoint", 0, False)
        ib.ask.reqCurrentTime()
        await ib.hears("currentTime")
        trade(gateway.exchange, AAPL, 100.07, 25.0, at=START + 1)
        quote(gateway.exchange, AAPL, 99.0, 99.5, 300.0, at=START + 2)
        last = await ib.hears_that("tickByTickAllLast", lambda *tick: tick[3] == 100.07)
        assert (last[0], last[1], last[2], last[4]) == (1, 2, int(START) + 1, 25)
        bid_ask = await ib.hears_that("tickByTickBidAsk", lambda *tick: tick[2] == 99.0)
        assert (bid_ask[0], bid_ask[1]) == (2, int(START) + 2)
        assert (bid_ask[3], bid_ask[4], bid_ask[5]) == (99.5, 300, 300)
        await ib.hears_that("tickByTickMidPoint", lambda *tick: tick == (3, START + 2, 99.25))
        for number in (1, 2, 3):
            ib.ask.cancelTickByTickData(number)

    assert ("tickByTickData" in play(version, story).forms()) == (version == 226)


@BOTH_FORMS
def test_bars_follow_the_market(version: int) -> None:
    async def story(ib: IbapiClient, gateway: SimulatedGateway) -> None:
        exchange = gateway.exchange
        trade(exchange, AAPL, 106.0, at=START)
        ib.ask.reqHistoricalData(1, stock(), "", "3600 S", "1 min", "TRADES", 0, 2, True, [])
        await ib.hears("historicalDataEnd")
        trade(exchange, AAPL, 107.0, 30.0, at=START + 120)
        gateway.desks.history.tick()
        _, bar = await ib.hears_that("historicalDataUpdate", lambda _, bar: bar.close == 107.0)
        assert (bar.date, bar.volume) == (str(int(START) + 120 - int(START) % 60), 30)
        ib.ask.reqRealTimeBars(2, stock(), 5, "TRADES", False, [])
        ib.ask.reqCurrentTime()
        await ib.hears("currentTime")
        trade(exchange, AAPL, 108.0, at=START + 130)
        gateway.desks.history.tick()
        live = await ib.hears_that("realtimeBar", lambda number, *rest: number == 2)
        assert live[5] == 107.0
        ib.ask.cancelHistoricalData(1)
        ib.ask.cancelRealTimeBars(2)
        ib.ask.reqHeadTimeStamp(3, stock(), "TRADES", 0, 2)
        ((_, first),) = await ib.hears("headTimestamp")
        assert int(first) <= START

    forms = {"historicalData", "historicalDataUpdate", "historicalDataEnd", "realTimeBarTick"}
    told = play(version, story).forms() & (forms | {"headTimestamp"})
    assert told == (forms | {"headTimestamp"} if version == 226 else set())


@BOTH_FORMS
def test_the_account_is_told_in_every_way_there_is(version: int) -> None:
    async def story(ib: IbapiClient, gateway: SimulatedGateway) -> None:
        ask = ib.ask
        ask.placeOrder(1, stock(), order("BUY", 100, "MKT"))
        await ib.hears("commissionAndFeesReport")
        quote(gateway.exchange, AAPL, 110.0, 110.2, at=START + 1)
        ask.reqPositionsMulti(2, ACCOUNT, "")
        ((_, account, _, contract, held, cost),) = await ib.hears("positionMulti")
        assert (account, contract.symbol, held, cost) == (ACCOUNT, "AAPL", 100, 100.1)
        await ib.hears("positionMultiEnd")
        ask.reqAccountUpdatesMulti(3, ACCOUNT, "", True)
        await ib.hears("accountUpdateMultiEnd")
        assert any(row[3] == "NetLiquidation" for row in ib.of("accountUpdateMulti"))
        ask.reqPnLSingle(4, ACCOUNT, "", contract.conId)
        ((_, held, _, unrealized, _, value),) = await ib.hears("pnlSingle")
        assert (held, unrealized, value) == (100, pytest.approx(1000), pytest.approx(11010))
        ask.reqAccountUpdates(True, ACCOUNT)
        ((contract, held, price, *_, account),) = await ib.hears("updatePortfolio")
        assert (contract.primaryExchange, held, account) == ("NASDAQ", 100, ACCOUNT)
        assert price == pytest.approx(110.1)
        await ib.hears("accountDownloadEnd")
        assert len(ib.of("updateAccountTime")[0][0]) == 5
        ask.reqManagedAccts()
        await ib.hears("managedAccounts", 2)
        for number, cancel in ((2, ask.cancelPositionsMulti), (3, ask.cancelAccountUpdatesMulti)):
            cancel(number)
        ask.cancelPnLSingle(4)
        ask.cancelPositions()
        ask.reqCurrentTime()
        await ib.hears("currentTime")
        assert not ib.errors()

    told = play(version, story).forms()
    family = {"positionMulti", "accountUpdateMulti", "pnlSingle", "updatePortfolio"}
    assert told & family == (family if version == 226 else set())


@BOTH_FORMS
def test_the_tables_that_change_with_no_market_are_told(version: int) -> None:
    async def story(ib: IbapiClient, gateway: SimulatedGateway) -> None:
        ask = ib.ask
        ask.reqContractDetails(1, stock())
        ((_, details),) = await ib.hears("contractDetails")
        ask.reqSecDefOptParams(2, "AAPL", "", "STK", details.contract.conId)
        (row,) = await ib.hears("securityDefinitionOptionParameter")
        assert (row[2], row[5], row[6]) == (details.contract.conId, {"20261218"}, {190.0})
        await ib.hears("securityDefinitionOptionParameterEnd")
        answers: list[tuple[Callable[[], None], str]] = [
            (lambda: ask.reqUserInfo(3), "userInfo"),
            (lambda: ask.reqFamilyCodes(), "familyCodes"),
            (lambda: ask.reqSoftDollarTiers(4), "softDollarTiers"),
            (lambda: ask.reqMktDepthExchanges(), "mktDepthExchanges"),
            (lambda: ask.reqNewsProviders(), "newsProviders"),
            (lambda: ask.reqScannerParameters(), "scannerParameters"),
            (lambda: ask.queryDisplayGroups(5), "displayGroupList"),
            (lambda: ask.subscribeToGroupEvents(6, 1), "displayGroupUpdated"),
            (lambda: ask.reqCurrentTimeInMillis(), "currentTimeInMillis"),
            (lambda: ask.reqIds(1), "nextValidId"),
        ]
        for asks, answer in answers:
            asks()
            await ib.hears(answer)
        wanted = ScannerSubscription()
        wanted.instrument, wanted.locationCode = "STK", "STK.US.MAJOR"
        wanted.scanCode = "MOST_ACTIVE"
        trade(gateway.exchange, AAPL, 100.0, 50.0)
        ask.reqScannerSubscription(7, wanted, [], [])
        (row,) = await ib.hears("scannerData")
        assert (row[1], row[2].contract.symbol) == (0, "AAPL")
        await ib.hears("scannerDataEnd")
        ask.reqNewsBulletins(True)
        ask.reqCurrentTime()
        await ib.hears("currentTime")
        gateway.desks.news.bulletin("halt \\ é", "NASDAQ")
        ((_, _, text, where),) = await ib.hears("updateNewsBulletin")
        assert (text, where) == ("halt \\ é", "NASDAQ")
        assert not ib.errors()

    model = FillModel(latency_ms=0, enforce_hours=False)
    listings = [Listing.of(AAPL, primary_exchange="NASDAQ"), Listing.of(CALL)]
    exchange = Exchange(SystemClock(), listings, fill_model=model)
    told = play(version, story, exchange).forms()
    assert ("secDefOptParameter" in told) == ("updateNewsBulletin" in told) == (version == 226)


@BOTH_FORMS
def test_every_term_of_an_order_is_told_back(version: int) -> None:
    terms = {
        "orderRef": "a\\nb",
        "ocaGroup": "oca",
        "ocaType": 2,
        "outsideRth": True,
        "goodTillDate": "20991231 23:59:59 UTC",
        "triggerMethod": 2,
        "displaySize": 5,
        "hidden": True,
        "settlingFirm": "firm",
        "clearingIntent": "PTA",
        "startingPrice": 1.5,
        "percentOffset": 0.25,
        "duration": 60,
        "solicited": True,
        "modelCode": "model",
        "customerAccount": "customer",
        "professionalCustomer": True,
        "extOperator": "op",
        "manualOrderIndicator": 1,
    }

    async def story(ib: IbapiClient, gateway: SimulatedGateway) -> None:
        ib.ask.placeOrder(1, stock(), order("BUY", 10, "LMT", 90.0, tif="GTD", **terms))
        _, _, echo, state = await ib.hears_that("openOrder", lambda *_: True)
        assert {name: getattr(echo, name) for name in terms} == terms
        assert (echo.lmtPrice, echo.tif, echo.clientId, echo.account) == (90.0, "GTD", 1, ACCOUNT)
        assert state.initMarginBefore in ("", "1.7976931348623157E308")

    play(version, story)


@BOTH_FORMS
def test_what_if_tells_margins_and_places_nothing(version: int) -> None:
    async def story(ib: IbapiClient, gateway: SimulatedGateway) -> None:
        ib.ask.placeOrder(1, stock(), order("BUY", 100, "LMT", 100.0, whatIf=True))
        _, _, echo, state = await ib.hears_that("openOrder", lambda *_: True)
        assert (echo.whatIf, float(state.initMarginChange)) == (True, pytest.approx(5000))
        assert state.commissionAndFees == 1.0
        assert not len(gateway.desks.orders.book)

    play(version, story)


@BOTH_FORMS
def test_a_bracket_is_released_as_one(version: int) -> None:
    async def story(ib: IbapiClient, gateway: SimulatedGateway) -> None:
        ask = ib.ask
        ask.placeOrder(1, stock(), order("BUY", 10, "LMT", 99.0, transmit=False))
        ask.placeOrder(2, stock(), order("SELL", 10, "LMT", 105.0, parentId=1, transmit=False))
        ask.placeOrder(3, stock(), order("SELL", 10, "STP", auxPrice=95.0, parentId=1))
        await ib.hears_that("orderStatus", lambda *row: row[:2] == (1, "Submitted"))
        held = await ib.hears_that("orderStatus", lambda *row: row[:2] == (2, "PreSubmitted"))
        assert (held[6], held[9]) == (1, "child")
        quote(gateway.exchange, AAPL, 98.8, 98.9, at=START + 1)
        await ib.hears_that("orderStatus", lambda *row: row[:2] == (1, "Filled"))
        quote(gateway.exchange, AAPL, 105.1, 105.2, at=START + 2)
        await ib.hears_that("orderStatus", lambda *row: row[:2] == (2, "Filled"))
        await ib.hears_that("orderStatus", lambda *row: row[:2] == (3, "Cancelled"))

    play(version, story)


@BOTH_FORMS
def test_orders_that_cannot_be_are_refused_with_ibkrs_codes(version: int) -> None:
    async def story(ib: IbapiClient, gateway: SimulatedGateway) -> None:
        ask = ib.ask
        cases = [
            (stock("NOPE"), order("BUY", 1, "LMT", 10.0), 200),
            (stock(), order("BUY", 1, "LMT", 10.001), 110),
            (stock(), order("BUY", 10**9, "LMT", 100.0), 201),
            (stock(), order("BUY", 1, "LMT", 10.0, account="DU9"), 321),
            (stock(), order("BUY", 1, "LMT", 10.0, parentId=77), 135),
        ]
        for number, (contract, made, code) in enumerate(cases, start=1):
            ask.placeOrder(number, contract, made)
            told = await ib.hears_that("error", lambda at, *rest, n=number: at == n)
            assert told[2] == code, told

    play(version, story)


def test_clients_of_both_eras_share_one_gateway() -> None:
    async def run() -> None:
        lib = library("ib_async")
        async with (
            SimulatedGateway(make_exchange(), rate_limit=0) as gateway,
            ibapi_client(gateway, 1, version=226) as new,
            client("ib_async", gateway, 2) as old,
        ):
            assert old.client.serverVersion() == 178
            new.ask.placeOrder(1, stock(), order("BUY", 10, "LMT", 90.0, orderRef="new"))
            await new.hears_that("orderStatus", lambda *row: row[1] == "Submitted")
            seen = await old.reqAllOpenOrdersAsync()
            assert [(each.order.orderRef, each.order.clientId) for each in seen] == [("new", 1)]
            contract = lib.Stock("AAPL", "SMART", "USD")
            placed = old.placeOrder(contract, lib.LimitOrder("BUY", 5, 91.0, orderRef="old"))
            await until(lambda: placed.orderStatus.status == "Submitted", "the ack")
            new.ask.reqAllOpenOrders()
            await new.hears("openOrderEnd")
            refs = {(echo.orderRef, echo.clientId) for _, _, echo, _ in new.of("openOrder")}
            assert refs == {("new", 1), ("old", 2)}
            new.ask.reqGlobalCancel(_no_cancel_terms())
            await until(lambda: placed.orderStatus.status == "Cancelled", "the cancel")
            await new.hears_that("orderStatus", lambda *row: row[1] == "Cancelled")

    asyncio.run(asyncio.wait_for(run(), 20))


def _no_cancel_terms() -> Any:
    from ibapi.order_cancel import OrderCancel

    return OrderCancel()


def test_faults_reach_a_client_of_the_protobuf_era() -> None:
    async def story(ib: IbapiClient, gateway: SimulatedGateway) -> None:
        gateway.control.mute(["orderStatus"])
        ib.ask.placeOrder(1, stock(), order("BUY", 10, "MKT"))
        await ib.hears("commissionAndFeesReport")
        assert ib.of("openOrder")
        assert not ib.of("orderStatus")
        gateway.control.split(3)
        ib.ask.reqContractDetails(2, stock())
        ((_, details),) = await ib.hears("contractDetails")
        assert details.longName == "APPLE INC \\ é"

    play(226, story)
