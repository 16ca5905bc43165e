"""The truth of every order, folded from the ledger in memory and from its file."""

from __future__ import annotations

import ast
import asyncio
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import alluse_gateway
import pytest
from alluse_gateway import truth
from alluse_gateway.cli import command
from alluse_gateway.ledger_events import EVENTS
from alluse_gateway.server import SimulatedGateway
from click.testing import CliRunner
from gateway_lab import client, library, make_exchange, until

from alluse_core.errors import StateError

SOURCES = Path(alluse_gateway.__file__).parent


def trade(path: Path) -> tuple[truth.OrderTruth, ...]:
    """Let five orders end in five ways; write the ledger to ``path`` and return its truth."""

    async def story() -> tuple[truth.OrderTruth, ...]:
        lib = library("ib_insync")
        gateway = SimulatedGateway(make_exchange(), ledger_path=path)
        async with gateway, client("ib_insync", gateway) as ib:
            (aapl,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
            ib.placeOrder(aapl, lib.MarketOrder("BUY", 100, orderRef="filled"))
            part = ib.placeOrder(aapl, lib.LimitOrder("BUY", 5000, 100.1, orderRef="part"))
            await until(lambda: part.orderStatus.filled, "the first part")
            gone = ib.placeOrder(aapl, lib.LimitOrder("BUY", 1, 90.0, orderRef="gone"))
            await until(lambda: gone.orderStatus.status == "Submitted", "the ack")
            gone.order.lmtPrice = 91.0
            ib.placeOrder(aapl, gone.order)
            await until(lambda: gateway.ledger.of("replaced"), "the change")
            ib.cancelOrder(gone.order)
            await until(lambda: gone.orderStatus.status == "Cancelled", "the cancel")
            gateway.control.reject(1, 201, "no")
            ib.placeOrder(aapl, lib.LimitOrder("BUY", 1, 90.0, orderRef="never"))
            await until(lambda: gateway.ledger.of("reject"), "the rejection")
            gateway.control.reject(1, 201, "later", "Submitted")
            ib.placeOrder(aapl, lib.LimitOrder("BUY", 1, 90.0, orderRef="taken back"))
            await until(lambda: len(gateway.ledger.of("reject")) == 2, "both rejections")
            gateway.control.manual_order("AAPL", "SELL", 7)
            await until(lambda: len(gateway.ledger.of("fill")) == 3, "the manual fill")
            assert gateway.ledger.positions() == {
                ("DU1000001", "AAPL"): sum(
                    (each.filled for each in gateway.ledger.orders()[:2]), Decimal(-7)
                )
            }
            return gateway.ledger.orders()

    return asyncio.run(asyncio.wait_for(story(), 20))


def test_every_order_is_told_with_its_terms_its_fills_and_its_state(tmp_path: Path) -> None:
    orders = trade(tmp_path / "ledger.jsonl")
    by_ref = {each.order_ref: each for each in orders}
    assert {ref: each.state for ref, each in by_ref.items()} == {
        "filled": "FILLED",
        "part": "PARTIALLY_FILLED",
        "gone": "CANCELED",
        "never": "REJECTED",
        "taken back": "REJECTED",
        "": "FILLED" if by_ref[""].quantity else "PARTIALLY_FILLED",
    }
    filled = by_ref["filled"]
    assert (filled.side, filled.quantity, filled.filled) == ("BUY", 100, 100)
    assert filled.average_price == Decimal("100.1")
    assert filled.executions[0].commission > 0
    assert (by_ref["gone"].limit_price, by_ref["gone"].cancel_asked) == (Decimal(91), True)
    assert (by_ref["never"].perm_id, by_ref["never"].reason) == (0, "no")
    assert by_ref["taken back"].perm_id
    assert (by_ref[""].client_id, by_ref[""].filled) == (0, 7)


def test_the_file_tells_the_same_as_the_object(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    told = trade(path)
    read = truth.orders(truth.read(path))
    assert [(each.order_ref, each.state, each.executions) for each in read] == [
        (each.order_ref, each.state, each.executions) for each in told
    ]


def test_the_reader_prints_a_table_and_json(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    trade(path)
    shown = CliRunner().invoke(command, ["ledger", str(path)])
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    assert lines[0].split()[:4] == ["client", "order", "permId", "orderRef"]
    (gone,) = [each for each in lines if " gone " in each]
    assert "BUY 1 AAPL LMT 91" in gone
    assert "CANCELED" in gone
    document = json.loads(CliRunner().invoke(command, ["ledger", str(path), "--json"]).output)
    assert [each["order_ref"] for each in document["orders"]][:2] == ["filled", "part"]
    assert document["positions"][0]["symbol"] == "AAPL"


@pytest.mark.parametrize("text", ["nonsense\n{}\n", '{"seq": 2, "event": "listen"}\n', "[1]\n"])
def test_a_file_that_is_no_ledger_is_one_clear_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text(text, "utf-8")
    with pytest.raises(StateError, match=r"line 1 of .* is no entry"):
        truth.read(path)
    with pytest.raises(StateError, match="cannot be read"):
        truth.read(tmp_path / "none")


def test_a_last_line_cut_by_a_kill_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"seq": 1, "at": 1.0, "event": "listen", "port": 1}\n{"seq": 2, "ev', "utf-8")
    assert [each["event"] for each in truth.read(path)] == ["listen"]


def test_a_ledger_that_dropped_entries_does_not_pretend_to_know_all() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange(), ledger_keep=2) as gateway:
            for _ in range(3):
                gateway.control.latency(0)
            with pytest.raises(StateError, match="kept 2 of 4 entries"):
                gateway.ledger.orders()

    asyncio.run(story())


def test_a_corrected_execution_is_told_as_it_stands_now() -> None:
    async def story() -> None:
        lib = library("ib_insync")
        gateway = SimulatedGateway(make_exchange())
        async with gateway, client("ib_insync", gateway) as ib:
            (aapl,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
            ib.placeOrder(aapl, lib.MarketOrder("BUY", 100))
            await until(lambda: gateway.ledger.of("fill"), "the fill")
            for count, quantity in enumerate((90, 80), 1):
                gateway.control.correct(quantity=quantity)
                await until(lambda n=count: len(gateway.ledger.of("correction")) == n, "it")
            (order,) = gateway.ledger.orders()
            (execution,) = gateway.ledger.executions()
            assert order.executions == (execution,)
            assert (order.filled, execution.quantity) == (80, 80)
            assert gateway.ledger.positions() == {("DU1000001", "AAPL"): Decimal(80)}

    asyncio.run(asyncio.wait_for(story(), 20))


def _notes() -> Iterator[tuple[str, str, set[str]]]:
    """Yield (file, event, facts) of every note that the sources write with a literal name."""
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            first = node.args[0] if node.args else None
            named = isinstance(first, ast.Constant) and isinstance(first.value, str)
            if node.func.attr == "note" and named:
                assert isinstance(first, ast.Constant)
                yield path.name, str(first.value), {each.arg or "" for each in node.keywords} - {""}


def test_every_event_that_is_noted_is_described_with_its_facts() -> None:
    noted: dict[str, Any] = {}
    for file, event, facts in _notes():
        assert event in EVENTS, f"{file} notes {event!r}: describe it in ledger_events.py"
        assert EVENTS[event].open or facts <= set(EVENTS[event].facts), (file, event, facts)
        noted[event] = file
    assert {"place", "placed", "reject", "start", "inject", "scenario"} <= set(noted)
