"""The unmodified client libraries, over loopback TCP."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from alluse_gateway.server import SimulatedGateway
from gateway_lab import AAPL, LIBRARIES, START, client, library, make_exchange, quote, trade, until


async def trading_story(name: str, gateway: SimulatedGateway, version: int | None = None) -> None:
    """Connect, qualify, place, change, cancel, fill, and see the account."""
    lib = library(name)
    async with client(name, gateway) as ib:
        if version is not None:
            assert ib.client.serverVersion() == version
        contract = lib.Stock("AAPL", "SMART", "USD")
        (qualified,) = await ib.qualifyContractsAsync(contract)
        assert qualified.conId > 0
        assert qualified.primaryExchange == "NASDAQ"
        (details,) = await ib.reqContractDetailsAsync(qualified)
        assert details.longName == "APPLE INC \\ é"
        assert details.minTick == 0.01

        resting = lib.LimitOrder("BUY", 10, 90.0, orderRef="story-1", tif="GTC")
        placed = ib.placeOrder(qualified, resting)
        await until(lambda: placed.orderStatus.status == "Submitted", "the ack")
        assert placed.order.permId > 0
        resting.lmtPrice = 91.0
        ib.placeOrder(qualified, resting)
        await until(lambda: gateway.ledger.of("replaced"), "the change")
        # The library counts an echo that is on its way among the answers to the next question.
        await ib.reqCurrentTimeAsync()
        (order,) = await ib.reqAllOpenOrdersAsync()
        assert order.order.lmtPrice == 91.0
        assert order.order.orderRef == "story-1"
        assert order.order.tif == "GTC"
        ib.cancelOrder(resting)
        await until(lambda: placed.orderStatus.status == "Cancelled", "the cancel")

        bought = ib.placeOrder(qualified, lib.MarketOrder("BUY", 100, orderRef="story-2"))
        await until(lambda: bought.fills and bought.fills[0].commissionReport.execId, "the fill")
        assert bought.orderStatus.status == "Filled"
        (fill,) = bought.fills
        assert fill.execution.price == 100.1
        assert fill.execution.orderRef == "story-2"
        assert fill.execution.permId == bought.order.permId
        assert fill.commissionReport.commission == 1.0
        await until(lambda: ib.positions(), "the position")
        assert ib.positions()[0].position == 100
        assert ib.positions()[0].avgCost == pytest.approx(100.1)

        executions = await ib.reqExecutionsAsync()
        assert [each.execution.orderRef for each in executions] == ["story-2"]
        completed = await ib.reqCompletedOrdersAsync(False)
        words = {each.order.orderRef: each.orderStatus.status for each in completed}
        assert words == {"story-1": "Cancelled", "story-2": "Filled"}
        summary = {row.tag: row for row in await ib.accountSummaryAsync()}
        assert float(summary["NetLiquidation"].value) == pytest.approx(1_000_000, abs=20)
        preview = await ib.whatIfOrderAsync(qualified, lib.LimitOrder("BUY", 100, 100.0))
        assert float(preview.initMarginChange) == pytest.approx(5000)
        assert float(preview.commission) == 1.0


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_client_trades_and_sees_its_account(name: str) -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            await trading_story(name, gateway)

    asyncio.run(story())


@pytest.mark.parametrize("version", [157, 163, 164, 166, 170, 174, 176])
def test_every_server_version_tells_ib_insync_the_same_story(version: int) -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange(), version=version) as gateway:
            await trading_story("ib_insync", gateway, version)

    asyncio.run(story())


@pytest.mark.parametrize("version", [157, 163, 166, 170, 176, 177, 178])
def test_every_server_version_tells_ib_async_the_same_story(version: int) -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange(), version=version) as gateway:
            await trading_story("ib_async", gateway, version)

    asyncio.run(story())


@pytest.mark.parametrize("name", LIBRARIES)
def test_ticks_arrive_and_follow_the_market(name: str) -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway, client(name, gateway) as ib:
            (contract,) = await ib.qualifyContractsAsync(
                library(name).Stock("AAPL", "SMART", "USD")
            )
            ticker = ib.reqMktData(contract)
            await until(lambda: ticker.bid == 100.0 and ticker.last == 100.05, "the first quote")
            assert (ticker.ask, ticker.bidSize) == (100.1, 1000)
            quote(exchange, AAPL, 100.2, 100.3)
            await until(lambda: ticker.bid == 100.2 and ticker.ask == 100.3, "the next quote")
            quote(exchange, AAPL, 0.0, 100.3)
            await until(lambda: ticker.bid == -1, "the side that went away")
            ib.cancelMktData(contract)
            quote(exchange, AAPL, 100.4, 100.5)
            await ib.reqCurrentTimeAsync()
            assert not gateway.desks.market_data._by_request

    asyncio.run(story())


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_snapshot_ends_when_a_quote_was_seen(name: str) -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway, client(name, gateway) as ib:
            (contract,) = await ib.qualifyContractsAsync(
                library(name).Stock("AAPL", "SMART", "USD")
            )
            (ticker,) = await ib.reqTickersAsync(contract)
            assert (ticker.bid, ticker.ask) == (100.0, 100.1)

    asyncio.run(story())


@pytest.mark.parametrize("name", LIBRARIES)
def test_historical_bars_are_what_was_played_so_far(name: str) -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway, client(name, gateway) as ib:
            for second in range(0, 180, 5):
                trade(exchange, AAPL, 100.0 + second / 100, size=10.0, at=START + second)
            (contract,) = await ib.qualifyContractsAsync(
                library(name).Stock("AAPL", "SMART", "USD")
            )
            bars = await ib.reqHistoricalDataAsync(contract, "", "3600 S", "1 min", "TRADES", False)
            assert [bar.close for bar in bars] == pytest.approx([100.35, 100.95, 101.55, 101.75])
            assert sum(bar.volume for bar in bars) == 360
            head = await ib.reqHeadTimeStampAsync(contract, "TRADES", False, 2)
            assert head.timestamp() == START
            idle = (await ib.qualifyContractsAsync(library(name).Stock("MSFT", "SMART", "USD")))[0]
            none = await ib.reqHistoricalDataAsync(idle, "", "1 D", "1 min", "TRADES", False)
            assert list(none) == []

    asyncio.run(story())


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_bracket_is_released_as_one_and_its_exits_follow_the_entry(name: str) -> None:
    async def story() -> None:
        exchange = make_exchange()
        lib = library(name)
        async with SimulatedGateway(exchange) as gateway, client(name, gateway) as ib:
            (contract,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
            bracket = ib.bracketOrder("BUY", 10, 99.0, 105.0, 95.0)
            trades = [ib.placeOrder(contract, order) for order in bracket]
            await until(lambda: trades[0].orderStatus.status == "Submitted", "the entry")
            await until(lambda: trades[2].orderStatus.status == "PreSubmitted", "the stop")
            assert trades[1].orderStatus.whyHeld == "child"
            quote(exchange, AAPL, 98.8, 98.9, at=START + 1)
            await until(lambda: trades[0].orderStatus.status == "Filled", "the entry's fill")
            await until(lambda: trades[1].orderStatus.status == "Submitted", "the target")
            quote(exchange, AAPL, 105.1, 105.2, at=START + 2)
            await until(lambda: trades[1].orderStatus.status == "Filled", "the target's fill")
            await until(lambda: trades[2].orderStatus.status == "Cancelled", "the stop's end")

    asyncio.run(story())


def messages_of(ib: Any) -> list[tuple[int, int]]:
    """Collect (id, code) of every error that the client is told."""
    seen: list[tuple[int, int]] = []
    ib.errorEvent += lambda number, code, *rest: seen.append((number, code))
    return seen


@pytest.mark.parametrize("name", LIBRARIES)
def test_orders_that_cannot_be_are_refused_with_ibkrs_codes(name: str) -> None:
    async def story() -> None:
        lib = library(name)
        async with SimulatedGateway(make_exchange()) as gateway, client(name, gateway) as ib:
            seen = messages_of(ib)
            (contract,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
            unknown = lib.Stock("NOPE", "SMART", "USD")
            cases = [
                (unknown, lib.LimitOrder("BUY", 1, 10.0), 200),
                (contract, lib.LimitOrder("BUY", 1, 10.001), 110),
                (contract, lib.LimitOrder("BUY", 10**9, 100.0), 201),
                (contract, lib.LimitOrder("BUY", 1, 10.0, account="DU9"), 321),
                (contract, lib.Order(action="BUY", totalQuantity=1, orderType="PEG MKT"), 387),
                (contract, lib.LimitOrder("BUY", 1, 10.0, parentId=77), 135),
            ]
            for target, order, code in cases:
                trade_ = ib.placeOrder(target, order)
                number = trade_.order.orderId
                await until(lambda n=number, c=code: (n, c) in seen, f"{code} in {seen}")
            filled = ib.placeOrder(contract, lib.MarketOrder("BUY", 1))
            await until(lambda: filled.orderStatus.status == "Filled", "the fill")
            number = filled.order.orderId
            ib.client.cancelOrder(number)
            await until(lambda: (number, 10148) in seen, "10148")
            ib.client.cancelOrder(99999)
            await until(lambda: (99999, 10147) in seen, "10147")
            ib.client.placeOrder(number, contract, filled.order)
            await until(lambda: (number, 104) in seen, "104")
            ib.client.placeOrder(1, contract, lib.LimitOrder("BUY", 1, 10.0))
            await until(lambda: (1, 103) in seen, "103")
            assert await ib.qualifyContractsAsync(lib.Stock("NOPE", "SMART", "USD")) in ([], [None])
            assert any(code == 200 for _, code in seen)

    asyncio.run(story())


def test_orders_and_ids_outlive_the_connection() -> None:
    async def story() -> None:
        lib = library("ib_insync")
        async with SimulatedGateway(make_exchange()) as gateway:
            async with client("ib_insync", gateway, 7) as ib:
                contract = (await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD")))[0]
                placed = ib.placeOrder(contract, lib.LimitOrder("BUY", 5, 90.0, orderRef="keep"))
                await until(lambda: placed.orderStatus.status == "Submitted", "the ack")
                used = placed.order.orderId
            async with client("ib_insync", gateway, 7) as ib:
                assert ib.client._reqIdSeq > used
                (found,) = ib.openTrades()
                assert (found.order.orderRef, found.order.orderId) == ("keep", used)
                ib.cancelOrder(found.order)
                await until(lambda: found.orderStatus.status == "Cancelled", "the cancel")

    asyncio.run(story())


def test_profit_and_loss_follows_the_market() -> None:
    async def story() -> None:
        lib = library("ib_insync")
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway, client("ib_insync", gateway) as ib:
            contract = (await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD")))[0]
            bought = ib.placeOrder(contract, lib.MarketOrder("BUY", 100))
            await until(lambda: bought.orderStatus.status == "Filled", "the fill")
            quote(exchange, AAPL, 110.0, 110.2, at=START + 1)
            single = ib.reqPnLSingle("DU1000001", "", contract.conId)
            await until(lambda: single.position == 100, "the position's profit")
            assert single.unrealizedPnL == pytest.approx(100 * (110.1 - 100.1))
            whole = ib.reqPnL("DU1000001")
            await until(lambda: whole.unrealizedPnL == whole.unrealizedPnL, "the account's")
            assert whole.unrealizedPnL == pytest.approx(1000)
            assert Decimal(str(whole.dailyPnL)) == pytest.approx(Decimal(999))

    asyncio.run(story())
