"""Streams of quotes, and what awaited reads are timed by."""

from __future__ import annotations

import pytest

from alluse_core.errors import (
    BrokerUnavailable,
    QuoteUnavailable,
)
from alluse_core.ports import BrokerCapabilities

from .desk import AAPL, Desk, alive, make_desk, quote, scenario, soon

LINES = BrokerCapabilities(streams=True, snapshot_batch=1, quote_lines=2, snapshot_seconds=11.0)


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
