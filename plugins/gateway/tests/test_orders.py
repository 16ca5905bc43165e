"""Order messages as they go over the wire: their sequence, kinds and times in force."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alluse_gateway import wire
from alluse_gateway.order_terms import moment
from alluse_gateway.rate import MessageRate
from alluse_gateway.server import SimulatedGateway
from gateway_lab import AAPL, START, RawClient, client, library, make_exchange, quote, run, until
from test_wire import order_fields


def place(raw: RawClient, order_id: int, **changes: str) -> None:
    """Send a limit order to buy 10 AAPL at 99.5, with fields changed by their index."""
    fields = order_fields(176, f1=str(order_id), f23="DU1000001", **changes)
    raw.writer.write(wire.frame(wire.joined(*fields)))


async def until_kind(raw: RawClient, kind: str) -> list[list[str]]:
    """Read messages up to and with the first of ``kind``."""
    found = []
    while not found or found[-1][0] != kind:
        found.append(await raw.read())
    return found


def test_a_market_order_is_told_in_the_sequence_that_tws_has() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            raw = await RawClient.connect(gateway)
            for _ in range(4):
                await raw.read()
            place(raw, 5, f18="MKT", f19="")
            told = await until_kind(raw, "59")
            assert [each[0] for each in told] == ["5", "3", "11", "5", "3", "5", "3", "59"]
            assert [each[2] for each in told if each[0] == "3"] == [
                "PreSubmitted",
                "Filled",
                "Filled",
            ]
            execution, commission = told[2], told[-1]
            assert len(execution) == 31
            assert execution[1:3] == ["-1", "5"]
            assert execution[14] == commission[2]
            assert len({each[4] for each in told if each[0] == "3"}) == 2
            raw.close()

    run(story)


def test_a_cancel_is_told_as_pending_then_done_then_202_and_a_second_one_is_161() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            raw = await RawClient.connect(gateway)
            place(raw, 5)
            await until_kind(raw, "3")
            raw.send(4, 1, 5, "")
            raw.send(4, 1, 5, "")
            told = await until_kind(raw, "4")
            assert told[-1][2:4] == ["5", "161"]
            assert told[0][2] == "PendingCancel"
            told = await until_kind(raw, "4")
            assert [each[2] for each in told[:-1]] == ["Cancelled"]
            assert told[-1][2:4] == ["5", "202"]
            raw.close()

    run(story)


@pytest.mark.parametrize(
    ("tif", "size", "status", "filled"),
    [("IOC", 4.0, "Cancelled", 4.0), ("FOK", 4.0, "Cancelled", 0.0), ("FOK", 99.0, "Filled", 10.0)],
)
def test_orders_that_work_at_once_or_not_at_all(
    tif: str, size: float, status: str, filled: float
) -> None:
    async def story() -> None:
        exchange = make_exchange()
        lib = library("ib_insync")
        async with SimulatedGateway(exchange) as gateway, client("ib_insync", gateway) as ib:
            (contract,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
            quote(exchange, AAPL, 100.0, 100.2, size=size, at=START + 1)
            trade = ib.placeOrder(contract, lib.LimitOrder("BUY", 10, 100.2, tif=tif))
            await until(lambda: trade.orderStatus.status == status, f"{status} of {tif}")
            assert trade.orderStatus.filled == filled

    run(story)


def test_a_gtd_order_ends_at_its_time_without_a_202() -> None:
    async def story() -> None:
        lib = library("ib_async")
        async with SimulatedGateway(make_exchange()) as gateway, client("ib_async", gateway) as ib:
            codes: list[int] = []
            ib.errorEvent += lambda number, code, *rest: codes.append(code)
            (contract,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
            till = datetime.now(UTC) + timedelta(seconds=2)
            order = lib.LimitOrder("BUY", 10, 90.0, tif="GTD")
            order.goodTillDate = f"{till:%Y%m%d %H:%M:%S} UTC"
            trade = ib.placeOrder(contract, order)
            await until(lambda: gateway.ledger.of("expired"), "the end")
            await until(lambda: trade.orderStatus.status == "Cancelled", "the news")
            assert 202 not in codes

    run(story)


@pytest.mark.parametrize("kind", ["STP", "STP LMT"])
def test_a_stop_waits_for_its_trigger_and_then_trades(kind: str) -> None:
    async def story() -> None:
        exchange = make_exchange()
        lib = library("ib_insync")
        async with SimulatedGateway(exchange) as gateway, client("ib_insync", gateway) as ib:
            (contract,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
            stop = (
                lib.StopOrder("BUY", 10, 101.0)
                if kind == "STP"
                else lib.StopLimitOrder("BUY", 10, 105.0, 101.0)
            )
            trade = ib.placeOrder(contract, stop)
            await until(lambda: trade.orderStatus.status == "PreSubmitted", "the ack")
            assert trade.orderStatus.whyHeld == "trigger"
            quote(exchange, AAPL, 101.0, 101.2, at=START + 1)
            exchange.on_market(trade_event(101.1))
            await until(lambda: trade.orderStatus.status == "Filled", "the fill")
            assert trade.fills[0].execution.price >= 101.0

    run(story)


def trade_event(price: float) -> Any:
    """A trade of 50 AAPL two seconds after the start."""
    from alluse_paper.market import TradeEvent

    return TradeEvent(AAPL, START + 2, price, 50.0)


def test_one_fill_of_an_oca_group_cancels_the_rest() -> None:
    async def story() -> None:
        exchange = make_exchange()
        lib = library("ib_insync")
        async with SimulatedGateway(exchange) as gateway, client("ib_insync", gateway) as ib:
            (contract,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
            orders = [lib.LimitOrder("BUY", 10, 99.0), lib.LimitOrder("BUY", 10, 98.0)]
            ib.oneCancelsAll(orders, "group", 1)
            trades = [ib.placeOrder(contract, order) for order in orders]
            await until(lambda: all(t.orderStatus.status == "Submitted" for t in trades), "acks")
            assert trades[0].order.ocaGroup == "group"
            quote(exchange, AAPL, 98.8, 98.9, at=START + 1)
            await until(lambda: trades[0].orderStatus.status == "Filled", "the fill")
            await until(lambda: trades[1].orderStatus.status == "Cancelled", "the other")

    run(story)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"action": "SELL"}, 105),
        ({"lmtPrice": 90.001}, 110),
        ({"lmtPrice": -90.0}, 321),
        ({"totalQuantity": 0}, 434),
    ],
)
def test_a_change_that_cannot_be_leaves_the_order_as_it_was(
    change: dict[str, Any], code: int
) -> None:
    async def story() -> None:
        lib = library("ib_insync")
        async with SimulatedGateway(make_exchange()) as gateway, client("ib_insync", gateway) as ib:
            codes: list[int] = []
            ib.errorEvent += lambda number, code, *rest: codes.append(code)
            (contract,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
            trade = ib.placeOrder(contract, lib.LimitOrder("BUY", 10, 90.0))
            await until(lambda: trade.orderStatus.status == "Submitted", "the ack")
            for name, value in change.items():
                setattr(trade.order, name, value)
            ib.client.placeOrder(trade.order.orderId, contract, trade.order)
            await until(lambda: code in codes, str(code))
            (order,) = gateway.exchange.open_orders()
            assert (order.request.side.value, str(order.request.limit_price)) == ("BUY", "90.0")
            assert order.request.quantity == 10

    run(story)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"f19": "0"}, "limit"),
        ({"f19": "-99.5"}, "limit"),
        ({"f18": "STP", "f19": "", "f20": "0"}, "stop"),
        ({"f18": "STP LMT", "f20": "-99.5"}, "stop"),
    ],
)
def test_a_share_is_neither_bought_nor_stopped_at_a_price_of_0_or_below(
    fields: dict[str, str], wrong: str
) -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            raw = await RawClient.connect(gateway)
            place(raw, 5, **fields)
            refused = await raw.error(321)
            assert refused[2] == "5"
            assert f"a valid {wrong} price" in refused[4]
            assert gateway.exchange.open_orders() == ()
            raw.close()

    run(story)


def test_an_untransmitted_order_is_silent_until_it_is_transmitted() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            raw = await RawClient.connect(gateway)
            for _ in range(4):
                await raw.read()
            place(raw, 5, f27="0")
            raw.send(49, 1)
            assert (await raw.read())[0] == "49"
            place(raw, 5, f27="1")
            assert (await until_kind(raw, "3"))[-1][2] == "Submitted"
            raw.close()

    run(story)


def test_active_orders_of_one_contract_side_and_account_can_be_limited() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange(), active_orders=2) as gateway:
            raw = await RawClient.connect(gateway)
            for order_id in (5, 6, 7):
                place(raw, order_id)
            assert (await raw.error(201))[2] == "7"
            place(raw, 8, f16="SELL", f19="110")
            raw.send(4, 1, 5, "")
            await raw.error(202)
            place(raw, 9)
            await until(lambda: len(gateway.ledger.of("ack")) == 4, "both that fit")
            raw.close()

    run(story)


def test_a_global_cancel_ends_the_orders_of_every_client() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            first, second = [await RawClient.connect(gateway, number) for number in (1, 2)]
            place(first, 5)
            place(second, 9)
            await until(lambda: len(gateway.ledger.of("ack")) == 2, "the acks")
            first.send(58, 1)
            await until(lambda: len(gateway.ledger.of("canceled")) == 2, "the end of both")
            first.close()
            second.close()

    run(story)


def test_the_rate_counts_any_sliding_second_and_forgives_after_ten() -> None:
    rate = MessageRate(3)
    assert [rate.message(now) is None for now in (0.0, 0.3, 0.6)] == [True, True, True]
    excess = rate.message(0.9)
    assert excess is not None
    assert (excess.received, excess.count) == (4, 1)
    assert rate.message(1.0) is None
    assert rate.peak == 4
    assert all(rate.message(30.0) is None for _ in range(3))
    again = rate.message(30.5)
    assert again is not None
    assert again.count == 1


@pytest.mark.parametrize(
    ("written", "hour"),
    [
        ("20260105 10:00:00", 10),
        ("20260105-10:00:00", 10),
        ("20260105 10:00:00 America/New_York", 15),
        ("20260105", 0),
    ],
)
def test_times_are_read_in_the_forms_that_clients_write(written: str, hour: int) -> None:
    when = moment(written)
    assert when is not None
    assert when.astimezone(UTC) == datetime(2026, 1, 5, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    "written", ["", "soon", "20261399 10:00:00", "20260105 10:00:00 Mars/Base"]
)
def test_what_is_no_time_reads_as_none(written: str) -> None:
    assert moment(written) is None
