"""Playing a market against the clock."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import pytest
from alluse_paper.exchange import Exchange
from alluse_paper.market import Listing, MarketEvent, QuoteEvent, is_price
from alluse_paper.player import Player
from alluse_paper.recording import Recording
from alluse_paper.synthetic import SyntheticMarket
from exchange_floor import IBM, OPEN

from alluse_core.errors import RecordingError
from alluse_core.testing.clock import VirtualClock


class Listed:
    """A market of IBM quotes at given market times."""

    def __init__(self, *times: float, fail: bool = False) -> None:
        self.times = times
        self.fail = fail

    def listings(self) -> tuple[Listing, ...]:
        return (Listing.of(IBM),)

    def events(self) -> Iterator[MarketEvent]:
        for time in self.times:
            yield QuoteEvent(IBM, OPEN + time, 1.0 + time, 100, 1000.0, 100)
        if self.fail:
            raise RecordingError("line 7: oops")


def played(market: Listed, *, speed: float = 1.0, **more: object) -> list[tuple[float, float]]:
    """Return (clock second, market second) of each event that the exchange saw."""
    seen: list[tuple[float, float]] = []

    async def whole() -> None:
        clock = VirtualClock()
        begun = clock.monotonic()
        exchange = Exchange(clock, market.listings())
        exchange.market_listen(
            lambda _: seen.append((clock.monotonic() - begun, exchange.market_time - OPEN))
        )
        player = Player(market, exchange, clock, speed, **more)  # type: ignore[arg-type]
        task = asyncio.create_task(player.run())
        await clock.advance(100_000.0)
        await task
        assert player.progress.finished
        assert player.progress.events == len(seen)

    asyncio.run(whole())
    return seen


def test_events_come_at_their_time_divided_by_the_speed() -> None:
    seen = played(Listed(0, 6, 60, 600), speed=60.0)
    assert [market for _, market in seen] == [0, 6, 60, 600]
    assert [clock for clock, _ in seen] == pytest.approx([0, 0.1, 1, 10])


def test_a_long_silence_is_cut_short() -> None:
    seen = played(Listed(0, 10, 100_010, 100_020), longest_gap=100.0)
    assert [round(at, 6) for at, _ in seen] == [0, 10, 110, 120]


def test_what_lies_before_the_start_is_passed_over() -> None:
    start = datetime.fromtimestamp(OPEN + 50, UTC)
    seen = played(Listed(0, 49, 50, 51), start=start)
    assert [market for _, market in seen] == [50, 51]
    assert [clock for clock, _ in seen] == pytest.approx([0, 1])


def test_a_player_that_is_behind_catches_up_and_does_not_drift() -> None:
    async def whole() -> None:
        clock = VirtualClock()
        market = Listed(*range(100))
        exchange = Exchange(clock, market.listings())
        player = Player(market, exchange, clock)
        task = asyncio.create_task(player.run())
        await asyncio.sleep(0)
        clock._move_to(clock.monotonic() + 50.5)  # the process was stopped for a while
        await clock.advance(0.0)
        assert player.progress.events == 51
        assert player.progress.worst_lag_seconds == pytest.approx(49.5)
        await clock.advance(1.0)
        assert player.progress.events == 52
        assert player.progress.lag_seconds == pytest.approx(0.0)
        assert player.market_now == datetime.fromtimestamp(OPEN + 51.5, UTC)
        task.cancel()

    asyncio.run(whole())


def test_a_recording_that_breaks_ends_the_player_with_its_error() -> None:
    with pytest.raises(RecordingError, match="oops"):
        played(Listed(0, 1, fail=True))


@pytest.mark.parametrize(
    ("speed", "more"),
    [(0.0, {}), (-1.0, {}), (math.inf, {}), (1.0, {"longest_gap": 0.0}),
     (1.0, {"start": datetime(2026, 1, 5)})],  # noqa: DTZ001
)  # fmt: skip
def test_what_cannot_be_played_is_refused(speed: float, more: dict[str, object]) -> None:
    clock = VirtualClock()
    market = Listed(0)
    with pytest.raises(ValueError):
        Player(market, Exchange(clock, market.listings()), clock, speed, **more)  # type: ignore[arg-type]


def test_the_loop_has_its_turn_while_a_burst_is_played() -> None:
    async def whole() -> None:
        class Busy(VirtualClock):
            def monotonic(self) -> float:
                self._monotonic += 0.001
                return self._monotonic

        clock = Busy()
        market = Listed(*[0.0] * 5_000)
        player = Player(market, Exchange(clock, market.listings()), clock)
        task = asyncio.create_task(player.run())
        turns = 0
        while not task.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns > 10

    asyncio.run(whole())


@pytest.mark.parametrize(
    "files",
    [("us_equity_second/quotes_20131007.csv.gz", "us_equity_second/trades_20131007.csv.gz"),
     ("us_equity_tick",)],
)  # fmt: skip
def test_a_minute_of_the_recordings_at_sixty_times_keeps_every_event(
    recordings: Path, files: tuple[str, ...]
) -> None:
    async def whole() -> None:
        clock = VirtualClock()
        parts = [Recording(recordings / file) for file in files]

        class Merged:
            def listings(self) -> tuple[Listing, ...]:
                return tuple({each.con_id: each for p in parts for each in p.listings()}.values())

            def events(self) -> Iterator[MarketEvent]:
                every = chain.from_iterable(part.events() for part in parts)
                return iter(sorted(every, key=lambda event: event.time))

        market = Merged()
        exchange = Exchange(clock, market.listings())
        start = datetime(2013, 10, 7, 13, 30, tzinfo=UTC)
        player = Player(market, exchange, clock, 60.0, start=start)
        task = asyncio.create_task(player.run())
        await clock.advance(10.0)
        first = start.timestamp()
        due = sum(first <= event.time <= first + 600.0 for event in market.events())
        # The first event may come some way into the first minute, and the clock starts with it.
        assert abs(player.progress.events - due) <= due * 0.02
        assert player.progress.worst_lag_seconds < 0.001, "virtual time has no lag of its own"
        for listing in market.listings():
            top = exchange.top(listing.instrument)
            assert top is not None
            assert top.sequence > 0
            assert is_price(top.mark)
        task.cancel()

    asyncio.run(whole())


def test_the_synthetic_market_plays_on_past_its_first_session() -> None:
    async def whole() -> None:
        clock = VirtualClock()
        market = SyntheticMarket(1)
        exchange = Exchange(clock, market.listings())
        player = Player(market, exchange, clock, 1e9, longest_gap=10.0)
        task = asyncio.create_task(player.run())
        await asyncio.sleep(0)
        task.cancel()
        assert player.progress.events > 0

    asyncio.run(whole())
