"""Orders against the simulated gateway, over both unmodified client libraries."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from ibkr_lab import AAPL, LIBRARIES, Lab, connected, gateway, show, until

from alluse_core.errors import BrokerUnavailable, NotSent, RequestFailed
from alluse_core.model import (
    AccountMode,
    BrokerNotice,
    BrokerStatus,
    Commission,
    Execution,
    LinkReport,
    LinkState,
    Order,
    OrderIdentity,
    OrderReport,
    OrderType,
    Side,
    TimeInForce,
)
from alluse_core.ports import OrderMessage

both = pytest.mark.parametrize("library", LIBRARIES)


def message(lab: Lab, order: Order, ref: str, **more: Any) -> OrderMessage:
    """Return an order ready to be sent under the next free id."""
    import attrs

    order = attrs.evolve(order, account=lab.broker.accounts[0], broker="main")
    return OrderMessage(order, ref, more.pop("order_id", lab.broker.order_id_floor), **more)


def limit(price: str, key: str = "k", quantity: int = 10, **more: Any) -> Order:
    """Return a buy order of AAPL."""
    return Order.limit(AAPL, Side.BUY, quantity, price, key=key, **more)


def statuses(lab: Lab) -> list[BrokerStatus]:
    """Return the statuses reported so far, in order."""
    return [report.status for report in lab.of(OrderReport)]


@both
def test_an_order_is_placed_changed_and_cancelled_by_evidence_alone(library: str) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                assert broker.account_mode(broker.accounts[0]) is AccountMode.PAPER
                await broker.define(AAPL)
                placed = message(
                    lab, limit("90.50", time_in_force=TimeInForce.GTC, outside_rth=True), "au-1"
                )
                broker.place([placed])
                await until(lambda: BrokerStatus.WORKING in statuses(lab), "the ack")
                echoed = next(r for r in lab.of(OrderReport) if r.terms is not None)
                identity = echoed.identity
                assert identity.order_ref == "au-1"
                assert identity.order_id == placed.order_id
                assert identity.client_id == 17
                assert identity.perm_id > 0
                assert echoed.terms is not None
                assert echoed.terms.instrument is AAPL
                assert echoed.terms.limit_price == Decimal("90.5")
                assert echoed.terms.stop_price is None
                assert echoed.terms.quantity == 10
                assert echoed.terms.time_in_force == "GTC"
                assert echoed.terms.outside_rth
                assert echoed.terms.account == broker.accounts[0]

                changed = message(
                    lab,
                    limit("91.25", time_in_force=TimeInForce.GTC, outside_rth=True),
                    "au-1",
                    order_id=placed.order_id,
                )
                broker.modify(changed, identity)
                await until(lambda: gate.ledger.of("replaced"), "the change")
                (open_order,) = (await broker.open_orders()).rows
                assert open_order.terms is not None
                assert open_order.terms.limit_price == Decimal("91.25")
                assert open_order.remaining == 10

                broker.cancel(identity)
                await until(lambda: statuses(lab)[-1] is BrokerStatus.CANCELED, "the cancel")
                assert (await broker.open_orders()).rows == ()
                (ended,) = (await broker.completed_orders()).rows
                assert ended.status is BrokerStatus.CANCELED
                assert ended.identity.order_ref == "au-1"
                assert ended.identity.perm_id == identity.perm_id
                assert 202 in [notice.code for notice in lab.of(BrokerNotice)]

    asyncio.run(story())


@both
def test_a_fill_brings_execution_commission_position_and_account_values(library: str) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                order = Order.market(AAPL, Side.BUY, 100, key="k")
                broker.place([message(lab, order, "au-2")])
                await until(lambda: lab.of(Commission), "the commission")
                (fill,) = lab.of(Execution)
                assert fill.quantity == 100
                assert fill.price == Decimal("100.1")
                assert fill.instrument is AAPL
                assert fill.side is Side.BUY
                assert fill.identity.order_ref == "au-2"
                assert fill.time.utcoffset() is not None
                assert not fill.liquidation
                (cost,) = lab.of(Commission)
                assert cost.execution_id == fill.execution_id
                assert cost.amount == 1
                assert cost.realized is None
                await until(lambda: BrokerStatus.FILLED in statuses(lab), "the status")
                filled = [r for r in lab.of(OrderReport) if r.status is BrokerStatus.FILLED][-1]
                assert filled.filled in (100, None)

                asked = await broker.executions()
                assert asked.complete
                assert [each.execution_id for each in asked.rows] == [fill.execution_id]
                (held,) = (await broker.positions()).rows
                assert held.instrument is AAPL
                assert held.quantity == 100
                assert held.average_cost == pytest.approx(Decimal("100.1"), abs=Decimal("0.02"))
                values = {row.name: row.value for row in (await broker.account_values()).rows}
                assert values["NetLiquidation"] == pytest.approx(Decimal(1_000_000), abs=20)
                (ended,) = (await broker.completed_orders()).rows
                assert ended.status is BrokerStatus.FILLED
                assert ended.filled == 100

    asyncio.run(story())


@both
def test_a_bracket_goes_as_one_and_its_children_follow_the_entry(library: str) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                first = broker.order_id_floor
                entry = limit("99", "e")
                profit = Order.limit(AAPL, Side.SELL, 10, "110", key="e/profit")
                stop = Order.stop(AAPL, Side.SELL, 10, "80", key="e/stop")
                assert stop.order_type is OrderType.STOP
                child = {"parent_order_id": first, "oca_group": "au-oca"}
                broker.place(
                    [
                        message(lab, entry, "au-e", transmit=False),
                        message(lab, profit, "au-p", order_id=first + 1, transmit=False, **child),
                        message(lab, stop, "au-s", order_id=first + 2, **child),
                    ]
                )
                assert broker.order_id_floor == first + 3
                await until(lambda: len(gate.ledger.of("place")) == 3, "the three orders")
                await until(
                    lambda: (
                        {"au-e", "au-p", "au-s"}
                        <= {report.identity.order_ref for report in lab.of(OrderReport)}
                    ),
                    "three reports",
                )
                show(gate.exchange, AAPL, 98.9, 98.95)
                await until(lambda: lab.of(Execution), "the entry's fill")
                show(gate.exchange, AAPL, 110.5, 110.6)
                await until(lambda: len(lab.of(Execution)) == 2, "the profit's fill")
                await until(
                    lambda: BrokerStatus.CANCELED in statuses(lab), "the stop to be cancelled"
                )
                assert (await broker.positions()).rows == ()

    asyncio.run(story())


@both
def test_a_reject_comes_as_a_notice_and_a_rejected_report(library: str) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                gate.control.reject(1, 201, "Order rejected - reason: margin")
                sent = message(lab, limit("90"), "au-1")
                broker.place([sent])
                await until(
                    lambda: 201 in [notice.code for notice in lab.of(BrokerNotice)], "the notice"
                )
                notice = next(n for n in lab.of(BrokerNotice) if n.code == 201)
                assert notice.identity == OrderIdentity(order_id=sent.order_id, client_id=17)
                assert "margin" in notice.text
                await broker.probe()
                assert BrokerStatus.CANCELED not in statuses(lab)
                if lab.of(OrderReport):
                    assert statuses(lab)[-1] is BrokerStatus.REJECTED

    asyncio.run(story())


@both
def test_nothing_is_sent_without_a_link_and_the_error_says_so(library: str) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            with pytest.raises(NotSent):
                lab.broker.cancel(OrderIdentity(order_id=1, client_id=17))
            with pytest.raises(BrokerUnavailable):
                await lab.broker.open_orders()
            async with connected(lab) as broker:
                sent = message(lab, limit("90"), "au-1")
                await gate.control.pause_listening()
                gate.control.drop()
                await until(lambda: broker.link is not LinkState.UP, "the loss")
                with pytest.raises(NotSent):
                    broker.place([sent])
                with pytest.raises(BrokerUnavailable):
                    await broker.executions()
                assert gate.ledger.of("place") == []

    asyncio.run(story())


@both
def test_a_socket_cut_after_the_send_is_never_called_unsent(library: str) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                sent = message(lab, limit("90"), "au-1")
                gate.control.half_open(17)
                broker.place([sent])
                gate.control.drop(17, abort=True)
                await until(
                    lambda: LinkState.DOWN in [r.state for r in lab.of(LinkReport)], "the loss"
                )
                await until(lambda: broker.link is LinkState.UP, "the reconnection")
                assert lab.of(OrderReport) == []
                assert broker.order_id_floor > sent.order_id
                assert (await broker.open_orders()).rows == ()

    asyncio.run(story())


@both
def test_after_a_reconnect_the_order_is_found_again_and_still_ours_to_cancel(library: str) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                broker.place([message(lab, limit("90"), "au-1")])
                await until(lambda: BrokerStatus.WORKING in statuses(lab), "the ack")
                gate.control.drop()
                await until(lambda: len(lab.of(LinkReport)) >= 3, "down and up")
                (row,) = (await broker.open_orders()).rows
                assert row.identity.order_ref == "au-1"
                broker.cancel(row.identity)
                await until(lambda: gate.ledger.of("canceled"), "the cancel")

    asyncio.run(story())


@both
def test_an_id_that_the_gateway_rolls_back_is_not_used_again(library: str) -> None:
    """Lean.IB #242: a restart rolls nextValidId back and ids are issued twice."""

    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                sent = message(lab, limit("90"), "au-1")
                broker.place([sent])
                await until(lambda: BrokerStatus.WORKING in statuses(lab), "the ack")
                floor = broker.order_id_floor
                gate.control.next_order_id(17, 1)
                gate.control.drop()
                await until(lambda: len(lab.of(LinkReport)) >= 3, "down and up")
                assert broker.order_id_floor == floor

            fresh = Lab(port=gate.port, library=library)
            async with connected(fresh) as broker:
                await broker.open_orders()
                assert broker.order_id_floor == sent.order_id + 1

    asyncio.run(story())


