"""Types of market data, farms that break, sessions that compete, halts and early closes."""

from __future__ import annotations

import asyncio

import pytest
from alluse_gateway.server import SimulatedGateway
from alluse_paper.exchange import Exchange
from alluse_paper.fill_model import FillModel
from alluse_paper.market import Listing
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

from alluse_core.clock import SystemClock
from alluse_core.errors import UsageError

STOCK = (0, "AAPL", "STK", "", 0.0, "", "", "SMART", "", "USD", "", "")


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
