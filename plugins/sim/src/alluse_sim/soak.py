"""Days on end: an agent that trades a little, a gateway that restarts every night, an exchange
with its own hours and holidays.

The clocks of New York are what a person reads there, so a change to or from daylight saving time
lies in the span where its days do. Between its hours the agent's process is not running.
"""

from __future__ import annotations

import asyncio
import gc
import random
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import attrs
from alluse_paper.holidays import US_EQUITIES, special_day

import alluse_core
from alluse_core.errors import OrderDenied
from alluse_core.model import LinkState, Order, OrderState, Side, TimeInForce
from alluse_core.orders.committer import InlineCommitter
from alluse_sim.agent import Agent
from alluse_sim.checker import compare
from alluse_sim.forgetful import ForgetfulPlugin
from alluse_sim.loop import LoopClock, VirtualLoop, run
from alluse_sim.network import Network
from alluse_sim.plan import Plan
from alluse_sim.session import belief_of, in_memory
from alluse_sim.world import AAPL, World

NEW_YORK = ZoneInfo("America/New_York")
FIRST_DAY = date(2026, 3, 4)
"""A Wednesday: the Sunday of its week is when New York's clocks go forward."""

RESTART = time(23, 45)
_AWAY = 120.0
_LOGIN = time(9, 0)
_PATIENCE = 60.0
_CLOSE = time(16, 0)
_FRIDAY, _SUNDAY = 4, 6
_HOUR = 3600.0
_OURS = ("alluse_core", "alluse_ibkr")
_ALIVE = frozenset({OrderState.ACCEPTED, OrderState.HELD})
_RUN_OUT = frozenset({OrderState.EXPIRED, OrderState.CANCELED})


@attrs.frozen
class Day:
    """One day. ``held`` is how many objects of the core and the adapter live after it."""

    date: str
    orders: int
    fills: int
    held: int
    problems: Sequence[str]


@attrs.frozen
class Soak:
    """How many days went. ``problems`` names the day of each."""

    days: Sequence[Day]
    restarts: int
    logins: int
    jumps: int
    early_closes: int = 0

    @property
    def problems(self) -> list[str]:
        """What was wrong, with its day."""
        return [f"{day.date}: {problem}" for day in self.days for problem in day.problems]


def soak(
    days: int,
    seed: int = 1,
    library: str = "ib_insync",
    first: date = FIRST_DAY,
    goes_on: Callable[[Day], bool] = lambda _: True,
) -> Soak:
    """Play ``days`` days from ``first`` on, or fewer: ``goes_on`` is asked after each."""
    began = datetime.combine(first, time(9, 30), NEW_YORK).astimezone(UTC)

    async def whole(loop: VirtualLoop) -> Soak:
        return await _Soak(loop, Path(folder), seed, library, began).play(first, days, goes_on)

    with tempfile.TemporaryDirectory(prefix="alluse-soak-", dir=in_memory()) as folder:
        return run(whole, Network(seed))


