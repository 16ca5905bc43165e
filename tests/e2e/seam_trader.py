"""Processes that do one act against a gateway and kill themselves at a named seam.

Run by test_killed_at_seams.py.

A seam is before or after one of three steps: the act's records reach the disk (journal), its
bytes are handed to the socket (send), the gateway's first word of it is heard (ack).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import alluse_ibkr.broker  # noqa: F401 - imported before the forks
import ib_insync  # noqa: F401
from alluse_ibkr.order_desk import OrderDesk

import alluse_core
import alluse_core.runtime
from alluse_core import Instrument, Order, Side
from alluse_core.model import GroupKind, OrderGroup, OrderReport, OrderState
from alluse_core.orders.journal import Journal
from alluse_core.orders.records import Kind
from alluse_core.orders.service import Orders

SEAMS = tuple(
    f"{when} {step}" for step in ("journal", "send", "ack") for when in ("before", "after")
)
ACTS = ("place", "modify", "cancel", "bracket", "oca")


def settings(port: int, client_id: int) -> dict[str, Any]:
    """Return settings that notice and ask quickly; a name of its own keeps references apart."""
    broker = {"provider": "ibkr", "port": port, "client_id": client_id}
    quick = {"settle_seconds": 0.2, "acknowledge_within": 1.0, "reconcile_every": 2.0}
    return {
        "alluse": {"plugins": ["alluse-ibkr", "alluse-cache"], "agent": f"s{client_id}"},
        "brokers": {"main": {**broker, "heartbeat": 1.0, "reconnect_min": 0.05}},
        "orders": {"stages": [], **quick},
    }


def intent(act: str, symbol: str) -> Order | OrderGroup:
    """Return what is submitted: far from the market, so that all of it rests."""
    listed = Instrument.stock(symbol)

    def buy(key: str, price: str = "1") -> Order:
        return Order.limit(listed, Side.BUY, 10, Decimal(price), key=key)

    if act == "bracket":
        take = Order.limit(listed, Side.SELL, 10, Decimal(2), key="take")
        stop = Order.stop(listed, Side.SELL, 10, Decimal("0.5"), key="stop")
        return OrderGroup(GroupKind.BRACKET, "bracket", (buy("entry"), take, stop))
    if act == "oca":
        return OrderGroup(
            GroupKind.OCA, "oca", (buy("one"), buy("two", "1.1"), buy("three", "1.2"))
        )
    return buy(act)


class Seam:
    """Dies at the first occasion after it was armed."""

    def __init__(self, name: str) -> None:
        self.when, self.step = name.split()
        self.armed = self.sent = False
        self._journal()
        for verb in ("place", "modify", "cancel"):
            self._send(verb)
        self._ack()

    def around(self, step: str, act: Callable[[], Any]) -> Any:
        """Do one step, and die before or after it where it is the one."""
        here = self.armed and step == self.step
        if here and self.when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = act()
        if here:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def _journal(self) -> None:
        write = Journal._write

        def commit(journal: Journal, rows: Sequence[Any]) -> None:
            if any(row.kind in (Kind.ORDER, Kind.COMMAND) for row in rows):
                self.around("journal", lambda: write(journal, rows))
            else:
                write(journal, rows)

        Journal._write = commit  # type: ignore[method-assign]

    def _send(self, verb: str) -> None:
        send = getattr(OrderDesk, verb)

        def sending(*arguments: Any) -> None:
            self.sent = self.armed
            # The loop's transport writes at once where the socket takes it.
            self.around("send", lambda: send(*arguments))

        setattr(OrderDesk, verb, sending)

    def _ack(self) -> None:
        hear = Orders.evidence

        def hearing(orders: Orders, item: Any) -> None:
            if self.sent and isinstance(item, OrderReport):
                self.around("ack", lambda: hear(orders, item))
            else:
                hear(orders, item)

        Orders.evidence = hearing  # type: ignore[method-assign]


async def main(port: int, client_id: int, state: Path, act: str, name: str, symbol: str) -> None:
    seam = Seam(name)
    async with alluse_core.open(settings(port, client_id), state=state) as runtime:
        seam.armed = act not in ("modify", "cancel")
        await runtime.orders.submit(intent(act, symbol))
        while not seam.armed:
            await asyncio.sleep(0.02)
            seam.armed = runtime.orders.get(act).state is OrderState.ACCEPTED
        if act == "modify":
            await runtime.orders.modify(act, limit_price=Decimal("1.5"))
        elif act == "cancel":
            await runtime.orders.cancel(act)
        await asyncio.sleep(10)


def serve(port: int) -> None:
    """Fork a process for each line of standard input, and print the signal that ended it.

    Forked, since starting Python and its imports thirty times takes longer than all the acts.
    """
    for line in sys.stdin:
        client_id, folder, act, when, step, symbol = line.split()
        child = os.fork()
        if child == 0:
            asyncio.run(main(port, int(client_id), Path(folder), act, f"{when} {step}", symbol))
            os._exit(1)
        _, status = os.waitpid(child, 0)
        print(os.WTERMSIG(status), flush=True)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
