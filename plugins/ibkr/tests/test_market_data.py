"""Lines, snapshots, definitions and history against the simulated gateway, with both libraries."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from ibkr_lab import (
    AAPL,
    CALL,
    EURUSD,
    FUTURE,
    LIBRARIES,
    MSFT,
    TICK_TIME,
    Lab,
    connected,
    gateway,
    show,
    until,
)

from alluse_core.errors import (
    AmbiguousInstrument,
    BrokerUnavailable,
    InstrumentNotFound,
    RequestFailed,
)
from alluse_core.model import (
    BrokerNotice,
    DataType,
    Instrument,
    LinkState,
    Quote,
    QuoteCondition,
    SecurityType,
)
from alluse_core.testing import VirtualClock

both = pytest.mark.parametrize("library", LIBRARIES)


@both
def test_each_kind_of_instrument_is_defined_once_and_kept(library: str) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                for instrument in (AAPL, CALL, FUTURE, EURUSD):
                    definition = await broker.define(instrument)
                    assert definition.instrument is instrument
                    assert int(definition.broker_id) > 0
                    assert definition.min_tick > 0
                assert (await broker.define(AAPL)).primary_exchange == "NASDAQ"
                assert (await broker.define(AAPL)).long_name == "APPLE INC"
                asked = lab.sample("operation_latency_ms.count", operation="define")
                assert asked == 4

    asyncio.run(story())


@both
def test_two_that_ask_at_once_share_one_request(library: str) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                one, two = await asyncio.gather(broker.define(AAPL), broker.define(AAPL))
                assert one is two
                assert lab.sample("operation_latency_ms.count", operation="define") == 1

    asyncio.run(story())


def test_a_definition_is_asked_for_again_after_a_day_and_kept_where_it_cannot_be() -> None:
    async def story() -> None:
        async with gateway() as gate:
            clock = VirtualClock()
            lab = Lab(port=gate.port, clock=clock, heartbeat=1e9)

            def asked() -> float | None:
                return lab.sample("operation_latency_ms.count", operation="define")

            async with connected(lab) as broker:
                first = await broker.define(AAPL)
                await clock.advance(86_000)
                assert await broker.define(AAPL) is first
                await clock.advance(1_000)
                assert await broker.define(AAPL) is not first
                assert asked() == 2
                await clock.advance(90_000)
                await gate.control.pause_listening()
                gate.control.drop()
                await until(lambda: broker.link is not LinkState.UP, "the loss")
                assert (await broker.define(AAPL)).instrument is AAPL
                assert asked() == 2

    asyncio.run(story())


@both
def test_an_unknown_instrument_is_not_found(library: str) -> None:
    async def story() -> None:
        async with (
            gateway() as gate,
            connected(Lab(port=gate.port, library=library)) as broker,
        ):
            with pytest.raises(InstrumentNotFound, match="STK:NOPE:SMART:USD"):
                await broker.define(Instrument.stock("NOPE"))

    asyncio.run(story())


@both
def test_an_ambiguous_instrument_lists_its_candidates(library: str) -> None:
    async def story() -> None:
        async with (
            gateway() as gate,
            connected(Lab(port=gate.port, library=library)) as broker,
        ):
            vague = Instrument("ES", SecurityType.FUTURE, "CME", "USD", multiplier=Decimal(50))
            with pytest.raises(AmbiguousInstrument) as caught:
                await broker.define(vague)
            first, second = sorted(caught.value.candidates, key=lambda each: each.instrument.id)
            assert (first.symbol, first.exchange, first.currency) == ("ES", "CME", "USD")
            assert first.expiry == date(2030, 3, 15)
            assert first.strike is first.right is None
            assert first.broker_id != second.broker_id
            assert "FUT:ES:CME:USD:20300315:::50" in caught.value.hint
            assert (await broker.define(first.instrument)).broker_id == first.broker_id

    asyncio.run(story())


@both
def test_a_stream_brings_whole_quotes_and_then_each_change(library: str) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            quotes: list[Quote] = []
            async with connected(lab) as broker:
                stream = broker.subscribe(AAPL, quotes.append)
                assert stream.instrument is AAPL
                assert math.isnan(stream.alive_at)
                await until(lambda: quotes and quotes[-1].ask == 100.1, "the first quote")
                show(gate.exchange, AAPL, 100.2, 100.4, 300)
                await until(lambda: quotes[-1].ask == 100.4, "the change")
                quote = quotes[-1]
                assert (quote.bid, quote.bid_size, quote.ask_size) == (100.2, 300, 300)
                assert quote.data_type is DataType.LIVE
                assert quote.priceable
                assert quote.source == "main"
                assert [q.sequence for q in quotes] == sorted({q.sequence for q in quotes})
                assert quote.confirmed_at == quote.changed_at <= lab.clock.monotonic()
                assert stream.alive_at >= quote.changed_at
                assert lab.sample("subscriptions_live") == 1
                stream.close()
                stream.close()
                await broker.probe()
                count = len(quotes)
                show(gate.exchange, AAPL, 100.3, 100.5)
                await broker.snapshots([MSFT])
                assert len(quotes) == count
                assert lab.sample("lines_in_use") == 0

    asyncio.run(story())


@both
def test_a_side_that_goes_away_becomes_absent(library: str) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            quotes: list[Quote] = []
            async with connected(lab) as broker:
                broker.subscribe(AAPL, quotes.append)
                await until(lambda: quotes and quotes[-1].ask == 100.1, "the first quote")
                show(gate.exchange, AAPL, 100.0, math.nan)
                await until(lambda: math.isnan(quotes[-1].ask), "the ask to go")
                assert quotes[-1].condition is QuoteCondition.ONE_SIDED
                assert math.isnan(quotes[-1].ask_size)

    asyncio.run(story())


@both
def test_snapshots_give_one_quote_each_and_leave_out_what_is_unknown(library: str) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                nope = Instrument.stock("NOPE")
                quotes = await broker.snapshots([AAPL, MSFT, nope, CALL, EURUSD])
                assert set(quotes) == {AAPL, MSFT, CALL, EURUSD}
                assert quotes[MSFT].ask == 300.2
                assert quotes[EURUSD].bid == 1.1
                assert lab.sample("lines_in_use") == 0

    asyncio.run(story())


@both
def test_subscriptions_come_back_after_a_drop(library: str) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            quotes: list[Quote] = []
            async with connected(lab) as broker:
                stream = broker.subscribe(AAPL, quotes.append)
                await until(lambda: quotes, "the first quote")
                alive = stream.alive_at
                await gate.control.pause_listening()
                gate.control.drop()
                await until(lambda: broker.link is not LinkState.UP, "the loss")
                frozen = stream.alive_at
                assert alive <= frozen <= lab.clock.monotonic()
                with pytest.raises(BrokerUnavailable):
                    await broker.snapshots([AAPL])
                await asyncio.sleep(0.02)
                assert stream.alive_at == frozen
                await gate.control.resume_listening()
                await until(lambda: lab.sample("subscriptions_live") == 1, "the resubscription")
                show(gate.exchange, AAPL, 101.0, 101.2)
                await until(lambda: quotes[-1].ask == 101.2, "a quote on the new socket")
                assert stream.alive_at > frozen

    asyncio.run(story())


@both
def test_1101_makes_every_subscription_again(library: str) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            quotes: list[Quote] = []
            async with connected(lab) as broker:
                stream = broker.subscribe(AAPL, quotes.append)
                await until(lambda: quotes, "the first quote")
                gate.control.broadcast(1100)
                await until(lambda: broker.link is LinkState.DEGRADED, "1100")
                await until(lambda: broker._line_desk.suspended, "the data side of 1100")
                frozen = stream.alive_at
                await broker.probe()
                assert stream.alive_at == frozen
                gate.control.broadcast(1101)
                await until(lambda: broker.link is LinkState.UP, "1101")
                await until(lambda: lab.sample("resubscriptions"), "the resubscription")
                show(gate.exchange, AAPL, 102.0, 102.2)
                await until(lambda: quotes[-1].ask == 102.2, "a quote after it")

    asyncio.run(story())


@both
def test_a_broken_farm_stops_confirming_until_it_is_back(library: str) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            quotes: list[Quote] = []
            async with connected(lab) as broker:
                stream = broker.subscribe(AAPL, quotes.append)
                await until(lambda: quotes, "the first quote")
                gate.control.broadcast(2103)
                await until(lambda: 2103 in [n.code for n in lab.of(BrokerNotice)], "2103")
                await until(lambda: broker._line_desk.suspended, "the data connection's 2103")
                frozen = stream.alive_at
                await broker.define(MSFT)
                assert stream.alive_at == frozen
                assert broker.link is LinkState.UP
                gate.control.broadcast(2104)
                await until(lambda: not broker._line_desk.suspended, "2104")
                await broker.define(CALL)
                assert stream.alive_at > frozen

    asyncio.run(story())


def test_a_quiet_line_is_confirmed_at_each_heartbeat_without_a_change() -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, heartbeat=0.05)
            quotes: list[Quote] = []
            async with connected(lab) as broker:
                broker.subscribe(AAPL, quotes.append)
                await until(lambda: quotes and quotes[-1].ask == 100.1, "the first quote")
                await broker.probe()
                last = quotes[-1]
                await until(lambda: quotes[-1].confirmed_at > last.confirmed_at, "a confirmation")
                assert quotes[-1].sequence == last.sequence
                assert quotes[-1].changed_at == last.changed_at
                assert quotes[-1] is not last

    asyncio.run(story())


def test_more_subscriptions_than_lines_are_refused() -> None:
    async def story() -> None:
        async with gateway() as gate, connected(Lab(port=gate.port, max_lines=1)) as broker:
            first = broker.subscribe(AAPL, lambda _: None)
            broker.subscribe(AAPL, lambda _: None)
            with pytest.raises(RequestFailed) as caught:
                broker.subscribe(MSFT, lambda _: None)
            assert caught.value.code == 101
            assert first.instrument is AAPL

    asyncio.run(story())


def test_a_stream_that_is_refused_says_why_and_is_not_alive() -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port)
            async with connected(lab) as broker:
                stream = broker.subscribe(Instrument.stock("NOPE"), lambda _: None)
                await until(lambda: stream.refused, "the refusal")
                assert "code 200" in stream.refused
                assert math.isnan(stream.alive_at)
                assert lab.sample("subscriptions_live") == 0

    asyncio.run(story())


def test_delayed_data_is_said_to_be_delayed() -> None:
    async def story() -> None:
        async with gateway(entitled=False) as gate:
            lab = Lab(port=gate.port, market_data_type=3)
            quotes: list[Quote] = []
            async with connected(lab) as broker:
                broker.subscribe(AAPL, quotes.append)
                await until(lambda: quotes and not math.isnan(quotes[-1].ask), "a quote")
                assert quotes[-1].data_type is DataType.DELAYED
                assert not quotes[-1].priceable

    asyncio.run(story())


@both
def test_bars_come_in_rising_time(library: str) -> None:
    async def story() -> None:
        from alluse_paper.market import TradeEvent

        async with gateway() as gate:
            for minute in range(5):
                gate.exchange.on_market(
                    TradeEvent(AAPL, TICK_TIME + 60 * minute, 100.0 + minute, 10)
                )
            async with connected(Lab(port=gate.port, library=library)) as broker:
                end = datetime.fromtimestamp(TICK_TIME + 600, UTC)
                bars = await broker.bars(AAPL, end, timedelta(minutes=30), timedelta(minutes=1))
                assert [bar.close for bar in bars][:3] == [100.0, 101.0, 102.0]
                assert [bar.time for bar in bars] == sorted(bar.time for bar in bars)
                assert all(bar.time.tzinfo is not None for bar in bars)

    asyncio.run(story())


def test_an_expiry_and_a_pair_go_out_as_the_broker_names_them() -> None:
    assert date(2030, 1, 18) == CALL.expiry

    async def story() -> None:
        async with gateway() as gate, connected(Lab(port=gate.port)) as broker:
            desk = broker._order_desk
            call = desk._book.contract(CALL)
            assert call.lastTradeDateOrContractMonth == "20300118"
            assert (call.strike, call.right, call.multiplier) == (100.0, "C", "100")
            pair = desk._book.contract(EURUSD)
            assert (pair.symbol, pair.currency, pair.exchange) == ("EUR", "USD", "IDEALPRO")
            assert pair.secType == "CASH"
            assert desk._book.instrument(call) is CALL
            assert desk._book.instrument(pair) is EURUSD
            assert desk._book.instrument(desk._book.contract(FUTURE)) is FUTURE

    asyncio.run(story())
