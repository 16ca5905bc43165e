"""A combo from the agent to the exchange and back: positions are the broker's, whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from alluse_gateway.server import SimulatedGateway
from alluse_paper.exchange import Exchange
from alluse_paper.fill_model import FillModel
from alluse_paper.market import Listing, QuoteEvent
from order_sessions import CLIENT, settings

import alluse_core
from alluse_core import Instrument, Order, Runtime, Side
from alluse_core.clock import SystemClock
from alluse_core.model import ComboLeg, OrderState

LOW = Instrument.option("AAPL", date(2027, 6, 18), 100, "C")
HIGH = Instrument.option("AAPL", date(2027, 6, 18), 110, "C")
SPREAD = Instrument.combo("AAPL", (ComboLeg(LOW, Side.BUY), ComboLeg(HIGH, Side.SELL)))
ACCOUNT = "DU1000001"
both = pytest.mark.parametrize("library", ["ib_insync", "ib_async"])


def exchange() -> Exchange:
    model = FillModel(latency_ms=0, enforce_hours=False)
    made = Exchange(SystemClock(), [Listing.of(LOW), Listing.of(HIGH)], fill_model=model)
    show(made, 10)
    return made


def show(made: Exchange, size: float, ask: float = 5.2) -> None:
    made.on_market(QuoteEvent(LOW, 1_700_000_000.0, 5.0, size, ask, size))
    made.on_market(QuoteEvent(HIGH, 1_700_000_000.0, 2.0, size, 2.1, size))


def configured(port: int, library: str) -> dict[str, Any]:
    made = settings(port)
    made["brokers"]["main"]["library"] = library
    return made


def held(runtime: Runtime) -> dict[Instrument, Decimal]:
    return {each.instrument: each.quantity for each in runtime.positions().rows}


def truth(gateway: SimulatedGateway) -> dict[Instrument, Decimal]:
    return {each.instrument: each.quantity for each in gateway.exchange.accounts.positions(ACCOUNT)}


async def until(condition: Callable[[], object], what: str) -> None:
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.01)
    assert condition(), what


async def agree(runtime: Runtime, gateway: SimulatedGateway) -> None:
    """Wait until both say the same, and see that another round changes nothing."""
    await until(lambda: held(runtime) == truth(gateway), "the positions")
    await runtime.orders.reconcile("main")
    assert held(runtime) == truth(gateway)
    assert runtime.orders._desk.meters.mismatches.value == 0


def spread(key: str, quantity: int, limit: str) -> Order:
    return Order.limit(SPREAD, Side.BUY, quantity, limit, key=key)


@both
def test_a_combo_fills_once_and_moves_its_legs_once(library: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            SimulatedGateway(exchange()) as gateway,
            alluse_core.open(configured(gateway.port, library), state=tmp_path) as runtime,
        ):
            for leg in SPREAD.legs:
                await runtime.quotes.define(leg.instrument)
            ticket = await runtime.orders.submit(spread("one", 4, "3.20"))
            outcome = await ticket.outcome(10)
            assert (outcome.state, outcome.settled) == (OrderState.FILLED, True)
            await agree(runtime, gateway)
            assert held(runtime) == {LOW: 4, HIGH: -4}
            assert ticket.known.filled == 4

            resting = await runtime.orders.submit(spread("two", 2, "-1.00"))
            await until(lambda: resting.state is OrderState.ACCEPTED, "the ack")
            change = await runtime.orders.modify("two", limit_price="-0.50")
            await change.outcome(10)
            (living,) = gateway.exchange.open_orders()
            assert living.request.limit_price == Decimal("-0.5")
            assert not resting.known.differences
            await (await runtime.orders.cancel("two")).outcome(10)
            assert resting.state is OrderState.CANCELED
            await agree(runtime, gateway)

    asyncio.run(story())


@both
def test_a_combo_that_fills_while_the_link_is_cut_is_counted_once(
    library: str, tmp_path: Path
) -> None:
    async def story() -> None:
        async with SimulatedGateway(exchange()) as gateway:
            async with alluse_core.open(
                configured(gateway.port, library), state=tmp_path
            ) as runtime:
                for leg in SPREAD.legs:
                    await runtime.quotes.define(leg.instrument)
                show(gateway.exchange, 2)
                ticket = await runtime.orders.submit(spread("cut", 6, "3.20"))
                await until(lambda: ticket.state is OrderState.PARTIALLY_FILLED, "a part")
                gateway.control.drop(CLIENT)
                show(gateway.exchange, 3)
                await until(lambda: ticket.known.filled == 5, "what filled meanwhile")
                await agree(runtime, gateway)
                assert held(runtime) == {LOW: 5, HIGH: -5}
            show(gateway.exchange, 4)
            async with alluse_core.open(
                configured(gateway.port, library), state=tmp_path
            ) as runtime:
                for leg in SPREAD.legs:
                    await runtime.quotes.define(leg.instrument)
                again = await runtime.orders.submit(spread("cut", 6, "3.20"))
                outcome = await again.outcome(10)
                assert (outcome.state, again.known.filled) == (OrderState.FILLED, 6)
                await agree(runtime, gateway)
                assert held(runtime) == {LOW: 6, HIGH: -6}
            assert len(gateway.ledger.of("placed")) == 1

    asyncio.run(story())