@both
def test_the_three_codes_of_the_uplink_move_the_link(library: str) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                for code, state, data_lost in (
                    (1100, LinkState.DEGRADED, False),
                    (1102, LinkState.UP, False),
                    (1100, LinkState.DEGRADED, False),
                    (1101, LinkState.UP, True),
                ):
                    before = len(lab.of(LinkReport))
                    gate.control.broadcast(code)
                    await until(lambda n=before: len(lab.of(LinkReport)) > n, str(code))
                    report = lab.of(LinkReport)[-1]
                    assert (report.state, report.code, report.data_lost) == (state, code, data_lost)
                    assert broker.link is state

    asyncio.run(story())


@both
def test_a_muted_answer_is_an_error_and_never_an_empty_list(library: str) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library, request_timeout=0.2)
            async with connected(lab) as broker:
                gate.control.mute([53, 102, 55, 62, 64])
                for ask in (
                    broker.open_orders,
                    broker.completed_orders,
                    broker.executions,
                    broker.positions,
                    broker.account_values,
                ):
                    with pytest.raises(RequestFailed):
                        await ask()
                gate.control.mute([])
                assert (await broker.open_orders()).complete
                assert (await broker.completed_orders()).complete
                assert (await broker.positions()).complete
                assert (await broker.executions()).complete
                assert (await broker.account_values()).complete
                assert lab.sample("operation_failures", operation="open_orders") == 1

    asyncio.run(story())


