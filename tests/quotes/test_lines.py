"""Quotes from lines: opened by reads, kept alive, given back, and shared out where they run out."""

from __future__ import annotations

import asyncio
import math

import pytest

from alluse_core.errors import (
    InstrumentNotFound,
)
from alluse_core.model import Instrument, QuoteCondition
from alluse_core.ports import BrokerCapabilities

from .desk import (
    AAPL,
    MSFT,
    UNKNOWN,
    Desk,
    alive,
    line_with_a_tick,
    make_desk,
    quote,
    scenario,
    soon,
)

LINES = BrokerCapabilities(streams=True, snapshot_batch=1, quote_lines=2, snapshot_seconds=11.0)


def test_without_batches_the_first_read_opens_a_line_and_its_tick_answers() -> None:
    async def body(desk: Desk) -> None:
        read = await soon(desk.quotes.get(AAPL), desk)
        assert desk.broker.open_lines == {AAPL}
        desk.broker.tick(quote(AAPL))
        assert (await read).bid == 100.0
        assert desk.broker.asked == []
        samples = desk.samples()
        assert samples["market_data_system.lines_used"] == 1.0
        assert samples["market_data_system.lines_limit"] == 2.0
        assert samples["market_data_system.ticks_in"] == 1.0

    scenario(lambda: make_desk(LINES), body)


def test_a_partial_first_tick_does_not_answer_and_the_next_one_does() -> None:
    async def body(desk: Desk) -> None:
        read = await soon(desk.quotes.get(AAPL), desk)
        desk.broker.tick(quote(AAPL, math.nan, math.nan, volume=10.0))
        await desk.clock.advance(0.0)
        assert not read.done()
        desk.broker.tick(quote(AAPL))
        assert (await read).bid == 100.0

    scenario(lambda: make_desk(LINES), body)


def test_a_reader_who_comes_between_the_first_ticks_waits_with_the_others() -> None:
    async def body(desk: Desk) -> None:
        first = await soon(desk.quotes.get(AAPL), desk)
        desk.broker.tick(quote(AAPL, math.nan, math.nan, volume=10.0))
        second = await soon(desk.quotes.get(AAPL), desk)
        desk.broker.tick(quote(AAPL))
        assert await first is await second

    scenario(lambda: make_desk(LINES), body)


def test_a_one_sided_first_tick_waits_for_its_other_side_until_the_next_refresh() -> None:
    async def body(desk: Desk) -> None:
        read = await soon(desk.quotes.get(AAPL), desk)
        desk.broker.tick(quote(AAPL, 100.0, math.nan))
        await desk.clock.advance(0.0)
        assert not read.done()
        await desk.pass_time(0.5)
        assert (await read).condition is QuoteCondition.ONE_SIDED

    scenario(lambda: make_desk(LINES), body)


def test_an_unknown_instrument_is_said_to_be_unknown() -> None:
    async def body(desk: Desk) -> None:
        with pytest.raises(InstrumentNotFound):
            await desk.quotes.get(UNKNOWN)

    scenario(lambda: make_desk(LINES), body)


def test_what_was_learned_of_an_instrument_is_kept_by_broker() -> None:
    async def body(desk: Desk) -> None:
        assert desk.quotes.definition("fake", AAPL) is None
        learned = await desk.quotes.define(AAPL)
        assert await desk.quotes.define(AAPL) is learned
        assert desk.quotes.definition("fake", AAPL) is learned
        assert desk.quotes.definition("other", AAPL) is None
        with pytest.raises(InstrumentNotFound):
            await desk.quotes.define(UNKNOWN)

    scenario(make_desk, body)


def test_a_quiet_market_is_not_a_stale_one_while_its_line_is_alive() -> None:
    async def body(desk: Desk) -> None:
        await line_with_a_tick(desk, AAPL)
        changed = desk.quotes.newest(AAPL)
        assert changed is not None
        await alive(desk, 10.0)
        cached = desk.quotes.cached(AAPL)
        assert cached is not None
        assert cached.age(desk.clock.monotonic()) < 1.0
        assert cached.bid == changed.bid
        assert desk.samples()["market_data_system.quote_age{symbol=AAPL}"] < 1.0

    scenario(lambda: make_desk(LINES), body)


def test_a_dead_line_lets_its_quote_grow_stale() -> None:
    async def body(desk: Desk) -> None:
        await line_with_a_tick(desk, AAPL)
        await desk.pass_time(3.0)
        assert desk.quotes.cached(AAPL) is None
        assert desk.samples()["market_data_system.quote_age{symbol=AAPL}"] == pytest.approx(3.0)
        assert (await desk.quotes.get(AAPL)).instrument is AAPL
        assert desk.broker.asked == [(AAPL,)], "a line that is not alive is not waited for"

    scenario(lambda: make_desk(LINES), body)


def test_a_line_that_has_not_ticked_does_not_freshen_an_old_quote() -> None:
    async def body(desk: Desk) -> None:
        desk.quotes.put(quote(AAPL, 1.0, 2.0, at=desk.clock.monotonic() - 600.0))
        read = await soon(desk.quotes.get(AAPL), desk)
        await alive(desk, 2.0)
        assert not read.done()
        assert desk.quotes.cached(AAPL) is None
        newest = desk.quotes.newest(AAPL)
        assert newest is not None
        assert newest.age(desk.clock.monotonic()) > 600.0
        desk.broker.tick(quote(AAPL))
        assert (await read).bid == 100.0

    scenario(lambda: make_desk(LINES), body)


