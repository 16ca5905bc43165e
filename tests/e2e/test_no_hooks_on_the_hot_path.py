"""Hooks collect, ports run: none is called while quotes and orders pass."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

import alluse_core as alluse
from alluse_core import DataType, Instrument, Order, Quote, Side
from alluse_core.model import OrderState

SYMBOLS = ("SPY", "AAPL", "MSFT", "BAC")
PAPER = {
    "provider": "paper",
    "latency_ms": 0.0,
    "enforce_hours": False,
}
SETTINGS = {
    "brokers": {"main": PAPER},
    "orders": {"default_broker": "main", "pacing": False},
    "analysis": {"period": 3600.0},
}


async def _pass_quotes_and_orders(state: Path) -> tuple[list[str], int, int]:
    called: list[str] = []
    async with alluse.open(SETTINGS, state=state) as runtime:
        instruments = [Instrument.stock(symbol) for symbol in SYMBOLS]
        market = await runtime.quotes.get_many(instruments)
        unwatch = runtime.host._manager.add_hookcall_monitoring(
            lambda name, *_: called.append(name), lambda *_: None
        )
        quotes = 0
        for number in range(250):
            for instrument in instruments:
                bid = market[instrument].bid - number / 10_000
                runtime.quotes.put(
                    Quote(instrument, bid=bid, ask=bid + 0.01, data_type=DataType.LIVE)
                )
                quotes += runtime.quotes.cached(instrument) is not None
                await runtime.quotes.get(instrument)
        tickets = []
        for number in range(100):
            instrument = instruments[number % len(instruments)]
            price = Decimal(f"{market[instrument].bid * 0.97:.2f}") - Decimal(number // 4) / 100
            order = Order.limit(instrument, Side.BUY, 1, price, key=f"hot/{number}")
            tickets.append(await runtime.orders.submit(order))
        await asyncio.sleep(1.2)
        unwatch()
        states = [runtime.orders.get(ticket.key).state for ticket in tickets]
    return called, quotes, states.count(OrderState.ACCEPTED)


@pytest.mark.slow
def test_no_hook_is_called_while_a_thousand_quotes_and_a_hundred_orders_pass(
    tmp_path: Path,
) -> None:
    called, quotes, accepted = asyncio.run(_pass_quotes_and_orders(tmp_path))
    assert (quotes, accepted) == (1000, 100)
    assert called == []


def test_the_monitor_would_have_seen_a_call(tmp_path: Path) -> None:
    runtime = alluse.open(SETTINGS, state=tmp_path)
    called: list[str] = []
    runtime.host._manager.add_hookcall_monitoring(
        lambda name, *_: called.append(name), lambda *_: None
    )
    runtime.host._manager.hook.alluse_brokers()
    assert called == ["alluse_brokers"]
