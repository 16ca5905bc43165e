"""An agent that stops and resumes, and gives up calls that it waits for; what that must lead to."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import Collection, Coroutine, Iterable
from decimal import Decimal
from typing import Any

from alluse_core.errors import AllUseError
from alluse_core.model import OrderState
from alluse_core.orders.closing import CLOSING
from alluse_sim.agent import Agent
from alluse_sim.truth import ZERO, Entry, decimal

_SHARE = 0.2
_NAME = "the simulation"
_CLOSES_WITHIN = 40.0
_TOLD_WITHIN = 5.0
_STOPS = ("STP", "STP LMT")


class Stopper:
    """Halts, flattens, resumes and cuts calls short, by dice of its own beside the agent's."""

    def __init__(self, agent: Agent, dice: random.Random) -> None:
        self._agent = agent
        self._dice = dice

    async def act(self, runtime: Any) -> None:
        """Mostly do nothing; otherwise one thing."""
        dice = self._dice
        if dice.random() >= _SHARE:
            return
        what = dice.random()
        keys = sorted(self._agent.taken)
        if what < 0.5 and keys:
            await self._cut_short(runtime.orders.cancel(dice.choice(keys)))
        elif what < 0.7 and keys:
            key = dice.choice(keys)
            # It may be made, whoever asked for it: counted, and never taken back.
            self._agent.modifies[key] = self._agent.modifies.get(key, 0) + 1
            self._agent.resized.add(key)
            quantity = runtime.orders.get(key).order.quantity + 5
            await self._cut_short(runtime.orders.modify(key, quantity=quantity))
        elif what < 0.85:
            await self._stop(runtime, runtime.orders.halt(_NAME))
        else:
            await self._stop(runtime, runtime.orders.flatten())

    async def _stop(self, runtime: Any, call: Coroutine[Any, Any, Any]) -> None:
        if self._dice.random() < 0.5:
            await self._cut_short(call)
        else:
            with contextlib.suppress(AllUseError):
                await call
        await asyncio.sleep(self._dice.choice((0.01, 0.3, 1.5)))
        await runtime.orders.resume(_NAME)

    async def _cut_short(self, call: Coroutine[Any, Any, Any]) -> None:
        asked = asyncio.create_task(call)
        for _ in range(self._dice.randint(1, 4)):
            await asyncio.sleep(self._dice.choice((0, 0, 0, 0.002)))
        asked.cancel()
        await asyncio.wait({asked})
        if not asked.cancelled():
            error = asked.exception()
            if error is not None and not isinstance(error, AllUseError):
                raise error


async def close_everything(runtime: Any) -> list[str]:
    """Flatten; return what is wrong if that does not come to its end.

    An order that no evidence settles keeps it from it, and rightly so.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _CLOSES_WITHIN
    await runtime.orders.begin_flatten()
    while runtime.orders.flattening:
        await asyncio.sleep(0.5)
        if loop.time() > deadline:
            if any(each.state is OrderState.UNKNOWN for each in runtime.orders.all()):
                return []
            held = {row.instrument.id: str(row.quantity) for row in runtime.positions().rows}
            live = [each.key for each in runtime.orders.all() if not each.state.is_terminal]
            return [f"a flatten did not end: {held} held, and {live} at work"]
    rows = runtime.positions().rows
    return [f"a flatten ended and {row.quantity} of {row.instrument} are held" for row in rows]


def own_keys(keys: Iterable[str]) -> frozenset[str]:
    """Return which of the keys are of flatten's own orders, which no agent submitted."""
    return frozenset(key for key in keys if key.startswith(CLOSING))


def overclosed(entries: Iterable[Entry], refs: Collection[str]) -> list[str]:
    """Return where an order of flatten's (``refs``) could flip what was held when it arrived.

    Exits beside it count as the broker has them then, but for protection (stops, and exits of
    groups), which is cancelled last. What protection filled a moment ago may not be known yet.
    """
    found = []
    places: dict[tuple[int, int], Entry] = {}
    working: dict[int, tuple[str, int, Decimal]] = {}
    wanted: dict[int, Decimal] = {}
    held: dict[str, Decimal] = defaultdict(lambda: ZERO)
    untold: list[tuple[float, str, int, Decimal]] = []
    for entry in entries:
        event, perm = entry["event"], entry.get("perm_id", 0)
        if event == "place":
            places[entry["client_id"], entry["order_id"]] = entry
        elif event == "placed":
            place = places[entry["client_id"], entry["order_id"]]
            symbol, sign = place["symbol"], 1 if place["side"] == "BUY" else -1
            quantity = decimal(place["quantity"])
            if place["order_ref"] in refs:
                alike = [
                    left for name, side, left in working.values() if (name, side) == (symbol, sign)
                ]
                beside = sum((max(left, ZERO) for left in alike), ZERO)
                news = [
                    filled
                    for at, name, side, filled in untold
                    if at > entry["at"] - _TOLD_WITHIN and (name, side) == (symbol, sign)
                ]
                if quantity + beside > max(-sign * held[symbol], ZERO) + sum(news):
                    found.append(
                        f"at entry {entry['seq']} a flatten sent {place['side']} {quantity}"
                        f" {symbol} beside {beside} at work, with {held[symbol]} held"
                    )
            if not (place["order_type"] in _STOPS or place["parent_id"] or place["oca_group"]):
                working[perm] = symbol, sign, quantity
                wanted[perm] = quantity
        elif event == "replaced" and perm in working:
            symbol, sign, left = working[perm]
            quantity = decimal(entry["quantity"])
            working[perm] = symbol, sign, left + quantity - wanted[perm]
            wanted[perm] = quantity
        elif event == "fill":
            sign = 1 if entry["side"] == "BUY" else -1
            quantity = decimal(entry["quantity"])
            held[entry["symbol"]] += sign * quantity
            if perm in working:
                symbol, sign, left = working[perm]
                working[perm] = symbol, sign, left - quantity
            else:
                untold.append((entry["at"], entry["symbol"], sign, quantity))
        elif event in ("canceled", "expired", "reject"):
            working.pop(perm, None)
    return found
