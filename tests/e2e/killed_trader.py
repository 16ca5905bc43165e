"""Trades against a gateway until it is killed, or kills itself. Run by test_killed_traders.py."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from alluse_ibkr.order_desk import OrderDesk

import alluse_core
from alluse_core import Instrument, Order, Side
from alluse_core.errors import AllUseError
from alluse_core.orders.lanes import Outbox

SEAMS = ("after commit before send", "after send before ack")


def settings(port: int) -> dict[str, Any]:
    """Return settings that notice and ask quickly."""
    broker = {"provider": "ibkr", "port": port, "heartbeat": 1.0, "reconnect_min": 0.05}
    quick = {"settle_seconds": 0.2, "acknowledge_within": 1.0, "reconcile_every": 2.0}
    return {
        "alluse": {"plugins": ["alluse-ibkr", "alluse-cache"]},
        "brokers": {"main": broker},
        "orders": {"stages": [], **quick},
    }


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(seam: str, after: int) -> None:
    """Die at ``seam`` of the order with this number."""
    sent = 0
    if seam == "after commit before send":

        def send(self: Outbox, priority: Any, item: Any) -> None:
            nonlocal sent
            sent += 1
            if sent == after:
                die()
            pass_on(self, priority, item)

        pass_on, Outbox.send = Outbox.send, send  # type: ignore[method-assign]
    elif seam == "after send before ack":

        def place(self: OrderDesk, messages: Any) -> None:
            nonlocal sent
            hand_over(self, messages)
            sent += 1
            if sent == after:
                # The loop's transport writes at once where the socket takes it.
                die()

        hand_over, OrderDesk.place = OrderDesk.place, place  # type: ignore[method-assign]


async def main(port: int, state: Path, seed: int, seam: str) -> None:
    dice = random.Random(seed)
    arm(seam, dice.randint(5, 20))
    async with alluse_core.open(settings(port), state=state) as runtime:
        print("trading", flush=True)
        listed = [Instrument.stock(name) for name in sys.argv[5].split(",")]
        for number in range(60):
            instrument, side = dice.choice(listed), dice.choice((Side.BUY, Side.SELL))
            key = f"kill-{seed}/{number}"
            if dice.random() < 0.5:
                order = Order.market(instrument, side, 10, key=key)
            else:
                order = Order.limit(instrument, side, 10, Decimal(1), key=key)
            await runtime.orders.submit(order)
            if dice.random() < 0.2:
                try:
                    await runtime.orders.cancel(key)
                except AllUseError:
                    continue
            await asyncio.sleep(dice.choice((0, 0.01)))
        await asyncio.sleep(30)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
