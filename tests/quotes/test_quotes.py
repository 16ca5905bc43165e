"""The quotes service under a virtual clock."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from alluse_core.errors import (
    BrokerUnavailable,
    InstrumentNotFound,
    QuoteUnavailable,
    UsageError,
)
from alluse_core.model import Instrument, LinkState, Quote, QuoteCondition
from alluse_core.ports import BrokerCapabilities

from .desk import AAPL, MSFT, UNKNOWN, Desk, make_desk, quote

BATCH = BrokerCapabilities(streams=False, snapshot_batch=50)
LINES = BrokerCapabilities(streams=True, snapshot_batch=1, quote_lines=2, snapshot_seconds=11.0)


def scenario(desk: Callable[[], Desk], body: Callable[[Desk], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        made = desk()
        await made.quotes.start()
        try:
            await body(made)
        finally:
            await made.quotes.stop()
        assert asyncio.all_tasks() == {asyncio.current_task()}, "a stopped service left tasks"

    asyncio.run(whole())


async def soon(work: Coroutine[Any, Any, Quote], desk: Desk) -> asyncio.Task[Quote]:
    task = asyncio.create_task(work)
    await desk.clock.advance(0.0)
    return task


def test_a_read_is_asked_for_once_and_then_costs_a_memory_read() -> None:
    async def body(desk: Desk) -> None:
        assert desk.quotes.cached(AAPL) is None
        first = await desk.quotes.get(AAPL)
        tasks = asyncio.all_tasks()
        assert await desk.quotes.get(AAPL) is first
        assert desk.quotes.cached(AAPL) is first
        assert desk.quotes.cached == desk.cache.peek
        assert asyncio.all_tasks() == tasks, "a hit makes no task"
        assert desk.broker.asked == [(AAPL,)]

    scenario(make_desk, body)


def test_a_stale_quote_is_asked_for_again() -> None:
    async def body(desk: Desk) -> None:
        await desk.quotes.get(AAPL)
        await desk.pass_time(1.5)
        assert desk.quotes.cached(AAPL) is None
        assert await desk.quotes.get(AAPL, max_age=10.0) is desk.quotes.newest(AAPL)
        assert len(desk.broker.asked) == 1
        await desk.quotes.get(AAPL)
        assert len(desk.broker.asked) == 2

    scenario(make_desk, body)


def test_a_cached_quote_that_is_too_old_for_the_caller_is_asked_for_again() -> None:
    async def body(desk: Desk) -> None:
        await desk.quotes.get(AAPL)
        await desk.pass_time(0.4)
        await desk.quotes.get(AAPL, max_age=0.5)
        assert len(desk.broker.asked) == 1
        await desk.quotes.get(AAPL, max_age=0.3)
        assert len(desk.broker.asked) == 2
        with pytest.raises(UsageError):
            await desk.quotes.get(AAPL, max_age=-1.0)

    scenario(make_desk, body)


def test_many_readers_of_one_instrument_make_one_broker_call() -> None:
    async def body(desk: Desk) -> None:
        quotes = await asyncio.gather(*(desk.quotes.get(AAPL) for _ in range(500)))
        assert len({id(one) for one in quotes}) == 1
        assert desk.broker.asked == [(AAPL,)]
        samples = desk.samples()
        assert samples["market_data_system.coalesced"] == 499.0
        assert samples["market_data_system.reads_served"] == 500.0
        assert samples["market_data_system.reads_requested"] == 500.0
        assert samples["market_data_system.broker_calls"] == 1.0

    scenario(make_desk, body)


def test_a_reader_that_leaves_does_not_take_the_answer_from_others() -> None:
    async def body(desk: Desk) -> None:
        desk.broker.gate.clear()
        leaving = await soon(desk.quotes.get(AAPL), desk)
        staying = await soon(desk.quotes.get(AAPL), desk)
        leaving.cancel()
        await desk.clock.advance(0.0)
        desk.broker.gate.set()
        assert (await staying).instrument is AAPL
        assert leaving.cancelled()

    scenario(make_desk, body)


def test_misses_of_one_turn_share_a_batch_request() -> None:
    async def body(desk: Desk) -> None:
        wanted = [Instrument.stock(f"S{index}") for index in range(120)]
        found = await desk.quotes.get_many([*wanted, UNKNOWN])
        assert set(found) == set(wanted)
        assert [len(asked) for asked in desk.broker.asked] == [50, 50, 21]

    scenario(lambda: make_desk(BATCH), body)


def test_the_number_of_broker_calls_at_once_is_bounded_by_the_workers() -> None:
    async def body(desk: Desk) -> None:
        desk.broker.gate.clear()
        wanted = [Instrument.stock(f"S{index}") for index in range(40)]
        reads = [await soon(desk.quotes.get(one), desk) for one in wanted]
        assert len(desk.broker.asked) == 12
        samples = desk.samples()
        assert samples["market_data_system.queue_depth"] == 28.0
        assert samples["market_data_system.workers_idle"] == 0.0
        desk.broker.gate.set()
        await asyncio.gather(*reads)

    scenario(make_desk, body)


def test_a_quote_without_any_side_is_kept_and_never_served_as_a_price() -> None:
    async def body(desk: Desk) -> None:
        empty = quote(AAPL, 0.0, math.nan, at=desk.clock.monotonic())
        desk.broker.answers[AAPL] = empty
        with pytest.raises(QuoteUnavailable, match="no valid side"):
            await desk.quotes.get(AAPL)
        assert desk.quotes.cached(AAPL) is None
        assert desk.quotes.newest(AAPL) is empty
        with pytest.raises(QuoteUnavailable, match="no valid side"):
            await desk.quotes.get(AAPL)
        assert len(desk.broker.asked) == 1, "a market known to be empty is not asked again"
        samples = desk.samples()
        assert samples["market_data_system.quotes_marked{condition=empty}"] == 1.0
        assert samples["market_data_system.quotes_unavailable"] == 2.0
        assert samples["market_data_system.reads_served"] == 0.0

    scenario(make_desk, body)


@pytest.mark.parametrize(
    ("bid", "ask", "condition"),
    [
        (100.0, math.nan, QuoteCondition.ONE_SIDED),
        (101.0, 100.0, QuoteCondition.CROSSED),
        (100.0, 100.0, QuoteCondition.LOCKED),
    ],
)
def test_an_odd_quote_is_served_marked_and_counted(
    bid: float, ask: float, condition: QuoteCondition
) -> None:
    async def body(desk: Desk) -> None:
        desk.broker.answers[AAPL] = quote(AAPL, bid, ask, at=desk.clock.monotonic())
        assert (await desk.quotes.get(AAPL)).condition is condition
        name = f"market_data_system.quotes_marked{{condition={condition.value}}}"
        assert desk.samples()[name] == 1.0

    scenario(make_desk, body)


def test_an_index_is_served_by_its_last_value() -> None:
    async def body(desk: Desk) -> None:
        spx = Instrument.index("SPX", "CBOE")
        at = desk.clock.monotonic()
        desk.broker.answers[spx] = quote(spx, math.nan, math.nan, last=5000.0, at=at)
        assert (await desk.quotes.get(spx)).last == 5000.0

    scenario(make_desk, body)


def test_without_a_link_a_miss_says_so_and_a_fresh_quote_is_still_served() -> None:
    async def body(desk: Desk) -> None:
        held = await desk.quotes.get(AAPL)
        desk.broker.link = LinkState.DOWN
        assert await desk.quotes.get(AAPL) is held
        with pytest.raises(BrokerUnavailable) as caught:
            await desk.quotes.get(MSFT)
        assert caught.value.hint
        with pytest.raises(BrokerUnavailable):
            await desk.quotes.get_many([AAPL, MSFT])

    scenario(make_desk, body)


def test_an_answer_that_does_not_come_in_time_is_an_error_and_not_a_hang() -> None:
    async def body(desk: Desk) -> None:
        desk.broker.gate.clear()
        read = await soon(desk.quotes.get(AAPL), desk)
        await desk.pass_time(11.0)
        assert not read.done()
        await desk.pass_time(2.0)
        with pytest.raises(QuoteUnavailable, match="12 s"):
            await read

    scenario(make_desk, body)


def test_a_worker_outlives_whatever_the_broker_raises() -> None:
    async def body(desk: Desk) -> None:
        async def broken(_: object) -> dict[Instrument, Quote]:
            raise ZeroDivisionError

        working = desk.broker.snapshots
        desk.broker.snapshots = broken  # type: ignore[method-assign, assignment]
        for _ in range(30):
            with pytest.raises(ZeroDivisionError):
                await desk.quotes.get(AAPL)
        desk.broker.snapshots = working  # type: ignore[method-assign]
        assert (await desk.quotes.get(AAPL)).instrument is AAPL
        assert desk.samples()["market_data_system.broker_errors"] == 30.0

    scenario(make_desk, body)


def test_stopping_ends_those_who_wait() -> None:
    async def body(desk: Desk) -> None:
        desk.broker.gate.clear()
        read = await soon(desk.quotes.get(AAPL), desk)
        await desk.quotes.stop()
        with pytest.raises(BrokerUnavailable):
            await read
        with pytest.raises(BrokerUnavailable):
            await desk.quotes.get(AAPL)

    scenario(make_desk, body)


def test_a_quote_of_the_agents_own_feed_fills_the_cache_and_answers_those_who_wait() -> None:
    async def body(desk: Desk) -> None:
        desk.broker.gate.clear()
        read = await soon(desk.quotes.get(AAPL), desk)
        desk.quotes.put(quote(AAPL, 7.0, 8.0))
        assert (await read).bid == 7.0
        cached = desk.quotes.cached(AAPL)
        assert cached is not None
        assert cached.confirmed_at == desk.clock.monotonic()
        desk.quotes.put(quote(AAPL, 1.0, 2.0, at=desk.clock.monotonic() - 50.0))
        assert desk.quotes.cached(AAPL) is cached, "an older quote does not replace a newer one"
        desk.broker.gate.set()

    scenario(make_desk, body)


# --- lines --------------------------------------------------------------------------------------


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


async def line_with_a_tick(desk: Desk, instrument: Instrument) -> None:
    read = await soon(desk.quotes.get(instrument), desk)
    desk.broker.tick(quote(instrument))
    await read


async def alive(
    desk: Desk, seconds: float, *read: Instrument, peeked: Sequence[Instrument] = ()
) -> None:
    """Let time pass with all lines alive and silent.

    ``read`` is read all the while, and so is ``peeked``, by ``cached`` alone and with a quote
    each time.
    """
    for _ in range(int(seconds / 0.5)):
        for line in desk.broker.lines.values():
            line.alive_at = desk.clock.monotonic()
        await desk.pass_time(0.5)
        for line in desk.broker.lines.values():
            line.alive_at = desk.clock.monotonic()
        for instrument in read:
            await desk.quotes.get(instrument)
        for instrument in peeked:
            assert desk.quotes.cached(instrument) is not None


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


# --- streams ------------------------------------------------------------------------------------


def test_a_stream_yields_the_newest_and_skips_what_its_reader_was_too_slow_for() -> None:
    async def body(desk: Desk) -> None:
        stream = desk.quotes.stream(AAPL)
        first = await soon(anext(stream), desk)
        for bid in (1.0, 2.0, 3.0):
            desk.broker.tick(quote(AAPL, bid, 4.0))
        assert (await first).bid == 3.0
        desk.broker.tick(quote(AAPL, 3.5, 4.0))
        assert (await anext(stream)).bid == 3.5
        await stream.aclose()

    scenario(lambda: make_desk(LINES), body)


def test_a_stream_holds_its_line_and_gives_it_back_some_time_after() -> None:
    async def body(desk: Desk) -> None:
        stream = desk.quotes.stream(AAPL)
        first = await soon(anext(stream), desk)
        desk.broker.tick(quote(AAPL))
        await first
        await alive(desk, 200.0)
        assert desk.broker.open_lines == {AAPL}
        await stream.aclose()
        await alive(desk, 65.0)
        assert desk.broker.open_lines == set()

    scenario(lambda: make_desk(LINES), body)


def test_a_stream_beyond_the_lines_is_refused_with_a_way_out() -> None:
    async def body(desk: Desk) -> None:
        with pytest.raises(QuoteUnavailable) as caught:
            await anext(desk.quotes.stream(AAPL))
        assert caught.value.hint

    scenario(make_desk, body)


def test_stopping_ends_the_streams() -> None:
    async def body(desk: Desk) -> None:
        stream = desk.quotes.stream(AAPL)
        waiting = await soon(anext(stream), desk)
        await desk.quotes.stop()
        with pytest.raises(BrokerUnavailable):
            await waiting
        assert desk.broker.open_lines == set()

    scenario(lambda: make_desk(LINES), body)


def test_awaited_reads_are_timed_by_sample() -> None:
    async def body(desk: Desk) -> None:
        for _ in range(640):
            await desk.quotes.get(AAPL)
        assert desk.samples()["market_data_system.latency_ms.count"] == 10.0

    scenario(make_desk, body)
