"""What a person asks of a running process, by the command line, against the gateway."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from killed_trader import settings

import alluse_core
from alluse_core import Instrument, Order, Side
from alluse_core.model import OrderState
from alluse_core.ports import TradingState
from alluse_core.spool import Spool


def test_a_person_stops_and_resumes_a_running_process(
    gateway: Any, tmp_path: Path, alluse_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    state = tmp_path / "state"

    async def ask(*words: str) -> dict[str, Any]:
        args = ("orders", *words, "--state", str(state), "--json")
        done = await asyncio.to_thread(alluse_command, *args)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    async def scenario() -> None:
        symbol = _symbol(gateway)
        async with alluse_core.open(settings(gateway.port), state=state) as runtime:
            resting = Order.limit(Instrument.stock(symbol), Side.BUY, 10, "1", key="resting")
            ticket = await runtime.orders.submit(resting)
            spool = Spool(state)
            reduced = await asyncio.to_thread(spool.ask, "reduce", {"reason": "lunch"}, 10)
            assert reduced["state"] == "REDUCING"
            assert runtime.orders.state is TradingState.REDUCING
            halted = await ask("halt", "--reason", "fire")
            assert (halted["state"], halted["reason"]) == ("HALTED", "fire")
            assert (await ticket.outcome(10)).state is OrderState.CANCELED
            fields = {"key": "resting", "as": "FILLED", "by": "Ada"}
            refused = await asyncio.to_thread(spool.ask, "resolve", fields, 10)
            assert "is CANCELED, not UNKNOWN" in refused["error"]
            assert (await ask("resume", "--by", "Ada"))["state"] == "ACTIVE"
        offline = await ask("halt", "--reason", "night")
        assert offline == {
            "state": "HALTED",
            "reason": "night",
            "flattening": False,
            "running": False,
            "breakers": {},
        }
        async with alluse_core.open(settings(gateway.port), state=state) as runtime:
            assert runtime.orders.state is TradingState.HALTED
            assert runtime.orders.reason == "night"

    asyncio.run(scenario())


def test_a_flatten_over_a_cut_link_and_a_restart_closes_a_position_once(
    gateway: Any, tmp_path: Path
) -> None:
    async def until(done: Callable[[], bool]) -> None:
        async with asyncio.timeout(40):
            while not done():
                await asyncio.sleep(0.05)

    async def scenario() -> None:
        instrument, state = Instrument.stock(_symbol(gateway)), tmp_path / "state"
        async with alluse_core.open(settings(gateway.port), state=state) as runtime:
            order = Order.market(instrument, Side.BUY, 10, key="entry")
            entry = await runtime.orders.submit(order)
            assert (await entry.outcome(20)).state is OrderState.FILLED
            await until(lambda: bool(runtime.positions().rows))
            gateway.control(do="drop", client=17)
            flattening = asyncio.create_task(runtime.orders.flatten())
            await asyncio.sleep(0)
            flattening.cancel()
            await asyncio.wait({flattening})
        async with alluse_core.open(settings(gateway.port), state=state) as runtime:
            await until(lambda: not runtime.orders.flattening)
            assert runtime.positions().rows == ()
            closing = [each for each in runtime.orders.all() if each.key.startswith("flatten/")]
            assert sum(each.known.filled for each in closing) == 10

    asyncio.run(scenario())


def _symbol(gateway: Any) -> str:
    listed = gateway.control(do="status")["instruments"]
    return str(next(each for each in listed if each.startswith("STK")).split(":")[1])
