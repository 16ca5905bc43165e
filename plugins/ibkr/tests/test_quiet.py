"""A quiet market is not a stale one, and a mute or broken connection is not a quiet market."""

from __future__ import annotations

import asyncio
import math
import struct

import pytest
from alluse_cache.python import PythonLru
from ibkr_lab import (
    AAPL,
    LIBRARIES,
    MSFT,
    Lab,
    Peer,
    connected,
    frame,
    gateway,
    scripted,
    show,
    until,
)

from alluse_core.model import Quote
from alluse_core.ports import Priority
from alluse_core.quotes.service import Quotes
from alluse_core.settings import QuotesSettings
from alluse_core.testing import VirtualClock

both = pytest.mark.parametrize("library", LIBRARIES)
STEP = 0.05


async def pass_time(lab: Lab, clock: VirtualClock, seconds: float) -> None:
    """Advance the clock, and let the socket answer what was asked meanwhile."""
    await clock.advance(seconds)
    probes = lab.broker._data.session.wrapper.pending.probes
    await until(lambda: not probes, "the answer to a probe")


@both
def test_a_quote_of_a_paused_market_is_served_from_memory_without_a_gap(library: str) -> None:
    async def story() -> None:
        clock = VirtualClock()
        async with gateway() as gate:
            lab = Lab(clock, port=gate.port, library=library, heartbeat=5.0)
            async with connected(lab) as broker:
                quotes = Quotes(
                    broker=broker,
                    cache=PythonLru(100, clock),
                    clock=clock,
                    telemetry=lab.registry,
                    settings=QuotesSettings(ttl=1.0, max_age=1.0),
                )
                await quotes.start()
                for instrument in (AAPL, MSFT):
                    await quotes.get(instrument)
                asked = lab.sample("messages_sent", role="data") or 0
                refreshes_at = clock.monotonic()
                for _ in range(int(12 / STEP)):
                    await pass_time(lab, clock, STEP)
                    if clock.monotonic() >= refreshes_at + quotes.refresh_period:
                        refreshes_at += quotes.refresh_period
                        quotes.refresh(clock.monotonic())
                    for instrument in (AAPL, MSFT):
                        assert quotes.cached(instrument) is not None
                sent = (lab.sample("messages_sent", role="data") or 0) - asked
                probes = lab.sample("quiet_probes") or 0
                heartbeats = 12 // 5
                assert 12 / 0.5 <= probes <= 12 / 0.4
                assert sent <= probes + heartbeats
                await quotes.stop()

    asyncio.run(story())


def test_only_silence_under_a_living_line_is_asked_about_and_in_turn() -> None:
    async def story() -> None:
        clock = VirtualClock()
        async with gateway() as gate:
            lab = Lab(clock, port=gate.port, heartbeat=60.0, quiet=0.4)
            async with connected(lab) as broker:
                await clock.advance(5.0)
                assert lab.sample("quiet_probes") == 0
                seen: list[Quote] = []
                stream = broker.subscribe(AAPL, seen.append)
                await until(lambda: seen and not math.isnan(seen[-1].ask), "the first quote")
                turns = len(lab.pacer.turns)
                await pass_time(lab, clock, 0.45)
                assert lab.sample("quiet_probes") == 1
                assert lab.pacer.turns[turns:] == [Priority.DATA]
                assert stream.alive_at >= clock.monotonic() - 0.051
                for _ in range(8):
                    await pass_time(lab, clock, 0.2)
                    before = len(seen)
                    show(gate.exchange, AAPL, 100.0 + before, 101.0 + before)
                    await until(lambda before=before: len(seen) > before, "a tick")
                assert lab.sample("quiet_probes") == 1
                gate.control.broadcast(2103)
                await until(lambda: broker._line_desk.suspended, "the farm's loss")
                await pass_time(lab, clock, 3.0)
                assert lab.sample("quiet_probes") == 1
                stream.close()

    asyncio.run(story())


def test_no_quiet_probe_goes_where_the_setting_is_zero() -> None:
    async def story() -> None:
        clock = VirtualClock()
        async with gateway() as gate:
            lab = Lab(clock, port=gate.port, heartbeat=60.0, quiet=0.0)
            async with connected(lab) as broker:
                seen: list[Quote] = []
                stream = broker.subscribe(AAPL, seen.append)
                await until(lambda: seen, "the first quote")
                alive = stream.alive_at
                await clock.advance(3.0)
                assert lab.sample("quiet_probes") == 0
                assert stream.alive_at == alive

    asyncio.run(story())


@both
@pytest.mark.parametrize("role", ["orders", "data"])
def test_a_desynchronised_frame_is_no_life_and_the_probe_ends_the_socket(
    library: str, role: str
) -> None:
    """The client stays "connected" while every request hangs."""
    broken: list[str] = []
    client_id = "17" if role == "orders" else "18"

    async def server(peer: Peer) -> None:
        await peer.hello()
        peer.send(frame(176, "20260105 14:30:00 UTC"))
        start = await peer.message()
        peer.send(frame(15, 1, "DU1,"), frame(9, 1, 100))
        while True:
            fields = await peer.message()
            if start[2] == client_id and not broken:
                broken.append(fields[0])
                # One byte too many in a length prefix, and all that follows is misread.
                peer.send(struct.pack(">I", 1_000_000))
            if fields[0] == "49":
                peer.send(frame(49, 1, 1_700_000_000))

    async def story() -> None:
        async with scripted(server) as port:
            lab = Lab(port=port, library=library, heartbeat=0.05)
            async with connected(lab) as broker:
                connection = broker._orders if role == "orders" else broker._data
                await until(lambda: broken, "the broken frame")
                heard = connection.heard_at
                while lab.sample("connects", role=role) == 1:
                    assert not connection.ready or connection.heard_at == heard
                    await asyncio.sleep(0.002)
                await until(lambda: connection.ready, "the next socket")
                assert lab.sample("connects", role=role) == 2
                assert await broker.probe() >= 0

    asyncio.run(asyncio.wait_for(story(), 10))
