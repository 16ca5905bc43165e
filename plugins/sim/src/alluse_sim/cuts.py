"""The connection is cut at a given byte of what one act sends, or of what answers it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import attrs
from alluse_gateway.session import Session

import alluse_core
from alluse_core.errors import AllUseError
from alluse_core.model import Order, OrderGroup, Side, TimeInForce
from alluse_sim.agent import Agent
from alluse_sim.checker import compare
from alluse_sim.faults import CLIENT
from alluse_sim.forgetful import ForgetfulPlugin
from alluse_sim.loop import LoopClock, VirtualLoop, run
from alluse_sim.machine import Machine, SlowDisk
from alluse_sim.network import Flow, MemoryTransport, Network
from alluse_sim.plan import Plan
from alluse_sim.session import belief_of, in_memory
from alluse_sim.world import AAPL, MSFT, World

T = TypeVar("T")

OUT, IN = "out", "in"
IN_ONE_WORLD = 40
"""Cuts that one runtime lives through."""

BEYOND = 8
"""Bytes after an act's own that are cuts, too."""

HEALED_WITHIN = 30.0
FIRST_ID = 1_001
"""So high that no number gains a digit while a world lasts: frames of one kind are equally long."""


@attrs.frozen
class Found:
    """What cuts of one act and direction came to. ``size`` is the bytes that the act takes.

    ``arrived`` counts, of the cuts of an act that places orders, those whose orders all reached
    the broker, and ``unknown`` the orders that no evidence could settle. ``placed`` is how many
    orders each cut let through.
    """

    act: str
    direction: str
    size: int
    cuts: int = 0
    missed: int = 0
    arrived: int = 0
    unknown: int = 0
    problems: Sequence[str] = ()
    placed: Sequence[int] = ()

    def __str__(self) -> str:
        return (
            f"{self.act}, {self.direction}: {self.cuts} cuts in {self.size} bytes, "
            f"{self.arrived} arrived, {self.unknown} orders UNKNOWN, {len(self.problems)} problems"
        )


class Desk:
    """One runtime in one world whose market stands still, and an agent."""

    def __init__(self, loop: VirtualLoop, world: World, runtime: Any) -> None:
        self.loop = loop
        self.world = world
        self.runtime = runtime
        self.agent = Agent("cut", world.prices, random.Random(0))

    async def cut(self, act: Act, direction: str, at: int | None) -> tuple[int, bool]:
        """Do one act with its connection cut at byte ``at``; return (bytes carried, whether cut).

        None: nothing is cut, and the bytes are those that the act takes.
        """
        network = self.loop.network
        prepared = await act.prepare(self)
        if act.connects:
            cuts = network.cuts if direction == OUT else network.answer_cuts
            cuts[:] = [] if at is None else [at]
            await act.do(self, prepared)
            await asyncio.sleep(act.seconds)
            flow = self._flow(act, direction) if at is None else Flow()
            return flow.carried, at is not None and not cuts
        flow = self._flow(act, direction)
        began = flow.carried
        flow.cut_after = None if at is None else began + at
        await act.do(self, prepared)
        await asyncio.sleep(act.seconds)
        carried = flow.carried - began
        flow.cut_after = None
        return carried, at is not None and carried == at and self._flow(act, direction) is not flow

    def _flow(self, act: Act, direction: str) -> Flow:
        pair = self._pair(act)
        return Flow() if pair is None else pair[direction == IN].flow

    def transport(self, act: Act) -> MemoryTransport:
        """Return the client's end of the connection that an act uses."""
        pair = self._pair(act)
        assert pair is not None
        return pair[0]

    def _pair(self, act: Act) -> tuple[MemoryTransport, MemoryTransport] | None:
        for near, far in self.loop.network.connections:
            session = far.get_protocol()
            if (
                isinstance(session, Session)
                and session.alive
                and not near.gone
                and (session.client_id == CLIENT) is act.orders
            ):
                return near, far
        return None

    async def healed(self) -> list[str]:
        """Wait until belief is truth; return what is not within a bounded time."""
        deadline, quiet = self.loop.time() + HEALED_WITHIN, 0
        while True:
            await asyncio.sleep(0.2)
            await self.runtime.orders.flush()
            belief = belief_of(self.runtime, self.agent)
            found = compare(list(self.world.ledger), belief, self.agent.asked)
            quiet = 0 if found or self.runtime.orders.reconciling else quiet + 1
            if quiet == 2:
                return []
            if self.loop.time() > deadline:
                return found or ["the gate for new risk did not open again"]

    async def open_for_risk(self) -> None:
        """Wait for the link and the gate."""
        async with asyncio.timeout(HEALED_WITHIN):
            while self.runtime.orders.reconciling or self.runtime.orders.reason:
                if self.runtime.orders.reason:
                    await self.runtime.orders.resume("the simulation")
                await asyncio.sleep(0.02)

    def limit(self) -> Order:
        """Return an order that rests."""
        price = Decimal(self.world.prices[AAPL]) / 100 - 2
        key = self.agent._key()
        return Order.limit(AAPL, Side.BUY, 10, price, key=key, time_in_force=TimeInForce.GTC)

    def bracket(self) -> OrderGroup:
        """Return a bracket whose entry fills at once, and whose exits rest."""
        price = Decimal(self.world.prices[AAPL]) / 100
        key = self.agent._key()
        entry = Order.limit(AAPL, Side.BUY, 10, price + Decimal("0.02"), key=key)
        return OrderGroup.bracket(entry, take_profit=price + 3, stop=price - 3)


