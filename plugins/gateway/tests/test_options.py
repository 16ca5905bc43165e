"""Option chains: greeks, calculations, and the market that lists them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from alluse_gateway.option_model import Terms
from alluse_gateway.server import SimulatedGateway
from alluse_paper.pricing import greeks_of, price_of
from alluse_paper.recording import Recording
from alluse_paper.synthetic import SyntheticMarket
from gateway_lab import (
    AAPL,
    CALL,
    LIBRARIES,
    RawClient,
    client,
    library,
    option_exchange,
    quote,
    run,
    trade,
    until,
)


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