class _Soak:
    def __init__(
        self,
        loop: VirtualLoop,
        folder: Path,
        seed: int,
        library: str,
        began: datetime,
    ) -> None:
        # The agent's wall clock may jump; the gateway's does not.
        self._clock, self._true = LoopClock(loop, began), LoopClock(loop, began)
        self._world = World(seed, self._true, hours=True)
        self._folder = folder
        self._plan = Plan(seed, library=library)
        self._dice = random.Random(f"soak {seed}")
        # It asks for no change: what the checker wants to know of it is that.
        self._agent = Agent(f"soak-{seed}", self._world.prices, self._dice)
        self._count = 0
        self._resting = ""
        self._of_the_day: list[str] = []
        self._early_closes = 0
        self._problems: list[str] = []
        self._restarts = self._logins = self._jumps = 0

    async def play(self, first: date, days: int, goes_on: Callable[[Day], bool]) -> Soak:
        told: list[Day] = []
        async with self._world:
            for number in range(days):
                told.append(await self._day(first + timedelta(days=number)))
                if not goes_on(told[-1]):
                    break
        return Soak(told, self._restarts, self._logins, self._jumps, self._early_closes)

    async def _day(self, day: date) -> Day:
        self._problems = []
        await self._skip_to(day, _LOGIN)
        await self._world.control.resume_listening()
        close = _close_of(day)
        if close is not None:
            await self._skip_to(day, time(10, 0))
            await self._trade(day)
        if close is not None and close < _CLOSE:
            await self._skip_to(day, time(close.hour - 1, 58))
            await self._close_early(day, close)
        await self._skip_to(day, time(23, 40))
        await self._night(day)
        ledger = self._world.ledger
        counts = len(ledger.of("placed")), len(ledger.of("fill"))
        return Day(day.isoformat(), *counts, _held(), list(self._problems))

    async def _skip_to(self, day: date, local: time) -> None:
        """Let the hours go in which no process of the agent's runs, and the market sleeps."""
        then = datetime.combine(day, local, NEW_YORK)
        gap = max(then - self._true.now(), timedelta(0))
        self._true.began += gap
        self._clock.began += gap
        self._show_the_time()
        await asyncio.sleep(2)

    def _show_the_time(self) -> None:
        """Let the market say what time it is, and so whose session has ended."""
        for instrument in self._world.prices:
            self._world.show(instrument)

    async def _until(self, day: date, local: time) -> None:
        then = datetime.combine(day, local, NEW_YORK)
        wait = (then - self._true.now()).total_seconds()
        await asyncio.sleep(max(wait, 0.0))

    # --- one process ------------------------------------------------------------------------

    async def _process(self, stack: AsyncExitStack) -> Any:
        settings = self._plan.settings(self._world.port)
        settings["brokers"]["main"] |= {
            "region": "north-america",
            "restart_at": f"{RESTART:%H:%M} {NEW_YORK.key}",
            "heartbeat": 5.0,
            "quiet": 0.0,
            "reconnect_max": 5.0,
        }
        settings["monitor"]["period"] = 60.0
        settings["orders"]["reconcile_every"] = 60.0
        runtime = alluse_core.open(
            settings,
            plugins=[ForgetfulPlugin()],
            state=self._folder,
            clock=self._clock,
            committer=InlineCommitter(),
        )
        return await stack.enter_async_context(runtime)

    async def _trade(self, day: date) -> None:
        """Buy and sell, leave one order for the next day, with a clock that jumps on some."""
        # Another price than yesterday's: what is shown at one price is used up after ninety days.
        self._world.show(AAPL, self._dice.choice((-3, 3)))
        async with AsyncExitStack() as stack:
            runtime = await self._process(stack)
            if self._resting:
                await runtime.orders.cancel(self._resting)
            for side in (Side.BUY, Side.SELL):
                await self._submit(runtime, Order.market(AAPL, side, 10, key=self._key(day)))
            jump = self._dice.choice((0, 0, _HOUR, -_HOUR))
            self._clock.skew = jump
            self._jumps += bool(jump)
            self._resting = self._key(day)
            price = self._world.prices[AAPL] // 200
            rests = Order.limit(
                AAPL, Side.BUY, 10, price, key=self._resting, time_in_force=TimeInForce.GTC
            )
            await self._submit(runtime, rests)
            await self._rest_for_the_day(runtime, day)
            await asyncio.sleep(90)
            await self._agree(runtime, "after trading")
            self._clock.skew = 0.0
            await asyncio.sleep(30)
            await self._agree(runtime, "after the clock was set right")
        await self._world.gone()

    async def _rest_for_the_day(self, runtime: Any, day: date) -> None:
        """Leave an order with the broker that the day's close ends."""
        key = self._key(day)
        price = self._world.prices[AAPL] // 200
        await self._submit(runtime, Order.limit(AAPL, Side.BUY, 5, price, key=key))
        self._of_the_day.append(key)

    async def _close_early(self, day: date, close: time) -> None:
        """Be there when the session ends hours before it does on other days."""
        self._early_closes += 1
        async with AsyncExitStack() as stack:
            runtime = await self._process(stack)
            await self._rest_for_the_day(runtime, day)
            await self._until(day, time(close.hour - 1, 59, 55))
            for key in (*self._of_the_day, self._resting):
                if runtime.orders.get(key).state not in _ALIVE:
                    self._problems.append(f"{key} ended before the early close")
            await self._until(day, time(close.hour, close.minute, 2))
            self._show_the_time()
            await asyncio.sleep(5)
            self._ended(runtime, "after the early close")
            if runtime.orders.get(self._resting).state not in _ALIVE:
                self._problems.append("a lasting order ended with the early close")
            # It waits for the next session: nothing is wrong with the link.
            if await self._denies(runtime, day):
                self._problems.append("the early close gated new risk")
            await self._agree(runtime, "after the early close")
        await self._world.gone()

    def _ended(self, runtime: Any, when: str) -> None:
        """Check that the orders of the day ran out, and that nobody had asked for it."""
        for key in self._of_the_day:
            ticket = runtime.orders.get(key)
            if ticket.state not in _RUN_OUT or not ticket.known.settled:
                self._problems.append(f"{when} {key} is {ticket.state.value}, its session is over")
        self._of_the_day.clear()

    async def _night(self, day: date) -> None:
        """Be there while the gateway restarts; on Sunday it waits for a person's login."""
        login = day.weekday() == _SUNDAY
        async with AsyncExitStack() as stack:
            runtime = await self._process(stack)
            self._ended(runtime, "at night")
            # On Friday at 23:00 IBKR's weekend reset begins, which gates until Saturday.
            weekend = day.weekday() == _FRIDAY
            if await self._denies(runtime, day) is not weekend:
                self._problems.append("the gate before the restart's window is wrong")
            await self._until(day, time(RESTART.hour, RESTART.minute, 0))
            if not await self._denies(runtime, day):
                self._problems.append("new risk was let through in the restart's window")
            self._restarts += 1
            if login:
                self._logins += 1
                await self._world.control.pause_listening()
                self._world.control.drop()
            else:
                await self._world.control.restart(_AWAY, roll_back=self._dice.randint(0, 5))
            await self._until(day, time(RESTART.hour, RESTART.minute + 8, 0))
            link = runtime.brokers["main"].link
            if login and link is LinkState.UP:
                self._problems.append("the link is up without the weekly login")
            if not login:
                wanted = LinkState.GATED if weekend else LinkState.UP
                if link is not wanted:
                    self._problems.append(f"the link is {link.value} after the restart")
                if await self._denies(runtime, day) is not weekend:
                    self._problems.append("the gate after the restart's window is wrong")
                await self._agree(runtime, "after the restart")
        await self._world.gone()

    # --- questions --------------------------------------------------------------------------

    def _key(self, day: date) -> str:
        self._count += 1
        return f"{day.isoformat()}/{self._count}"

    async def _submit(self, runtime: Any, order: Order) -> None:
        try:
            await runtime.orders.submit(order)
        except OrderDenied as denied:
            self._problems.append(f"{order.key} was denied: {denied}")

    async def _denies(self, runtime: Any, day: date) -> bool:
        """Submit an order that rests far away, and cancel it; return whether it was denied."""
        order = Order.limit(AAPL, Side.BUY, 1, 10, key=self._key(day))
        await asyncio.sleep(6)
        try:
            await runtime.orders.submit(order)
        except OrderDenied:
            return True
        await asyncio.sleep(1)
        await runtime.orders.cancel(order.key)
        return False

    async def _agree(self, runtime: Any, when: str) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE
        while True:
            await runtime.orders.flush()
            belief = belief_of(runtime, self._agent)
            found = compare(list(self._world.ledger), belief)
            if not found:
                return
            if loop.time() > deadline:
                self._problems += [f"{when}: {each}" for each in found]
                return
            await asyncio.sleep(2)


def _close_of(day: date) -> time | None:
    """Return when the exchange closes; None where it does not open."""
    special = special_day(US_EQUITIES, day)
    if special is not None:
        return special.close
    return None if day.weekday() >= _SUNDAY - 1 else _CLOSE


def _held() -> int:
    """Count what the order path's own types hold, now that no process of the agent's runs."""
    gc.collect()
    # A class may define __module__ itself, as something that is no text.
    return sum(str(type(each).__module__).startswith(_OURS) for each in gc.get_objects())