# --- acts ----------------------------------------------------------------------------------------


async def _nothing(_: Desk) -> None:
    return None


async def _resting(desk: Desk) -> str:
    order = desk.limit()
    await desk.agent.submit(desk.runtime, order)
    await asyncio.sleep(0.1)
    return order.key


async def _place(desk: Desk, _: Any) -> None:
    await desk.agent.submit(desk.runtime, desk.limit())


async def _bracket(desk: Desk, _: Any) -> None:
    await desk.agent.submit(desk.runtime, desk.bracket())


async def _oca(desk: Desk, _: Any) -> None:
    await desk.agent.submit(desk.runtime, desk.agent.oca())


async def _modify(desk: Desk, key: str) -> None:
    await desk.agent._try_modify(desk.runtime, key)


async def _cancel(desk: Desk, key: str) -> None:
    await desk.agent._try_cancel(desk.runtime, key)


async def _wait(desk: Desk, _: Any) -> None:
    """The runtime asks its own questions: the time, open orders, executions, positions."""


async def _drop(desk: Desk, _: Any) -> None:
    desk.world.control.drop(CLIENT, abort=True)


async def _quote(desk: Desk, _: Any) -> None:
    with contextlib.suppress(AllUseError, TimeoutError):
        async with asyncio.timeout(0.3):
            async for _quote in desk.runtime.quotes.stream(MSFT):
                break


@attrs.frozen
class Act:
    """What is cut. ``seconds`` pass until what it sends and its answers have travelled.

    ``connects``: the connection after it is the one that is cut, from its first byte. ``orders``:
    it is the connection of orders that is cut, else the one of market data.
    """

    do: Callable[[Desk, Any], Awaitable[None]]
    prepare: Callable[[Desk], Awaitable[Any]] = _nothing
    seconds: float = 0.1
    connects: bool = False
    orders: bool = True


ACTS: Mapping[str, Act] = {
    "place": Act(_place),
    "bracket": Act(_bracket),
    "oca": Act(_oca),
    "modify": Act(_modify, _resting),
    "cancel": Act(_cancel, _resting),
    "quote": Act(_quote, seconds=0.3, orders=False),
    "questions": Act(_wait, _resting, seconds=1.6),
    "connect": Act(_drop, _resting, seconds=1.0, connects=True),
}
"""What a client sends, by name."""


# --- playing -------------------------------------------------------------------------------------


def measure(name: str, direction: str) -> int:
    """Return the bytes that an act sends, or that answer it."""
    return _in_a_world(lambda desk: _measure(desk, ACTS[name], direction))


async def _measure(desk: Desk, act: Act, direction: str) -> int:
    carried, _ = await desk.cut(act, direction, None)
    return carried


