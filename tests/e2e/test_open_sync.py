"""The runtime for code without an event loop."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import attrs
import pytest

import alluse_core as alluse
from alluse_core import Instrument, Order, OrderState, Side
from alluse_core.errors import (
    OrderDenied,
    OrderError,
    OrderNotFound,
    RuntimeClosed,
    StateLocked,
    UsageError,
)
from alluse_core.orders.breaker import BreakerState
from alluse_core.orders.journal import Journal
from alluse_core.orders.states import CommandState
from alluse_core.ports import TradingState

SETTINGS: dict[str, Any] = {
    "brokers": {"main": {"provider": "paper", "enforce_hours": False}},
    "orders": {"default_broker": "main"},
}


@pytest.mark.slow
def test_a_plain_script_reads_trades_and_reports(tmp_path: Path) -> None:
    threads = set(threading.enumerate())
    aapl = Instrument.stock("AAPL")
    with alluse.open_sync(SETTINGS, state=tmp_path) as runtime:
        quote = runtime.quotes.get(aapl, max_age=1.0)
        assert quote.bid < quote.ask
        assert runtime.quotes.cached(aapl) is not None
        stream = runtime.quotes.stream(aapl)
        assert next(stream).instrument == aapl
        stream.close()
        rest = Order.limit(aapl, Side.BUY, 10, f"{quote.bid * 0.98:.2f}", key="sync/rest")
        ticket = runtime.orders.submit(rest)
        assert ticket.key == "sync/rest"
        changed = runtime.orders.modify("sync/rest", limit_price=f"{quote.bid * 0.97:.2f}")
        assert changed.outcome(timeout=10) is CommandState.CONFIRMED
        assert [each.key for each in runtime.orders.increasing()] == ["sync/rest"]
        assert runtime.orders.cancel("sync/rest").key == "sync/rest"
        assert ticket.outcome(timeout=10).state is OrderState.CANCELED
        buy = Order.limit(aapl, Side.BUY, 4, f"{quote.ask * 1.01:.2f}", key="sync/buy")
        assert runtime.orders.submit(buy).outcome(timeout=10).state is OrderState.FILLED
        assert [(row.instrument, row.quantity) for row in runtime.positions().rows] == [(aapl, 4)]
        assert runtime.orders.get("sync/buy").known.filled == 4
        assert {each.key for each in runtime.orders.all()} == {"sync/rest", "sync/buy"}
        assert runtime.orders.reconcile("main").complete
        assert runtime.orders.breakers == {"main": BreakerState.CLOSED}
        runtime.orders.reduce("a test")
        assert (runtime.orders.state, runtime.orders.reason) == (TradingState.REDUCING, "a test")
        with pytest.raises(OrderDenied):
            runtime.orders.submit(attrs.evolve(buy, key="sync/more"))
        runtime.orders.resume("Ada")
        assert runtime.orders.approve("Ada") == ()
        with pytest.raises(OrderError, match="not UNKNOWN"):
            runtime.orders.resolve("sync/buy", OrderState.FILLED, "Ada")
        with pytest.raises(OrderError):
            runtime.orders.lift_canary("Ada")
        runtime.orders.close_breaker("main", "Ada")
        with pytest.raises(OrderNotFound):
            runtime.orders.get("sync/never")
        assert runtime.orders.flatten().still_open == ()
        assert runtime.positions().rows == ()
        written = runtime.report(tmp_path / "reports")
        assert {path.name for path in written} >= {"report.json", "summary.md", "dashboard.png"}
    assert {thread.name for thread in set(threading.enumerate()) - threads} == set()


def test_a_closed_runtime_says_so_and_code_in_its_loop_cannot_wait_for_it(tmp_path: Path) -> None:
    order = Order.limit(Instrument.stock("AAPL"), Side.BUY, 1, "100", key="late")
    with alluse.open_sync(SETTINGS, state=tmp_path) as runtime:
        loop = runtime.orders._loop
        with pytest.raises(UsageError, match="own loop"):
            loop.call(lambda: runtime.orders.submit(order))
    with pytest.raises(RuntimeClosed, match="closed"):
        runtime.orders.submit(order)
    with pytest.raises(RuntimeClosed, match="not entered again"), runtime:
        pass


def test_a_runtime_is_entered_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        runtime = alluse.open(SETTINGS, state=tmp_path)
        async with runtime:
            with pytest.raises(UsageError, match="open already"):
                await runtime.__aenter__()
            assert runtime.orders.state.value == "ACTIVE", "the first entry goes on"
        with pytest.raises(RuntimeClosed, match="not entered again") as told:
            await runtime.__aenter__()
        assert "alluse.open" in told.value.hint

    asyncio.run(scenario())


def test_a_start_that_failed_may_be_tried_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        first = alluse.open(SETTINGS, state=tmp_path)
        second = alluse.open(SETTINGS, state=tmp_path)
        async with first:
            with pytest.raises(StateLocked):
                await second.__aenter__()
        async with second:
            assert second.orders.state.value == "ACTIVE"

    asyncio.run(scenario())


def test_it_is_not_usable_before_it_is_entered(tmp_path: Path) -> None:
    runtime = alluse.open_sync(SETTINGS, state=tmp_path)
    with pytest.raises(alluse.AllUseError, match="not open"):
        runtime.report(tmp_path)


_SCRIPT = """
import sys
import alluse_core as alluse
from alluse_core import Instrument, Order, Side

settings = {
    "brokers": {"main": {"provider": "paper", "enforce_hours": False}},
    "orders": {"default_broker": "main"},
}
with alluse.open_sync(settings, state=sys.argv[1]) as runtime:
    aapl = Instrument.stock("AAPL")
    price = f"{runtime.quotes.get(aapl).bid * 0.98:.2f}"
    ticket = runtime.orders.submit(Order.limit(aapl, Side.BUY, 1, price, key="waits"))
    print("waiting", flush=True)
    ticket.outcome(timeout=60)
"""


@pytest.mark.slow
def test_ctrl_c_ends_a_waiting_script_and_its_journal_is_whole(
    tmp_path: Path, alluse_command
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=100)
    assert process.returncode in (-signal.SIGINT, 130), errors
    assert errors.strip().endswith("KeyboardInterrupt")
    assert "never retrieved" not in errors
    verified = alluse_command("journal", "verify", "--out", str(tmp_path), "--json")
    assert verified.returncode == 0, verified.stderr


def test_ctrl_c_while_a_cancel_is_written_down_does_not_keep_it_from_being_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, writing, write = threading.Event(), threading.Event(), Journal._write
    disk.set()

    def written(journal: Journal, rows: Any) -> None:
        if not disk.is_set():
            writing.set()
        disk.wait(20)
        write(journal, rows)

    monkeypatch.setattr(Journal, "_write", written)
    main, aapl = threading.main_thread().ident, Instrument.stock("AAPL")
    assert main is not None
    with alluse.open_sync(SETTINGS, state=tmp_path) as runtime:
        price = f"{runtime.quotes.get(aapl).bid * 0.98:.2f}"
        ticket = runtime.orders.submit(Order.limit(aapl, Side.BUY, 1, price, key="rest"))
        ticket.outcome(timeout=0.3)
        disk.clear()

        def interrupt() -> None:
            assert writing.wait(20)
            signal.pthread_kill(main, signal.SIGINT)

        threading.Thread(target=interrupt).start()
        try:
            with pytest.raises(KeyboardInterrupt):
                runtime.orders.cancel("rest")
        finally:
            disk.set()
        assert ticket.outcome(timeout=10).state is OrderState.CANCELED
