"""kill -9 at each named seam of each kind of act; the gateway survives. None lost, none twice.

``ALLUSE_SEAM_ROUNDS=20`` kills at every combination that many times.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from alluse_sim.agent import Agent, keys_of
from alluse_sim.checker import Asked, compare, truth_of
from alluse_sim.session import belief_of
from seam_trader import ACTS, SEAMS, intent, settings

import alluse_core

HERE = Path(__file__).parent
ROUNDS = int(os.environ.get("ALLUSE_SEAM_ROUNDS", "1"))
_FIRST_CLIENT = 100
_TOGETHER = 6
_HEALED_WITHIN = 45.0


@attrs.frozen
class Death:
    """One process that kills itself."""

    act: str
    seam: str
    client_id: int
    state: Path

    def __str__(self) -> str:
        return f"{self.act} {self.seam}"


@contextmanager
def mortals(port: int) -> Iterator[Callable[[Death, str], int]]:
    """Give a function that lets a process live to its death and returns the signal it died of."""
    command = [sys.executable, str(HERE / "seam_trader.py"), str(port)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def live(death: Death, symbol: str) -> int:
            words = [death.client_id, death.state, death.act, death.seam, symbol]
            print(*words, file=process.stdin, flush=True)
            return int(process.stdout.readline())  # type: ignore[union-attr]

        try:
            yield live
        finally:
            process.stdin.close()


def entries_of(ledger: Path, client_id: int) -> list[dict[str, Any]]:
    """Return what the ledger says of one client."""
    lines = ledger.read_text("utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    return [entry for entry in entries if entry.get("client_id") == client_id]


async def recover(port: int, death: Death, ledger: Path, symbol: str) -> list[str]:
    """Start again, submit the same once more, and return what differs from the ledger."""
    loop = asyncio.get_running_loop()
    agent = Agent("", {}, random.Random(0))
    wanted = intent(death.act, symbol)
    if death.act == "modify":
        agent.modifies["modify"] = 1
    async with alluse_core.open(settings(port, death.client_id), state=death.state) as runtime:
        deadline = loop.time() + _HEALED_WITHIN
        while runtime.orders.reconciling and loop.time() < deadline:
            await asyncio.sleep(0.05)
        await runtime.orders.submit(wanted)
        while True:
            await asyncio.sleep(0.2)
            await runtime.orders.flush()
            entries = entries_of(ledger, death.client_id)
            asked = Asked(frozenset(keys_of(wanted)))
            found = compare(entries, belief_of(runtime, agent), asked)
            if not found or loop.time() > deadline:
                break
    sent = truth_of(entries).orders
    left = death.seam in ("after send", "before ack", "after ack")
    if (left or death.seam == "before journal") and len(sent) != len(keys_of(wanted)):
        found.append(f"{len(sent)} orders are at the broker")
    return [f"{death}: {each}" for each in found]


async def recover_all(deaths: Sequence[Death], *rest: Any) -> list[str]:
    """Recover some at a time."""
    free = asyncio.Semaphore(_TOGETHER)

    async def one(death: Death) -> list[str]:
        async with free:
            return await recover(rest[0], death, *rest[1:])

    return [each for found in await asyncio.gather(*map(one, deaths)) for each in found]


@pytest.mark.slow
@pytest.mark.timeout(300 + 60 * ROUNDS)
def test_a_process_killed_at_any_seam_finds_its_orders_and_sends_none_twice(
    serve: Callable[..., Any], tmp_path: Path, ran: Callable[[int], None]
) -> None:
    ledger = tmp_path / "ledger.jsonl"
    for number in range(ROUNDS):
        # A gateway of its own for each round: a reference is taken for ever, and journals are new.
        with serve("--ledger", str(ledger)) as gateway, mortals(gateway.port) as live:
            instruments = gateway.control(do="status")["instruments"]
            symbol = next(each.split(":")[1] for each in instruments if each.startswith("STK"))
            deaths = [
                Death(act, seam, _FIRST_CLIENT + 10 * place, tmp_path / f"{number}-{place}")
                for place, (act, seam) in enumerate(itertools.product(ACTS, SEAMS))
            ]
            ended = [live(death, symbol) for death in deaths]
            assert set(ended) == {signal.SIGKILL}, list(zip(map(str, deaths), ended, strict=True))
            problems = asyncio.run(recover_all(deaths, gateway.port, ledger, symbol))
        assert not problems, "\n".join(problems)
        ran(len(deaths))
        ledger.unlink()
        for death in deaths:
            shutil.rmtree(death.state)
