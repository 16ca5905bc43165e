"""Market data and history by IBKR's own client: the same told in text and in protobuf."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alluse_gateway.server import SimulatedGateway
from alluse_paper.synthetic import SyntheticMarket
from ibapi.contract import Contract
from ibapi_lab import IbapiClient, ibapi_client, stock
from test_protobuf_answers import value_of

OPENED = datetime(2026, 3, 4, 14, 30, tzinfo=UTC)
END = "20260303-20:00:00"


def told(version: int, story: Callable[[IbapiClient], Awaitable[None]]) -> IbapiClient:
    """Return what a client was told by a gateway of ``version`` over the same seeded market."""
    clients: list[IbapiClient] = []

    async def run() -> None:
        market = SyntheticMarket(3, start=OPENED)
        async with (
            SimulatedGateway(
                market=market, speed=1.0, version=version, history_pacing=False, rate_limit=0
            ) as gateway,
            ibapi_client(gateway, version=version) as ib,
        ):
            clients.append(ib)
            await story(ib)

    asyncio.run(asyncio.wait_for(run(), 30))
    return clients[0]


def same_in_both(
    names: set[str], forms: set[str], story: Callable[[IbapiClient], Awaitable[None]]
) -> IbapiClient:
    """Hold the calls of some callbacks in text against those in protobuf; return the latter."""
    text, protobuf = told(201, story), told(226, story)
    assert forms <= protobuf.forms()
    assert forms.isdisjoint(text.forms())
    for _, details in text.of("contractDetails"):
        details.secIdList = details.secIdList or []  # absent is None in ibapi's text, [] here
    for name in names:
        assert protobuf.of(name)
        assert value_of(protobuf.of(name)) == value_of(text.of(name)), name
    return protobuf


def test_history_of_every_kind_is_the_same_in_both_forms() -> None:
    async def story(ib: IbapiClient) -> None:
        ask = ib.ask
        ask.reqHistoricalData(1, stock(), END, "2 D", "1 hour", "TRADES", 1, 1, False, [])
        await ib.hears("historicalDataEnd")
        ask.reqHistoricalData(2, stock(), END, "5 D", "1 day", "SCHEDULE", 1, 1, False, [])
        await ib.hears("historicalSchedule")
        for number, kind, answer in (
            (3, "TRADES", "historicalTicksLast"),
            (4, "BID_ASK", "historicalTicksBidAsk"),
            (5, "MIDPOINT", "historicalTicks"),
        ):
            ask.reqHistoricalTicks(number, stock(), "", END, 10, kind, 1, True, [])
            await ib.hears(answer)
        ask.reqHistogramData(6, stock(), True, "1 week")
        await ib.hears("histogramData")
        ask.reqHeadTimeStamp(7, stock(), "TRADES", 1, 1)
        await ib.hears("headTimestamp")
        ask.cancelHeadTimeStamp(7)
        ask.reqContractDetails(8, stock())
        await ib.hears("contractDetailsEnd")
        assert not ib.errors()

    names = {"historicalData", "historicalDataEnd", "historicalSchedule", "headTimestamp"}
    names |= {"historicalTicksLast", "historicalTicksBidAsk", "historicalTicks", "histogramData"}
    ib = same_in_both(names | {"contractDetails"}, names, story)
    assert len(ib.of("historicalData")) == 13
    assert len(ib.of("historicalTicksLast")[0][1]) >= 10
    assert ib.of("historicalSchedule")[0][3] == "America/New_York"


def test_depth_and_its_exchanges_are_told_in_both_forms() -> None:
    async def story(ib: IbapiClient) -> None:
        ask = ib.ask
        ask.reqMktDepthExchanges()
        await ib.hears("mktDepthExchanges")
        ask.reqMktDepth(1, stock(), 3, True, [])
        rows = await ib.hears("updateMktDepthL2", 6)
        assert {(row[4], row[1]) for row in rows[:6]} == {
            (s, at) for s in (0, 1) for at in (0, 1, 2)
        }
        assert all(row[5] > 0 and row[6] > 0 and row[7] is True for row in rows)
        contract = stock()
        contract.exchange = "NASDAQ"
        ask.reqMktDepth(2, contract, 2, False, [])
        rows = await ib.hears("updateMktDepth", 4)
        assert {row[3] for row in rows[:4]} == {0, 1}
        ask.cancelMktDepth(1, True)
        ask.cancelMktDepth(2, False)
        ask.reqCurrentTime()
        await ib.hears("currentTime")
        assert not ib.errors()

    forms = {"updateMarketDepth", "updateMarketDepthL2", "marketDepthExchanges"}
    same_in_both({"mktDepthExchanges"}, forms, story)


def call() -> Any:
    contract = Contract()
    contract.symbol, contract.secType, contract.exchange = "AAPL", "OPT", "SMART"
    contract.currency = "USD"
    return contract


def test_options_are_found_computed_and_streamed_in_both_forms() -> None:
    async def story(ib: IbapiClient) -> None:
        ask = ib.ask
        ask.reqContractDetails(1, stock())
        ((_, share),) = await ib.hears("contractDetails")
        ask.reqSecDefOptParams(2, "AAPL", "", "STK", share.contract.conId)
        await ib.hears("securityDefinitionOptionParameterEnd")
        row = ib.of("securityDefinitionOptionParameter")[0]
        option = call()
        option.lastTradeDateOrContractMonth, option.right = max(row[5]), "C"
        option.strike = sorted(row[6])[len(row[6]) // 2]
        ask.reqContractDetails(3, option)
        await ib.hears("contractDetailsEnd", 2)
        found = ib.of("contractDetails")[1][1].contract
        assert (found.strike, found.multiplier, found.right) == (option.strike, "100", "C")
        ask.reqMktData(4, found, "", False, False, [])
        tick = await ib.hears_that("tickOptionComputation", lambda *tick: tick[1] == 13)
        assert 0 < tick[3] < 5  # the model's volatility
        assert 0 < tick[4] < 1  # its delta
        ask.cancelMktData(4)
        ask.calculateOptionPrice(5, found, 0.3, 200.0, [])
        priced = await ib.hears_that("tickOptionComputation", lambda *tick: tick[0] == 5)
        ask.calculateImpliedVolatility(6, found, priced[5], 200.0, [])
        implied = await ib.hears_that("tickOptionComputation", lambda *tick: tick[0] == 6)
        assert implied[3] == pytest.approx(0.3, abs=0.01)
        ask.cancelCalculateOptionPrice(5)
        ask.cancelCalculateImpliedVolatility(6)
        ask.reqCurrentTime()
        await ib.hears("currentTime")
        assert not ib.errors()

    forms = {"tickOptionComputation", "secDefOptParameter", "secDefOptParameterEnd"}
    names = {"securityDefinitionOptionParameter", "contractDetails"}
    same_in_both(names, forms, story)


def test_news_and_snapshots_are_told_in_both_forms() -> None:
    today = datetime.now(UTC)
    past = [f"{today - timedelta(days=days):%Y-%m-%d} 00:00:00" for days in (60, 2)]

    async def story(ib: IbapiClient) -> None:
        ask = ib.ask
        ask.reqMktData(1, stock(), "", True, False, [])
        await ib.hears("tickSnapshotEnd")
        ask.reqContractDetails(3, stock())
        ((_, details),) = await ib.hears("contractDetails")
        ask.reqNewsProviders()
        ((providers,),) = await ib.hears("newsProviders")
        code, number = providers[0].code, details.contract.conId
        ask.reqHistoricalNews(4, number, code, *past, 3, [])
        await ib.hears("historicalNewsEnd")
        headlines = ib.of("historicalNews")
        ask.reqNewsArticle(5, code, headlines[0][3], [])
        ((_, kind, text),) = await ib.hears("newsArticle")
        assert (kind, bool(text)) == (0, True)
        ask.requestFA(1)
        await ib.hears("error", 4)
        assert ib.errors() == [321]

    names = {"historicalNews", "historicalNewsEnd", "newsArticle", "newsProviders"}
    same_in_both(names, names | {"tickSnapshotEnd"}, story)
