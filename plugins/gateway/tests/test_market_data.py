"""Generic ticks, requests that are refused, and the contracts behind the lines."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from alluse_gateway.generic_ticks import wanted
from alluse_gateway.server import SimulatedGateway
from alluse_paper.recording import Recording
from alluse_paper.synthetic import SyntheticMarket
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
    trade,
    until,
)

STOCK = (0, "AAPL", "STK", "", 0.0, "", "", "SMART", "", "USD", "", "")


# --- generic ticks ------------------------------------------------------------------------------


def test_what_is_no_generic_tick_is_refused_in_tws_words() -> None:
    assert wanted("100, 233,mdoff,292:BZ") == {100, 233, 292}
    assert wanted("") == frozenset()
    refused = wanted("233,nonsense")
    assert isinstance(refused, str)
    assert "Incorrect generic tick list of 233,nonsense" in refused
    assert "236(inventory)" in refused


@pytest.mark.parametrize("name", LIBRARIES)
def test_generic_ticks_tell_what_the_market_did(name: str) -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange, sampling=0) as gateway, client(name, gateway) as ib:
            lib = library(name)
            (contract,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
            ticker = ib.reqMktData(contract, "221,233,236,293,294,295,318")
            await ib.reqCurrentTimeAsync()
            trade(exchange, AAPL, 101.0, 30.0, at=START + 1)
            trade(exchange, AAPL, 102.0, 10.0, at=START + 2)
            quote(exchange, AAPL, 101.0, 102.0, at=START + 3)
            await until(lambda: ticker.markPrice == 101.5 and ticker.rtVolume, "the ticks")
            assert ticker.shortableShares == 10_000_000
            assert ticker.tradeCount == 2
            assert ticker.tradeRate == 2
            assert ticker.volumeRate == 40
            assert ticker.vwap == pytest.approx((30 * 101.0 + 10 * 102.0) / 40)
            gateway.control.shortable("AAPL", 0)
            await until(lambda: ticker.shortableShares == 0, "no shares to borrow")

    run(story)


def test_a_synthetic_stock_tells_its_ranges_and_its_volatility() -> None:
    async def story() -> None:
        async with (
            SimulatedGateway(market=SyntheticMarket(3)) as gateway,
            client("ib_insync", gateway) as ib,
        ):
            lib = library("ib_insync")
            (contract,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
            ticker = ib.reqMktData(contract, "104,165")
            await until(lambda: ticker.avVolume > 0 and ticker.histVolatility > 0, "the figures")
            assert ticker.low52week <= ticker.low26week <= ticker.low13week
            assert ticker.high13week <= ticker.high26week <= ticker.high52week
            assert 0.02 < ticker.histVolatility < 1.0

    run(story)


def test_requests_that_tws_refuses_are_refused() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            raw = await RawClient.connect(gateway)
            raw.send(1, 11, 1, *STOCK, 0, "nonsense", 0, 0, "")
            assert "Incorrect generic tick list" in (await raw.error(321))[4]
            raw.send(1, 11, 2, *STOCK, 0, "233", 1, 0, "")
            assert "not applicable to generic ticks" in (await raw.error(321))[4]
            raw.send(1, 11, 3, *STOCK, 0, "", 0, 1, "")
            assert (await raw.error(10170))[2] == "3"
            raw.close()

    run(story)


def test_a_snapshot_may_take_its_time_and_a_regulatory_one_may_be_allowed() -> None:
    async def story() -> None:
        more = {"snapshot_seconds": 0.2, "regulatory_snapshots": True}
        async with SimulatedGateway(make_exchange(), **more) as gateway:  # type: ignore[arg-type]
            raw = await RawClient.connect(gateway)
            loop = asyncio.get_running_loop()
            raw.send(1, 11, 4, *STOCK, 0, "", 0, 1, "")
            await raw.read_until("1")
            began = loop.time()
            assert (await raw.read_until("57"))[2] == "4"
            assert loop.time() - began > 0.1, "the first ticks come at once, the end later"
            raw.close()

    run(story)


# --- contracts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LIBRARIES)
def test_an_option_names_its_underlying_and_its_ticks_by_price(name: str) -> None:
    async def story() -> None:
        market = SyntheticMarket(3, chains=("AAPL",))
        async with SimulatedGateway(market=market) as gateway, client(name, gateway) as ib:
            lib = library(name)
            (stock,) = await ib.reqContractDetailsAsync(lib.Stock("AAPL", "SMART", "USD"))
            chain = await ib.reqContractDetailsAsync(
                lib.Option("AAPL", strike=195, right="C", exchange="SMART", currency="USD")
            )
            assert len(chain) >= 5, "several expiries fit"
            assert {each.underConId for each in chain} == {stock.contract.conId}
            assert {each.underSecType for each in chain} == {"STK"}
            rules = [each.marketRuleIds.split(",") for each in chain]
            assert len(rules[0]) == len(chain[0].validExchanges.split(","))
            steps = await ib.reqMarketRuleAsync(int(rules[0][0]))
            assert [(step.lowEdge, step.increment) for step in steps] == [(0, 0.01), (3, 0.05)]
            found = await ib.reqMatchingSymbolsAsync("AAPL")
            assert found[0].derivativeSecTypes == ["OPT"]
            assert {each.contract.symbol for each in await ib.reqMatchingSymbolsAsync("spdr")} == {
                "SPY"
            }

    run(story)


def test_the_hours_of_the_next_days_know_thanksgiving_and_the_short_day_after() -> None:
    from datetime import UTC, datetime

    from alluse_gateway.contracts import calendar_of
    from alluse_paper.hours import FUTURES_HOURS, STOCK_HOURS

    when = datetime(2026, 11, 25, 15, 0, tzinfo=UTC)
    stocks = calendar_of(STOCK_HOURS, when)
    assert stocks.zone == "America/New_York"
    assert stocks.liquid.split(";")[:4] == [
        "20261125:0930-20261125:1600",
        "20261126:CLOSED",
        "20261127:0930-20261127:1300",
        "20261128:CLOSED",
    ]
    assert "20261127:0400-20261127:1700" in stocks.trading
    futures = calendar_of(FUTURES_HOURS, when)
    assert futures.zone == "America/Chicago"
    assert futures.trading.split(";")[1:3] == [
        "20261125:1700-20261126:1200",
        "20261126:1700-20261127:1215",
    ]


def test_one_currency_pair_is_two_contracts_at_two_venues(shared_data: Path) -> None:
    async def story() -> None:
        market = Recording(shared_data / "market" / "fx_tick_two_venues")
        async with (
            SimulatedGateway(market=market, speed=36_000, sampling=0) as gateway,
            client("ib_insync", gateway) as ib,
        ):
            lib = library("ib_insync")
            pair = lib.Contract(secType="CASH", symbol="EUR", currency="USD")
            found = await ib.reqContractDetailsAsync(pair)
            assert {each.contract.exchange for each in found} == {"FXCM", "OANDA"}
            assert len({each.contract.conId for each in found}) == 2
            tickers = [ib.reqMktData(each.contract) for each in found]
            await until(lambda: all(1 < each.bid < 2 for each in tickers), "both venues", 20)

    run(story)
