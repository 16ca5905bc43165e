"""Faults on demand, and the ledger that says what was true meanwhile."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from alluse_gateway.control import COMMANDS, Control
from alluse_gateway.server import SimulatedGateway
from gateway_lab import AAPL, START, client, library, make_exchange, opened, quote, run, until

from alluse_core.errors import StateError, UsageError


@asynccontextmanager
async def trader(gateway: SimulatedGateway) -> AsyncIterator[tuple[Any, Any, Any]]:
    """Yield (ib, its library, the AAPL contract)."""
    lib = library("ib_insync")
    async with client("ib_insync", gateway) as ib:
        (contract,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
        yield ib, lib, contract


def test_fills_that_happen_while_the_link_is_lost_are_told_after_it_is_restored() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway, trader(gateway) as (ib, lib, contract):
            codes: list[int] = []
            ib.errorEvent += lambda _, code, *rest: codes.append(code)
            resting = ib.placeOrder(contract, lib.LimitOrder("BUY", 10, 99.0))
            await until(lambda: resting.orderStatus.status == "Submitted", "the ack")
            gateway.control.broadcast(1100)
            await until(lambda: 1100 in codes, "1100")
            quote(exchange, AAPL, 98.0, 98.5, at=START + 1)
            await until(lambda: gateway.ledger.of("fill"), "the fill at the exchange")
            later = ib.placeOrder(contract, lib.LimitOrder("BUY", 1, 90.0))
            await ib.reqCurrentTimeAsync()
            assert resting.orderStatus.status == "Submitted"
            assert later.orderStatus.status == "PendingSubmit"
            assert not gateway.ledger.of("placed")[1:]
            gateway.control.broadcast(1102)
            await until(lambda: resting.orderStatus.status == "Filled", "the late news")
            await until(lambda: later.orderStatus.status == "Submitted", "the deferred order")

    run(story)


def test_after_1101_market_data_must_be_asked_for_again_and_after_1102_not() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with (
            SimulatedGateway(exchange, sampling=0) as gateway,
            trader(gateway) as (ib, _, contract),
        ):
            ticker = ib.reqMktData(contract)
            await until(lambda: ticker.bid == 100.0, "the first quote")
            for code, expected in ((1102, 101.0), (1101, 101.0)):
                gateway.control.broadcast(1100)
                quote(exchange, AAPL, 101.0, 101.1, at=START + 1)
                gateway.control.broadcast(code)
                await until(lambda e=expected: ticker.bid == e, "the quote after 1102")
            quote(exchange, AAPL, 102.0, 102.1, at=START + 2)
            await ib.reqCurrentTimeAsync()
            assert ticker.bid == 101.0

    run(story)


def test_a_broken_market_farm_stops_ticks_until_it_is_mended() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with (
            SimulatedGateway(exchange, sampling=0) as gateway,
            trader(gateway) as (ib, _, contract),
        ):
            ticker = ib.reqMktData(contract)
            await until(lambda: ticker.bid == 100.0, "the first quote")
            gateway.control.broadcast(2103)
            quote(exchange, AAPL, 101.0, 101.1, at=START + 1)
            await ib.reqCurrentTimeAsync()
            assert ticker.bid == 100.0
            gateway.control.broadcast(2104)
            await until(lambda: ticker.bid == 101.0, "the quote after 2104")

    run(story)


def test_the_next_orders_can_be_rejected_with_any_code() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway, trader(gateway) as (ib, lib, aapl):
            told: list[tuple[int, int, str]] = []
            ib.errorEvent += lambda number, code, text, *_: told.append((number, code, text))
            gateway.control.reject(1, 201, "Order rejected - reason:told to")
            refused = ib.placeOrder(aapl, lib.LimitOrder("BUY", 1, 90.0, orderRef="a"))
            taken = ib.placeOrder(aapl, lib.LimitOrder("BUY", 1, 90.0, orderRef="b"))
            await until(lambda: taken.orderStatus.status == "Submitted", "the second")
            number = refused.order.orderId
            assert (number, 201, "Order rejected - reason:told to") in told
            (entry,) = gateway.ledger.of("reject")
            assert (entry["order_ref"], entry["code"]) == ("a", 201)

    run(story)


def test_partial_fills_are_told_one_by_one() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway, trader(gateway) as (ib, lib, contract):
            gateway.control.partial_fills(1, "0.3")
            order = ib.placeOrder(contract, lib.LimitOrder("BUY", 100, 100.1))
            await until(lambda: order.orderStatus.filled == 30, "the first part")
            assert order.orderStatus.status == "Submitted"
            assert order.orderStatus.remaining == 70
            quote(exchange, AAPL, 100.0, 100.1, size=500, at=START + 1)
            await until(lambda: order.orderStatus.status == "Filled", "the rest")
            assert [fill.execution.cumQty for fill in order.fills] == [30, 100]
            fills = gateway.ledger.of("fill")
            assert [int(entry["quantity"]) for entry in fills] == [30, 70]

    run(story)


def test_partial_fills_happen_in_a_market_that_moves_meanwhile() -> None:
    async def story() -> None:
        exchange = make_exchange(latency_ms=20)
        async with SimulatedGateway(exchange) as gateway, trader(gateway) as (ib, lib, contract):
            gateway.control.partial_fills(1, "0.5")
            order = ib.placeOrder(contract, lib.MarketOrder("SELL", 100))
            await until(lambda: gateway.ledger.of("placed"), "the order on its way")
            for step in range(3):
                quote(exchange, AAPL, 100.0, 100.1, size=700.0 + step, at=START + 1)
            await until(lambda: order.fills, "the first part")
            assert order.fills[0].execution.shares == 50
            quote(exchange, AAPL, 100.0, 100.1, size=500, at=START + 2)
            await until(lambda: order.orderStatus.status == "Filled", "the rest")

    run(story)


def test_acks_can_be_late_while_other_answers_are_not() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway, trader(gateway) as (ib, lib, aapl):
            gateway.control.delay_acks(0.15)
            order = ib.placeOrder(aapl, lib.LimitOrder("BUY", 1, 90.0))
            await until(lambda: gateway.ledger.of("ack"), "the exchange")
            await ib.reqCurrentTimeAsync()
            assert order.orderStatus.status == "PendingSubmit"
            await until(lambda: order.orderStatus.status == "Submitted", "the late ack")

    run(story)


def test_muted_kinds_are_not_sent_and_the_ledger_says_so() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway, trader(gateway) as (ib, lib, aapl):
            gateway.control.mute([3, 5])
            order = ib.placeOrder(aapl, lib.LimitOrder("BUY", 1, 90.0))
            await until(lambda: len(gateway.ledger.of("muted")) == 2, "the muted answers")
            await ib.reqCurrentTimeAsync()
            assert order.orderStatus.status == "PendingSubmit"
            gateway.control.mute([])
            await ib.reqOpenOrdersAsync()
            assert order.orderStatus.status == "Submitted"

    run(story)


def test_a_half_open_connection_stays_and_says_nothing() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway, trader(gateway) as (ib, _, _):
            assert gateway.control.half_open(1) == 1
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(ib.reqCurrentTimeAsync(), 0.1)
            assert ib.isConnected()

    run(story)


@pytest.mark.parametrize("abort", [False, True])
def test_a_dropped_client_is_disconnected_and_its_order_lives(abort: bool) -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway, trader(gateway) as (ib, lib, aapl):
            order = ib.placeOrder(aapl, lib.LimitOrder("BUY", 1, 90.0))
            await until(lambda: order.orderStatus.status == "Submitted", "the ack")
            assert gateway.control.drop(1, abort=abort) == 1
            await until(lambda: not ib.isConnected(), "the end")
            assert len(gateway.exchange.open_orders()) == 1

    run(story)


def test_latency_delays_every_answer_and_keeps_their_order() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway, trader(gateway) as (ib, _, _):
            gateway.control.latency(0.1)
            started = asyncio.get_running_loop().time()
            slow = asyncio.ensure_future(ib.reqCurrentTimeAsync())
            await asyncio.sleep(0.02)
            gateway.control.latency(0.0)
            await slow
            assert asyncio.get_running_loop().time() - started >= 0.1

    run(story)


def test_listening_can_pause_and_resume_on_the_same_port() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway, trader(gateway) as (ib, _, _):
            await gateway.control.pause_listening()
            with pytest.raises(ConnectionError):
                await asyncio.open_connection("127.0.0.1", gateway.port)
            assert await ib.reqCurrentTimeAsync()
            await gateway.control.resume_listening()
            async with client("ib_insync", gateway, 5):
                assert gateway.control.status()["clients"] == [1, 5]

    run(story)


def test_order_ids_can_be_rolled_back_as_a_restart_does() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            async with trader(gateway) as (ib, lib, aapl):
                order = ib.placeOrder(aapl, lib.LimitOrder("BUY", 1, 90.0))
                await until(lambda: order.orderStatus.status == "Submitted", "the ack")
            gateway.control.next_order_id(1, 2)
            assert gateway.desks.orders.book.next_id(1) == 2

    run(story)


def test_the_control_port_takes_one_json_object_a_line() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange(), control_port=0) as gateway:
            assert gateway.control_port
            reader, writer = await opened(gateway.control_port)

            async def ask(line: bytes) -> dict[str, Any]:
                writer.write(line + b"\n")
                answer: dict[str, Any] = json.loads(await reader.readline())
                return answer

            assert await ask(b'{"do": "reject", "count": 2, "code": 201, "text": "no"}') == {
                "ok": True
            }
            status = await ask(b'{"do": "status"}')
            assert (status["rejecting"], status["port"]) == (2, gateway.port)
            (noted,) = (await ask(b'{"do": "ledger", "since": 1}'))["entries"]
            assert (noted["event"], noted["what"]) == ("inject", "reject")
            assert await ask(b'{"do": "drop"}') == {"ok": True, "connections": 0}
            assert "did you mean 'latency'" in (await ask(b'{"do": "latncy"}'))["error"]
            assert "error" in await ask(b'{"do": "latency", "seconds": -1}')
            assert "error" in await ask(b'{"do": "latency", "metres": 1}')
            assert "error" in await ask(b'{"do": "broadcast", "code": 7}')
            assert "error" in await ask(b"[1]")
            assert "error" in await ask(b"nonsense")
            writer.close()

    run(story)


ODD = (None, "x", "NaN", "", -1, 0, 1e300, 10**30, True, [], [None], {}, {"a": 1}, [1e300])


def odd_commands() -> Iterator[dict[str, Any]]:
    """Every argument of every command with every odd value; what waits for seconds waits for 0."""
    for do in COMMANDS:
        taken = list(inspect.signature(getattr(Control, do)).parameters)[1:]
        usual: dict[str, Any] = {"seconds": 0} if "seconds" in taken else {}
        yield from ({"do": do, **usual, name: value} for name in taken for value in ODD)


def test_no_odd_argument_ends_a_control_connection() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange(), control_port=0) as gateway:
            assert gateway.control_port
            reader, writer = await opened(gateway.control_port)
            refused = 0
            for request in odd_commands():
                writer.write(json.dumps(request).encode() + b"\n")
                line = await asyncio.wait_for(reader.readline(), 10)
                assert line, f"no answer to {request}"
                refused += "error" in json.loads(line)
            assert refused > 500
            writer.write(b"[" * 60_000 + b"\n")
            assert "not JSON" in json.loads(await reader.readline())["error"]
            writer.write(b'{"do": "restart", "seconds": "x"}\n')
            assert "seconds is float, not 'x'" in json.loads(await reader.readline())["error"]
            writer.close()

    run(story)


def test_a_gateway_that_stops_ends_its_control_connections_and_what_they_wait_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange(), control_port=0) as gateway:
            assert gateway.control_port
            idle, idle_writer = await opened(gateway.control_port)
            busy, busy_writer = await opened(gateway.control_port)
            busy_writer.write(b'{"do": "farm_flap", "seconds": 60}\n')
            await until(lambda: gateway.ledger.of("inject"), "the flap")
        assert await asyncio.wait_for(idle.read(), 5) == b""
        assert await asyncio.wait_for(busy.read(), 5) == b""
        idle_writer.close()
        busy_writer.close()

    run(story)
    assert not caplog.records


def test_wrong_control_arguments_change_nothing() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            for call in (
                lambda: gateway.control.close_at("versoin"),
                lambda: gateway.control.partial_fills(1, "2"),
                lambda: gateway.control.reject(-1),
            ):
                with pytest.raises(UsageError):
                    call()
            assert not gateway.ledger.of("inject")

    run(story)


def test_the_ledger_tells_an_orders_life_in_order_and_in_its_file(tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "ledger.jsonl"
        async with (
            SimulatedGateway(make_exchange(), ledger_path=path) as gateway,
            trader(gateway) as (ib, lib, aapl),
        ):
            order = ib.placeOrder(aapl, lib.MarketOrder("BUY", 100, orderRef="agent/1"))
            await until(lambda: order.orderStatus.status == "Filled", "the fill")
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
        life = [each["event"] for each in entries if each.get("order_ref") == "agent/1"]
        assert life == ["place", "placed", "ack", "fill"]
        fill = next(each for each in entries if each["event"] == "fill")
        assert (fill["quantity"], fill["price"], fill["perm_id"]) == (
            "100",
            "100.1",
            order.order.permId,
        )
        assert entries[-1]["event"] == "disconnect"

    run(story)


def test_a_bounded_ledger_keeps_the_newest_and_counts_all() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange(), ledger_keep=3) as gateway:
            for _ in range(10):
                gateway.control.latency(0)
            assert len(gateway.ledger) == 11
            assert [entry["seq"] for entry in gateway.ledger] == [9, 10, 11]

    run(story)


def test_a_second_gateway_does_not_empty_the_ledger_that_a_first_one_writes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.jsonl"

    async def story() -> None:
        async with SimulatedGateway(make_exchange(), ledger_path=path) as gateway:
            before = path.read_text()
            assert before
            with pytest.raises(StateError, match="another gateway"):
                SimulatedGateway(make_exchange(), port=gateway.port, ledger_path=path)
            assert path.read_text() == before
        # Whose ledger has ended is begun anew.
        async with SimulatedGateway(make_exchange(), ledger_path=path):
            assert len(path.read_text().splitlines()) == 1

    run(story)


def test_a_ledger_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot be written"):
        SimulatedGateway(make_exchange(), ledger_path=tmp_path / "none" / "ledger.jsonl")
