"""The quotes service under a virtual clock."""

from __future__ import annotations

import asyncio
import math

import pytest

from alluse_core.errors import (
    BrokerUnavailable,
    QuoteUnavailable,
    UsageError,
)
from alluse_core.model import Instrument, LinkState, Quote, QuoteCondition
from alluse_core.ports import BrokerCapabilities

from .desk import AAPL, MSFT, UNKNOWN, Desk, make_desk, quote, scenario, soon

BATCH = BrokerCapabilities(streams=False, snapshot_batch=50)


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


def test_an_answer_without_a_quote_tells_how_long_it_took_and_not_the_time_out() -> None:
    async def body(desk: Desk) -> None:
        async def nothing(_: object) -> dict[Instrument, Quote]:
            await desk.clock.sleep(1.0)
            return {}

        desk.broker.snapshots = nothing  # type: ignore[method-assign, assignment]
        read = await soon(desk.quotes.get(AAPL), desk)
        await desk.pass_time(1.0)
        with pytest.raises(QuoteUnavailable, match="gave no quote of AAPL within 1 s"):
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
