"""One session: an agent trades through faults, everything heals, belief is compared with truth."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import json
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs

import alluse_core
from alluse_core.errors import AllUseError, BrokerUnavailable
from alluse_core.orders.journal import JournalReader, verify
from alluse_core.state import JOURNAL
from alluse_sim.agent import Agent
from alluse_sim.checker import Belief, Believed, compare, exposure
from alluse_sim.exits import reductions
from alluse_sim.faults import FAULTS
from alluse_sim.forgetful import ForgetfulPlugin
from alluse_sim.freeze import Freeze
from alluse_sim.loop import LoopClock, VirtualLoop, run
from alluse_sim.machine import CURRENT, Machine, SlowDisk
from alluse_sim.network import Network
from alluse_sim.plan import Plan
from alluse_sim.stopping import Stopper, close_everything, overclosed, own_keys
from alluse_sim.stories import Scene, Story
from alluse_sim.truth import truth_of
from alluse_sim.witness import Witness
from alluse_sim.world import World

LEDGER = "ledger.jsonl"
"""The file of a kept session in which the broker tells what happened."""

_IN_MEMORY = Path("/dev/shm")
_ENDING_TAKES = 60.0
_QUIET_ROUNDS = 3
_GIVES_UP_AT = 600.0
_LAST_LOOK = 2.5
"""Seconds in which the figures of the end are collected."""


@attrs.frozen
class Result:
    """How a session ended. ``problems`` is empty where the promise held.

    ``digest`` is a hash of everything that the gateway and the journal saw: two runs of one seed
    have the same one. ``seconds`` are virtual. ``unprotected`` is how much was open at the end
    without the protection that was asked for, and told. ``reductions`` is how often the broker took
    what an exit had filled off the other one.
    """

    plan: Plan
    problems: Sequence[str]
    orders: int = 0
    sent: int = 0
    fills: int = 0
    kills: int = 0
    states: Mapping[str, int] = attrs.field(factory=dict)
    peak: int = 0
    seconds: float = 0.0
    digest: str = ""
    unprotected: float = 0.0
    reductions: int = 0

    def __str__(self) -> str:
        told = "\n  ".join(self.problems)
        faults = ", ".join(self.plan.faults)
        return f"seed {self.plan.seed} ({self.plan.library}; faults: {faults}):\n  {told}"


def simulate(plan: Plan, keep: Path | None = None) -> Result:
    """Play one session in virtual time. An error that ends it is its problem.

    ``keep`` is a folder in which its plan, the last process's journal and the broker's ledger stay.
    """
    network = Network(plan.seed)
    try:
        with tempfile.TemporaryDirectory(prefix="alluse-sim-", dir=in_memory()) as folder:
            return run(lambda loop: Session(loop, plan, Path(folder), keep).play(), network)
    except AllUseError as error:
        return Result(plan, [f"the session ended: {type(error).__name__}: {error}"])


def in_memory() -> Path | None:
    """Return where a session's files live: in memory where there is such a place.

    What is durable is simulated too (machine.py), so nothing waits for a real disk.
    """
    return _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None


class Session:
    """The state of one session while it is played."""

    def __init__(
        self, loop: VirtualLoop, plan: Plan, folder: Path, keep: Path | None = None
    ) -> None:
        self._loop = loop
        self._keep = keep
        self._plan = plan
        self._folder = folder
        self._story = plan.story
        self._clock = LoopClock(loop, self._story.began if self._story is not None else None)
        self._network = loop.network
        self._network.owner = CURRENT.get
        self._world = World(plan.seed, self._clock, self._story, thin=plan.brackets > 0)
        self._dice = random.Random(f"session {plan.seed}")
        agent_dice = random.Random(f"agent {plan.seed}")
        self._agent = Agent(f"seed-{plan.seed}", self._world.prices, agent_dice)
        self._agent.bracket_share = plan.brackets
        stopper_dice = random.Random(f"stopper {plan.seed}")
        self._stopper = Stopper(self._agent, stopper_dice) if plan.stops else None
        self._faults = list(plan.faults)
        self._acts = plan.orders
        self._kills = 0
        self._problems: list[str] = []
        self._disk = folder
        self._belief = Belief((), {})
        self._witness = Witness()

    async def play(self) -> Result:
        """Run all of it."""
        plan, world = self._plan, self._world
        async with world:
            mover = asyncio.create_task(world.move(random.Random(f"market {plan.seed}")))
            try:
                await self._processes(mover)
            finally:
                mover.cancel()
                await asyncio.gather(mover, return_exceptions=True)
            await world.gone()
        if self._keep is not None:
            self._save(self._keep)
        return self._result()

    def _save(self, folder: Path) -> None:
        """Keep what a person needs to see what happened."""
        shutil.copytree(self._disk, folder, dirs_exist_ok=True)
        (folder / "plan.json").write_text(json.dumps(attrs.asdict(self._plan), indent=2) + "\n")
        lines = [json.dumps(entry, default=str) + "\n" for entry in self._world.ledger]
        (folder / LEDGER).write_text("".join(lines))

    async def _processes(self, mover: asyncio.Task[None]) -> None:
        """Run one process of the agent after the other until the last one has settled."""
        disk, restarts, first = self._folder / "disk", self._plan.restarts, True
        while True:
            machine = Machine(self._network, disk)
            disk.mkdir(exist_ok=True)
            self._disk = disk
            last = restarts == 0
            killed = await self._process(machine, mover, first=first, last=last)
            first = False
            self._world.let_go()
            await self._world.gone()
            if killed:
                self._kills += 1
                disk = machine.saved
            elif last:
                return
            else:
                restarts -= 1

    async def _process(
        self, machine: Machine, mover: asyncio.Task[None], *, first: bool, last: bool
    ) -> bool:
        """Run one process to its end; return whether it was killed."""
        context = contextvars.copy_context()
        context.run(CURRENT.set, machine)
        living = self._loop.create_task(
            self._live(machine, mover, first=first, last=last), context=context
        )
        death = asyncio.create_task(machine.dead.wait())
        try:
            await asyncio.wait({living, death}, return_when=asyncio.FIRST_COMPLETED)
            if machine.alive:
                await living
                return False
        finally:
            death.cancel()
            if not living.done():
                living.cancel()
            # What a killed process still does in its folder is seen by nobody.
            await asyncio.wait({living}, timeout=_ENDING_TAKES)
        if not living.done():
            self._problems.append("a process that was stopped did not end")
        return True

    # --- one process ------------------------------------------------------------------------

    async def _live(
        self, machine: Machine, mover: asyncio.Task[None], *, first: bool, last: bool
    ) -> None:
        kill_at = self._plan.kill_at_batch if first else 0
        disk = SlowDisk(machine, self._plan.disk_seconds, kill_at, self._plan.kill_after)
        async with AsyncExitStack() as stack:
            runtime = await self._open(stack, machine, disk)
            await self._agent.again(runtime)
            share = self._acts if last else self._acts // 2
            if self._story is not None:
                await self._live_through(runtime, self._story)
            else:
                await self._trade(runtime, machine, share)
                await self._world.heal()
            if last and self._stopper is not None:
                self._problems += await close_everything(runtime)
            if last:
                mover.cancel()
                await self._settle(runtime)

    async def _open(self, stack: AsyncExitStack, machine: Machine, disk: SlowDisk) -> Any:
        """Start the runtime; where the gateway is away, again and again, as a supervisor does."""
        while True:
            runtime = alluse_core.open(
                self._plan.settings(self._world.port),
                plugins=[ForgetfulPlugin()],
                state=machine.disk,
                clock=self._clock,
                committer=disk,
            )
            try:
                return await stack.enter_async_context(runtime)
            except BrokerUnavailable:
                if self._loop.time() > _GIVES_UP_AT:
                    raise
            await asyncio.sleep(0.3)

    async def _trade(self, runtime: Any, machine: Machine, acts: int) -> None:
        dice = self._dice
        striking: set[asyncio.Task[None]] = set()
        for _ in range(acts):
            self._acts -= 1
            if self._faults and dice.random() < len(self._faults) / (self._acts + 1):
                fault = FAULTS[self._faults.pop(0)]
                strike = fault(self._world, machine, random.Random(dice.random()))
                # Faults are the world's: they go on where the process is killed.
                striking.add(self._loop.create_task(strike, context=contextvars.Context()))
                if dice.random() < 0.5:
                    await self._agent.burst(runtime, dice.choice((4, 8, 30)))
            if dice.random() < 0.8:
                await self._open_for_risk(runtime)
            await self._agent.act(runtime)
            if self._stopper is not None:
                await self._stopper.act(runtime)
            await asyncio.sleep(dice.choice((0, 0.005, 0.03)))
        if striking:
            # Not gathered: a process that is killed here must not take the world's faults along.
            done, _ = await asyncio.wait(striking)
            for ended in done:
                ended.result()

    async def _live_through(self, runtime: Any, story: Story) -> None:
        """Trade until the scenario is over and its faults are healed."""
        scene = Scene(runtime, self._agent, self._world)
        self._agent.changes = story.changes
        watching = asyncio.create_task(self._witness.watch(runtime))
        try:
            await story.opening(scene)
            await self._trade_until_over(runtime, story)
            await self._world.heal()
            await story.closing(scene)
            await asyncio.sleep(_LAST_LOOK)
            self._witness.look(runtime)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        await runtime.orders.flush()
        self._witness.read(runtime.state / JOURNAL, list(self._world.ledger))
        self._problems += [
            text for text, happened in story.reactions if not happened(self._witness)
        ]

    async def _trade_until_over(self, runtime: Any, story: Story) -> None:
        playing = self._world.scenario
        assert playing is not None
        over = asyncio.create_task(playing.wait())
        until = self._loop.time() + story.seconds
        give_up = until + _GIVES_UP_AT
        try:
            while self._loop.time() < until or (story.ends and not over.done()):
                if self._acts:
                    self._acts -= 1
                    await self._open_for_risk(runtime)
                    await self._agent.act(runtime)
                if self._loop.time() > give_up:
                    self._problems.append("the scenario did not come to its end")
                    return
                await asyncio.sleep(self._dice.choice((0.05, 0.2, 1.5)))
        finally:
            over.cancel()

    async def _open_for_risk(self, runtime: Any) -> None:
        """Wait up to a second for the gate, so that not all that is submitted meanwhile is denied.

        A client id that was taken pages a person, who lets trading go on.
        """
        if runtime.orders.reason:
            await runtime.orders.resume("the simulation")
        for _ in range(50):
            if not runtime.orders.reconciling:
                return
            await asyncio.sleep(0.02)

    async def _settle(self, runtime: Any) -> None:
        """Wait until nothing is wrong any more and stays so; keep what is at the deadline."""
        deadline = self._loop.time() + self._plan.heal_within
        quiet = 0
        while True:
            await asyncio.sleep(0.4)
            await runtime.orders.flush()
            self._belief = belief_of(runtime, self._agent)
            excesses = self._story.excesses if self._story is not None else 0
            entries = list(self._world.ledger)
            asked = self._agent.asked
            closing = own_keys(order.key for order in self._belief.orders)
            asked = attrs.evolve(asked, tried=asked.tried | closing)
            found = compare(entries, self._belief, asked, excesses)
            quiet = 0 if found or runtime.orders.reconciling else quiet + 1
            if quiet == _QUIET_ROUNDS:
                return
            if self._loop.time() > deadline:
                self._problems += found or ["the gate for new risk did not open again"]
                return

    # --- the end ----------------------------------------------------------------------------

    def _result(self) -> Result:
        plan, world = self._plan, self._world
        entries = list(world.ledger)
        problems = list(self._problems)
        if plan.cap:
            problems += exposure(entries, Decimal(plan.cap))
        if plan.stops and "by-hand" not in plan.faults:
            keys = own_keys(order.key for order in self._belief.orders)
            refs = {order.ref for order in self._belief.orders if order.key in keys}
            problems += overclosed(entries, refs)
        peaks = [entry["max_messages_in_a_second"] for entry in world.ledger.of("disconnect")]
        # A new process does not know what the one before it sent in its last second.
        if not plan.restarts and not self._kills:
            peaks.append(world.shared_rate.peak)
        if max(peaks, default=0) > world.rate_limit:
            problems.append(f"{max(peaks)} messages in one sliding second")
        return Result(
            plan,
            problems,
            len(self._belief.orders),
            len(world.ledger.of("placed")),
            len(world.ledger.of("fill")),
            self._kills,
            dict(sorted(Counter(order.state for order in self._belief.orders).items())),
            world.shared_rate.peak,
            self._loop.time(),
            _digest(entries, self._belief),
            float(sum(self._belief.unprotected.values())),
            reductions(truth_of(entries)),
        )


def _is_own_change(body: Mapping[str, Any]) -> bool:
    """Whether a record is of a change that the runtime asked for by itself."""
    asks = body.get("event") == "QUEUE" and body["verb"] == "modify"
    return asks and body["by"] != "agent"


def belief_of(runtime: Any, agent: Agent) -> Belief:
    """Ask a running runtime and its journal for everything the checker compares."""
    path = runtime.state / JOURNAL
    fills: dict[str, dict[str, tuple[Decimal, Decimal]]] = {}
    stories: dict[str, list[str]] = {}
    sent: set[str] = set()
    own: Counter[str] = Counter()
    freeze = Freeze()
    with JournalReader(path) as reader:
        for each in reader.fills():
            fill = each.execution
            fills.setdefault(each.key, {})[fill.execution_id] = (fill.quantity, fill.price)
        for entry in reader.entries():
            if entry.key and entry.state:
                stories.setdefault(entry.key, []).append(entry.state)
            freeze.read(entry)
            own[entry.key] += _is_own_change(entry.body)
            if entry.body.get("event") == "SEND":
                sent.add(entry.key)
    orders = []
    for key in sorted(set(stories) | {ticket.key for ticket in runtime.orders.all()}):
        ticket = runtime.orders.get(key)
        known = ticket.known
        orders.append(
            Believed(
                key,
                ticket.order_ref,
                known.state.value,
                known.filled,
                known.settled,
                fills.get(key, {}),
                stories.get(key, []),
                known.pending is not None,
                agent.modifies.get(key, 0) + own[key],
                key in sent,
                ticket.order.quantity,
                known.differences,
            )
        )
    positions = {row.instrument.id: row.quantity for row in runtime.positions().rows}
    bare = {each.id: quantity for each, quantity in runtime.orders.unprotected().items()}
    return Belief(orders, positions, verify(path).problem, bare, tuple(freeze.broken))


def _digest(entries: Sequence[Mapping[str, Any]], belief: Belief) -> str:
    told = json.dumps([entries, attrs.asdict(belief)], default=str, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]