@both
def test_a_lost_connection_fails_a_question_instead_of_emptying_it(library: str) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                gate.control.mute([53])
                asking = asyncio.ensure_future(broker.open_orders())
                await until(
                    lambda: "open_orders" in broker._orders.session.wrapper.pending.named, ""
                )
                gate.control.drop()
                with pytest.raises(BrokerUnavailable):
                    await asking

    asyncio.run(story())


def test_only_the_client_id_that_sent_an_order_may_change_it() -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port)
            async with connected(lab) as broker:
                with pytest.raises(NotSent, match="belongs to client id 3"):
                    broker.cancel(OrderIdentity(order_id=5, client_id=3))
                with pytest.raises(NotSent, match="no order id"):
                    broker.cancel(OrderIdentity(order_ref="x", perm_id=9, client_id=17))
                assert gate.ledger.of("cancel") == []

    asyncio.run(story())


def test_orders_of_other_clients_are_seen_and_do_not_move_the_floor() -> None:
    async def story() -> None:
        async with gateway() as gate:
            other = Lab(port=gate.port, client_id=40)
            lab = Lab(port=gate.port)
            async with connected(other) as theirs, connected(lab) as ours:
                gate.control.next_order_id(40, 5000)
                sent = message(other, limit("90"), "theirs", order_id=5000)
                theirs.place([sent])
                await until(lambda: BrokerStatus.WORKING in statuses(other), "the ack")
                floor = ours.order_id_floor
                (row,) = (await ours.open_orders()).rows
                assert row.identity.client_id == 40
                assert ours.order_id_floor == floor < 5000

    asyncio.run(story())


