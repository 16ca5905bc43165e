"""Sessions of alluse_sim's agent and faults over real sockets, with a real disk and real time.

Virtual time shows far more in a second (plugins/sim); this shows that the same holds where threads,
sockets and the operating system take part.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
from alluse_sim.agent import Agent
from alluse_sim.checker import Belief, compare
from alluse_sim.faults import CLIENT, FAULTS
from alluse_sim.machine import Machine
from alluse_sim.network import Network
from alluse_sim.session import belief_of
from alluse_sim.world import AAPL, World

import alluse_core
from alluse_core.clock import SystemClock
from alluse_core.errors import AllUseError

__all__ = ["AAPL", "CLIENT", "World", "belief_of", "session", "sessions", "settings"]

HEALED_WITHIN = 20.0
_NOT_HERE = {"cut-inside-a-frame", "bad-weather", "kill", "kill-with-bytes-on-the-way"}


@attrs.frozen
class Result:
    """How a session ended. ``problems`` is empty where the promise held."""

    seed: int
    faults: Sequence[str]
    problems: Sequence[str]
    sent: int
    fills: int

    def __str__(self) -> str:
        told = "\n  ".join(self.problems)
        return f"seed {self.seed} (faults: {', '.join(self.faults)}):\n  {told}"


def settings(port: int, **orders: Any) -> dict[str, Any]:
    """Return settings that notice and ask quickly."""
    return {
        "alluse": {"plugins": ["alluse-ibkr", "alluse-cache"]},
        "brokers": {
            "main": {
                "provider": "ibkr",
                "port": port,
                "client_id": CLIENT,
                "connect_timeout": 4.0,
                "request_timeout": 0.8,
                "heartbeat": 0.5,
                "reconnect_min": 0.02,
                "reconnect_max": 0.2,
            }
        },
        "orders": {
            "stages": [],
            "acknowledge_within": 1.0,
            "settle_seconds": 0.2,
            "reconcile_every": 1.5,
            **orders,
        },
    }


async def session(
    seed: int,
    state: Path,
    faults: Sequence[str] | None = None,
    restarts: int | None = None,
    count: int | None = None,
) -> Result:
    """Trade through faults, heal, and compare. What is not given is drawn from the seed."""
    dice = random.Random(seed)
    possible = sorted(set(FAULTS) - _NOT_HERE)
    drawn = [dice.choice(possible) for _ in range(dice.randint(3, 7))]
    drawn = drawn if faults is None else list(faults)
    phases = 1 + (dice.random() < 0.25 if restarts is None else restarts)
    count = count or dice.randint(30, 50)
    problems: list[str] = []
    async with World(seed, SystemClock()) as world:
        agent = Agent(f"seed-{seed}", world.prices, dice)
        mover = asyncio.create_task(world.move(random.Random(seed + 1)))
        try:
            for phase in range(phases):
                async with asyncio.timeout(5.0):
                    await world.gone()
                async with alluse_core.open(settings(world.port), state=state) as runtime:
                    machine = Machine(Network(seed), state)
                    await _trade(runtime, agent, world, machine, drawn[phase::phases], dice, count)
                    await world.heal()
                    if phase == phases - 1:
                        mover.cancel()
                        problems = await _settle(world, runtime, agent)
        finally:
            mover.cancel()
        peaks = [entry["max_messages_in_a_second"] for entry in world.ledger.of("disconnect")]
    # A new process does not know what the one before it sent in its last second.
    if phases == 1:
        peaks.append(world.shared_rate.peak)
    if max(peaks) > world.rate_limit:
        problems.append(f"{max(peaks)} messages in one sliding second")
    sent, fills = len(world.ledger.of("placed")), len(world.ledger.of("fill"))
    return Result(seed, drawn, problems, sent, fills)


async def _trade(
    runtime: Any,
    agent: Agent,
    world: World,
    machine: Machine,
    faults: Sequence[str],
    dice: random.Random,
    count: int,
) -> None:
    due = sorted(dice.randrange(count) for _ in faults)
    waiting = list(zip(due, faults, strict=True))
    running: list[asyncio.Task[None]] = []
    for turn in range(count):
        while waiting and waiting[0][0] <= turn:
            fault = FAULTS[waiting.pop(0)[1]](world, machine, random.Random(dice.random()))
            running.append(asyncio.create_task(fault))
            if dice.random() < 0.5:
                await agent.burst(runtime, dice.randint(3, 8))
        if dice.random() < 0.8:
            await _open_for_risk(runtime)
        await agent.act(runtime)
        await asyncio.sleep(dice.choice((0, 0.005, 0.03)))
    await asyncio.gather(*running)


async def _open_for_risk(runtime: Any) -> None:
    """Wait up to a second for the gate; a client id that was taken pages a person, who goes on."""
    if runtime.orders.reason:
        await runtime.orders.resume("the test")
    for _ in range(50):
        if not runtime.orders.reconciling:
            return
        await asyncio.sleep(0.02)


async def _settle(world: World, runtime: Any, agent: Agent) -> list[str]:
    """Wait until nothing is wrong any more and stays so; return what is at the deadline."""
    loop = asyncio.get_running_loop()
    deadline, quiet = loop.time() + HEALED_WITHIN, 0
    while True:
        await asyncio.sleep(0.4)
        await runtime.orders.flush()
        belief: Belief = belief_of(runtime, agent)
        found = compare(list(world.ledger), belief, agent.asked)
        quiet = 0 if found or runtime.orders.reconciling else quiet + 1
        if quiet == 3:
            return []
        if loop.time() > deadline:
            return found or ["the gate for new risk did not open again"]


async def sessions(seeds: Sequence[int], folder: Path, together: int = 4) -> dict[int, Result]:
    """Run many sessions, some at a time; an error of one is its problem, not the others'."""
    free = asyncio.Semaphore(together)

    async def one(seed: int) -> Result:
        async with free:
            try:
                return await session(seed, folder / str(seed))
            except AllUseError as error:
                told = f"the session ended: {type(error).__name__}: {error}"
                return Result(seed, [], [told], 0, 0)

    results = await asyncio.gather(*(one(seed) for seed in seeds))
    return {result.seed: result for result in results}
