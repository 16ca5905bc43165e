"""The gateway in a thread, for suites that have no event loop."""

from __future__ import annotations

import asyncio
import threading
from decimal import Decimal

import pytest
from alluse_gateway.scenario import ScenarioError, parse
from alluse_gateway.server import SimulatedGateway
from alluse_gateway.testing import running
from gateway_lab import library, make_exchange

from alluse_core.errors import UsageError


def buy(port: int) -> None:
    """A bot that knows nothing of the test: it connects, buys, and waits for the fill."""

    async def trade() -> None:
        lib = library("ib_insync")
        ib = lib.IB()
        await ib.connectAsync("127.0.0.1", port, clientId=3)
        (contract,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
        order = ib.placeOrder(contract, lib.MarketOrder("BUY", 10, orderRef="bot"))
        while not order.isDone():
            await asyncio.sleep(0.005)
        ib.disconnect()

    asyncio.run(asyncio.wait_for(trade(), 20))


def test_a_bot_is_run_against_the_thread_and_compared_with_the_truth() -> None:
    with running(lambda: SimulatedGateway(make_exchange())) as gateway:
        gateway.control("split", size=3)
        buy(gateway.port)
        (order,) = gateway.orders()
        assert (order.order_ref, order.state, order.filled) == ("bot", "FILLED", 10)
        assert len(gateway.executions()) == 1
        assert gateway.positions() == {("DU1000001", "AAPL"): Decimal(10)}
        assert [each["client_id"] for each in gateway.ledger("start")] == [3]
        assert gateway.control("status")["orders"] == 1
    assert not [each for each in threading.enumerate() if each.name == "gateway"]


def test_without_a_market_a_synthetic_one_is_played() -> None:
    with running(symbols=21, seed=4) as gateway:
        assert len(gateway.control("status")["instruments"]) == 21


def test_a_wrong_command_is_raised_where_it_is_asked() -> None:
    with running() as gateway, pytest.raises(UsageError):
        gateway.control("dorp")


def test_a_gateway_that_cannot_start_raises_its_error() -> None:
    with pytest.raises(ScenarioError), running(scenario="none-such"):
        raise AssertionError("it started")


def test_a_scenarios_failure_is_raised_at_the_end() -> None:
    script = parse(
        'about = "x"\nbegin = "listen"\n[[step]]\nat = 0.0\ndo = "manual_order"\n'
        'symbol = "NOPE"\nside = "BUY"\nquantity = 1\n',
        "mine",
    )
    with pytest.raises(UsageError, match="NOPE"), running(scenario=script) as gateway:
        gateway.wait_for("scenario_failed", seconds=10.0)
