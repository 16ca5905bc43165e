"""kill -9 of a trading process; the gateway survives, and so does what it knows."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alluse_sim.agent import Agent
from alluse_sim.checker import compare, truth_of
from alluse_sim.session import belief_of
from killed_trader import SEAMS, settings

import alluse_core

HERE = Path(__file__).parent
KILLS = int(os.environ.get("ALLUSE_KILLS", "6"))
FIRST = int(os.environ.get("ALLUSE_KILLS_FROM", "0"))


def kill(port: int, state: Path, ledger: Path, seed: int, symbols: str) -> None:
    """Let a process trade and kill it: at a named seam, or at a moment that the seed gives."""
    seam = (*SEAMS, "")[seed % 3]
    command = [sys.executable, str(HERE / "killed_trader.py"), str(port), str(state)]
    process = subprocess.Popen(
        [*command, str(seed), seam, symbols], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "trading\n"
        if not seam:
            while '"placed"' not in ledger.read_text("utf-8"):
                assert process.poll() is None
                time.sleep(0.01)
            time.sleep(random.Random(seed).uniform(0.0, 0.8))
            process.send_signal(signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL


async def recover(port: int, state: Path, ledger: Path) -> list[str]:
    """Start again on the same state; return what differs from the ledger after a bounded wait."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 45.0
    async with alluse_core.open(settings(port), state=state) as runtime:
        agent = Agent("", {}, random.Random(0))
        while True:
            await asyncio.sleep(0.3)
            await runtime.orders.flush()
            entries = [json.loads(line) for line in ledger.read_text("utf-8").splitlines()]
            found = compare(entries, belief_of(runtime, agent))
            if not found or loop.time() > deadline:
                return found


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(FIRST, FIRST + KILLS))
def test_a_killed_trader_finds_all_its_orders_and_sends_none_twice(
    serve: Callable[..., Any], tmp_path: Path, seed: int
) -> None:
    ledger = tmp_path / "ledger.jsonl"
    state = tmp_path / "state"
    with serve("--ledger", str(ledger), "--seed", str(seed)) as gateway:
        instruments = gateway.control(do="status")["instruments"]
        symbols = ",".join(each.split(":")[1] for each in instruments if each.startswith("STK"))
        kill(gateway.port, state, ledger, seed, symbols)
        problems = asyncio.run(recover(gateway.port, state, ledger))
    assert not problems, f"seed {seed}\n  " + "\n  ".join(problems)
    entries = [json.loads(line) for line in ledger.read_text("utf-8").splitlines()]
    assert truth_of(entries).orders, "a trader that sent nothing shows nothing"
