"""A trading agent that does a bit of everything, and remembers what it was told."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from alluse_core.errors import AllUseError, OrderDenied, OrderError
from alluse_core.model import GroupKind, Instrument, Order, OrderGroup, Side, TimeInForce
from alluse_sim.checker import Asked
from alluse_sim.machine import CURRENT
from alluse_sim.world import AAPL, INSTRUMENTS, MSFT

Prices = Mapping[Instrument, int]


class Agent:
    """Submits, changes and cancels orders; one seed decides which.

    It outlives its process: what it was told stays known, and intents that got no answer are
    submitted again, with the same key, by the process after.
    """

    def __init__(self, name: str, prices: Prices, dice: random.Random) -> None:
        self.taken: set[str] = set()
        self.denied: set[str] = set()
        self.tried: dict[str, Order | OrderGroup] = {}
        self.modifies: dict[str, int] = {}
        self.resized: set[str] = set()
        self.kept: set[str] = set()
        self.brackets: dict[str, OrderGroup] = {}
        self.submitted = 0
        self.changes = True
        self.bracket_share = 0.0
        self._name = name
        self._prices = prices
        self._dice = dice
        self._count = 0

    @property
    def asked(self) -> Asked:
        """What the checker compares with."""
        tried = {key for intent in self.tried.values() for key in keys_of(intent)}
        return Asked(
            frozenset(self.taken | self.kept),
            frozenset(self.denied),
            frozenset(tried),
            tuple(self.brackets.values()),
            frozenset(self.resized),
        )

    def keep(self, key: str) -> None:
        """Leave an order alone from now on."""
        if key in self.taken:
            self.taken.remove(key)
            self.kept.add(key)

    # --- intents ----------------------------------------------------------------------------

    def _key(self) -> str:
        self._count += 1
        return f"{self._name}/{self._count}"

    def order(self) -> Order:
        """Return an order: market, or a limit around the price."""
        dice, key = self._dice, self._key()
        instrument = dice.choice(INSTRUMENTS)
        side = dice.choice((Side.BUY, Side.SELL))
        quantity = dice.randint(1, 20) * 5
        if dice.random() < 0.3:
            return Order.market(instrument, side, quantity, key=key)
        away = dice.choice((-10, 0, 3, 8, 40, 400)) * -side.sign
        price = Decimal(self._prices[instrument] + away) / 100
        tif = dice.choice((TimeInForce.DAY, TimeInForce.GTC))
        return Order.limit(instrument, side, quantity, price, key=key, time_in_force=tif)

    def bracket(self, away: str = "0.02") -> OrderGroup:
        """Return an entry, its limit so far from the price, with its take-profit and its stop."""
        dice, key = self._dice, self._key()
        price = Decimal(self._prices[AAPL]) / 100
        entry = Order.limit(AAPL, Side.BUY, 10, price + Decimal(away), key=f"{key}/entry")
        target = price + dice.choice((Decimal("0.05"), Decimal(3)))
        take = Order.limit(AAPL, Side.SELL, 10, target, key=f"{key}/take")
        stop = Order.stop(AAPL, Side.SELL, 10, price - 3, key=f"{key}/stop")
        return OrderGroup(GroupKind.BRACKET, key, (entry, take, stop))

    def oca(self) -> OrderGroup:
        """Return orders of which the first to fill cancels the others."""
        key = self._key()
        price = Decimal(self._prices[MSFT]) / 100
        orders = tuple(
            Order.limit(MSFT, Side.BUY, 10, price - away, key=f"{key}/{place}")
            for place, away in enumerate((Decimal("0.03"), Decimal("0.08"), Decimal(2)))
        )
        return OrderGroup(GroupKind.OCA, key, orders)

    # --- acts -------------------------------------------------------------------------------

    async def submit(self, runtime: Any, intent: Order | OrderGroup) -> None:
        """Submit and remember the answer; none comes where the process ends first."""
        keys = keys_of(intent)
        if not (self.taken | self.kept).issuperset(keys):
            self.tried[intent.key] = intent
        if isinstance(intent, OrderGroup) and intent.kind is GroupKind.BRACKET:
            self.brackets[intent.key] = intent
        denied = False
        try:
            await runtime.orders.submit(intent)
        except OrderDenied:
            denied = True
        machine = CURRENT.get()
        if machine is not None and not machine.alive:
            return  # nobody hears the answer of a process that was killed
        (self.denied if denied else self.taken).update(keys)
        self.tried.pop(intent.key, None)

    async def again(self, runtime: Any) -> None:
        """Submit once more what got no answer: the same key is the same order."""
        for intent in tuple(self.tried.values()):
            with contextlib.suppress(AllUseError):
                await self.submit(runtime, intent)

    async def act(self, runtime: Any) -> None:
        """Do one thing."""
        dice = self._dice
        # Drawn only where it matters, so that the other seeds stay what they are.
        if self.bracket_share and dice.random() < self.bracket_share:
            await self._bracket(runtime)
            return
        what = dice.random()
        if what < 0.50:
            await self.submit(runtime, self.order())
        elif what < 0.58:
            await self.submit(runtime, self.bracket() if dice.random() < 0.5 else self.oca())
        elif what < 0.66:
            order = self.order()
            await asyncio.gather(*(self.submit(runtime, order) for _ in range(3)))
            await self.submit(runtime, order)
        elif what < 0.72:
            order = self.order()
            sent = asyncio.create_task(self.submit(runtime, order))
            await asyncio.sleep(dice.choice((0, 0, 0.002)))
            await self._try_cancel(runtime, order.key)
            await sent
        elif self.taken:
            key = dice.choice(sorted(self.taken))
            if what < 0.86:
                await self._try_cancel(runtime, key)
            elif self.changes:
                await self._try_modify(runtime, key)

    async def _bracket(self, runtime: Any) -> None:
        """Submit a bracket, cancel or change one of its orders, or move stops a little."""
        dice = self._dice
        taken = [key for key in self.brackets if f"{key}/stop" in self.taken]
        what = dice.random()
        if not taken or what < 0.5:
            await self.submit(runtime, self.bracket(dice.choice(("0.02", "-0.03"))))
        elif what < 0.7:
            member = dice.choice(("entry", "stop", "stop", "take"))
            await self._try_cancel(runtime, f"{dice.choice(taken)}/{member}")
        elif what < 0.9:
            await self._try_modify(
                runtime, f"{taken[-1]}/{dice.choice(('entry', 'entry', 'take'))}"
            )
        else:
            await asyncio.gather(*(self._trail(runtime, key) for key in taken[-6:]))

    async def _trail(self, runtime: Any, key: str) -> None:
        stop = runtime.orders.get(f"{key}/stop")
        if stop.state.is_terminal or stop.known.pending is not None:
            return
        self.modifies[stop.key] = self.modifies.get(stop.key, 0) + 1
        try:
            price = stop.order.stop_price + Decimal("0.01") * self._dice.choice((-1, 1))
            await runtime.orders.modify(stop.key, stop_price=price)
        except OrderError:
            self.modifies[stop.key] -= 1

    async def burst(self, runtime: Any, count: int) -> None:
        """Submit many orders in one turn of the loop."""
        await asyncio.gather(*(self.submit(runtime, self.order()) for _ in range(count)))

    async def _try_cancel(self, runtime: Any, key: str) -> None:
        with contextlib.suppress(OrderError):
            await runtime.orders.cancel(key)

    async def _try_modify(self, runtime: Any, key: str) -> None:
        order = runtime.orders.get(key).order
        step = 5
        # Drawn only where it matters, so that the other seeds stay what they are.
        if self.bracket_share and order.quantity > step and self._dice.random() < 0.15:
            step = -step
        changes: dict[str, Any] = {"quantity": order.quantity + step}
        repriced = 0.3 if self.bracket_share else 0.7
        if order.limit_price is not None and self._dice.random() < repriced:
            changes = {"limit_price": order.limit_price + Decimal("0.01") * order.side.sign}
        elif order.stop_price is not None and self.bracket_share and self._dice.random() < 0.7:
            changes = {"stop_price": order.stop_price - Decimal("0.01")}
        if "quantity" in changes:
            self.resized.add(key)
        # Counted first: the message may leave before the call returns.
        self.modifies[key] = self.modifies.get(key, 0) + 1
        try:
            await runtime.orders.modify(key, **changes)
        except OrderError:
            self.modifies[key] -= 1


def keys_of(intent: Order | OrderGroup) -> list[str]:
    """Return the keys of an intent's orders."""
    return [intent.key] if isinstance(intent, Order) else [each.key for each in intent.orders]