def spoken(name: str) -> bytes:
    """Return the bytes that an act sends."""
    return _in_a_world(lambda desk: _spoken(desk, ACTS[name]))


async def _spoken(desk: Desk, act: Act) -> bytes:
    prepared = await act.prepare(desk)
    said = tap(desk.transport(act))
    await act.do(desk, prepared)
    await asyncio.sleep(act.seconds)
    return b"".join(said)


def tap(near: MemoryTransport) -> list[bytes]:
    """Return a list that fills with what a connection's client writes from now on."""
    said: list[bytes] = []
    write = near.write

    def both(data: bytes | bytearray | memoryview) -> None:
        said.append(bytes(data))
        write(data)

    near.write = both  # type: ignore[method-assign]
    return said


def ends_of(said: bytes) -> list[int]:
    """Return where each frame of a client's bytes ends: a length of four bytes stands before it."""
    ends, at = [], 0
    while at < len(said):
        at += 4 + int.from_bytes(said[at : at + 4], "big")
        ends.append(at)
    return ends


def cut_at(name: str, direction: str, offsets: Sequence[int]) -> Found:
    """Cut one act at each of these bytes, all of them in one world."""
    return _in_a_world(lambda desk: _cut_all(desk, name, direction, offsets))


async def _cut_all(desk: Desk, name: str, direction: str, offsets: Sequence[int]) -> Found:
    missed = arrived = 0
    problems: list[str] = []
    let_through: list[int] = []
    for offset in offsets:
        await desk.open_for_risk()
        placed = len(desk.world.ledger.of("placed"))
        known = len(desk.agent.taken)
        _, cut = await desk.cut(ACTS[name], direction, offset)
        missed += not cut
        problems += [f"{name} {direction} {offset}: {each}" for each in await desk.healed()]
        wanted = len(desk.agent.taken) - known
        let_through.append(len(desk.world.ledger.of("placed")) - placed)
        arrived += wanted > 0 and let_through[-1] == wanted
    unknown = sum(row.state == "UNKNOWN" for row in belief_of(desk.runtime, desk.agent).orders)
    return Found(name, direction, 0, len(offsets), missed, arrived, unknown, problems, let_through)


def cut_everywhere(
    pool: Executor, name: str, direction: str, every: int = 1, first: int = 0
) -> Found:
    """Cut one act at every byte, or ``every`` so many from ``first`` on, in ``pool``'s processes.

    It goes on for some bytes after the last: ids grow by digits while one world lasts, and
    where all has left nothing more is heard.
    """
    size = pool.submit(measure, name, direction).result()
    offsets = range(first, size + BEYOND, every)
    starts = range(0, len(offsets), IN_ONE_WORLD)
    parts = [offsets[start : start + IN_ONE_WORLD] for start in starts]
    total = Found(name, direction, size)
    for part in pool.map(partial(cut_at, name, direction), parts):
        total = attrs.evolve(
            total,
            cuts=total.cuts + part.cuts,
            missed=total.missed + part.missed,
            arrived=total.arrived + part.arrived,
            unknown=total.unknown + part.unknown,
            problems=[*total.problems, *part.problems],
            placed=[*total.placed, *part.placed],
        )
    return total


def _in_a_world(play: Callable[[Desk], Awaitable[T]]) -> T:
    async def main(loop: VirtualLoop) -> T:
        async with World(0, LoopClock(loop)) as world:
            world.control.next_order_id(CLIENT, FIRST_ID)
            machine = Machine(loop.network, Path(folder))
            runtime = alluse_core.open(
                Plan(0).settings(world.port),
                # Every order here goes unanswered: the breaker would soon let none pass.
                overrides={"orders.breaker_failures": 0},
                plugins=[ForgetfulPlugin()],
                state=machine.disk,
                clock=LoopClock(loop),
                committer=SlowDisk(machine),
            )
            async with runtime:
                desk = Desk(loop, world, runtime)
                await desk.open_for_risk()
                result = await play(desk)
            await world.gone()
            return result

    with tempfile.TemporaryDirectory(prefix="alluse-cuts-", dir=in_memory()) as folder:
        return run(main, Network(0))
