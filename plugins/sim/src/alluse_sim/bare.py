"""A bot written on a bare client library, as its documentation shows, in the same world.

It connects, places orders and connects again when it was disconnected. It keeps no journal and
asks for no evidence of its own: what it believes is what the library's ``Trade`` objects say.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import attrs

from alluse_core.errors import PluginError, UsageError, did_you_mean
from alluse_core.model import Instrument, Order
from alluse_sim.agent import Agent
from alluse_sim.faults import CLIENT, FAULTS
from alluse_sim.loop import LoopClock, VirtualLoop, run
from alluse_sim.machine import Machine
from alluse_sim.network import Network
from alluse_sim.plan import LIBRARIES, Plan
from alluse_sim.truth import Truth, truth_of
from alluse_sim.world import World

RETRY_AFTER = 1.0
"""Seconds without the broker's word after which the bot that retries places an order again."""

_REFUSED = (ConnectionError, AssertionError)
"""What the libraries raise where they send nothing: the bot hears of it, so it is no loss."""

_KILLS = ("kill", "kill-with-bytes-on-the-way")
_SETTLES = 20.0
_CANCELLED = ("Cancelled", "ApiCancelled")
_LIVE = ("PendingSubmit", "ApiPending", "PreSubmitted", "Submitted", "PendingCancel")


@attrs.frozen
class Losses:
    """What one session came to. Counts are orders, ``fills_unknown`` executions.

    ``never_arrived``: believed live, and the broker never had it. ``ended_unnoticed``: believed
    live, and ended at the broker. ``cancelled_yet_alive``: believed cancelled, and it works or
    was filled there. ``sent_twice``: more than one order at the broker for one intent.
    ``positions_wrong`` counts instruments whose position is another one at the broker.
    """

    seed: int
    orders: int = 0
    never_arrived: int = 0
    ended_unnoticed: int = 0
    cancelled_yet_alive: int = 0
    sent_twice: int = 0
    fills_unknown: int = 0
    positions_wrong: int = 0

    @property
    def any(self) -> bool:
        """Whether the bot was wrong about anything."""
        return any(count for name, count in self.counts.items() if name != "orders")

    @property
    def counts(self) -> dict[str, int]:
        """The counts by name."""
        return {name: value for name, value in attrs.asdict(self).items() if name != "seed"}


def plan_for(seed: int, client: str) -> Plan:
    """Return a seed's session without what a program without a journal cannot be asked: kills.

    Raises UsageError for a library that is not one of LIBRARIES.
    """
    if client not in LIBRARIES:
        raise UsageError(
            f"{client!r} is not among {list(LIBRARIES)}{did_you_mean(client, LIBRARIES)}"
        )
    plan = Plan.draw(seed, library=client, restarts=0, kill_at_batch=0, cap=0, disk_seconds=0.0)
    return attrs.evolve(plan, faults=tuple(each for each in plan.faults if each not in _KILLS))


