"""Nothing is global: two runtimes live in one process, and leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from alluse_gateway import SimulatedGateway
from alluse_paper.exchange import Exchange
from alluse_paper.synthetic import SyntheticMarket

import alluse_core as alluse
from alluse_core import Instrument, Order, OrderState, Side
from alluse_core.clock import SystemClock
from alluse_core.errors import StateLocked


def _settings(agent: str, account: str) -> dict[str, Any]:
    paper = {"provider": "paper", "accounts": [account], "enforce_hours": False, "latency_ms": 1.0}
    return {
        "alluse": {"agent": agent},
        "brokers": {"main": paper},
        "orders": {"default_broker": "main"},
        "analysis": {"period": 1.0},
    }


async def _trade(runtime: alluse.Runtime, quantity: int) -> OrderState:
    aapl = Instrument.stock("AAPL")
    quote = await runtime.quotes.get(aapl)
    price = f"{quote.ask * 1.01:.2f}"
    # The same key in both: keys belong to one agent's journal.
    ticket = await runtime.orders.submit(Order.limit(aapl, Side.BUY, quantity, price, key="twin/1"))
    return (await ticket.outcome(timeout=10)).state


async def _both(tmp_path: Path) -> tuple[list[OrderState], list[list[tuple[str, int]]]]:
    async with (
        alluse.open(_settings("one", "DU1000001"), state=tmp_path / "one") as one,
        alluse.open(_settings("two", "DU2000002"), state=tmp_path / "two") as two,
    ):
        assert one.registry is not two.registry
        states = await asyncio.gather(_trade(one, 3), _trade(two, 5))
        await asyncio.sleep(2.5)  # both collect and analyse meanwhile
        held = [
            [(row.account, int(row.quantity)) for row in runtime.positions().rows]
            for runtime in (one, two)
        ]
        assert all(runtime.metrics.latest() for runtime in (one, two))
    return list(states), held


def _descriptors() -> set[str]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue
    return found


def _children() -> set[str]:
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    return set(path.read_text("ascii").split())


@pytest.mark.slow
def test_two_runtimes_trade_side_by_side_and_leave_nothing_behind(tmp_path: Path) -> None:
    threads, children = set(threading.enumerate()), _children()
    left: set[str] = set()

    async def session() -> tuple[list[OrderState], list[list[tuple[str, int]]]]:
        result = await _both(tmp_path)
        await asyncio.sleep(0)
        mine = asyncio.current_task()
        left.update(task.get_name() for task in asyncio.all_tasks() if task is not mine)
        return result

    states, held = asyncio.run(session())
    assert states == [OrderState.FILLED, OrderState.FILLED]
    assert held == [[("DU1000001", 3)], [("DU2000002", 5)]]
    assert left == set()
    gc.collect()
    assert {thread.name for thread in set(threading.enumerate()) - threads} == set()
    assert not [path for path in _descriptors() if str(tmp_path) in path]
    assert _children() - children == set()


def test_a_second_runtime_on_the_same_state_folder_is_refused(tmp_path: Path) -> None:
    async def session() -> None:
        async with alluse.open(_settings("one", "DU1000001"), state=tmp_path):
            with pytest.raises(StateLocked, match=str(os.getpid())):
                async with alluse.open(_settings("two", "DU2000002"), state=tmp_path):
                    pass

    asyncio.run(session())


def test_a_live_account_gets_no_order_unless_the_settings_name_it(tmp_path: Path) -> None:
    async def session() -> None:
        market = SyntheticMarket(1, 20, SystemClock().now())
        exchange = Exchange(SystemClock(), market.listings(), accounts=("U1234567",))
        async with SimulatedGateway(exchange, market=market) as gateway:
            main = {"provider": "ibkr", "port": gateway.port}
            settings = {"brokers": {"main": main}, "analysis": {"period": 3600.0}}
            async with alluse.open(settings, state=tmp_path) as runtime:
                assert runtime.mode.value == "live"
                aapl = Instrument.stock("AAPL")
                quote = await runtime.quotes.get(aapl)
                order = Order.limit(aapl, Side.BUY, 1, f"{quote.bid:.2f}", key="live/1")
                with pytest.raises(alluse.AllUseError, match="live_account") as refused:
                    await runtime.orders.submit(order)
                assert refused.value.exit_code == 5
            assert gateway.ledger.of("connect")
            assert gateway.ledger.of("place") == []

    asyncio.run(session())
