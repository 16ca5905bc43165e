"""Recorded markets through the gateway, the real ib_insync and the cache, into metrics.db."""

from __future__ import annotations

import asyncio
import csv
import io
import math
from collections import defaultdict
from pathlib import Path

import pytest
from alluse_gateway import SimulatedGateway
from alluse_paper.market import HaltEvent, Market, MarketEvent, QuoteEvent
from alluse_paper.recording import Recording

import alluse_core as alluse
from alluse_core import Instrument, Quote
from alluse_core.errors import QuoteUnavailable
from alluse_core.model import QuoteCondition
from alluse_core.testing.steady import steady_time

SPEED = 60


def _samples(alluse_command, out: Path) -> dict[tuple[str, str, str], list[float]]:
    finished = alluse_command("metrics", "export", "--out", str(out))
    assert finished.returncode == 0, finished.stderr
    series: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for row in csv.DictReader(io.StringIO(finished.stdout)):
        series[row["component"], row["metric"], row["labels"]].append(float(row["value"]))
    return series


@pytest.mark.slow
def test_a_day_by_the_second_is_traded_at_sixty_times_its_speed(
    shared_data, tmp_path, alluse_command
) -> None:
    out = tmp_path / "out"
    recording = shared_data / "market" / "us_equity_second"
    finished = alluse_command(
        *("demo", "--replay", str(recording), "--speed", str(SPEED)),
        *("--seconds", "12", "--incident", "rejects", "--out", str(out)),
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert "Traceback" not in finished.stderr
    series = _samples(alluse_command, out)
    market = "market_data_system"
    # Twelve minutes from 04:00 on, each line sampled four times a second as IBKR does.
    ticks = series[market, "ticks_in", ""]
    assert ticks[-1] > 50
    assert ticks == sorted(ticks)
    for symbol in ("SPY", "AIG", "BAC", "IBM"):
        assert series[market, "quote_age", f"symbol={symbol}"]
    assert series[market, "reads_served", ""][-1] > 20
    assert (
        series["ibkr_integration", "operation_latency_ms.count", ""]
        or series["ibkr_integration", "operation_latency_ms", ""]
    )


class _Until:
    """A market that ends at its ``last`` quote of one share, so that the last word is known."""

    def __init__(self, market: Market, seconds: float) -> None:
        self._market = market
        self._seconds = seconds
        self.conditions: dict[QuoteCondition, int] = defaultdict(int)
        self.newest: dict[Instrument, QuoteEvent] = {}

    def listings(self):
        return self._market.listings()

    def events(self):
        start = math.nan
        for event in self._market.events():
            start = event.time if math.isnan(start) else start
            if event.time - start > self._seconds:
                return
            self._note(event)
            yield event

    def _note(self, event: MarketEvent) -> None:
        if isinstance(event, QuoteEvent) and not isinstance(event, HaltEvent):
            quote = Quote(event.instrument, bid=event.bid, ask=event.ask)
            self.conditions[quote.condition] += 1
            self.newest[event.instrument] = event


async def _watch(market: _Until, state: Path) -> tuple[list[Quote], dict[str, Quote], int]:
    """Read two shares while their ticks are replayed; return what ``get`` served."""
    served: list[Quote] = []
    unavailable = 0
    async with SimulatedGateway(market=market, speed=SPEED, sampling=0.0) as gateway:
        settings = {
            "brokers": {"main": {"provider": "ibkr", "port": gateway.port}},
            "analysis": {"period": 3600.0},
        }
        async with alluse.open(settings, state=state) as runtime:
            shares = [Instrument.stock("IBM"), Instrument.stock("BAC")]
            played = asyncio.create_task(gateway.wait_for_market())
            while not played.done():
                for share in shares:
                    try:
                        served.append(await runtime.quotes.get(share, max_age=0.5))
                    except QuoteUnavailable:
                        unavailable += 1
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.5)
            newest = {str(share): runtime.quotes.newest(share) for share in shares}
            await asyncio.sleep(1.1)  # one more sample, after the last tick
    return served, newest, unavailable


