"""Sends the orders that come as lines of JSON on standard input, and tells what became of each.

``{"key", "side", "price"}`` places 10 of the symbol; the answer is ``{"key", "state"}`` as soon as
it is settled, works at the broker or is UNKNOWN, or ``{"key", "denied"}``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import alluse_core
from alluse_core import Instrument, Order, OrderState, Runtime, Side
from alluse_core.errors import OrderDenied


async def answer(runtime: Runtime, stock: Instrument, wish: dict[str, Any]) -> dict[str, Any]:
    side = Side(wish["side"])
    if wish["price"] is None:
        order = Order.market(stock, side, 10, key=wish["key"])
    else:
        order = Order.limit(stock, side, 10, wish["price"], key=wish["key"])
    try:
        ticket = await runtime.orders.submit(order)
    except OrderDenied as error:
        return {"key": wish["key"], "denied": f"{error} - {error.hint}"}
    while ticket.state is OrderState.SUBMITTED:
        await asyncio.sleep(0.02)
    if wish["price"] is None:
        await ticket.outcome(20)
    return {"key": wish["key"], "state": ticket.state.value}


async def main(config: Path, symbol: str) -> None:
    loop = asyncio.get_running_loop()
    async with alluse_core.open(config) as runtime:
        print(json.dumps({"trading": runtime.orders.state.value}), flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            told = await answer(runtime, Instrument.stock(symbol), json.loads(line))
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
