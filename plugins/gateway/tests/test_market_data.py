"""What streams beside prices: option computations, generic ticks, depth, types of data, halts."""

from __future__ import annotations

import asyncio
import math
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from alluse_gateway.generic_ticks import wanted
from alluse_gateway.option_model import Terms
from alluse_gateway.server import SimulatedGateway
from alluse_paper.exchange import Exchange
from alluse_paper.fill_model import FillModel
from alluse_paper.market import Listing
from alluse_paper.pricing import greeks_of, price_of
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
    trade,
    until,
)

from alluse_core import Instrument
from alluse_core.clock import SystemClock
from alluse_core.errors import UsageError

CALL = Instrument.option("AAPL", date(2024, 1, 19), 100, "C")
STOCK = (0, "AAPL", "STK", "", 0.0, "", "", "SMART", "", "USD", "", "")


def run(story: Any) -> None:
    asyncio.run(asyncio.wait_for(story(), 60))


def option_exchange() -> Exchange:
    model = FillModel(latency_ms=0, enforce_hours=False)
    listings = [Listing.of(AAPL, primary_exchange="NASDAQ"), Listing.of(CALL)]
    exchange = Exchange(SystemClock(), listings, fill_model=model)
    quote(exchange, AAPL, 101.9, 102.1)
    return exchange


# --- options ------------------------------------------------------------------------------------


def test_black_scholes_is_as_in_the_textbook() -> None:
    # Hull, Options, Futures and Other Derivatives, example 15.6.
    assert price_of(42, 40, 0.5, 0.2, True, 0.1) == pytest.approx(4.76, abs=0.005)
    assert price_of(42, 40, 0.5, 0.2, False, 0.1) == pytest.approx(0.81, abs=0.005)
    # The same book's examples of the greeks (S 49, K 50, r 5 %, 20 %, 20 weeks).
    greeks = greeks_of(49, 50, 0.3846, 0.2, True, 0.05)
    assert greeks.delta == pytest.approx(0.522, abs=0.001)
    assert greeks.gamma == pytest.approx(0.066, abs=0.001)
    assert greeks.vega * 100 == pytest.approx(12.1, abs=0.1)
    assert greeks.theta * 365 == pytest.approx(-4.31, abs=0.01)


@pytest.mark.parametrize("call", [True, False])
def test_the_implied_volatility_is_the_one_that_gives_the_price(call: bool) -> None:
    terms = Terms(102.0, 100.0, 0.25, call)
    for volatility in (0.05, 0.277, 1.5):
        assert terms.implied(terms.price(volatility)) == pytest.approx(volatility, abs=1e-6)
    assert math.isnan(terms.implied(1e6))
    assert math.isnan(terms.implied(0.0))


@pytest.mark.parametrize("name", LIBRARIES)
def test_an_options_line_carries_its_greeks(name: str) -> None:
    async def story() -> None:
        exchange = option_exchange()
        async with SimulatedGateway(exchange, sampling=0) as gateway, client(name, gateway) as ib:
            lib = library(name)
            wanted_ = lib.Option("AAPL", "20240119", 100, "C", "SMART", currency="USD")
            (contract,) = await ib.qualifyContractsAsync(wanted_)
            ticker = ib.reqMktData(contract)
            quote(exchange, CALL, 4.9, 5.1)
            trade(exchange, CALL, 5.0)
            await until(lambda: ticker.modelGreeks and ticker.lastGreeks, "the greeks")
            bid, ask, model = ticker.bidGreeks, ticker.askGreeks, ticker.modelGreeks
            assert bid.impliedVol < model.impliedVol < ask.impliedVol
            assert model.optPrice == pytest.approx(5.0)
            assert model.undPrice == pytest.approx(102.0)
            assert 0.5 < model.delta < 0.8
            assert model.gamma > 0 > model.theta
            before = model.delta
            quote(exchange, AAPL, 104.9, 105.1)
            quote(exchange, CALL, 7.4, 7.6)
            await until(lambda: ticker.modelGreeks.delta > before, "a higher delta")
            assert ticker.modelGreeks.undPrice == pytest.approx(105.0)

    run(story)


