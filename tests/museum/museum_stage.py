"""Where an exhibit is played: the whole runtime against the gateway, in virtual time."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from alluse_sim.checker import compare
from alluse_sim.faults import CLIENT
from alluse_sim.forgetful import ForgetfulPlugin
from alluse_sim.loop import LoopClock, VirtualLoop, run
from alluse_sim.network import Network
from alluse_sim.plan import Plan
from alluse_sim.session import belief_of
from alluse_sim.world import AAPL, World

import alluse_core
from alluse_core import Order, Side
from alluse_core.errors import OrderDenied
from alluse_core.model import LinkState, TimeInForce
from alluse_core.orders.committer import InlineCommitter

PATIENCE = 60.0
"""Virtual seconds within which what an exhibit waits for must have come."""

FAR = "50"
"""A buying price that no market here reaches."""


class Stage:
    """A gateway, and runtimes of one state folder that trade with it."""

    def __init__(self, loop: VirtualLoop, folder: Path, library: str) -> None:
        self.clock = LoopClock(loop)
        self.network = loop.network
        self.world = World(1, self.clock)
        self.control, self.ledger = self.world.control, self.world.ledger
        self.modifies: dict[str, int] = {}
        self.aapl = AAPL
        self._folder = folder
        self._plan = Plan(1, library=library)

    @asynccontextmanager
    async def process(self, **more: Mapping[str, Any]) -> AsyncIterator[Any]:
        """Run one process of the agent; ``more`` are tables of its settings."""
        settings = self._plan.settings(self.world.port)
        # What is asked for every now and then anyway hides what should be asked for at once.
        settings["orders"] = {**settings["orders"], "reconcile_every": 3_600.0}
        for name, table in more.items():
            settings[name] = {**settings[name], **table}
        self._folder.mkdir(exist_ok=True)
        async with alluse_core.open(
            settings,
            plugins=[ForgetfulPlugin()],
            state=self._folder,
            clock=self.clock,
            committer=InlineCommitter(),
        ) as runtime:
            yield runtime
        await self.world.gone()

    async def modify(self, runtime: Any, key: str, **terms: Any) -> Any:
        """Change an order, and count that for the checker."""
        self.modifies[key] = self.modifies.get(key, 0) + 1
        return await runtime.orders.modify(key, **terms)

    async def denies(self, runtime: Any, order: Order) -> bool:
        """Submit an order; return whether it was denied."""
        try:
            await runtime.orders.submit(order)
        except OrderDenied:
            return True
        return False

    async def agreed(self, runtime: Any) -> None:
        """Wait until what the runtime believes equals the gateway's ledger."""
        found: list[str] = []

        def same() -> bool:
            belief = belief_of(runtime, SimpleNamespace(modifies=self.modifies))
            found[:] = compare(list(self.ledger), belief)
            return not found and not runtime.orders.reconciling

        await runtime.orders.flush()
        await until(same, lambda: "belief and ledger differ: " + "; ".join(found), every=0.4)

    async def known(self, runtime: Any, key: str, *states: str) -> None:
        """Wait until an order is in one of these states."""
        ticket = runtime.orders.get(key)
        await until(lambda: ticket.state.value in states, lambda: f"{key} is {ticket.state.value}")

    async def restored(self, runtime: Any) -> None:
        """Wait until the link is up and the gate for new risk is open."""
        broker = runtime.brokers["main"]
        await until(
            lambda: broker.link is LinkState.UP and not runtime.orders.reconciling,
            lambda: f"the link is {broker.link.value}",
        )

    def counted(self, runtime: Any, metric: str, **labels: str) -> float:
        """Return a counter of the order path."""
        return runtime.metrics.registry.counter("trading_system", metric, "", **labels).value

    def placed(self) -> list[str]:
        """Return the orderRef of every order that the broker took."""
        return [entry["order_ref"] for entry in self.ledger.of("placed")]


async def until(done: Callable[[], bool], why: Callable[[], str], every: float = 0.005) -> None:
    """Wait in virtual time. Raises AssertionError after PATIENCE."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while not done():
        assert loop.time() < deadline, why()
        await asyncio.sleep(every)


def resting(key: str, quantity: int = 10, price: str = FAR) -> Order:
    """Return an order that rests until it is cancelled."""
    return Order.limit(AAPL, Side.BUY, quantity, price, key=key, time_in_force=TimeInForce.GTC)


def market(key: str, quantity: int = 10) -> Order:
    """Return an order that fills at once."""
    return Order.market(AAPL, Side.BUY, quantity, key=key)


Exhibit = Callable[[Stage], Awaitable[None]]


def play(exhibit: Exhibit, library: str) -> None:
    """Play an exhibit to its end."""

    async def whole(loop: VirtualLoop) -> None:
        stage = Stage(loop, folder, library)
        async with stage.world:
            await exhibit(stage)

    with tempfile.TemporaryDirectory(prefix="alluse-museum-") as name:
        folder = Path(name)
        run(whole, Network(1))


__all__ = ["AAPL", "CLIENT", "Exhibit", "Stage", "market", "play", "resting", "until"]
