"""The in-process broker: the core's conformance suite, and what is its own."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from alluse_paper.broker import PaperBroker
from alluse_paper.market import HaltEvent, QuoteEvent
from alluse_paper.orders import NewOrder
from alluse_paper.plugin import alluse_brokers
from alluse_paper.recording import RecordingWriter
from alluse_paper.settings import PaperSettings

from alluse_core.errors import (
    AmbiguousInstrument,
    BrokerUnavailable,
    NotSent,
    RecordingError,
    RequestFailed,
)
from alluse_core.model import (
    AccountMode,
    BrokerNotice,
    BrokerStatus,
    Evidence,
    Execution,
    Instrument,
    LinkReport,
    LinkState,
    Order,
    OrderGroup,
    OrderIdentity,
    OrderReport,
    OrderType,
    Quote,
    Side,
)
from alluse_core.model.quote import DataType
from alluse_core.ports import Broker, EvidenceSink, OrderMessage
from alluse_core.testing.clock import VirtualClock
from alluse_core.testing.conformance import make_context
from alluse_core.testing.conformance_broker import BrokerConformance
from alluse_core.testing.conformance_broker import Desk as StandardDesk

AAPL = Instrument.stock("AAPL")
SPY = Instrument.stock("SPY")


class TestPaperBroker(BrokerConformance):
    """The standard tests, over the synthetic market at ten times its speed."""

    def open_broker(self, evidence: EvidenceSink) -> AbstractAsyncContextManager[Broker]:
        return self._open(evidence)

    def open_with_two_accounts(self, evidence: EvidenceSink) -> AbstractAsyncContextManager[Broker]:
        return self._open(evidence, accounts=("DU1", "DU2"))

    @asynccontextmanager
    async def _open(self, evidence: EvidenceSink, **more: Any) -> AsyncIterator[Broker]:
        self.clock = VirtualClock()
        settings = PaperSettings(seed=3, speed=10.0, **more)
        (provider,) = alluse_brokers()
        broker = provider.open(
            make_context(name="paper", settings=settings, clock=self.clock, evidence=evidence)
        )
        try:
            yield broker
        finally:
            await broker.close()

    async def pass_time(self) -> None:
        await self.clock.advance(0.05)
        await asyncio.sleep(0)

    async def pause_market(self, desk: StandardDesk) -> None:
        player = paper_of(desk).player
        assert player is not None
        player.speed = 1e-9
        await self.clock.advance(0.5)

    async def part_next_fill(self, desk: StandardDesk) -> None:
        await self.pause_market(desk)
        self.show(desk, float(self.quantity) / 2)

    async def show_the_rest(self, desk: StandardDesk) -> None:
        self.show(desk, float(self.quantity))

    def show(self, desk: StandardDesk, size: float) -> None:
        """Show the present prices with ``size`` units on both sides."""
        exchange = paper_of(desk).exchange
        top = exchange.top(self.instrument)
        assert top is not None
        now = self.clock.now().timestamp()
        exchange.on_market(QuoteEvent(self.instrument, now, top.bid, size, top.ask, size))

    async def ignore_next_modify(self, desk: StandardDesk) -> None:
        exchange = paper_of(desk).exchange
        replace = exchange.replace

        def keeping(number: int, **terms: Any) -> None:
            price = exchange.order(number).request.limit_price
            replace(number, **{**terms, "limit_price": price})

        exchange.replace = keeping  # type: ignore[method-assign]

    async def reject_next(self, desk: StandardDesk) -> None:
        exchange = paper_of(desk).exchange
        place = exchange.place
        exchange.place = lambda request: place(  # type: ignore[method-assign]
            attrs.evolve(request, quantity=Decimal(10**9))
        )

    async def place_by_hand(self, desk: StandardDesk) -> None:
        broker = paper_of(desk)
        order = NewOrder(
            broker.accounts[0],
            self.instrument,
            Side.BUY,
            Decimal(1),
            OrderType.LIMIT,
            Decimal(2),
        )
        broker.exchange.place(order)


def paper_of(desk: StandardDesk) -> PaperBroker:
    """Return the broker under test as what it is."""
    assert isinstance(desk.broker, PaperBroker)
    return desk.broker


class Desk:
    """A connected broker in virtual time, and what it said."""

    def __init__(self, **settings: object) -> None:
        self.clock = VirtualClock()
        self.evidence: list[Evidence] = []
        self.broker = PaperBroker(
            make_context(
                name="sim",
                settings=PaperSettings(**{"seed": 5, **settings}),  # type: ignore[arg-type]
                clock=self.clock,
                evidence=self.evidence.append,
            )
        )

    def reports(self, order_ref: str) -> list[BrokerStatus]:
        return [
            each.status
            for each in self.evidence
            if isinstance(each, OrderReport) and each.identity.order_ref == order_ref
        ]


def story(body: Callable[[Desk], Awaitable[None]], **settings: object) -> None:
    async def whole() -> None:
        desk = Desk(**settings)
        await desk.broker.connect()
        try:
            await desk.clock.advance(2.0)
            await body(desk)
        finally:
            await desk.broker.close()

    asyncio.run(whole())


def messages(group: OrderGroup, first: int = 1, oca: str = "") -> list[OrderMessage]:
    entry = first if not oca else 0
    last = len(group.orders) - 1
    return [
        OrderMessage(order, f"ref-{order.key}", first + n, entry if n else 0, oca, n == last)
        for n, order in enumerate(group.orders)
    ]


def test_a_bracket_is_held_filled_and_closed_as_one_intent() -> None:
    async def body(desk: Desk) -> None:
        entry = Order.market(SPY, Side.BUY, 10, key="e")
        group = OrderGroup.bracket(entry, take_profit="900.00", stop="100.00")
        desk.broker.place(messages(group))
        await desk.clock.advance(1.0)
        assert desk.reports("ref-e")[-1] is BrokerStatus.FILLED
        assert desk.reports("ref-e/profit")[-1] is BrokerStatus.WORKING
        assert BrokerStatus.HELD in desk.reports("ref-e/stop")
        desk.broker.cancel(OrderIdentity(order_ref="ref-e/profit"))
        await desk.clock.advance(1.0)
        assert desk.reports("ref-e/profit")[-1] is BrokerStatus.CANCELED

    story(body)


def test_an_oca_group_without_a_parent_is_transmitted_whole() -> None:
    async def body(desk: Desk) -> None:
        group = OrderGroup.oca(
            Order.limit(SPY, Side.BUY, 10, "100.00", key="low"),
            Order.limit(SPY, Side.BUY, 10, "900.00", key="high"),
            key="g",
        )
        desk.broker.place(messages(group, oca="g"))
        await desk.clock.advance(1.0)
        assert desk.reports("ref-high")[-1] is BrokerStatus.FILLED
        assert desk.reports("ref-low")[-1] is BrokerStatus.CANCELED

    story(body)


def test_a_command_for_an_order_nobody_knows_is_a_notice_not_silence() -> None:
    async def body(desk: Desk) -> None:
        desk.broker.cancel(OrderIdentity(perm_id=1))
        order = Order.limit(SPY, Side.BUY, 10, "100.00", key="x")
        desk.broker.modify(OrderMessage(order, "ref-x"), OrderIdentity(order_ref="ref-x"))
        await desk.clock.advance(1.0)
        codes = [each.code for each in desk.evidence if isinstance(each, BrokerNotice)]
        assert codes == [10147, 10147]

    story(body)


def test_executions_come_before_the_status_they_lead_to() -> None:
    async def body(desk: Desk) -> None:
        order = Order.market(SPY, Side.BUY, 10, key="x")
        desk.broker.place([OrderMessage(order, "ref-x", 1)])
        await desk.clock.advance(1.0)
        fill = next(n for n, each in enumerate(desk.evidence) if isinstance(each, Execution))
        done = next(
            n
            for n, each in enumerate(desk.evidence)
            if isinstance(each, OrderReport) and each.status is BrokerStatus.FILLED
        )
        assert fill < done
        positions = await desk.broker.positions()
        assert [(each.instrument, each.quantity) for each in positions.rows] == [(SPY, 10)]
        values = {each.name: each.value for each in (await desk.broker.account_values()).rows}
        assert values["GrossPositionValue"] > 0
        assert values["NetLiquidation"] < Decimal(1_000_001)

    story(body)


def test_orders_before_connect_and_after_close_were_provably_not_sent() -> None:
    async def whole() -> None:
        desk = Desk()
        message = OrderMessage(Order.market(SPY, Side.BUY, 1, key="x"), "ref-x", 1)
        for _ in range(2):
            with pytest.raises(NotSent):
                desk.broker.place([message])
            with pytest.raises(BrokerUnavailable):
                await desk.broker.open_orders()
            await desk.broker.connect()
            await desk.broker.close()

    asyncio.run(whole())


def test_quotes_are_live_carry_their_times_and_never_a_zero_for_an_absent_side() -> None:
    async def body(desk: Desk) -> None:
        got: list[Quote] = []
        desk.broker.subscribe(SPY, got.append)
        await desk.clock.advance(1.0)
        exchange = desk.broker.exchange
        exchange.on_market(QuoteEvent(SPY, exchange.market_time, 0.0, 100, 560.0, 100))
        exchange.on_market(HaltEvent(SPY, exchange.market_time, True))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert math.isnan(got[-1].bid)
        assert math.isnan(got[-1].bid_size)
        assert got[-1].ask == 560.0
        assert got[-1].halted
        assert got[-1].data_type is DataType.LIVE
        assert got[-1].changed_at <= got[-1].confirmed_at == desk.clock.monotonic()
        assert got[-1].sequence > got[0].sequence

    story(body)


def test_a_paused_process_waits_for_the_quotes_of_the_market_that_it_paused() -> None:
    async def whole() -> None:
        desk = Desk()
        await desk.broker.connect()
        asking = asyncio.ensure_future(desk.broker.snapshots([AAPL]))
        await desk.clock.advance(0.02)
        assert not asking.done()
        desk.clock._move_to(desk.clock.monotonic() + 1.5)  # time passes and nobody is woken
        await desk.clock.advance(0.5)
        assert AAPL in await asking
        await desk.broker.close()

    asyncio.run(whole())


def test_a_snapshot_of_what_is_never_shown_ends_without_it() -> None:
    async def whole() -> None:
        desk = Desk(speed=1e-9)
        await desk.broker.connect()
        asking = asyncio.ensure_future(desk.broker.snapshots([AAPL]))
        await desk.clock.advance(desk.broker.capabilities.snapshot_seconds + 0.1)
        assert asking.done()
        assert AAPL not in await asking
        await desk.broker.close()

    asyncio.run(whole())


def test_a_stream_is_not_alive_once_its_recording_has_ended(tmp_path: Path) -> None:
    start = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
    with RecordingWriter(tmp_path) as writer:
        for second in range(3):
            writer.write(Quote(SPY, bid=1.0 + second, ask=9.0), start + timedelta(seconds=second))

    async def body(desk: Desk) -> None:
        stream = desk.broker.subscribe(SPY, lambda _: None)
        await desk.clock.advance(10.0)
        ended = stream.alive_at
        assert ended < desk.clock.monotonic() - 5.0
        quote = (await desk.broker.snapshots([SPY]))[SPY]
        assert (quote.bid, quote.confirmed_at) == (3.0, ended)
        assert quote.time == start + timedelta(seconds=2)

    story(body, replay=str(tmp_path))


def test_a_recording_that_cannot_be_read_fails_the_connection(tmp_path: Path) -> None:
    async def whole() -> None:
        desk = Desk(replay=str(tmp_path / "nowhere"))
        with pytest.raises(RecordingError):
            await desk.broker.connect()
        assert desk.broker.link is LinkState.DOWN

    asyncio.run(whole())


def test_a_recording_that_breaks_on_the_way_degrades_the_link(tmp_path: Path) -> None:
    import gzip

    from alluse_paper.rows import QUOTES

    with gzip.open(tmp_path / "bad.csv.gz", "wt") as stream:
        stream.write(QUOTES + "\n2026-01-05T15:00:00.000Z,SPY,1,2,3,4,1,3\n")
        stream.write("2026-01-05T15:00:01.000Z,SPY,oops,2,3,4,1,3\n")

    async def body(desk: Desk) -> None:
        await desk.clock.advance(5.0)
        assert desk.broker.link is LinkState.DEGRADED
        report = desk.evidence[-1]
        assert isinstance(report, LinkReport)
        assert "line 3" in report.reason

    story(body, replay=str(tmp_path))


def test_a_loose_description_is_found_if_it_fits_one_instrument_and_ambiguous_if_more() -> None:
    async def body(desk: Desk) -> None:
        loose = Instrument.parse("OPT:AAPL:SMART:USD::190:C:100")
        definition = await desk.broker.define(loose)
        assert definition.instrument.expiry is not None
        with pytest.raises(AmbiguousInstrument) as caught:
            await desk.broker.define(Instrument.parse("OPT:AAPL:SMART:USD::::100"))
        assert {each.right for each in caught.value.candidates} == {"C", "P"}
        for each in caught.value.candidates:
            assert each.instrument.id in caught.value.hint

    story(body)


def test_there_are_no_bars_and_it_says_so() -> None:
    async def body(desk: Desk) -> None:
        assert not desk.broker.capabilities.historical_bars
        with pytest.raises(RequestFailed, match="no historical bars"):
            await desk.broker.bars(SPY, None, timedelta(days=1), timedelta(minutes=1))

    story(body)


def test_only_the_simulated_accounts_are_paper() -> None:
    desk = Desk()
    assert desk.broker.account_mode("DU1000001") is AccountMode.PAPER
    assert desk.broker.account_mode("U1000001") is AccountMode.UNKNOWN


@pytest.mark.parametrize(
    "wrong",
    [{"speed": 0.0}, {"speed": math.inf}, {"symbols": 3}, {"accounts": ()}, {"latency_ms": -1.0}],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        PaperSettings(**wrong)  # type: ignore[arg-type]