def test_a_line_nobody_reads_is_given_back_and_one_that_is_read_is_kept() -> None:
    async def body(desk: Desk) -> None:
        await line_with_a_tick(desk, AAPL)
        await line_with_a_tick(desk, MSFT)
        await alive(desk, 70.0, MSFT)
        assert desk.broker.open_lines == {MSFT}
        assert desk.broker.asked == []
        samples = desk.samples()
        assert samples["market_data_system.lines_released"] == 1.0
        assert "market_data_system.quote_age{symbol=AAPL}" not in samples

    scenario(lambda: make_desk(LINES), body)


def test_what_an_order_or_a_position_needs_keeps_its_line_unread() -> None:
    async def body(desk: Desk) -> None:
        await line_with_a_tick(desk, AAPL)
        await line_with_a_tick(desk, MSFT)
        await alive(desk, 70.0, MSFT)
        assert desk.broker.open_lines == {AAPL, MSFT}
        third = Instrument.stock("IBM")
        await alive(desk, 5.0)
        await line_with_a_tick(desk, third)
        assert desk.broker.open_lines == {AAPL, third}

    scenario(lambda: make_desk(LINES, frozenset({AAPL})), body)


def test_the_share_of_reads_that_lines_serve_is_counted() -> None:
    async def body(desk: Desk) -> None:
        await line_with_a_tick(desk, AAPL)
        await alive(desk, 3.0, AAPL)
        samples = desk.samples()
        assert samples["market_data_system.line_misses"] == 1.0
        assert samples["market_data_system.line_hits"] >= 3.0
        assert samples["market_data_system.lines_waiting"] == 0.0

    scenario(lambda: make_desk(LINES), body)


TEN = BrokerCapabilities(streams=True, snapshot_batch=1, quote_lines=10, snapshot_seconds=11.0)


def test_a_read_waits_for_the_line_that_polls_and_gets_it_when_it_has_answered() -> None:
    async def body(desk: Desk) -> None:
        held = [Instrument.stock(f"N{number}") for number in range(9)]
        for instrument in held:
            await line_with_a_tick(desk, instrument)
        await alive(desk, 3.0, *held)
        first = asyncio.create_task(desk.quotes.get(AAPL))
        await desk.clock.advance(0.0)
        second = asyncio.create_task(desk.quotes.get(MSFT))
        await desk.clock.advance(0.2)
        assert desk.samples()["market_data_system.lines_waiting"] >= 1.0
        desk.broker.tick(quote(AAPL))
        await desk.clock.advance(0.1)
        desk.broker.tick(quote(MSFT))
        await desk.clock.advance(0.0)
        assert (await first).instrument is AAPL
        assert (await second).instrument is MSFT
        assert desk.broker.asked == []

    scenario(lambda: make_desk(TEN), body)


def test_when_lines_run_out_the_least_recently_read_one_makes_room() -> None:
    async def body(desk: Desk) -> None:
        third = Instrument.stock("IBM")
        await line_with_a_tick(desk, AAPL)
        await line_with_a_tick(desk, MSFT)
        await alive(desk, 8.0, MSFT)
        await line_with_a_tick(desk, third)
        assert desk.broker.open_lines == {MSFT, third}

    scenario(lambda: make_desk(LINES), body)


def test_an_agent_that_reads_only_cached_keeps_its_line_and_its_hits() -> None:
    async def body(desk: Desk) -> None:
        await line_with_a_tick(desk, AAPL)
        await line_with_a_tick(desk, MSFT)
        before = desk.cache.stats()
        await alive(desk, 600.0, peeked=[AAPL])
        after = desk.cache.stats()
        assert desk.broker.open_lines == {AAPL}, "what nobody reads is given back"
        assert desk.broker.asked == []
        assert (after.hits - before.hits, after.misses - before.misses) == (1200, 0)
        assert desk.samples()["market_data_system.lines_opened"] == 2.0
        await alive(desk, 61.0)
        assert desk.broker.open_lines == set()
        assert desk.quotes.cached(AAPL) is None

    scenario(lambda: make_desk(LINES), body)


def test_a_line_is_kept_for_one_who_reads_while_it_has_nothing_fresh_to_give() -> None:
    async def body(desk: Desk) -> None:
        await line_with_a_tick(desk, AAPL)
        for _ in range(120):
            await desk.pass_time(1.0)
            desk.quotes.cached(AAPL)
        assert desk.quotes.cached(AAPL) is None
        desk.broker.tick(quote(AAPL, 101.0, 101.1))
        served = desk.quotes.cached(AAPL)
        assert served is not None
        assert served.bid == 101.0

    scenario(lambda: make_desk(LINES), body)


def test_when_lines_run_out_reads_of_the_cache_alone_keep_theirs() -> None:
    async def body(desk: Desk) -> None:
        third, fourth = Instrument.stock("IBM"), Instrument.stock("GE")
        await line_with_a_tick(desk, AAPL)
        await line_with_a_tick(desk, MSFT)
        await alive(desk, 8.0, peeked=[AAPL])
        await line_with_a_tick(desk, third)
        assert desk.broker.open_lines == {AAPL, third}
        await alive(desk, 8.0, peeked=[AAPL, third])
        assert (await desk.quotes.get(fourth)).instrument is fourth
        assert desk.broker.asked == [(fourth,)], "both lines are read, so neither makes room"
        assert desk.broker.open_lines == {AAPL, third}

    scenario(lambda: make_desk(LINES), body)


def test_when_all_lines_are_read_a_further_instrument_is_asked_for_by_snapshot() -> None:
    async def body(desk: Desk) -> None:
        await line_with_a_tick(desk, AAPL)
        await line_with_a_tick(desk, MSFT)
        await alive(desk, 8.0, AAPL, MSFT)
        third = Instrument.stock("IBM")
        assert (await desk.quotes.get(third)).instrument is third
        assert desk.broker.asked == [(third,)]
        assert desk.broker.open_lines == {AAPL, MSFT}

    scenario(lambda: make_desk(LINES), body)
