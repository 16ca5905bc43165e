"""Places orders until it kills itself at a named seam. Run by test_crash.py.

Its broker is a ledger file: what stands in it has reached the broker.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from desk_floor import NODE, buy

from alluse_core.clock import SystemClock
from alluse_core.orders.committer import ThreadCommitter
from alluse_core.orders.journal import Journal
from alluse_core.orders.pacing import SlidingWindowPacer
from alluse_core.orders.service import Orders
from alluse_core.ports import OrderMessage
from alluse_core.settings import OrdersSettings
from alluse_core.telemetry import Registry
from alluse_core.testing.fakes import FakeBroker

SEAMS = ("before commit", "after commit", "before send", "after send", "before ack", "after ack")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Ledger(FakeBroker):
    """Writes each order it gets into a file, durably, before it answers."""

    path: Path
    seam: str
    fatal: str

    def place(self, messages: Sequence[OrderMessage]) -> None:
        last = messages[0].order.key == self.fatal
        if last and self.seam == "before send":
            die()
        with self.path.open("a") as file:
            for message in messages:
                file.write(f"{message.order_ref} {message.order_id} {message.order.key}\n")
            file.flush()
            os.fsync(file.fileno())
        if last and self.seam == "after send":
            die()
        super().place(messages)


async def main(folder: Path, seam: str, fatal: str, count: int) -> None:
    made: list[Orders] = []

    def evidence(item: Any) -> None:
        ours = getattr(getattr(item, "identity", None), "order_ref", "") == fatal_ref
        if ours and seam == "before ack":
            die()
        made[0].evidence(item)
        if ours and seam == "after ack":
            die()

    clock = SystemClock()
    broker = Ledger(evidence, clock=clock)
    broker.path, broker.seam, broker.fatal = folder / "ledger", seam, fatal
    journal = Journal(folder / "journal.db", clock=clock, node=NODE, committer=ThreadCommitter())
    write = journal._write

    def commit(rows: Any) -> None:
        last = any(row.key == fatal for row in rows)
        if last and seam == "before commit":
            die()
        write(rows)
        if last and seam == "after commit":
            die()

    journal._committer.close()
    journal._committer.open(commit)
    orders = Orders(
        brokers={broker.name: broker},
        pacers={broker.name: SlidingWindowPacer(clock)},
        stages=(),
        journal=journal,
        clock=clock,
        telemetry=Registry(),
        settings=OrdersSettings(stages=(), settle_seconds=0.0),
        node=NODE,
        quote=lambda _: None,
        definition=lambda _, __: None,
    )
    fatal_ref = orders._parts.references.of(fatal)
    made.append(orders)
    await broker.connect()
    await orders.start()
    for number in range(count):
        await orders.submit(buy(f"key-{number}"))
    await asyncio.sleep(5)
    sys.exit("the seam was never reached")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))
