"""Every fault of a connection and of a message, as a real client sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from alluse_gateway.server import SimulatedGateway
from gateway_lab import AAPL, START, RawClient, client, library, make_exchange, opened, quote, until

from alluse_core.errors import UsageError

Story = Callable[[SimulatedGateway], Awaitable[None]]


def run(story: Story, **more: Any) -> None:
    async def whole() -> None:
        async with SimulatedGateway(make_exchange(), **more) as gateway:
            await story(gateway)

    asyncio.run(asyncio.wait_for(whole(), 20))


@asynccontextmanager
async def trader(gateway: SimulatedGateway) -> AsyncIterator[tuple[Any, Any, Any]]:
    """Yield (ib, its library, the AAPL contract)."""
    lib = library("ib_insync")
    async with client("ib_insync", gateway) as ib:
        (contract,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
        yield ib, lib, contract


@pytest.mark.parametrize("size", [1, 3, 7])
def test_messages_split_into_segments_of_a_few_bytes_are_read_whole(size: int) -> None:
    async def story(gateway: SimulatedGateway) -> None:
        gateway.control.split(size)
        async with trader(gateway) as (ib, lib, contract):
            order = ib.placeOrder(contract, lib.MarketOrder("BUY", 10))
            await until(lambda: order.orderStatus.status == "Filled", "the fill")
            assert [each.execution.shares for each in order.fills] == [10]

    run(story)


def test_messages_can_be_gathered_into_one_segment() -> None:
    async def story(gateway: SimulatedGateway) -> None:
        raw = await RawClient.connect(gateway)
        await raw.error(2158)
        gateway.control.coalesce(0.05)
        for _ in range(5):
            raw.send(49, 1)
            await asyncio.sleep(0)
        first = await raw.reader.read(65536)
        assert first.count(b"49\x001\0") == 5  # the time that follows can itself end in 49
        raw.close()
        await raw.writer.wait_closed()

    run(story)


@pytest.mark.parametrize("how", ["length", "noise"])
def test_a_client_whose_framing_is_lost_stays_connected_and_hears_nothing(how: str) -> None:
    async def story(gateway: SimulatedGateway) -> None:
        async with trader(gateway) as (ib, _, _):
            assert gateway.control.desync(1, how) == 1
            for _ in range(2):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(ib.reqCurrentTimeAsync(), 0.1)
            assert ib.isConnected()
            (entry,) = gateway.ledger.of("tampered")
            assert (entry["client_id"], entry["act"], entry["kind"]) == (1, how, 49)

    run(story)


def test_half_a_frame_garbles_what_follows_it() -> None:
    async def story(gateway: SimulatedGateway) -> None:
        raw = await RawClient.connect(gateway)
        await raw.error(2158)
        gateway.control.desync(1, "cut")
        for _ in range(2):
            raw.send(49, 1)
        whole = len(b"xxxx49\x001\x001700000000\0")
        assert len(await raw.reader.readexactly(whole // 2 + whole)) < 2 * whole
        raw.close()
        await raw.writer.wait_closed()

    run(story)


def test_a_black_hole_accepts_connections_and_answers_none() -> None:
    async def story(gateway: SimulatedGateway) -> None:
        gateway.control.black_hole()
        reader, writer = await opened(gateway.port)
        writer.write(b"API\0\0\0\0\x09v157..176")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        assert gateway.ledger.of("swallowed")
        writer.close()
        await writer.wait_closed()
        gateway.control.black_hole(False)
        async with trader(gateway) as (ib, _, _):
            assert await ib.reqCurrentTimeAsync()

    run(story)


def test_a_black_hole_that_hears_takes_orders_in_silence() -> None:
    async def story(gateway: SimulatedGateway) -> None:
        async with trader(gateway) as (ib, lib, contract):
            gateway.control.black_hole(deaf=False)
            order = ib.placeOrder(contract, lib.MarketOrder("BUY", 10, orderRef="x"))
            await until(lambda: gateway.ledger.of("fill"), "the fill at the exchange")
            assert order.orderStatus.status == "PendingSubmit"

    run(story)


def test_a_client_id_can_be_refused_although_it_is_free() -> None:
    async def story(gateway: SimulatedGateway) -> None:
        gateway.control.refuse_id(1, 2)
        for _ in range(2):
            raw = await RawClient.connect(gateway, client_id=None)
            raw.send(71, 2, 1, "")
            assert (await raw.read())[3] == "326"
            assert await raw.rest() == b""
            raw.close()
        async with trader(gateway) as (ib, _, _):
            assert ib.isConnected()
        gateway.control.refuse_id(1)
        gateway.control.refuse_id(1, 0)
        async with trader(gateway) as (ib, _, _):
            assert [each["code"] for each in gateway.ledger.of("refuse")] == [326, 326]

    run(story)


@pytest.mark.parametrize("names", [["DU1"], ["DU1", "DU2", "DU3"]])
def test_a_client_is_told_the_accounts_that_the_fault_names(names: list[str]) -> None:
    async def story(gateway: SimulatedGateway) -> None:
        gateway.control.accounts(names)
        async with trader(gateway) as (ib, _, _):
            assert ib.managedAccounts() == names
        gateway.control.accounts()
        async with trader(gateway) as (ib, _, _):
            assert ib.managedAccounts() == ["DU1000001", *names]

    run(story)


def test_a_client_that_is_told_no_account_is_never_ready() -> None:
    async def story(gateway: SimulatedGateway) -> None:
        gateway.control.accounts([])
        with pytest.raises(TimeoutError):
            async with client("ib_insync", gateway, timeout=0.2):
                pass
        assert gateway.ledger.of("start")

    run(story)


def test_the_clock_that_clients_are_told_can_be_wrong() -> None:
    async def story(gateway: SimulatedGateway) -> None:
        async with trader(gateway) as (ib, _, _):
            right = await ib.reqCurrentTimeAsync()
            gateway.control.clock_skew(-3600)
            wrong = await ib.reqCurrentTimeAsync()
            assert 3595 < (right - wrong).total_seconds() <= 3600

    run(story)


def test_a_client_killed_for_pacing_hears_100_and_is_closed() -> None:
    async def story(gateway: SimulatedGateway) -> None:
        async with trader(gateway) as (ib, _, _):
            codes: list[int] = []
            ib.errorEvent += lambda _, code, *rest: codes.append(code)
            assert gateway.control.pacing_kill(1) == 1
            await until(lambda: not ib.isConnected(), "the end")
            assert codes == [100]
            await until(lambda: gateway.ledger.of("disconnect"), "the ledger's entry")
            assert "message rate" in gateway.ledger.of("disconnect")[-1]["reason"]

    run(story)


def test_the_message_rate_can_be_tightened_while_clients_are_connected() -> None:
    async def story(gateway: SimulatedGateway) -> None:
        async with trader(gateway) as (ib, _, _):
            gateway.control.pacing(3, violations=1)
            for _ in range(10):
                ib.client.reqCurrentTime()
            await until(lambda: not ib.isConnected(), "the end")
            assert gateway.ledger.of("rate")

    run(story)


def test_a_restart_drops_sockets_refuses_connections_and_rolls_ids_back() -> None:
    async def story(gateway: SimulatedGateway) -> None:
        async with trader(gateway) as (ib, lib, contract):
            order = ib.placeOrder(contract, lib.LimitOrder("BUY", 1, 90.0))
            await until(lambda: order.orderStatus.status == "Submitted", "the ack")
            number = order.order.orderId
            away = asyncio.ensure_future(gateway.control.restart(0.1, roll_back=1))
            await until(lambda: not ib.isConnected(), "the end")
            with pytest.raises(ConnectionError):
                await asyncio.open_connection("127.0.0.1", gateway.port)
            await away
        async with client("ib_insync", gateway) as ib:
            # The library asks for open orders by itself: the order is alive.
            assert [each.order.orderId for each in ib.openTrades()] == [number]
        assert gateway.ledger.of("start")[-1]["next_order_id"] == number

    run(story)


@pytest.mark.parametrize(("data_lost", "code"), [(False, 1102), (True, 1101)])
def test_a_nightly_reset_keeps_the_socket(data_lost: bool, code: int) -> None:
    async def story(gateway: SimulatedGateway) -> None:
        async with trader(gateway) as (ib, _, _):
            codes: list[int] = []
            ib.errorEvent += lambda _, code, *rest: codes.append(code)
            await gateway.control.reset(0.02, data_lost)
            await until(lambda: len(codes) == 2, "both notices")
            assert codes == [1100, code]
            assert ib.isConnected()

    run(story)


def test_an_ack_can_be_lost_while_the_order_lives() -> None:
    async def story(gateway: SimulatedGateway) -> None:
        async with trader(gateway) as (ib, lib, contract):
            gateway.control.lose(["openOrder", 3], 2)
            order = ib.placeOrder(contract, lib.LimitOrder("BUY", 1, 90.0))
            await until(lambda: gateway.ledger.of("ack"), "the exchange")
            await ib.reqCurrentTimeAsync()
            assert order.orderStatus.status == "PendingSubmit"
            assert [each["act"] for each in gateway.ledger.of("tampered")] == ["lose", "lose"]

    run(story)


def test_each_second_message_of_a_kind_can_be_lost() -> None:
    async def story(gateway: SimulatedGateway) -> None:
        async with trader(gateway) as (ib, lib, contract):
            gateway.control.lose(["openOrder"], count=2, one_in=2)
            heard = _news(ib)
            for _ in range(6):
                ib.placeOrder(contract, lib.LimitOrder("BUY", 1, 90.0))
            await until(lambda: len(gateway.ledger.of("ack")) == 6, "the exchange")
            await ib.reqCurrentTimeAsync()
            lost = [each["kind"] for each in gateway.ledger.of("tampered")]
            told = [each[0] for each in heard].count("5")
            assert lost == [5, 5]
            assert told >= 6 - 2
            assert gateway.ledger.of("inject")[0]["one_in"] == 2

    run(story)


def test_news_told_twice_is_one_fill() -> None:
    async def story(gateway: SimulatedGateway) -> None:
        async with trader(gateway) as (ib, lib, contract):
            gateway.control.duplicate(["orderStatus", "execDetails"], 10)
            heard = _news(ib)
            order = ib.placeOrder(contract, lib.MarketOrder("BUY", 10))
            await until(lambda: order.orderStatus.status == "Filled", "the fill")
            assert [each[0] for each in heard].count("11") == 2
            assert [each.execution.shares for each in order.fills] == [10]
            assert len(gateway.ledger.of("fill")) == 1

    run(story)


def test_a_commission_can_be_late_or_missing() -> None:
    async def story(gateway: SimulatedGateway) -> None:
        async with trader(gateway) as (ib, lib, contract):
            gateway.control.delay(["commissionReport"], 0.1)
            late = ib.placeOrder(contract, lib.MarketOrder("BUY", 10))
            await until(lambda: late.orderStatus.status == "Filled", "the fill")
            await ib.reqCurrentTimeAsync()
            assert not late.fills[0].commissionReport.execId
            await until(lambda: late.fills[0].commissionReport.execId, "the late report")
            gateway.control.lose(["commissionReport"])
            never = ib.placeOrder(contract, lib.MarketOrder("BUY", 10))
            await until(lambda: never.orderStatus.status == "Filled", "the fill")
            await ib.reqCurrentTimeAsync()
            assert not never.fills[0].commissionReport.execId
            assert len(gateway.ledger.of("fill")) == 2

    run(story)


def _news(ib: Any) -> list[list[str]]:
    """Return a list that gets every message about orders as it comes."""
    heard: list[list[str]] = []
    interpret = ib.client.decoder.interpret

    def listening(fields: list[str]) -> None:
        if fields[0] in ("3", "5", "11", "59"):
            heard.append(fields)
        interpret(fields)

    ib.client.decoder.interpret = listening
    return heard


def test_an_execution_can_be_told_before_the_order_was() -> None:
    async def story(gateway: SimulatedGateway) -> None:
        async with trader(gateway) as (ib, lib, contract):
            heard = _news(ib)
            gateway.control.executions_first()
            order = ib.placeOrder(contract, lib.MarketOrder("BUY", 10))
            await until(lambda: order.orderStatus.status == "Filled", "the fill")
            assert [each[0] for each in heard][:3] == ["11", "5", "3"]

    run(story)


def test_old_news_can_come_after_new() -> None:
    async def story(gateway: SimulatedGateway) -> None:
        async with trader(gateway) as (ib, lib, contract):
            heard = _news(ib)
            gateway.control.reorder(["orderStatus"])
            ib.placeOrder(contract, lib.MarketOrder("BUY", 10))
            await until(lambda: "59" in [each[0] for each in heard], "the last of it")
            said = [each[2] for each in heard if each[0] == "3"]
            assert said[:2] == ["Filled", "PreSubmitted"]

    run(story)


def test_rules_that_are_not_used_up_can_be_dropped() -> None:
    async def story(gateway: SimulatedGateway) -> None:
        async with trader(gateway) as (ib, lib, contract):
            gateway.control.lose(["openOrder", "orderStatus"], 100)
            gateway.control.tamper_no_more()
            order = ib.placeOrder(contract, lib.LimitOrder("BUY", 1, 90.0))
            await until(lambda: order.orderStatus.status == "Submitted", "the ack")

    run(story)


@pytest.mark.parametrize("told", ["PreSubmitted", "Submitted"])
def test_an_order_can_be_rejected_after_it_was_taken(told: str) -> None:
    async def story(gateway: SimulatedGateway) -> None:
        async with trader(gateway) as (ib, lib, contract):
            gateway.control.reject(1, 201, "Order rejected - reason:margin", told)
            order = ib.placeOrder(contract, lib.LimitOrder("BUY", 1, 90.0, orderRef="a"))
            await until(lambda: gateway.ledger.of("reject"), "the rejection")
            (entry,) = gateway.ledger.of("reject")
            assert (entry["order_ref"], entry["code"]) == ("a", 201)
            assert entry["perm_id"]
            await until(lambda: order.orderStatus.status == "Inactive", "the word")
            said = [each.status for each in order.log]
            assert said[:2] == ["PendingSubmit", told]
            assert not gateway.exchange.open_orders()
            assert not gateway.ledger.of("canceled")

    run(story)


def test_a_fill_during_the_nightly_reset_is_told_after_it() -> None:
    async def story(gateway: SimulatedGateway) -> None:
        async with trader(gateway) as (ib, lib, contract):
            order = ib.placeOrder(contract, lib.LimitOrder("BUY", 10, 99.0))
            await until(lambda: order.orderStatus.status == "Submitted", "the ack")
            away = asyncio.ensure_future(gateway.control.reset(0.1))
            await until(lambda: gateway.faults.link_lost, "1100")
            quote(gateway.exchange, AAPL, 98.0, 98.5, at=START + 1)
            await until(lambda: gateway.ledger.of("fill"), "the fill")
            assert order.orderStatus.status == "Submitted"
            await away
            await until(lambda: order.orderStatus.status == "Filled", "the late news")

    run(story)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("split", {"size": -1}),
        ("coalesce", {"seconds": -1}),
        ("desync", {"how": "cutt"}),
        ("refuse_id", {"client": 1, "count": -1}),
        ("clock_skew", {"seconds": 1e9}),
        ("pacing", {"limit": -1}),
        ("restart", {"seconds": -1}),
        ("restart", {"seconds": 0, "roll_back": -1}),
        ("reset", {"seconds": 1e9}),
        ("lose", {"kinds": []}),
        ("lose", {"kinds": ["orderStaus"]}),
        ("lose", {"kinds": [3], "one_in": 0}),
        ("duplicate", {"kinds": [3], "count": 0}),
        ("reject", {"told": "Submited"}),
    ],
)
def test_arguments_that_cannot_be_meant_change_nothing(
    name: str, arguments: dict[str, Any]
) -> None:
    async def story(gateway: SimulatedGateway) -> None:
        with pytest.raises(UsageError):
            await gateway.control.command({"do": name, **arguments})
        assert not gateway.ledger.of("inject")

    run(story)
