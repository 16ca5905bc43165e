"""kill -9 between any two steps: at most one order at the broker for each intent, found again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from crash_child import SEAMS
from desk_floor import NODE, buy, floor, run

from alluse_core.model import OrderIdentity, OrderState
from alluse_core.orders.journal import JournalReader, verify
from alluse_core.ports import OrderMessage
from alluse_core.testing import VirtualClock
from alluse_core.testing.fakes import BrokerOrder, FakeBroker

HERE = Path(__file__).parent
COUNT = 4
FATAL = f"key-{COUNT - 1}"


def kill_at(folder: Path, seam: str) -> list[tuple[str, int, str]]:
    """Run the child until it dies; return what had reached the broker."""
    paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, str(HERE / "crash_child.py"), str(folder), seam, FATAL, str(COUNT)]
    finished = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=250
    )
    assert finished.returncode == -signal.SIGKILL, finished.stderr
    ledger = folder / "ledger"
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    return [(ref, int(number), key) for ref, number, key in (line.split() for line in lines)]


def surviving(ledger: list[tuple[str, int, str]], clock: VirtualClock) -> FakeBroker:
    """Return the broker that outlived the process, with what had reached it."""
    broker = FakeBroker(lambda _: None, clock=clock)
    for ref, number, key in ledger:
        order = buy(key, broker="fake", account="DU1")
        # The same broker as before: an order keeps the permId under which it was told.
        identity = OrderIdentity(ref, next(broker._perm_ids), number, 1)
        broker.orders[ref] = BrokerOrder(OrderMessage(order, ref, number), identity)
    return broker


@pytest.mark.parametrize("seam", SEAMS)
def test_a_killed_process_sends_no_order_twice_and_loses_none(tmp_path: Path, seam: str) -> None:
    ledger = kill_at(tmp_path, seam)
    assert verify(tmp_path / "journal.db").ok
    with JournalReader(tmp_path / "journal.db") as reader:
        known = {summary.key for summary in reader.orders()}
    assert {key for _, _, key in ledger} <= known, "nothing was sent that is not in the journal"
    assert (FATAL in known) is (seam != "before commit")

    async def recover() -> None:
        clock = VirtualClock()
        broker = surviving(ledger, clock)
        node = attrs.evolve(NODE, incarnation="incarnation-2")
        async with floor(tmp_path, broker=broker, clock=clock, node=node) as desk:
            arrived = {key for _, _, key in ledger}
            for number in range(COUNT):
                key = f"key-{number}"
                ticket = await desk.orders.submit(buy(key))
                await desk.settle()
                unsent = key == FATAL and seam in ("after commit", "before send")
                assert ticket.state is (OrderState.UNKNOWN if unsent else OrderState.ACCEPTED)
            sent = [m.order.key for kind, what in broker.sent for m in what]  # type: ignore[attr-defined]
            assert not arrived & set(sent), "what had arrived is not sent again"
            assert sent == ([FATAL] if seam == "before commit" else [])
            used = {number for _, number, _ in ledger}
            fresh = await desk.orders.submit(buy("fresh"))
            assert desk.orders._live(fresh.key).order_id not in used

    run(recover())
