"""Kinds of orders and what holds them, as a real client sees them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alluse_gateway.server import SimulatedGateway
from alluse_paper.exchange import Exchange
from alluse_paper.fill_model import FillModel
from alluse_paper.market import Listing, QuoteEvent
from gateway_lab import AAPL, START, client, make_exchange, quote, run, trade, until
from test_order_faults import trading, working

from alluse_core.clock import SystemClock

DAWN = datetime(2026, 1, 6, 13, 0, tzinfo=UTC).timestamp()
OPEN = datetime(2026, 1, 6, 14, 30, tzinfo=UTC).timestamp()
CLOSE = datetime(2026, 1, 6, 21, 0, tzinfo=UTC).timestamp()


def exchange_with_hours(at: float) -> Exchange:
    """Return an exchange that keeps its hours, at a market time."""
    exchange = Exchange(
        SystemClock(), [Listing.of(AAPL)], fill_model=FillModel(latency_ms=0, enforce_hours=True)
    )
    exchange.on_market(QuoteEvent(AAPL, at, 100.0, 500.0, 100.1, 500.0))
    return exchange


def test_an_order_before_the_open_is_held_with_399_and_goes_on_at_the_open() -> None:
    async def story() -> None:
        exchange = exchange_with_hours(DAWN)
        async with SimulatedGateway(exchange) as gateway, trading(gateway) as trader:
            held = trader.buy(101.0)
            await until(lambda: 399 in trader.codes(), "the notice")
            assert held.orderStatus.status == "PreSubmitted"
            text = trader.told[-1][2]
            assert "will not be placed at the exchange until 2026-01-06 09:30:00 US/Eastern" in text
            early = trader.buy(101.0, outsideRth=True)
            await until(lambda: early.orderStatus.status == "Filled", "what may trade early")
            assert held.orderStatus.status == "PreSubmitted"
            exchange.on_market(QuoteEvent(AAPL, OPEN + 1, 100.0, 500.0, 100.2, 500.0))
            await until(lambda: held.orderStatus.status == "Filled", "the fill after the open")

    run(story)


def test_a_change_after_hours_is_not_echoed_before_the_open() -> None:
    async def story() -> None:
        exchange = exchange_with_hours(DAWN)
        async with SimulatedGateway(exchange) as gateway, trading(gateway) as trader:
            held = trader.buy(90.0, tif="GTC")
            await until(lambda: 399 in trader.codes(), "the hold")
            held.order.lmtPrice = 91.0
            trader.ib.placeOrder(trader.contract, held.order)
            await until(lambda: gateway.ledger.of("replaced"), "the change")
            async with client("ib_insync", gateway, 2) as other:
                (shown,) = await other.reqAllOpenOrdersAsync()
                assert shown.order.lmtPrice == 90.0
                exchange.on_market(QuoteEvent(AAPL, OPEN + 1, 100.0, 500.0, 100.1, 500.0))
                await working(held)
                (shown,) = await other.reqAllOpenOrdersAsync()
                assert shown.order.lmtPrice == 91.0

    run(story)


@pytest.mark.parametrize("kind", ["MOC", "LOC"])
def test_an_order_for_the_close_waits_for_it(kind: str) -> None:
    async def story() -> None:
        exchange = exchange_with_hours(OPEN + 10)
        async with SimulatedGateway(exchange) as gateway, trading(gateway) as trader:
            order = trader.lib.Order(action="BUY", totalQuantity=10, orderType=kind)
            order.lmtPrice = 101.0 if kind == "LOC" else 0.0
            closing = trader.ib.placeOrder(trader.contract, order)
            await until(lambda: 399 in trader.codes(), "the hold")
            assert "until 2026-01-06 15:59:59" in trader.told[-1][2]
            assert closing.order.orderType == kind
            exchange.on_market(QuoteEvent(AAPL, CLOSE - 0.5, 100.0, 500.0, 100.3, 500.0))
            await until(lambda: closing.orderStatus.status == "Filled", "the close")
            assert closing.fills[0].execution.price == 100.3
            order.orderId = 0
            order.tif = "GTC"
            trader.ib.placeOrder(trader.contract, order)
            await until(lambda: 113 in trader.codes(), "the refusal of GTC")

    run(story)


def test_an_order_good_after_a_time_is_held_until_then() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway, trading(gateway) as trader:
            starts = datetime.now(UTC) + timedelta(seconds=2)
            later = trader.buy(101.0, goodAfterTime=f"{starts:%Y%m%d %H:%M:%S} UTC")
            past = trader.buy(101.0, goodAfterTime="20200101 10:00:00 UTC")
            await until(lambda: past.orderStatus.status == "Filled", "what may trade at once")
            assert later.orderStatus.status == "PreSubmitted"
            assert 399 in trader.codes()
            await until(lambda: later.orderStatus.status == "Filled", "its time")
            wrong = trader.buy(101.0, goodAfterTime="soon")
            await until(lambda: 321 in trader.codes(), "the refusal")
            assert wrong.order.orderId == trader.told[-1][0]

    run(story)


def test_all_or_none_waits_for_its_whole_size() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway, trading(gateway) as trader:
            quote(exchange, AAPL, 100.0, 100.1, size=60, at=START + 1)
            whole = await working(trader.buy(100.1, 100, allOrNone=True))
            quote(exchange, AAPL, 100.0, 100.1, size=99, at=START + 2)
            assert whole.orderStatus.filled == 0
            quote(exchange, AAPL, 100.0, 100.1, size=100, at=START + 3)
            await until(lambda: whole.orderStatus.status == "Filled", "the fill")
            assert [fill.execution.shares for fill in whole.fills] == [100]

    run(story)


@pytest.mark.parametrize("terms", [{"auxPrice": 1.0}, {"trailingPercent": 1.0}])
def test_a_trailing_stop_follows_the_market_up_and_sells_on_the_way_down(
    terms: dict[str, float],
) -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway, trading(gateway) as trader:
            order = trader.lib.Order(action="SELL", totalQuantity=10, orderType="TRAIL", **terms)
            trailing = trader.ib.placeOrder(trader.contract, order)
            await until(lambda: trailing.orderStatus.status == "PreSubmitted", "the ack")
            assert trailing.orderStatus.whyHeld == "trigger"
            trade(exchange, AAPL, 105.0, at=START + 1)
            trade(exchange, AAPL, 104.1, at=START + 2)
            assert trailing.orderStatus.filled == 0
            quote(exchange, AAPL, 103.8, 103.9, at=START + 3)
            trade(exchange, AAPL, 103.9, at=START + 3)
            await until(lambda: trailing.orderStatus.status == "Filled", "the trigger")
            assert trailing.fills[0].execution.price == 103.8
            assert trailing.order.orderType == "TRAIL"

    run(story)


def test_a_trailing_stop_limit_carries_its_limit_along() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway, trading(gateway) as trader:
            order = trader.lib.Order(
                action="SELL",
                totalQuantity=10,
                orderType="TRAIL LIMIT",
                auxPrice=1.0,
                trailStopPrice=99.0,
                lmtPriceOffset=0.5,
            )
            trailing = trader.ib.placeOrder(trader.contract, order)
            await until(lambda: trailing.orderStatus.status == "PreSubmitted", "the ack")
            trade(exchange, AAPL, 105.0, at=START + 1)
            quote(exchange, AAPL, 103.0, 103.1, at=START + 2)
            trade(exchange, AAPL, 103.9, at=START + 2)
            await until(lambda: trailing.orderStatus.status == "Submitted", "the trigger")
            (resting,) = exchange.open_orders()
            assert resting.request.limit_price is not None
            assert float(resting.request.limit_price) == 103.5
            order.orderId, order.auxPrice = 0, 0.0
            trader.ib.placeOrder(trader.contract, order)
            await until(lambda: 321 in trader.codes(), "the refusal without a distance")
            order.orderId, order.auxPrice, order.trailStopPrice = 0, 1.0, -99.0
            trader.ib.placeOrder(trader.contract, order)
            await until(lambda: trader.codes().count(321) == 2, "the refusal of where it begins")

    run(story)


def test_a_change_may_turn_a_limit_into_a_market_order() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway, trading(gateway) as trader:
            changed = await working(trader.buy(90.0))
            changed.order.orderType, changed.order.lmtPrice = "MKT", 0.0
            trader.ib.placeOrder(trader.contract, changed.order)
            await until(lambda: changed.orderStatus.status == "Filled", "the fill")
            assert changed.fills[0].execution.price == 100.1
            assert changed.order.orderType == "MKT"

    run(story)


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_the_three_kinds_of_oca_group_differ_in_what_a_partial_fill_does(kind: int) -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway, trading(gateway) as trader:
            group = {"ocaGroup": f"group {kind}", "ocaType": kind}
            first = await working(trader.buy(99.0, 100, **group))
            second = await working(trader.buy(98.0, 100, **group))
            assert second.order.ocaType == kind
            quote(exchange, AAPL, 98.5, 98.9, size=40, at=START + 1)
            await until(lambda: first.orderStatus.filled == 40, "the partial fill")
            if kind == 1:
                await until(lambda: second.orderStatus.status == "Cancelled", "the other's end")
            else:
                await until(lambda: second.order.totalQuantity == 60, "the other's reduction")
                assert second.orderStatus.status == "Submitted"

    run(story)


@pytest.mark.parametrize(("quantity", "code"), [(0, 434), (-5, 321), (1.5, 10243)])
def test_a_size_that_cannot_be_is_refused_with_its_own_code(quantity: float, code: int) -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway, trading(gateway) as trader:
            trader.buy(90.0, quantity)
            await until(lambda: trader.codes() == [code], str(code))
            assert not exchange_orders(gateway)

    run(story)


def exchange_orders(gateway: SimulatedGateway) -> tuple[Any, ...]:
    return gateway.exchange.open_orders()
