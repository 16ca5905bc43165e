"""A line that is silent far beyond its own habit while others tick is suspect, and asked anew."""

from __future__ import annotations

import asyncio
import math

import pytest
from alluse_ibkr.rhythm import LEARNED_TICKS, LEAST_SECONDS, Rhythm, SilenceWatch
from alluse_ibkr.ticks import Line
from ibkr_lab import AAPL, LIBRARIES, MSFT, Lab, Peer, connected, frame, scripted, until

from alluse_core.model import DataType, Instrument, Quote
from alluse_core.testing import VirtualClock

HEARTBEAT = 5.0


def line_of(instrument: Instrument) -> Line:
    return Line(instrument, DataType.LIVE)


class Market:
    """Lines that tick as told, looked at each heartbeat."""

    def __init__(self, *lines: Line) -> None:
        self.lines = lines
        self.now = 0.0
        self.watch = SilenceWatch()
        self.watch.look(lines, self.now)

    def pass_heartbeat(self, **ticks: int) -> list[Line]:
        self.now += HEARTBEAT
        for line in self.lines:
            for _ in range(ticks.get(line.instrument.symbol, 0)):
                line.make(self.now, "test")
        return self.watch.look(self.lines, self.now)

    def silence_of(self, symbol: str, others: int, beats: int) -> float:
        """Return after how many seconds of silence the symbol is suspect; NaN: never."""
        began = self.now
        rest = {line.instrument.symbol: others for line in self.lines}
        for _ in range(beats):
            found = self.pass_heartbeat(**{**rest, symbol: 0})
            if found:
                assert [line.instrument.symbol for line in found] == [symbol]
                return self.now - began
        return math.nan


def test_a_fast_line_is_suspect_after_the_least_silence_and_a_slow_one_after_its_own() -> None:
    fast, slow, busy = line_of(AAPL), line_of(MSFT), line_of(Instrument.stock("SPY"))
    market = Market(fast, slow, busy)
    for beat in range(120):
        market.pass_heartbeat(AAPL=10, MSFT=int(beat % 4 == 0), SPY=10)
    assert market.silence_of("AAPL", 5, 20) == LEAST_SECONDS + HEARTBEAT
    assert market.watch.suspect(fast)
    market.pass_heartbeat(AAPL=1, SPY=10)
    assert not market.watch.suspect(fast)
    assert market.silence_of("MSFT", 5, 200) > 60.0


def test_a_market_that_pauses_as_a_whole_makes_no_line_suspect() -> None:
    market = Market(line_of(AAPL), line_of(MSFT))
    for _ in range(60):
        market.pass_heartbeat(AAPL=10, MSFT=10)
    for _ in range(1000):
        assert market.pass_heartbeat() == []


def test_a_halt_is_not_a_silence() -> None:
    halted, other = line_of(AAPL), line_of(MSFT)
    market = Market(halted, other)
    for _ in range(60):
        market.pass_heartbeat(AAPL=10, MSFT=10)
    halted.halted = True
    assert math.isnan(market.silence_of("AAPL", 10, 100))


def test_a_line_alone_and_a_line_that_is_new_are_not_judged() -> None:
    alone = Market(line_of(AAPL))
    for _ in range(60):
        alone.pass_heartbeat(AAPL=10)
    assert math.isnan(alone.silence_of("AAPL", 0, 100))
    young = Market(line_of(AAPL), line_of(MSFT))
    for _ in range(LEARNED_TICKS // 10 - 1):
        young.pass_heartbeat(AAPL=10, MSFT=10)
    assert math.isnan(young.silence_of("AAPL", 10, 100))


def test_a_line_that_turned_quiet_is_asked_for_ever_more_seldom() -> None:
    market = Market(line_of(AAPL), line_of(MSFT))
    for _ in range(60):
        market.pass_heartbeat(AAPL=10, MSFT=10)
    waits = []
    for _ in range(4):
        waits.append(market.silence_of("AAPL", 10, 2000))
        # What the broker sends for the new request is a tick, and the only one.
        market.pass_heartbeat(AAPL=1, MSFT=10)
    assert waits == sorted(waits)
    assert waits[-1] > 10 * waits[0]


def test_looks_at_the_same_moment_teach_nothing() -> None:
    rhythm = Rhythm(0, 1.0)
    rhythm.look(1.0, 50)
    assert rhythm.learned == 0
    assert rhythm.usual == math.inf


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_dead_line_ages_while_others_tick_and_lives_again_by_a_new_request(
    library: str,
) -> None:
    """nautilus #3001: connected, the others tick, and this one is dead for good."""
    requests: list[tuple[str, str]] = []
    data: list[Peer] = []

    async def server(peer: Peer) -> None:
        await peer.hello()
        peer.send(frame(176, "20260105 14:30:00 UTC"))
        start = await peer.message()
        peer.send(frame(15, 1, "DU1,"), frame(9, 1, 100))
        if start[2] == "18":
            data.append(peer)
        while True:
            fields = await peer.message()
            if fields[0] == "49":
                peer.send(frame(49, 1, 1_700_000_000))
            elif fields[0] == "1":
                requests.append((fields[4], fields[2]))
                peer.send(frame(1, 6, fields[2], 1, "10.5", 100, 1))

    async def story() -> None:
        clock = VirtualClock()
        async with scripted(server) as port:
            lab = Lab(clock, port=port, library=library, quiet=0.0)
            async with connected(lab) as broker:
                seen: dict[Instrument, list[Quote]] = {AAPL: [], MSFT: []}
                dead = broker.subscribe(AAPL, seen[AAPL].append)
                broker.subscribe(MSFT, seen[MSFT].append)
                await until(lambda: len(requests) == 2 and all(seen.values()), "both lines")
                numbers = dict(requests)

                async def beat(*symbols: str) -> None:
                    """Send a tick for each symbol, five times, and pass a heartbeat."""
                    for n in range(5):
                        before = sum(map(len, seen.values()))
                        for symbol in symbols:
                            price = 10 + (len(seen[MSFT]) + n) % 7
                            data[0].send(frame(1, 6, numbers[symbol], 1, price, 100, 1))
                        await until(
                            lambda before=before: (
                                sum(map(len, seen.values())) >= before + len(symbols)
                            ),
                            "ticks",
                        )
                        await asyncio.sleep(0.001)
                    await clock.advance(HEARTBEAT)
                    probes = broker._data.session.wrapper.pending.probes
                    await until(lambda: not probes, "the answer")

                for _ in range(10):
                    await beat("AAPL", "MSFT")
                last = seen[AAPL][-1].changed_at
                for _ in range(8):
                    await beat("MSFT")
                    if lab.sample("silent_lines"):
                        break
                assert lab.sample("silent_lines") == 1
                await until(lambda: len(requests) == 3, "the new request")
                assert requests[2][0] == "AAPL"
                await until(lambda: seen[AAPL][-1].changed_at > last, "a fresh quote")
                assert dead.alive_at > last

    asyncio.run(asyncio.wait_for(story(), 20))