def test_a_read_only_broker_sends_no_order() -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, read_only=True)
            async with connected(lab) as broker:
                with pytest.raises(NotSent, match="read-only"):
                    broker.place([message(lab, limit("90"), "x")])

    asyncio.run(story())


def test_what_the_adapter_counts_was_measured() -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port)
            assert lab.sample("session_working_share") is None
            async with connected(lab) as broker:
                await broker.probe()
                await broker.open_orders()
                assert lab.sample("connection_attempts", role="orders") == 1
                assert lab.sample("connects", role="orders") == 1
                assert lab.sample("connection_leases", role="orders") == 2
                assert (lab.sample("session_working_share", role="data") or 0) > 0
                assert (lab.sample("messages_sent", role="orders") or 0) >= 2
                assert (lab.sample("messages_received", role="orders") or 0) >= 3
                assert lab.sample("evidence", kind="LinkReport") == 1
                assert lab.sample("operation_latency_ms.count", operation="open_orders") == 1

    asyncio.run(story())


def test_every_message_but_the_preamble_and_the_orders_had_its_turn_at_the_pacer() -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port)
            async with connected(lab) as broker:
                await broker.define(AAPL)
                await broker.snapshots([AAPL])
                stream = broker.subscribe(AAPL, lambda _: None)
                await broker.open_orders()
                await broker.completed_orders()
                await broker.executions()
                await broker.positions()
                await broker.account_values()
                await broker.probe()
                stream.close()
                await broker.snapshots([AAPL])
                sent = (lab.sample("messages_sent", role="orders") or 0) + (
                    lab.sample("messages_sent", role="data") or 0
                )
                # The API's preamble is no message to the broker's count; startApi is.
                handshakes = 2
                assert sent - handshakes == len(lab.pacer.turns)

    asyncio.run(story())


@both
def test_partial_fills_are_executions_of_their_own(library: str) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                gate.control.partial_fills(1, "0.4")
                broker.place([message(lab, limit("100.5", quantity=100), "au-1")])
                await until(lambda: lab.of(Execution), "the first part")
                show(gate.exchange, AAPL, 100.1, 100.2)
                await until(
                    lambda: sum(fill.quantity for fill in lab.of(Execution)) == 100, "the rest"
                )
                assert len({fill.execution_id for fill in lab.of(Execution)}) >= 2
                shares = [r.filled for r in lab.of(OrderReport) if r.filled is not None]
                assert shares == sorted(shares)

    asyncio.run(story())
