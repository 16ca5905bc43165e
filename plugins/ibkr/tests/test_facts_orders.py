"""What the client libraries do with orders, and what becomes of it here.

Each fact of docs/explanation/what-the-libraries-do.md has two tests: one reproduces it with the
unmodified library and the simulated gateway, the other lives through the same in the adapter.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from facts_lab import bare, both, message, module, resting, say_error, stock
from ibkr_lab import Lab, connected, gateway, until

from alluse_core.model import (
    BrokerNotice,
    BrokerStatus,
    Execution,
    LinkState,
    OrderIdentity,
    OrderReport,
)

INSYNC_WHITELIST = (110, 165, 202, 399, 404, 434, 492, 10167, 2109)
ASYNC_WHITELIST = (105, 110, 165, 321, 329, 399, 404, 434, 492, 10167, 2109)
NOT_WHITELISTED = (10349, 161, 10148, 103, 104, 100, 10147)


# --- orders vanish silently ----------------------------------------------------------------------


@both
def test_the_library_loses_orders_of_its_own_queue_without_a_word(library: str) -> None:
    """120 placeOrder calls, then a cut socket: those beyond its 45 a second are gone.

    "No exception; all 120 Trades said PendingSubmit; after reconnect ib.trades() was empty."
    """

    async def story() -> None:
        async with gateway(rate_limit=0) as gate, bare(library, gate) as ib:
            trades = [ib.placeOrder(stock(library), resting(library)) for _ in range(120)]
            assert {trade.orderStatus.status for trade in trades} == {"PendingSubmit"}
            gate.control.drop(5, abort=True)
            await until(lambda: not ib.isConnected(), "the loss")
            reached = len(gate.ledger.of("place"))
            assert reached < 60
            untold = [t for t in trades if t.orderStatus.status == "PendingSubmit"]
            assert len(untold) >= 120 - reached
            assert not any(trade.log[-1].errorCode for trade in untold)
            assert ib.trades() == []
            await ib.connectAsync("127.0.0.1", gate.port, clientId=5)
            assert len(ib.trades()) == reached
            await asyncio.sleep(0.1)
            assert len(gate.ledger.of("place")) == reached, "nothing is left that would be sent"

    asyncio.run(story())


# --- an error that bears an order's id ------------------------------------------------------------


@both
@pytest.mark.parametrize("code", NOT_WHITELISTED)
def test_the_library_shows_a_live_order_as_cancelled(library: str, code: int) -> None:
    """Any error outside a short whitelist that bears a live order's id sets it Cancelled.

    "... in both libraries, while the order lives at the broker."
    """

    async def story() -> None:
        async with gateway() as gate, bare(library, gate) as ib:
            trade = ib.placeOrder(stock(library), resting(library))
            await until(lambda: trade.orderStatus.status == "Submitted", "the acknowledgement")
            say_error(gate, 5, trade.order.orderId, code)
            await until(lambda: trade.orderStatus.status == "Cancelled", "the false end")
            (alive,) = gate.exchange.open_orders()
            assert alive.number == trade.order.permId

    asyncio.run(story())


@both
def test_each_library_has_a_whitelist_of_its_own(library: str) -> None:
    """Whitelist ib_insync {110, 165, 202, 399, 404, ...}, ib_async {105, 110, 165, 321, ...}.

    ib_async sets what it whitelists to ValidationError instead; 202 is not among it.
    """
    codes = INSYNC_WHITELIST if library == "ib_insync" else ASYNC_WHITELIST
    disputed = set(INSYNC_WHITELIST) ^ set(ASYNC_WHITELIST)

    async def story() -> None:
        async with gateway(rate_limit=0) as gate, bare(library, gate) as ib:
            trades = {
                code: ib.placeOrder(stock(library), resting(library))
                for code in sorted(disputed | set(codes))
            }
            await until(
                lambda: all(t.orderStatus.status == "Submitted" for t in trades.values()),
                "the acknowledgements",
            )
            for code, trade in trades.items():
                say_error(gate, 5, trade.order.orderId, code)
            await ib.reqCurrentTimeAsync()  # behind its answer nothing is under way
            cancelled = {c for c, t in trades.items() if t.orderStatus.status == "Cancelled"}
            assert cancelled == disputed - set(codes)
            if library == "ib_async":
                kept = {t.orderStatus.status for c, t in trades.items() if c not in cancelled}
                assert kept == {"ValidationError"}
            assert len(gate.exchange.open_orders()) == len(trades)

    asyncio.run(story())


@both
@pytest.mark.parametrize(
    "code", sorted({*NOT_WHITELISTED, *INSYNC_WHITELIST, *ASYNC_WHITELIST} - {110})
)
def test_an_error_is_passed_on_as_a_notice_and_the_order_keeps_its_state(
    library: str, code: int
) -> None:
    """Only orderStatus, openOrder, completedOrder and execDetails are evidence."""

    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                number = broker.order_id_floor
                broker.place([message(number, broker.accounts[0])])
                await until(lambda: lab.of(OrderReport), "the acknowledgement")
                say_error(gate, 17, number, code)
                await until(lambda: lab.of(BrokerNotice), "the notice")
                await broker.probe()
                statuses = {report.status for report in lab.of(OrderReport)}
                assert statuses == {BrokerStatus.WORKING}
                (notice,) = [each for each in lab.of(BrokerNotice) if each.code == code]
                assert notice.identity == OrderIdentity(order_id=number, client_id=17)
                (row,) = (await broker.open_orders()).rows
                assert row.identity.order_ref == f"au-{number}"

    asyncio.run(story())


# --- what a disconnection empties ----------------------------------------------------------------


@both
def test_the_library_forgets_trades_fills_and_positions_at_a_disconnection(library: str) -> None:
    """wrapper.reset() empties trades, fills and positions; old Trade objects stay for ever.

    "... old Trade objects stay 'Submitted' for ever; reconnect makes new ones."
    """

    async def story() -> None:
        async with gateway() as gate, bare(library, gate) as ib:
            old = ib.placeOrder(stock(library), resting(library))
            bought = ib.placeOrder(stock(library), module(library).MarketOrder("BUY", 3))
            await until(lambda: bought.isDone() and ib.positions(), "the fill")
            await until(lambda: old.orderStatus.status == "Submitted", "the acknowledgement")
            assert ib.trades()
            assert ib.fills()
            gate.control.drop(abort=True)
            await until(lambda: not ib.isConnected(), "the loss")
            assert (ib.trades(), ib.fills(), ib.positions()) == ([], [], [])
            assert old.orderStatus.status == "Submitted"
            await ib.connectAsync("127.0.0.1", gate.port, clientId=5)
            (new,) = [t for t in ib.openTrades() if t.order.permId == old.order.permId]
            assert new is not old
            ib.cancelOrder(new.order)
            await until(lambda: new.orderStatus.status == "Cancelled", "the cancel")
            assert old.orderStatus.status == "Submitted"

    asyncio.run(story())


@both
def test_a_fill_during_the_disconnection_reaches_the_evidence_under_its_own_name(
    library: str,
) -> None:
    """What the adapter told stays told; the rest is asked for again by orderRef and permId."""

    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                number = broker.order_id_floor
                broker.place([message(number, broker.accounts[0])])
                await until(lambda: lab.of(OrderReport), "the acknowledgement")
                told = list(lab.evidence)
                gate.control.drop(abort=True)
                await until(lambda: broker.link is not LinkState.UP, "the loss")
                (order,) = gate.exchange.open_orders()
                gate.exchange.replace(order.number, limit_price=order.request.limit_price * 3)
                await until(lambda: broker.link is LinkState.UP, "the reconnection")
                assert lab.evidence[: len(told)] == told
                (fill,) = (await broker.executions()).rows
                assert isinstance(fill, Execution)
                assert fill.identity.order_ref == f"au-{number}"
                assert [row.quantity for row in (await broker.positions()).rows] == [1]

    asyncio.run(story())


# --- completed orders ----------------------------------------------------------------------------


@both
def test_a_completed_order_of_the_library_has_no_order_id_and_no_client_id(library: str) -> None:
    """A completed order carries no orderId and no clientId: only permId and orderRef name it."""

    async def story() -> None:
        async with gateway() as gate, bare(library, gate) as ib:
            done = ib.placeOrder(
                stock(library), module(library).MarketOrder("BUY", 1, orderRef="mine")
            )
            await until(done.isDone, "the fill")
            assert done.order.orderId > 0
            (completed,) = await ib.reqCompletedOrdersAsync(False)
            assert (completed.order.orderId, completed.order.clientId) == (0, 0)
            assert completed.order.permId == done.order.permId
            assert completed.order.orderRef == "mine"

    asyncio.run(story())


@both
def test_a_completed_order_is_named_by_its_reference_after_a_reconnection(library: str) -> None:
    """The adapter reports it under permId and orderRef, and invents neither id."""

    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                number = broker.order_id_floor
                broker.place([message(number, broker.accounts[0], price=101)])
                await until(lambda: lab.of(Execution), "the fill")
                perm_id = lab.of(Execution)[0].identity.perm_id
                gate.control.drop(abort=True)
                await until(lambda: broker.link is not LinkState.UP, "the loss")
                await until(lambda: broker.link is LinkState.UP, "the reconnection")
                (row,) = (await broker.completed_orders()).rows
                assert row.identity == OrderIdentity(f"au-{number}", perm_id, 0, 0)
                assert row.status is BrokerStatus.FILLED

    asyncio.run(story())


# --- what an order costs -------------------------------------------------------------------------


def counting_reprs(library: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count how often a Trade or an Order is written out; return the list that grows."""
    order = module(library).order
    written: list[str] = []
    for kind in (order.Trade, order.Order):
        original = kind.__repr__

        def counted(self: Any, original: Any = original, name: str = kind.__name__) -> str:
            written.append(name)
            return str(original(self))

        monkeypatch.setattr(kind, "__repr__", counted)
    return written


@both
def test_the_library_writes_out_every_trade_for_a_log_that_is_off(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of ib_insync's CPU per order is Trade reprs for logging, even when logging is off."""

    async def story() -> None:
        written = counting_reprs(library, monkeypatch)
        async with gateway() as gate, bare(library, gate) as ib:
            assert not logging.getLogger(f"{library}.ib").isEnabledFor(logging.INFO)
            done = ib.placeOrder(stock(library), module(library).MarketOrder("BUY", 1))
            await until(lambda: done.fills and done.fills[0].commissionReport.execId, "the fill")
            assert written.count("Trade") >= 3

    asyncio.run(story())


@both
def test_no_trade_is_written_out_for_an_order_of_ours(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The adapter stands on Client and Decoder; it makes no Trade and writes no Order out."""

    async def story() -> None:
        written = counting_reprs(library, monkeypatch)
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                number = broker.order_id_floor
                broker.place([message(number, broker.accounts[0], price=101)])
                await until(lambda: lab.of(Execution), "the fill")
        assert written == []

    asyncio.run(story())
