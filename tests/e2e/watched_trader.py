"""Opens a position with a stop below it and an entry beside it, then waits to be killed.

Arguments: the gateway's port, the state folder, a symbol, the port of its heartbeat (0: none).
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from killed_trader import settings

import alluse_core
from alluse_core import Instrument, Order, Side
from alluse_core.model import OrderState


async def main(port: int, state: Path, symbol: str, heart: int) -> None:
    stock = Instrument.stock(symbol)
    chosen = {**settings(port), "heartbeat": {"port": heart}}
    async with alluse_core.open(chosen, state=state) as runtime:
        orders = runtime.orders
        bought = await orders.submit(Order.market(stock, Side.BUY, 10, key="position"))
        assert (await bought.outcome(20)).state is OrderState.FILLED
        await orders.submit(Order.stop(stock, Side.SELL, 10, "1", key="stop"))
        await orders.submit(Order.limit(stock, Side.BUY, 10, "1", key="entry"))
        while {orders.get(key).state for key in ("stop", "entry")} - {OrderState.ACCEPTED}:
            await asyncio.sleep(0.05)
        print("trading", flush=True)
        await asyncio.sleep(120)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
