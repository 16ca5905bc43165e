"""Combos as clients know them: one order of type BAG, its legs' executions and positions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from alluse_gateway.server import SimulatedGateway
from alluse_paper.exchange import Exchange
from alluse_paper.fill_model import FillModel
from alluse_paper.market import Listing
from gateway_lab import AAPL, LIBRARIES, client, library, quote, run, until

from alluse_core import Instrument
from alluse_core.clock import SystemClock
from alluse_core.model import ComboLeg, Side

LOW = Instrument.option("AAPL", date(2027, 6, 18), 100, "C")
HIGH = Instrument.option("AAPL", date(2027, 6, 18), 110, "C")
SPREAD = Instrument.combo("AAPL", (ComboLeg(LOW, Side.BUY), ComboLeg(HIGH, Side.SELL)))
EVERY_COMBO = 28812380


def option_exchange() -> Exchange:
    model = FillModel(latency_ms=0, enforce_hours=False)
    listings = [Listing.of(each) for each in (AAPL, LOW, HIGH)]
    exchange = Exchange(SystemClock(), listings, fill_model=model)
    quote(exchange, AAPL, 100.0, 100.1)
    quote(exchange, LOW, 5.0, 5.2, 10)
    quote(exchange, HIGH, 2.0, 2.1, 10)
    return exchange


@attrs.frozen
class Desk:
    """A real client and the spread that it trades."""

    ib: Any
    lib: Any
    bag: Any
    errors: list[tuple[int, int, str]]

    def order(self, side: str, quantity: float, limit: float | None, **more: Any) -> Any:
        if limit is None:
            made = self.lib.MarketOrder(side, quantity, **more)
        else:
            made = self.lib.LimitOrder(side, quantity, limit, **more)
        return self.ib.placeOrder(self.bag, made)


@asynccontextmanager
async def trading(
    gateway: SimulatedGateway, name: str = "ib_insync", client_id: int = 1
) -> AsyncIterator[Desk]:
    lib = library(name)
    number = {each.instrument: each.con_id for each in gateway.exchange.listings}
    legs = [
        lib.ComboLeg(
            conId=number[leg.instrument], ratio=leg.ratio, action=leg.side.value, exchange="SMART"
        )
        for leg in SPREAD.legs
    ]
    bag = lib.Contract(
        secType="BAG", symbol="AAPL", exchange="SMART", currency="USD", comboLegs=legs
    )
    async with client(name, gateway, client_id) as ib:
        errors: list[tuple[int, int, str]] = []
        ib.errorEvent += lambda number, code, text, *_: errors.append((number, code, text))
        yield Desk(ib, lib, bag, errors)


async def filled(trade: Any) -> Any:
    await until(lambda: trade.orderStatus.status == "Filled", "the fill")
    return trade


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_combo_is_executed_once_for_itself_and_once_for_each_leg(name: str) -> None:
    async def story() -> None:
        async with (
            SimulatedGateway(option_exchange()) as gateway,
            trading(gateway, name) as desk,
        ):
            trade = await filled(desk.order("BUY", 3, 3.20, orderRef="spread"))
            await until(lambda: len(trade.fills) == 3, "three executions")
            rows = [
                (
                    fill.contract.secType,
                    fill.contract.strike,
                    fill.execution.side,
                    fill.execution.shares,
                    fill.execution.price,
                )
                for fill in trade.fills
            ]
            assert rows == [
                ("BAG", 0.0, "BOT", 3.0, 3.2),
                ("OPT", 100.0, "BOT", 3.0, 5.2),
                ("OPT", 110.0, "SLD", 3.0, 2.0),
            ]
            parts = [fill.execution.execId.split(".")[2:] for fill in trade.fills]
            assert parts == [["01", "01"], ["02", "01"], ["03", "01"]]
            assert {fill.execution.orderRef for fill in trade.fills} == {"spread"}
            assert {fill.execution.permId for fill in trade.fills} == {trade.order.permId}
            await until(
                lambda: (
                    [bool(fill.commissionReport.execId) for fill in trade.fills]
                    == [False, True, True]
                ),
                "a commission for each leg",
            )
            await until(lambda: len(desk.ib.positions()) == 2, "the positions")
            held = {each.contract.strike: each.position for each in desk.ib.positions()}
            assert held == {100.0: 3.0, 110.0: -3.0}
            told = await desk.ib.reqExecutionsAsync()
            assert [each.execution.execId for each in told] == [
                each.execution.execId for each in trade.fills
            ]
            only = await desk.ib.reqExecutionsAsync(desk.lib.ExecutionFilter(secType="BAG"))
            assert len(only) == 1
            executed = gateway.ledger.executions()
            assert [each.instrument for each in executed] == [LOW.id, HIGH.id, SPREAD.id]
            assert gateway.ledger.positions() == {}, "3 and -3 under the one symbol"
            (truth,) = gateway.ledger.orders()
            assert (truth.state, truth.filled, len(truth.executions)) == ("FILLED", 3, 1)

    run(story)


@pytest.mark.parametrize("name", LIBRARIES)
def test_an_open_combo_tells_its_legs_and_can_be_changed_and_cancelled(name: str) -> None:
    async def story() -> None:
        async with (
            SimulatedGateway(option_exchange()) as gateway,
            trading(gateway, name) as desk,
            client(name, gateway, 2) as other,
        ):
            trade = desk.order("BUY", 2, -1.25)
            await until(lambda: trade.orderStatus.status == "Submitted", "the ack")
            (shown,) = await other.reqAllOpenOrdersAsync()
            contract = shown.contract
            assert (contract.conId, contract.secType, contract.tradingClass) == (
                EVERY_COMBO,
                "BAG",
                "COMB",
            )
            assert [(leg.conId, leg.ratio, leg.action) for leg in contract.comboLegs] == [
                (leg.conId, leg.ratio, leg.action) for leg in desk.bag.comboLegs
            ]
            assert shown.order.lmtPrice == -1.25
            trade.order.lmtPrice = -1.10
            desk.ib.placeOrder(desk.bag, trade.order)
            await until(lambda: gateway.ledger.of("replaced"), "the change")
            (living,) = gateway.exchange.open_orders()
            assert living.request.limit_price == Decimal("-1.1")
            desk.ib.cancelOrder(trade.order)
            await until(lambda: trade.orderStatus.status == "Cancelled", "the cancel")
            done = await other.reqCompletedOrdersAsync(False)
            assert [len(each.contract.comboLegs) for each in done] == [2]

    run(story)


def test_another_combo_is_no_change_of_this_one() -> None:
    async def story() -> None:
        async with (
            SimulatedGateway(option_exchange()) as gateway,
            trading(gateway) as desk,
        ):
            trade = desk.order("BUY", 2, 1.0)
            await until(lambda: trade.orderStatus.status == "Submitted", "the ack")
            desk.bag.comboLegs[1].ratio = 2
            desk.ib.client.placeOrder(trade.order.orderId, desk.bag, trade.order)
            await until(lambda: desk.errors, "the refusal")
            assert desk.errors[0][1] == 105

    run(story)


def test_what_if_tells_the_margins_that_filling_then_brings() -> None:
    async def story() -> None:
        async with (
            SimulatedGateway(option_exchange()) as gateway,
            trading(gateway) as desk,
        ):
            state = await desk.ib.whatIfOrderAsync(desk.bag, desk.lib.MarketOrder("BUY", 2))
            before = gateway.exchange.accounts.figures("DU1000001")
            assert float(state.initMarginBefore) == before.initial_margin == 0
            trade = await filled(desk.order("BUY", 2, None))
            after = gateway.exchange.accounts.figures("DU1000001")
            assert Decimal(state.initMarginAfter) == after.initial_margin
            assert Decimal(state.maintMarginAfter) == after.maintenance_margin
            paid = sum(
                fill.paid for fill in gateway.desks.orders.book.by_perm(trade.order.permId).fills
            )
            assert Decimal(str(state.commission)) == paid > 0

    run(story)


def test_a_combo_that_is_split_by_a_fault_fills_in_whole_units() -> None:
    async def story() -> None:
        async with (
            SimulatedGateway(option_exchange()) as gateway,
            trading(gateway) as desk,
        ):
            gateway.control.partial_fills(1)
            trade = desk.order("BUY", 4, 3.20)
            await until(lambda: trade.orderStatus.filled == 2, "half of it")
            quote(gateway.exchange, LOW, 5.0, 5.2, 11)
            quote(gateway.exchange, HIGH, 2.0, 2.1, 11)
            await filled(trade)
            assert [f.execution.shares for f in trade.fills if f.contract.secType == "BAG"] == [
                2,
                2,
            ]

    run(story)


def test_a_combo_outlives_the_gateway(tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            SimulatedGateway(option_exchange(), state=tmp_path) as gateway,
            trading(gateway) as desk,
        ):
            await filled(desk.order("BUY", 1, 3.20))
            trade = desk.order("BUY", 2, 1.0, tif="GTC")
            await until(lambda: trade.orderStatus.status == "Submitted", "the ack")
            number = trade.order.permId
        async with (
            SimulatedGateway(option_exchange(), state=tmp_path) as gateway,
            trading(gateway) as desk,
        ):
            (shown,) = desk.ib.openTrades()
            assert shown.order.permId == number
            assert len(shown.contract.comboLegs) == 2
            assert len(desk.ib.fills()) == 3
            desk.ib.client.placeOrder(
                shown.order.orderId, desk.bag, changed(shown.order, lmtPrice=3.2)
            )
            await until(lambda: not gateway.exchange.open_orders(), "the fill")
            held = gateway.exchange.accounts.positions("DU1000001")
            assert {each.instrument: each.quantity for each in held} == {LOW: 3, HIGH: -3}

    run(story)


def changed(order: Any, **changes: Any) -> Any:
    """Change a library's order in place."""
    for name, value in changes.items():
        setattr(order, name, value)
    return order


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (lambda bag: bag.comboLegs.clear(), 321, "requires combo leg details"),
        (lambda bag: setattr(bag.comboLegs[1], "conId", 5), 313, "'2'"),
        (lambda bag: setattr(bag.comboLegs[0], "action", "HOLD"), 313, "'1'"),
        (lambda bag: setattr(bag.comboLegs[0], "ratio", 0), 313, "'1'"),
        (lambda bag: setattr(bag, "currency", "EUR"), 312, "invalid"),
        (lambda bag: setattr(bag.comboLegs[1], "conId", bag.comboLegs[0].conId), 312, "invalid"),
    ],
)
def test_what_is_no_combo_is_refused(change: Any, code: int, said: str) -> None:
    async def story() -> None:
        async with (
            SimulatedGateway(option_exchange()) as gateway,
            trading(gateway) as desk,
        ):
            change(desk.bag)
            desk.order("BUY", 1, 1.0)
            await until(lambda: desk.errors, "the refusal")
            assert desk.errors[0][1] == code
            assert said in desk.errors[0][2]
            assert not gateway.exchange.open_orders()

    run(story)