@pytest.mark.slow
def test_the_ticks_of_two_shares_arrive_and_their_dirt_is_marked_and_never_a_price(
    shared_data, tmp_path, alluse_command
) -> None:
    market = _Until(Recording(shared_data / "market" / "us_equity_tick"), 600.0)
    # A loop that falls behind the market it plays itself would hand on several ticks as one.
    with steady_time():
        served, newest, _ = asyncio.run(_watch(market, tmp_path))
    assert len(served) > 100
    for quote in served:
        assert quote.condition is not QuoteCondition.EMPTY
        for price in (quote.bid, quote.ask):
            assert math.isnan(price) or price > 0
        if quote.condition is QuoteCondition.CROSSED:
            assert not quote.priceable
            assert math.isnan(quote.mid)
    # What is held in the end is what the recording said last.
    for instrument, event in market.newest.items():
        held = newest[str(instrument)]
        assert (held.bid, held.ask) == (event.bid, event.ask)
    # Dirt is marked, and no more of it than the recording had.
    assert market.conditions[QuoteCondition.LOCKED] > 0
    series = _samples(alluse_command, tmp_path)
    ticks = series["market_data_system", "ticks_in", ""][-1]
    assert ticks > 500
    marked = series["market_data_system", "quotes_marked", "condition=locked"][-1]
    assert marked > 0


DIRT = """time,symbol,bid,bid_size,ask,ask_size,bid_low,ask_high
2013-10-07T14:00:00.000Z,SPY,167.10,100,167.12,100,0,0
2013-10-07T14:00:00.000Z,IBM,181.10,100,181.20,100,0,0
2013-10-07T14:00:20.000Z,SPY,0,0,0,0,0,0
2013-10-07T14:00:21.000Z,IBM,181.30,100,181.20,100,0,0
2013-10-07T14:00:40.000Z,SPY,,,167.30,100,0,0
2013-10-07T14:01:00.000Z,SPY,,,,,0,0
2013-10-07T14:01:20.000Z,IBM,181.20,100,181.20,100,0,0
2013-10-07T14:01:40.000Z,IBM,181.20,100,181.25,100,0,0
"""


@pytest.mark.slow
def test_every_kind_of_dirt_is_marked_and_a_quote_without_sides_is_refused(
    tmp_path, alluse_command
) -> None:
    import gzip

    recording = tmp_path / "quotes_20131007.csv.gz"
    recording.write_bytes(gzip.compress(DIRT.encode()))
    spy, ibm = Instrument.stock("SPY"), Instrument.stock("IBM")
    refused = []

    async def session() -> list[Quote]:
        seen: list[Quote] = []
        async with SimulatedGateway(market=Recording(recording), speed=20, sampling=0.0) as gateway:
            settings = {
                "brokers": {"main": {"provider": "ibkr", "port": gateway.port}},
                "analysis": {"period": 3600.0},
            }
            async with alluse.open(settings, state=tmp_path) as runtime:
                played = asyncio.create_task(gateway.wait_for_market())
                while not played.done():
                    for share in (spy, ibm):
                        try:
                            quote = await runtime.quotes.get(share)
                            assert quote.condition is not QuoteCondition.EMPTY
                            seen.append(quote)
                        except QuoteUnavailable as error:
                            refused.append(str(error))
                        held = runtime.quotes.cached(share)
                        assert held is None or held.condition is not QuoteCondition.EMPTY
                    await asyncio.sleep(0.02)
                await asyncio.sleep(1.2)
        return seen

    with steady_time():
        seen = asyncio.run(session())
    assert {quote.condition for quote in seen} == {
        QuoteCondition.NORMAL,
        QuoteCondition.CROSSED,
        QuoteCondition.ONE_SIDED,
        QuoteCondition.LOCKED,
    }
    assert refused
    assert all("no valid side" in text for text in refused)
    series = _samples(alluse_command, tmp_path)
    for condition in ("empty", "crossed", "one_sided", "locked"):
        assert series["market_data_system", "quotes_marked", f"condition={condition}"][-1] > 0
