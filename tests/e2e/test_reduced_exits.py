"""A take-profit that fills in part over real TCP: its stop stays at work for what is left."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from alluse_gateway.server import SimulatedGateway
from alluse_paper.exchange import Exchange
from alluse_paper.fill_model import FillModel
from alluse_paper.market import Listing, QuoteEvent
from order_sessions import CLIENT
from test_combos import ACCOUNT, agree, both, configured, until

import alluse_core
from alluse_core import Instrument, Order, OrderGroup, Runtime, Side
from alluse_core.clock import SystemClock
from alluse_core.model import OrderState
from alluse_core.orders.ticket import Ticket

S = OrderState
AAPL = Instrument.stock("AAPL")
OPEN_ORDER, ORDER_STATUS = 5, 3


def exchange() -> Exchange:
    model = FillModel(latency_ms=0, queue=False, enforce_hours=False, check_margin=False)
    made = Exchange(SystemClock(), [Listing.of(AAPL)], fill_model=model)
    show(made, 100)
    return made


def show(made: Exchange, bid: float, size: float = 900) -> None:
    ask = round(bid + 0.02, 2)
    made.on_market(QuoteEvent(AAPL, 1_700_000_000.0, bid, size, ask, size))


async def opened(runtime: Runtime) -> Sequence[Ticket]:
    """Return a bracket of 100 whose entry is filled and whose exits work."""
    await runtime.quotes.define(AAPL)
    entry = Order.limit(AAPL, Side.BUY, 100, "100.02", key="one")
    tickets = (
        await runtime.orders.submit(OrderGroup.bracket(entry, take_profit="101", stop="99"))
    ).tickets
    await until(lambda: tickets[0].known.settled, "the entry")
    await until(lambda: all(each.state is S.ACCEPTED for each in tickets[1:]), "the exits")
    return tickets


def held(gateway: SimulatedGateway) -> Decimal:
    rows = gateway.exchange.accounts.positions(ACCOUNT)
    return sum((each.quantity for each in rows), Decimal(0))


async def closed_by_the_stop(
    runtime: Runtime, gateway: SimulatedGateway, tickets: Sequence[Ticket]
) -> None:
    """See that the stop works for 60, and closes them."""
    _, take, stop = tickets
    (stops,) = [
        order for order in gateway.exchange.open_orders() if order.request.stop_price is not None
    ]
    assert (stops.request.quantity, stop.order.quantity, stop.state) == (60, 60, S.ACCEPTED)
    assert (stop.known.differences, runtime.orders.unprotected()) == ((), {})
    assert held(gateway) == 60
    show(gateway.exchange, 98)
    await until(lambda: stop.known.settled, "the stop's fill")
    assert (stop.state, stop.known.filled) == (S.FILLED, 60)
    await until(lambda: take.known.settled, "the end of the take-profit")
    assert (take.known.filled, held(gateway)) == (40, 0)
    await agree(runtime, gateway)
    assert runtime.orders.positions().rows == ()


@both
def test_the_stop_works_for_what_a_part_of_the_take_profit_left(
    library: str, tmp_path: Path
) -> None:
    async def story() -> None:
        async with (
            SimulatedGateway(exchange()) as gateway,
            alluse_core.open(configured(gateway.port, library), state=tmp_path) as runtime,
        ):
            tickets = await opened(runtime)
            show(gateway.exchange, 101, 40)
            await until(lambda: tickets[2].order.quantity == 60, "the reduction")
            assert (tickets[1].state, tickets[1].known.filled) == (S.PARTIALLY_FILLED, 40)
            await closed_by_the_stop(runtime, gateway, tickets)

    asyncio.run(story())


@pytest.mark.parametrize("restarted", [False, True])
@both
def test_a_reduction_that_a_cut_took_away_is_learnt_afterwards(
    library: str, tmp_path: Path, restarted: bool
) -> None:
    async def story() -> None:
        async with SimulatedGateway(exchange()) as gateway:
            async with alluse_core.open(
                configured(gateway.port, library), state=tmp_path
            ) as runtime:
                tickets = await opened(runtime)
                gateway.control.mute([OPEN_ORDER, ORDER_STATUS])
                show(gateway.exchange, 101, 40)
                await until(lambda: tickets[1].known.filled == 40, "the fill")
                assert tickets[2].order.quantity == 100, "nobody said so yet"
                gateway.control.mute([])
                if not restarted:
                    gateway.control.drop(CLIENT, abort=True)
                    await until(lambda: tickets[2].order.quantity == 60, "the reduction")
                    await closed_by_the_stop(runtime, gateway, tickets)
            if restarted:
                async with alluse_core.open(
                    configured(gateway.port, library), state=tmp_path
                ) as runtime:
                    again = [runtime.orders.get(ticket.key) for ticket in tickets]
                    await until(lambda: again[2].order.quantity == 60, "the reduction")
                    await closed_by_the_stop(runtime, gateway, again)

    asyncio.run(story())
