"""A broker under test, its venue, and what the standard tests are written with."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from typing import Any, TypeVar
from unittest import SkipTest

import attrs

from alluse_core.model import (
    BrokerStatus,
    Evidence,
    Execution,
    Instrument,
    LinkState,
    Order,
    OrderIdentity,
    OrderReport,
    Quote,
    Side,
)
from alluse_core.ports import Broker, EvidenceSink, OrderMessage
from alluse_core.testing.conformance import Conformance, run

T = TypeVar("T")

_TURNS = 1_500
"""How often a scenario lets the venue's time pass before it gives up waiting."""


@attrs.define
class Desk:
    """A connected broker, what it said so far, and the numbers of the next order."""

    broker: Broker
    evidence: list[Evidence]
    next_number: int = 1

    def reports(self, order_ref: str) -> list[OrderReport]:
        """Return the reports about one order, in the order they came."""
        return [
            item
            for item in self.evidence
            if isinstance(item, OrderReport) and item.identity.order_ref == order_ref
        ]

    def fills(self, order_ref: str) -> list[Execution]:
        """Return the executions of one order."""
        return [
            item
            for item in self.evidence
            if isinstance(item, Execution) and item.identity.order_ref == order_ref
        ]

    def statuses(self, order_ref: str) -> list[BrokerStatus]:
        """Return the states one order was reported in."""
        return [report.status for report in self.reports(order_ref)]