def test_a_price_that_no_volatility_gives_has_no_greeks() -> None:
    async def story() -> None:
        exchange = option_exchange()
        async with SimulatedGateway(exchange, sampling=0) as gateway:
            raw = await RawClient.connect(gateway)
            option = (0, "AAPL", "OPT", "20240119", 100.0, "C", "", "SMART", "", "USD", "", "")
            raw.send(1, 11, 7, *option, 0, "", 0, 0, "")
            await raw.read_until("58")
            quote(exchange, CALL, 1.0, 1.1)
            fields = await raw.read_until("21")
            assert fields[1:4] == ["7", "10", "1"]
            assert fields[4:] == ["-1", "-2", "1", "-1", "-2", "-2", "-2", "102"]
            raw.close()

    run(story)


@pytest.mark.parametrize("name", LIBRARIES)
def test_price_and_volatility_are_calculated_back_and_forth(name: str) -> None:
    async def story() -> None:
        async with SimulatedGateway(option_exchange()) as gateway, client(name, gateway) as ib:
            lib = library(name)
            wanted_ = lib.Option("AAPL", "20240119", 100, "C", "SMART", currency="USD")
            (contract,) = await ib.qualifyContractsAsync(wanted_)
            priced = await ib.calculateOptionPriceAsync(contract, 0.3, 105.0)
            back = await ib.calculateImpliedVolatilityAsync(contract, priced.optPrice, 105.0)
            assert priced.optPrice > 5
            assert back.impliedVol == pytest.approx(0.3, abs=1e-6)
            assert back.undPrice == 105.0
            codes: list[int] = []
            ib.errorEvent += lambda number, code, *rest: codes.append(code)
            ib.client.calculateImpliedVolatility(999, contract, 1e6, 105.0, [])
            await until(lambda: 321 in codes, "321")

    run(story)


def test_a_recorded_chain_is_listed_and_has_greeks(shared_data: Path) -> None:
    async def story() -> None:
        folder = shared_data / "market" / "options_minute"
        market = Recording(folder)
        async with (
            SimulatedGateway(market=market, speed=1e6, sampling=0.0) as gateway,
            client("ib_insync", gateway) as ib,
        ):
            lib = library("ib_insync")
            (stock,) = await ib.qualifyContractsAsync(lib.Stock("TWX", "SMART", "USD"))
            (chain,) = await ib.reqSecDefOptParamsAsync("TWX", "", "STK", stock.conId)
            assert len(chain.expirations) >= 2
            assert len(chain.strikes) > 10
            near = min(chain.strikes, key=lambda strike: abs(strike - 70))
            option = lib.Option("TWX", chain.expirations[-1], near, "C", "SMART", currency="USD")
            (contract,) = await ib.qualifyContractsAsync(option)
            ticker = ib.reqMktData(contract)
            await until(lambda: ticker.modelGreeks, "the greeks", 30)
            assert 0.05 < ticker.modelGreeks.impliedVol < 1.0
            assert 0 < ticker.modelGreeks.delta < 1

    run(story)


def test_a_synthetic_chain_is_served_and_its_index_future_has_several_months() -> None:
    async def story() -> None:
        market = SyntheticMarket(3, chains=("AAPL",), months=3)
        async with (
            SimulatedGateway(market=market, speed=60) as gateway,
            client("ib_insync", gateway) as ib,
        ):
            lib = library("ib_insync")
            (stock,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
            chains = await ib.reqSecDefOptParamsAsync("AAPL", "", "STK", stock.conId)
            assert len({expiry for chain in chains for expiry in chain.expirations}) >= 5
            months = await ib.reqContractDetailsAsync(lib.Future("ES", exchange="CME"))
            assert len(months) == 3
            assert {each.contract.multiplier for each in months} == {"50"}

    run(story)


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


# --- types of data ------------------------------------------------------------------------------


def test_frozen_data_is_told_where_the_market_is_closed() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway:
            raw = await RawClient.connect(gateway)
            raw.send(59, 1, 2)
            raw.send(1, 11, 1, *STOCK, 0, "", 0, 0, "")
            assert (await raw.read_until("58"))[2:] == ["1", "1"], "17:13 in New York"
            trade(exchange, AAPL, 101.0, at=START + 4 * 3600)
            raw.send(1, 11, 2, *STOCK, 0, "", 0, 0, "")
            assert (await raw.read_until("58"))[2:] == ["2", "2"]
            raw.close()

    run(story)


@pytest.mark.parametrize(
    ("delayed", "kind", "code"), [(True, 1, 354), (True, 3, 10167), (False, 3, 10168)]
)
def test_who_is_not_entitled_gets_delayed_data_or_an_error(
    delayed: bool, kind: int, code: int
) -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange, entitled=False, delayed=delayed) as gateway:
            raw = await RawClient.connect(gateway)
            raw.send(59, 1, kind)
            raw.send(1, 11, 1, *STOCK, 0, "", 0, 0, "")
            assert (await raw.error(code))[2] == "1"
            if code == 10167:
                assert (await raw.read_until("58"))[3] == "3"
                assert (await raw.read_until("1"))[3] == "66"
            raw.close()

    run(story)


