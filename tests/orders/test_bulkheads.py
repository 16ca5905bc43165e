"""What hangs beside the order path holds no order back; nothing is handed over twice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

from desk_floor import buy, floor, run

from alluse_core.model import OrderState


def test_orders_are_sent_while_a_thread_beside_them_hangs(tmp_path: Path) -> None:
    async def scenario() -> None:
        release = threading.Event()
        async with floor(tmp_path) as desk:
            # Reporters run like this. More of them than the loop's pool has threads: whatever on
            # the way out needed one would wait with them.
            hanging = [asyncio.create_task(asyncio.to_thread(release.wait)) for _ in range(40)]
            try:
                for number in range(20):
                    await desk.orders.submit(buy(f"order-{number}", 1))
                await desk.settle()
                states = {ticket.state for ticket in desk.orders.all()}
                assert states == {OrderState.ACCEPTED}
                assert not any(task.done() for task in hanging)
            finally:
                release.set()
                await asyncio.gather(*hanging)

    run(scenario())


def test_an_order_message_is_handed_over_once_whatever_becomes_of_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            for mode in ("silent", "lose", "reject", "accept"):
                desk.broker.mode = mode
                await desk.orders.submit(buy(f"{mode}-1"))
                await desk.settle()
            desk.broker.lists_fail = True
            await desk.settle(120)
            desk.broker.lists_fail = False
            await desk.orders.reconcile_all()
            await desk.settle(600)
            placed: Sequence[object] = [what for kind, what in desk.broker.sent if kind == "place"]
            assert len(placed) == 4
            assert desk.orders.get("lose-1").state is OrderState.UNKNOWN

    run(scenario())
