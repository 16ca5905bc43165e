"""Played markets, seen through the gateway: recordings with their dirt, and synthetic ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from alluse_gateway.bars import BarHistory, merged
from alluse_gateway.server import SimulatedGateway
from alluse_paper.exchange import Exchange
from alluse_paper.market import TopOfBook
from alluse_paper.recording import Recording
from alluse_paper.synthetic import SyntheticMarket
from gateway_lab import AAPL, START, client, library, make_exchange, quote, run, trade, until

from alluse_core.clock import SystemClock


@pytest.fixture
def recordings(shared_data: Path) -> Path:
    return shared_data / "market"


@pytest.mark.parametrize(
    ("folder", "symbol"), [("us_equity_second", "SPY"), ("us_equity_tick", "IBM")]
)
def test_a_recording_reaches_a_client_and_no_side_that_is_not_there_does(
    recordings: Path, folder: str, symbol: str
) -> None:
    async def story() -> None:
        market = Recording(recordings / folder)
        async with (
            SimulatedGateway(market=market, speed=36_000, sampling=0) as gateway,
            client("ib_insync", gateway) as ib,
        ):
            stock = library("ib_insync").Stock(symbol, "SMART", "USD")
            (contract,) = await ib.qualifyContractsAsync(stock)
            prices: list[float] = []
            ticker = ib.reqMktData(contract)
            ticker.updateEvent += lambda each: prices.extend(
                tick.price for tick in each.ticks if tick.tickType in (1, 2)
            )
            await until(lambda: len(prices) > 2000, "ticks", 30)
            assert all(price == -1 or 1 < price < 1000 for price in prices)

    run(story)


def test_a_synthetic_market_streams_twenty_symbols() -> None:
    async def story() -> None:
        async with (
            SimulatedGateway(market=SyntheticMarket(1), speed=60) as gateway,
            client("ib_async", gateway) as ib,
        ):
            lib = library("ib_async")
            listings = gateway.exchange.listings
            assert len(listings) >= 20
            tickers = []
            for listing in listings[:20]:
                instrument = listing.instrument
                wanted = lib.Contract(conId=listing.con_id, exchange=instrument.exchange)
                (contract,) = await ib.qualifyContractsAsync(wanted)
                tickers.append(ib.reqMktData(contract))
            await until(lambda: all(ticker.bid > 0 for ticker in tickers), "all quotes", 20)

    run(story)


@pytest.mark.parametrize("name", ["ib_insync", "ib_async"])
def test_tick_by_tick_data_is_every_change(name: str) -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway, client(name, gateway) as ib:
            (contract,) = await ib.qualifyContractsAsync(
                library(name).Stock("AAPL", "SMART", "USD")
            )
            last: list[float] = []
            bids: list[float] = []
            ib.reqTickByTickData(contract, "Last").updateEvent += lambda ticker: last.extend(
                each.price for each in ticker.tickByTicks if hasattr(each, "price")
            )
            await ib.reqCurrentTimeAsync()
            for step in range(5):
                trade(exchange, AAPL, 100.0 + step, at=START + 1 + step)
            await until(lambda: last == [100.0, 101.0, 102.0, 103.0, 104.0], f"the trades, {last}")
            ib.cancelTickByTickData(contract, "Last")
            ib.reqTickByTickData(contract, "BidAsk").updateEvent += lambda ticker: bids.extend(
                each.bidPrice for each in ticker.tickByTicks if hasattr(each, "bidPrice")
            )
            await ib.reqCurrentTimeAsync()
            quote(exchange, AAPL, 99.0, 99.5, at=START + 9)
            await until(lambda: bids == [99.0], "the quote")

    run(story)


def test_bars_that_are_kept_up_to_date_follow_the_market() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway, client("ib_insync", gateway) as ib:
            stock = library("ib_insync").Stock("AAPL", "SMART", "USD")
            (contract,) = await ib.qualifyContractsAsync(stock)
            trade(exchange, AAPL, 106.0, at=START)
            bars = await ib.reqHistoricalDataAsync(
                contract, "", "3600 S", "1 min", "TRADES", False, keepUpToDate=True
            )
            before = len(bars)
            trade(exchange, AAPL, 107.0, at=START + 120)
            gateway.desks.history.tick()
            await until(lambda: bars[-1].close == 107.0, "the new bar")
            assert len(bars) == before + 1
            live = ib.reqRealTimeBars(contract, 5, "TRADES", False)
            await ib.reqCurrentTimeAsync()
            trade(exchange, AAPL, 108.0, at=START + 130)
            gateway.desks.history.tick()
            await until(lambda: live, "the five-second bar")
            assert live[-1].close == 107.0
            ib.cancelHistoricalData(bars)
            ib.cancelRealTimeBars(live)
            await ib.reqCurrentTimeAsync()
            assert not gateway.desks.history._live

    run(story)


def test_an_order_made_by_hand_is_bound_to_client_zero_and_can_be_cancelled() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            gateway.control.manual_order("AAPL", "BUY", 5, "90")
            await until(lambda: len(gateway.desks.orders.book) == 1, "the exchange")
            async with client("ib_insync", gateway, 0) as ib:
                (found,) = ib.openTrades()
                assert found.order.orderId < 0
                ib.cancelOrder(found.order)
                await until(lambda: gateway.ledger.of("canceled"), "the cancel")
            async with client("ib_insync", gateway, 4) as ib:
                assert not await ib.reqAllOpenOrdersAsync()
                (done,) = await ib.reqCompletedOrdersAsync(False)
                assert done.orderStatus.status == "Cancelled"

    run(story)


def test_orders_of_others_are_seen_by_who_asks_for_all() -> None:
    async def story() -> None:
        lib = library("ib_insync")
        async with (
            SimulatedGateway(make_exchange()) as gateway,
            client("ib_insync", gateway, 1) as first,
            client("ib_insync", gateway, 2) as second,
        ):
            (contract,) = await first.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
            placed = first.placeOrder(contract, lib.LimitOrder("BUY", 1, 90.0, orderRef="mine"))
            await until(lambda: placed.orderStatus.status == "Submitted", "the ack")
            assert not await second.reqOpenOrdersAsync()
            (seen,) = await second.reqAllOpenOrdersAsync()
            assert (seen.order.orderRef, seen.order.clientId) == ("mine", 1)
            codes: list[int] = []
            second.errorEvent += lambda number, code, *rest: codes.append(code)
            second.client.cancelOrder(placed.order.orderId)
            await until(lambda: 10147 in codes, "10147")

    run(story)


def test_base_bars_join_into_longer_ones_without_losing_anything() -> None:
    history = BarHistory()
    top = TopOfBook(bid=1.0, ask=3.0, volume=0.0)
    for second in range(60):
        top.time, top.last, top.last_size = START + second, 10.0 + second % 7, 2.0
        top.volume += 2.0
        history.on_top(AAPL, top)
    series = history.series(AAPL, "TRADES")
    assert series is not None
    (bar,) = merged(series.bars, 86_400)
    assert (bar.open, bar.high, bar.low, bar.close) == (10.0, 16.0, 10.0, 10.0 + 59 % 7)
    assert (bar.volume, bar.count) == (120.0, 60)
    assert 10.0 < bar.average < 16.0
    middle = history.series(AAPL, "MIDPOINT")
    assert middle is not None
    assert {each.close for each in middle.bars} == {2.0}


def test_a_market_is_played_into_the_exchange_that_is_given() -> None:
    async def story() -> None:
        market = SyntheticMarket(2)
        exchange = Exchange(SystemClock(), market.listings(), accounts=("DU7",))
        async with (
            SimulatedGateway(exchange, market=market, speed=600) as gateway,
            client("ib_insync", gateway) as ib,
        ):
            assert ib.managedAccounts() == ["DU7"]
            await until(lambda: gateway.player and gateway.player.progress.events > 50, "events")

    run(story)
    with pytest.raises(ValueError, match="exchange"):
        SimulatedGateway()