def play(plan: Plan, *, retry: bool) -> Losses:
    """Play one session; with ``retry`` an order without an answer is placed again.

    Raises PluginError where the library is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="alluse-bare-") as folder:
        return run(lambda loop: _session(loop, plan, Path(folder), retry), Network(plan.seed))


async def _session(loop: VirtualLoop, plan: Plan, folder: Path, retry: bool) -> Losses:
    world = World(plan.seed, LoopClock(loop))
    machine = Machine(loop.network, folder)
    async with world:
        mover = asyncio.create_task(world.move(random.Random(f"market {plan.seed}")))
        bot = Bot(plan, world, retry)
        await bot.start()
        await _trade(bot, world, machine, plan)
        await world.heal()
        mover.cancel()
        await asyncio.gather(mover, return_exceptions=True)
        await asyncio.sleep(_SETTLES)
        losses = bot.losses(plan.seed, truth_of(world.ledger))
        await bot.stop()
        await world.gone()
    return losses


async def _trade(bot: Bot, world: World, machine: Machine, plan: Plan) -> None:
    dice = random.Random(f"session {plan.seed}")
    faults, striking = list(plan.faults), []
    for act in range(plan.orders):
        if faults and dice.random() < len(faults) / (plan.orders - act):
            strike = FAULTS[faults.pop(0)](world, machine, random.Random(dice.random()))
            striking.append(asyncio.create_task(strike))
        await bot.act(dice)
        await asyncio.sleep(dice.choice((0, 0.005, 0.03)))
    await asyncio.gather(*striking)


class Bot:
    """Trades through ``IB`` of ib_insync or ib_async."""

    def __init__(self, plan: Plan, world: World, retry: bool) -> None:
        try:
            self._library = importlib.import_module(plan.library)
        except ImportError as error:
            raise PluginError(
                f"{plan.library} cannot be imported: {error}",
                hint=f"install it: pip install {plan.library}",
            ) from error
        self._ib = self._library.IB()
        self._port = world.port
        self._retry = retry
        self._agent = Agent(f"seed-{plan.seed}", world.prices, random.Random(f"bot {plan.seed}"))
        self._trades: dict[str, Any] = {}
        self._placed_at: dict[str, float] = {}
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()

    # --- life -------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect, and connect again whenever the library says that it was disconnected."""
        self._ib.disconnectedEvent += self._disconnected
        await self._connect()
        if self._retry:
            self._do(self._keep_trying())

    async def stop(self) -> None:
        """Disconnect for good."""
        self._stopping = True
        self._ib.disconnect()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _disconnected(self) -> None:
        if not self._stopping:
            self._do(self._connect())

    def _do(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        while not self._ib.isConnected() and not self._stopping:
            with contextlib.suppress(OSError, asyncio.TimeoutError, ConnectionError):
                await self._ib.connectAsync("127.0.0.1", self._port, CLIENT, timeout=2)
                return
            await asyncio.sleep(0.2)

    # --- acts -------------------------------------------------------------------------------

    async def act(self, dice: random.Random) -> None:
        """Do one thing."""
        what = dice.random()
        self._refresh()
        live = sorted(key for key, trade in self._trades.items() if not trade.isDone())
        if what < 0.7 or not live:
            self._place(self._agent.order())
        elif what < 0.85:
            with contextlib.suppress(*_REFUSED):
                self._ib.cancelOrder(self._trades[dice.choice(live)].order)
        else:
            trade = self._trades[dice.choice(live)]
            trade.order.totalQuantity += 5
            with contextlib.suppress(*_REFUSED):
                self._ib.placeOrder(trade.contract, trade.order)

    def _refresh(self) -> None:
        """Take the library's new ``Trade`` objects, which it makes when it connects again."""
        for trade in self._ib.trades():
            if trade.order.orderRef in self._trades:
                self._trades[trade.order.orderRef] = trade

    def _place(self, order: Order) -> None:
        native = self._native(order)
        with contextlib.suppress(*_REFUSED):
            self._trades[order.key] = self._ib.placeOrder(self._contract(order.instrument), native)
            self._placed_at[order.key] = asyncio.get_running_loop().time()

    async def _keep_trying(self) -> None:
        while True:
            await asyncio.sleep(RETRY_AFTER / 4)
            self._refresh()
            self._place_again(asyncio.get_running_loop().time())

    def _place_again(self, now: float) -> None:
        for key, trade in tuple(self._trades.items()):
            unheard = trade.orderStatus.status == "PendingSubmit"
            if unheard and now - self._placed_at[key] > RETRY_AFTER and self._ib.isConnected():
                order = self._library.Order(
                    action=trade.order.action,
                    totalQuantity=trade.order.totalQuantity,
                    orderType=trade.order.orderType,
                    lmtPrice=trade.order.lmtPrice,
                    tif=trade.order.tif,
                    orderRef=key,
                )
                with contextlib.suppress(*_REFUSED):
                    self._trades[key] = self._ib.placeOrder(trade.contract, order)
                self._placed_at[key] = now

    def _native(self, order: Order) -> Any:
        terms: dict[str, Any] = {"orderRef": order.key, "tif": order.time_in_force.value}
        action, quantity = order.side.value, float(order.quantity)
        if order.limit_price is None:
            return self._library.MarketOrder(action, quantity, **terms)
        return self._library.LimitOrder(action, quantity, float(order.limit_price), **terms)

    def _contract(self, instrument: Instrument) -> Any:
        return self._library.Stock(instrument.symbol, "SMART", "USD")

    # --- the end ----------------------------------------------------------------------------

    def losses(self, seed: int, truth: Truth) -> Losses:
        """Compare what the library says with the ledger.

        Where the library made a new ``Trade`` for an order after it connected again, that counts.
        """
        self._refresh()
        found: Counter[str] = Counter()
        for key, trade in self._trades.items():
            status = trade.orderStatus.status
            brokered = truth.orders.get(key, [])
            found["sent_twice"] += len(brokered) > 1
            if not brokered:
                found["never_arrived"] += status in _LIVE and key not in truth.refused
                continue
            alive = any(each.allowed & {"ACCEPTED", "PARTIALLY_FILLED"} for each in brokered)
            filled = any(each.filled >= each.quantity for each in brokered)
            found["ended_unnoticed"] += status in _LIVE and not alive
            found["cancelled_yet_alive"] += status in _CANCELLED and (alive or filled)
        known = {fill.execution.execId for fill in self._ib.fills()}
        executed = {
            id_ for orders in truth.orders.values() for each in orders for id_ in each.fills
        }
        held = {
            Instrument.stock(each.contract.symbol).id: each.position
            for each in self._ib.positions()
        }
        wrong = [
            name
            for name in set(held) | set(truth.positions)
            if float(truth.positions.get(name, 0)) != held.get(name, 0.0)
        ]
        found["fills_unknown"] = len(executed - known)
        return Losses(seed, len(self._trades), positions_wrong=len(wrong), **found)