def test_lines_change_to_delayed_data_while_they_stream() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with (
            SimulatedGateway(exchange, sampling=0) as gateway,
            client("ib_insync", gateway) as ib,
        ):
            lib = library("ib_insync")
            (contract,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
            ticker = ib.reqMktData(contract)
            await until(lambda: ticker.bid == 100.0, "the bid")
            assert gateway.control.data_type(3) == 1
            await until(lambda: ticker.marketDataType == 3, "the type")
            quote(exchange, AAPL, 90.0, 90.1)
            await until(lambda: ticker.bid == 90.0, "a delayed bid")
            assert gateway.ledger.of("inject")[-1]["what"] == "data_type"
            with pytest.raises(UsageError, match="1 to 4"):
                gateway.control.data_type(7)

    run(story)


def test_a_competing_session_takes_the_data_until_it_ends() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with (
            SimulatedGateway(exchange, sampling=0) as gateway,
            client("ib_insync", gateway) as ib,
        ):
            lib = library("ib_insync")
            (contract,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
            codes: list[int] = []
            ib.errorEvent += lambda number, code, *rest: codes.append(code)
            ticker = ib.reqMktData(contract)
            await until(lambda: ticker.bid == 100.0, "the bid")
            assert gateway.control.competing_session() == 1
            await until(lambda: 10197 in codes, "10197")
            quote(exchange, AAPL, 90.0, 90.1)
            await ib.reqCurrentTimeAsync()
            assert ticker.bid == 100.0
            gateway.control.competing_session(False)
            await until(lambda: ticker.bid == 90.0, "the data again")
            assert gateway.control.fail_live_updates(lines=True) == 1
            await until(lambda: 10182 in codes, "10182")

    run(story)


@pytest.mark.parametrize(
    ("farm", "codes"),
    [("market", [2103, 2104]), ("history", [2105, 2106]), ("definitions", [2157, 2158])],
)
def test_each_farm_says_by_its_own_codes_that_it_is_broken(farm: str, codes: list[int]) -> None:
    async def story() -> None:
        async with (
            SimulatedGateway(make_exchange()) as gateway,
            client("ib_insync", gateway) as ib,
        ):
            heard: list[int] = []
            ib.errorEvent += lambda _, code, *__: heard.append(code)
            await gateway.control.farm_flap(farm, seconds=0.0)
            await until(lambda: heard == codes, "the notices")

    run(story)


def test_a_farm_that_flaps_says_so_each_time_and_data_goes_on() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with (
            SimulatedGateway(exchange, sampling=0) as gateway,
            client("ib_insync", gateway) as ib,
        ):
            lib = library("ib_insync")
            (contract,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
            ticker = ib.reqMktData(contract)
            codes: list[int] = []
            ib.errorEvent += lambda number, code, *rest: codes.append(code)
            flapping = asyncio.ensure_future(gateway.control.farm_flap(flaps=2, seconds=0.02))
            await until(lambda: 2103 in codes, "2103")
            quote(exchange, AAPL, 90.0, 90.1)
            await flapping
            await until(lambda: codes == [2103, 2104, 2103, 2104], "the notices")
            await until(lambda: ticker.bid == 90.0, "the missed quote")
            with pytest.raises(UsageError, match="'history'"):
                await gateway.control.farm_flap("histroy")

    run(story)


# --- halts and early closes ---------------------------------------------------------------------


@pytest.mark.parametrize(("volatility", "reason"), [(False, 1.0), (True, 2.0)])
def test_a_halt_is_shown_and_orders_wait_for_its_end(volatility: bool, reason: float) -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with (
            SimulatedGateway(exchange, sampling=0) as gateway,
            client("ib_insync", gateway) as ib,
        ):
            lib = library("ib_insync")
            (contract,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
            ticker = ib.reqMktData(contract)
            await until(lambda: ticker.bid == 100.0, "the bid")
            gateway.control.halt("AAPL", volatility=volatility)
            await until(lambda: ticker.halted == reason, "tick 49")
            placed = ib.placeOrder(contract, lib.MarketOrder("BUY", 1))
            await until(lambda: gateway.ledger.of("ack"), "the ack")
            assert not gateway.ledger.of("fill")
            gateway.control.resume("AAPL")
            await until(lambda: placed.orderStatus.status == "Filled", "the fill")
            await until(lambda: ticker.halted == 0.0, "the end of the halt")
            with pytest.raises(UsageError, match="no such instrument"):
                gateway.control.halt("NONE")

    run(story)


@pytest.mark.parametrize("name", LIBRARIES)
def test_an_early_close_is_told_with_the_contract_and_ends_day_orders(name: str) -> None:
    async def story() -> None:
        exchange = Exchange(
            SystemClock(),
            [Listing.of(AAPL, primary_exchange="NASDAQ")],
            fill_model=FillModel(latency_ms=0),
        )
        open_ = START - 5 * 3600
        async with SimulatedGateway(exchange) as gateway, client(name, gateway) as ib:
            with pytest.raises(UsageError, match="known"):
                gateway.control.early_close()
            quote(exchange, AAPL, 100.0, 100.1, at=open_)
            lib = library(name)
            (contract,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
            order = lib.LimitOrder("BUY", 1, 90.0, tif="DAY")
            placed = ib.placeOrder(contract, order)
            await until(lambda: placed.orderStatus.status == "Submitted", "the ack")
            assert gateway.control.early_close(30) == 1
            quote(exchange, AAPL, 100.0, 100.1, at=open_ + 1801)
            quote(exchange, AAPL, 100.0, 100.1, at=open_ + 86_400)
            await until(lambda: placed.orderStatus.status == "Cancelled", "the end of the order")
            assert gateway.ledger.of("inject")[-1]["instruments"] == 1

    run(story)


# --- depth --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LIBRARIES)
def test_depth_stands_behind_the_best_prices_and_follows_them(name: str) -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway, client(name, gateway) as ib:
            lib = library(name)
            (contract,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
            ticker = ib.reqMktDepth(contract, 5, isSmartDepth=True)
            await until(lambda: len(ticker.domBids) == 5 == len(ticker.domAsks), "five rows")
            assert [row.price for row in ticker.domBids] == pytest.approx(
                [100.0, 99.99, 99.98, 99.97, 99.96]
            )
            assert ticker.domAsks[0].price == 100.1
            assert ticker.domBids[0].size == 1000
            assert {row.marketMaker for row in ticker.domBids} == {"NASDAQ"}
            quote(exchange, AAPL, 101.0, 101.2)
            await until(lambda: ticker.domBids[0].price == 101.0, "the move")
            assert len(ticker.domBids) == 5
            codes: list[int] = []
            ib.errorEvent += lambda number, code, *rest: codes.append(code)
            assert gateway.control.depth_reset() == 1
            await until(lambda: 317 in codes and len(ticker.domBids) == 5, "317 and a new book")

    run(story)


def test_depth_has_its_limit_and_its_errors() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            raw = await RawClient.connect(gateway)
            raw.send(10, 5, 9, *STOCK, 5, 0, "")
            assert (await raw.error(10092))[2] == "9"
            for number in range(1, 5):
                raw.send(10, 5, number, *STOCK, 5, 1, "")
            assert (await raw.error(309))[2] == "4"
            raw.send(11, 1, 77, 1)
            assert (await raw.error(310))[2] == "77"
            raw.send(11, 1, 1, 1)
            direct = (0, "AAPL", "STK", "", 0.0, "", "", "NASDAQ", "", "USD", "", "")
            raw.send(10, 5, 5, *direct, 2, 0, "")
            fields = await raw.read_until("12")
            assert fields[2:] == ["5", "0", "0", "0", "100.1", "1000"]
            raw.close()

    run(story)


# --- tick by tick -------------------------------------------------------------------------------


def test_ticks_of_the_past_precede_a_stream_of_ticks() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway:
            raw = await RawClient.connect(gateway)
            for step in range(4):
                trade(exchange, AAPL, 101.0 + step, at=START + step)
            raw.send(97, 1, *STOCK, "Last", 3, 0)
            fields = await raw.read_until("98")
            assert fields[1:3] == ["1", "3"]
            assert [fields[5 + 6 * row] for row in range(3)] == ["102", "103", "104"]
            trade(exchange, AAPL, 110.0, at=START + 9)
            assert (await raw.read_until("99"))[4] == "110"
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