class BrokerSuite(Conformance):
    """What the parts of the suite share; see BrokerConformance."""

    instrument: Instrument = Instrument.stock("AAPL")
    unknown_instrument: Instrument = Instrument.stock("NOSUCHNAME")
    quantity: Decimal = Decimal(10)
    account: str = ""

    def open_broker(self, evidence: EvidenceSink) -> AbstractAsyncContextManager[Broker]:
        """Return a context manager that yields a broker, not connected, and its venue running.

        The broker sends its evidence to ``evidence``. The manager ends the venue; the broker may
        be connected or closed by then.
        """
        raise NotImplementedError("a conformance test says how to open its broker")

    async def pass_time(self) -> None:
        """Let a little of the venue's time pass."""
        await asyncio.sleep(0.01)

    # --- what a venue may be able to do -----------------------------------------------------

    def open_with_two_accounts(self, evidence: EvidenceSink) -> AbstractAsyncContextManager[Broker]:
        """Like ``open_broker``, with a login that has two accounts."""
        raise SkipTest("this venue does not say how to open a second account")

    async def pause_market(self, desk: Desk) -> None:
        """Let nobody quote or trade from now on, while the venue lives."""
        raise SkipTest("this venue does not say how to pause its market")

    async def part_next_fill(self, desk: Desk) -> None:
        """Show less than ``quantity`` to the next marketable order."""
        raise SkipTest("this venue does not say how to fill in parts")

    async def show_the_rest(self, desk: Desk) -> None:
        """Show enough for what ``part_next_fill`` has left."""

    async def fill_after_cancel(self, desk: Desk, message: OrderMessage) -> None:
        """Have the venue tell of a fill of the whole order, which it has said is canceled."""
        raise SkipTest("this venue ends an order before it says so: no fill can follow")

    async def repeat_callbacks(self, desk: Desk) -> None:
        """Have the venue say everything about orders and fills twice from now on."""
        raise SkipTest("this venue says everything once")

    async def ignore_next_modify(self, desk: Desk) -> None:
        """Have the venue take the next modify and leave the price as it was."""
        raise SkipTest("this venue does not say how to ignore a modify")

    async def reject_next(self, desk: Desk) -> None:
        """Have the venue reject the next order."""
        raise SkipTest("this venue does not say how to reject an order")

    async def place_by_hand(self, desk: Desk) -> None:
        """Place a resting order of ``instrument`` past the broker under test, as a person does."""
        raise SkipTest("this venue takes no order past the broker")

    def cannot(self, why: str) -> SkipTest:
        """Return what a test raises that does not hold for this kind of broker."""
        return SkipTest(why)

    # --- what the tests are written with ----------------------------------------------------

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what ``work`` returns, while the venue's time passes."""
        task = asyncio.ensure_future(work)
        for _ in range(_TURNS):
            if task.done():
                return task.result()
            await self.pass_time()
        task.cancel()
        raise AssertionError("the broker did not answer in the venue's time")

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Let time pass until ``condition`` holds; fail saying ``what`` did not happen."""
        for _ in range(_TURNS):
            if condition():
                return
            await self.pass_time()
        raise AssertionError(f"did not happen: {what}")

    @asynccontextmanager
    async def desk(self) -> AsyncIterator[Desk]:
        """Yield a connected broker with its evidence; close it afterwards."""
        evidence: list[Evidence] = []
        async with self.open_broker(evidence.append) as broker:
            await self.finish(broker.connect())
            try:
                yield Desk(broker, evidence, max(1, broker.order_id_floor))
            finally:
                await self.finish(broker.close())

    async def quote(self, desk: Desk) -> Quote:
        """Return a snapshot of the instrument with two sides."""
        for _ in range(20):
            found = await self.finish(desk.broker.snapshots([self.instrument]))
            quote = found.get(self.instrument)
            if quote is not None and not math.isnan(quote.mid):
                return quote
            await self.pass_time()
        raise AssertionError(f"the venue has no two-sided quote of {self.instrument}")

    def message(self, desk: Desk, side: Side, price: Decimal, name: str) -> OrderMessage:
        """Return a limit order, ready to be sent."""
        broker = desk.broker
        account = self.account or broker.accounts[0]
        order_id = 0
        if broker.capabilities.numeric_order_ids:
            order_id = desk.next_number
            desk.next_number += 1
        order = Order.limit(
            self.instrument,
            side,
            self.quantity,
            price,
            key=name,
            broker=broker.name,
            account=account,
        )
        return OrderMessage(order, f"ref-{name}", order_id)

    async def place_resting(self, desk: Desk, name: str = "resting") -> OrderMessage:
        """Place a bid far below the market and wait until it works."""
        quote = await self.quote(desk)
        message = self.message(desk, Side.BUY, whole_price(quote.bid * 0.9), name)
        desk.broker.place([message])
        await self.until(
            lambda: BrokerStatus.WORKING in desk.statuses(message.order_ref),
            "a resting order is reported as working",
        )
        return message

    async def place_marketable(self, desk: Desk, name: str = "taker") -> OrderMessage:
        """Place a bid above the market and wait until it is filled."""
        quote = await self.quote(desk)
        message = self.message(desk, Side.BUY, whole_price(quote.ask * 1.05), name)
        desk.broker.place([message])
        await self.until(
            lambda: filled_quantity(desk.fills(message.order_ref)) == self.quantity,
            "a marketable order is filled",
        )
        return message

    def identity(self, desk: Desk, message: OrderMessage) -> OrderIdentity:
        """Return the fullest identity the broker has given the order."""
        perm_ids = [report.identity.perm_id for report in desk.reports(message.order_ref)]
        return OrderIdentity(
            order_ref=message.order_ref,
            perm_id=max(perm_ids, default=0),
            order_id=message.order_id,
            client_id=desk.broker.client_id,
        )

    def scenario(self, body: Callable[[Desk], Coroutine[Any, Any, None]]) -> None:
        """Run ``body`` with a connected broker."""

        async def whole() -> None:
            async with self.desk() as desk:
                await body(desk)

        run(whole())

    async def raises(self, work: Coroutine[Any, Any, Any], expected: type[Exception]) -> None:
        """Fail unless ``work`` raises ``expected``."""
        try:
            answer = await self.finish(work)
        except expected:
            return
        raise AssertionError(f"answered {answer!r} where {expected.__name__} was due")

    async def held(self, desk: Desk) -> Decimal:
        snapshot = await self.finish(desk.broker.positions())
        return sum(
            (row.quantity for row in snapshot.rows if row.instrument is self.instrument),
            Decimal(0),
        )


def whole_price(price: float) -> Decimal:
    """Return a price in whole units of money, at least 2."""
    return Decimal(max(2, math.floor(price)))


def filled_quantity(fills: Sequence[Execution]) -> Decimal:
    """Return how much the executions fill, one that was told twice counted once."""
    return sum({fill.execution_id: fill.quantity for fill in fills}.values(), Decimal(0))


def references(rows: Sequence[OrderReport]) -> set[str]:
    """Return the references of orders."""
    return {row.identity.order_ref for row in rows}


def link_of(broker: Broker) -> LinkState:
    """Return the state of the link."""
    # Read through a function, so that a type checker does not take the first answer for constant.
    return broker.link
