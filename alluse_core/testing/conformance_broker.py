"""The standard tests of a Broker."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from typing import Any, TypeVar

import attrs

from alluse_core.errors import (
    BrokerUnavailable,
    InstrumentNotFound,
    NotSent,
)
from alluse_core.model import (
    BrokerStatus,
    Commission,
    Evidence,
    Execution,
    Instrument,
    LinkReport,
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


class BrokerConformance(Conformance):
    """Subclass it as ``Test...`` and define :meth:`open_broker`.

    ``instrument`` must be known to the venue, have two sides and enough size for ``quantity``;
    ``unknown_instrument`` must not be known. :meth:`pass_time` lets a little of the venue's time
    pass: a venue under a VirtualClock advances it there. ``account`` empty means the first one.
    """

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
        message = self.message(desk, Side.BUY, _whole(quote.bid * 0.9), name)
        desk.broker.place([message])
        await self.until(
            lambda: BrokerStatus.WORKING in desk.statuses(message.order_ref),
            "a resting order is reported as working",
        )
        return message

    async def place_marketable(self, desk: Desk, name: str = "taker") -> OrderMessage:
        """Place a bid above the market and wait until it is filled."""
        quote = await self.quote(desk)
        message = self.message(desk, Side.BUY, _whole(quote.ask * 1.05), name)
        desk.broker.place([message])
        await self.until(
            lambda: _filled(desk.fills(message.order_ref)) == self.quantity,
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

    # --- the link ---------------------------------------------------------------------------

    def test_connecting_makes_the_link_and_the_accounts_known(self) -> None:
        async def whole() -> None:
            evidence: list[Evidence] = []
            async with self.open_broker(evidence.append) as broker:
                assert not broker.accounts, "accounts are empty before connect"
                assert _link(broker) is not LinkState.UP, "the link is not up before connect"
                await self.finish(broker.connect())
                assert _link(broker) is LinkState.UP
                assert broker.accounts
                if broker.capabilities.numeric_order_ids:
                    assert broker.order_id_floor > 0
                await self.finish(broker.close())
                assert _link(broker) is LinkState.DOWN, "the link is down after close"
            assert any(
                isinstance(item, LinkReport) and item.state is LinkState.UP for item in evidence
            ), "the link's changes are evidence"

        run(whole())

    def test_closing_twice_is_harmless(self) -> None:
        async def body(desk: Desk) -> None:
            await self.finish(desk.broker.close())
            await self.finish(desk.broker.close())

        self.scenario(body)

    def test_every_account_is_judged_paper_or_live_or_unknown(self) -> None:
        async def body(desk: Desk) -> None:
            for account in desk.broker.accounts:
                assert desk.broker.account_mode(account).value in ("paper", "live", "unknown")

        self.scenario(body)

    def test_a_probe_returns_the_seconds_of_a_round_trip(self) -> None:
        async def body(desk: Desk) -> None:
            seconds = await self.finish(desk.broker.probe())
            assert 0.0 <= seconds < 60.0

        self.scenario(body)

    # --- instruments and quotes -------------------------------------------------------------

    def test_a_known_instrument_is_defined_with_a_positive_tick(self) -> None:
        async def body(desk: Desk) -> None:
            definition = await self.finish(desk.broker.define(self.instrument))
            assert definition.instrument is self.instrument
            assert definition.broker_id
            assert definition.min_tick > 0

        self.scenario(body)

    def test_an_unknown_instrument_is_not_found(self) -> None:
        async def body(desk: Desk) -> None:
            await self.raises(desk.broker.define(self.unknown_instrument), InstrumentNotFound)

        self.scenario(body)

    def test_a_snapshot_names_its_instrument_and_says_when_it_was_current(self) -> None:
        async def body(desk: Desk) -> None:
            quote = await self.quote(desk)
            assert quote.instrument is self.instrument
            assert math.isfinite(quote.confirmed_at)
            assert quote.source == desk.broker.name

        self.scenario(body)

    def test_an_instrument_without_an_answer_is_missing_from_the_snapshots(self) -> None:
        async def body(desk: Desk) -> None:
            wanted = [self.instrument, self.unknown_instrument]
            found = await self.finish(desk.broker.snapshots(wanted))
            assert self.unknown_instrument not in found

        self.scenario(body)

    def test_a_subscription_yields_new_values_until_it_is_closed(self) -> None:
        async def body(desk: Desk) -> None:
            if not desk.broker.capabilities.streams:
                return
            got: list[Quote] = []
            subscription = desk.broker.subscribe(self.instrument, got.append)
            assert subscription.instrument is self.instrument
            await self.until(lambda: got, "a subscription yields a quote")
            assert all(quote.instrument is self.instrument for quote in got)
            assert len({id(quote) for quote in got}) == len(got), "each quote is a new value"
            assert math.isfinite(subscription.alive_at)
            subscription.close()
            subscription.close()
            await self.pass_time()
            seen = len(got)
            for _ in range(20):
                await self.pass_time()
            assert len(got) == seen, "nothing arrives after close"

        self.scenario(body)

    # --- orders -----------------------------------------------------------------------------

    def test_a_resting_order_is_reported_under_its_reference(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_resting(desk)
            report = desk.reports(message.order_ref)[-1]
            assert report.broker == desk.broker.name
            assert not desk.fills(message.order_ref)

        self.scenario(body)

    def test_a_marketable_order_fills_and_each_execution_has_its_own_id(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_marketable(desk)
            fills = desk.fills(message.order_ref)
            assert all(fill.execution_id and fill.price > 0 for fill in fills)
            assert len({fill.execution_id for fill in fills}) == len(fills)
            assert {fill.side for fill in fills} == {Side.BUY}
            assert all(fill.instrument is self.instrument for fill in fills)
            await self.until(
                lambda: BrokerStatus.FILLED in desk.statuses(message.order_ref),
                "a filled order is reported as filled",
            )

        self.scenario(body)

    def test_a_commission_names_an_execution_that_happened(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_marketable(desk)
            ids = {fill.execution_id for fill in desk.fills(message.order_ref)}
            await self.until(
                lambda: any(
                    isinstance(item, Commission) and item.execution_id in ids
                    for item in desk.evidence
                ),
                "a fill's commission arrives",
            )

        self.scenario(body)

    def test_filled_quantities_never_shrink_in_the_evidence(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_marketable(desk)
            filled = [r.filled for r in desk.reports(message.order_ref) if r.filled is not None]
            assert filled == sorted(filled), "evidence of one order arrives in order"

        self.scenario(body)

    def test_a_canceled_order_is_reported_as_canceled(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_resting(desk)
            desk.broker.cancel(self.identity(desk, message))
            await self.until(
                lambda: BrokerStatus.CANCELED in desk.statuses(message.order_ref),
                "a cancel is confirmed by evidence",
            )
            rows = (await self.finish(desk.broker.open_orders())).rows
            assert message.order_ref not in _references(rows)

        self.scenario(body)

    def test_a_modified_order_shows_its_new_price(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_resting(desk)
            assert message.order.limit_price is not None
            price = message.order.limit_price - 1
            changed = attrs.evolve(message, order=attrs.evolve(message.order, limit_price=price))
            desk.broker.modify(changed, self.identity(desk, message))
            shown: list[Decimal | None] = []
            for _ in range(50):
                snapshot = await self.finish(desk.broker.open_orders())
                shown = [
                    row.terms.limit_price
                    for row in snapshot.rows
                    if row.identity.order_ref == message.order_ref and row.terms is not None
                ]
                if shown == [price]:
                    return
                await self.pass_time()
            raise AssertionError(f"open orders show {shown}, not [{price}]")

        self.scenario(body)

    # --- evidence on request ----------------------------------------------------------------

    def test_open_orders_hold_a_resting_order_with_its_terms(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_resting(desk)
            snapshot = await self.finish(desk.broker.open_orders())
            assert snapshot.complete
            assert snapshot.as_of.tzinfo is not None
            row = next(r for r in snapshot.rows if r.identity.order_ref == message.order_ref)
            assert row.terms is not None
            assert row.terms.quantity == self.quantity
            assert row.terms.side is Side.BUY

        self.scenario(body)

    def test_executions_on_request_are_those_that_were_told(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_marketable(desk)
            snapshot = await self.finish(desk.broker.executions())
            assert snapshot.complete
            asked = {
                row.execution_id
                for row in snapshot.rows
                if row.identity.order_ref == message.order_ref
            }
            assert asked == {fill.execution_id for fill in desk.fills(message.order_ref)}

        self.scenario(body)

    def test_a_filled_order_is_among_the_completed_ones(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_marketable(desk)
            snapshot = await self.finish(desk.broker.completed_orders())
            assert snapshot.complete
            named = message.order_ref in _references(snapshot.rows)
            perm_id = self.identity(desk, message).perm_id
            assert named or perm_id in {row.identity.perm_id for row in snapshot.rows}

        self.scenario(body)

    def test_a_fill_is_in_the_positions(self) -> None:
        async def body(desk: Desk) -> None:
            before = await self._held(desk)
            await self.place_marketable(desk)
            for _ in range(100):
                if await self._held(desk) - before == self.quantity:
                    return
                await self.pass_time()
            raise AssertionError("positions do not show the fill")

        self.scenario(body)

    def test_account_values_carry_the_brokers_names(self) -> None:
        async def body(desk: Desk) -> None:
            snapshot = await self.finish(desk.broker.account_values())
            assert snapshot.complete
            assert snapshot.rows
            assert all(row.name and row.account for row in snapshot.rows)

        self.scenario(body)

    # --- without a link ---------------------------------------------------------------------

    def test_a_query_without_a_link_raises_and_is_never_empty(self) -> None:
        async def body(desk: Desk) -> None:
            broker = desk.broker
            await self.finish(broker.close())
            queries: Sequence[Callable[[], Coroutine[Any, Any, Any]]] = (
                broker.open_orders,
                broker.completed_orders,
                broker.executions,
                broker.positions,
                broker.account_values,
                broker.probe,
                lambda: broker.snapshots([self.instrument]),
            )
            for query in queries:
                await self.raises(query(), BrokerUnavailable)

        self.scenario(body)

    def test_an_order_without_a_link_is_provably_not_sent(self) -> None:
        async def body(desk: Desk) -> None:
            message = self.message(desk, Side.BUY, Decimal(1), "late")
            await self.finish(desk.broker.close())
            sends: Sequence[Callable[[], None]] = (
                lambda: desk.broker.place([message]),
                lambda: desk.broker.cancel(OrderIdentity(order_ref="ref-late")),
                lambda: desk.broker.modify(message, OrderIdentity(order_ref="ref-late")),
            )
            for send in sends:
                try:
                    send()
                except NotSent:
                    continue
                raise AssertionError("a message without a link raises NotSent")

        self.scenario(body)

    async def raises(self, work: Coroutine[Any, Any, Any], expected: type[Exception]) -> None:
        """Fail unless ``work`` raises ``expected``."""
        try:
            answer = await self.finish(work)
        except expected:
            return
        raise AssertionError(f"answered {answer!r} where {expected.__name__} was due")

    async def _held(self, desk: Desk) -> Decimal:
        snapshot = await self.finish(desk.broker.positions())
        return sum(
            (row.quantity for row in snapshot.rows if row.instrument is self.instrument),
            Decimal(0),
        )


def _whole(price: float) -> Decimal:
    return Decimal(max(2, math.floor(price)))


def _filled(fills: Sequence[Execution]) -> Decimal:
    return sum((fill.quantity for fill in fills), Decimal(0))


def _references(rows: Sequence[OrderReport]) -> set[str]:
    return {row.identity.order_ref for row in rows}


def _link(broker: Broker) -> LinkState:
    # Read through a function, so that a type checker does not take the first answer for constant.
    return broker.link
