"""The network in memory behaves as TCP does, and the loop as time does."""

from __future__ import annotations

import asyncio

import pytest
from alluse_sim.loop import LoopClock, SimulationError, VirtualLoop, run
from alluse_sim.network import Network, Weather


class Peer(asyncio.Protocol):
    """Keeps all it hears."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.lost: list[Exception | None] = []
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


async def _pair(loop: VirtualLoop) -> tuple[Peer, Peer]:
    peers: list[Peer] = []

    def accept() -> Peer:
        peers.append(Peer())
        return peers[-1]

    await loop.create_server(accept, "127.0.0.1", 4002)
    _, client = await loop.create_connection(Peer, "127.0.0.1", 4002)
    await asyncio.sleep(0.01)
    assert isinstance(client, Peer)
    return client, peers[0]


def test_eight_hours_take_no_time_and_a_timer_is_never_early() -> None:
    async def story(loop: VirtualLoop) -> float:
        clock = LoopClock(loop)
        began = clock.now()
        await clock.sleep(8 * 3600)
        assert (clock.now() - began).total_seconds() >= 8 * 3600
        return loop.time()

    assert 8 * 3600 <= run(story) < 8 * 3600 + 0.01


def test_bytes_arrive_late_in_order_and_whole_however_they_are_cut() -> None:
    async def story(loop: VirtualLoop) -> None:
        client, server = await _pair(loop)
        assert client.transport is not None
        for number in range(200):
            client.transport.write(f"{number};".encode())
        assert not server.heard
        await asyncio.sleep(5)
        assert b"".join(server.heard) == "".join(f"{n};" for n in range(200)).encode()
        assert len(server.heard) > 200

    run(story, Network(3, Weather(0.01, 0.2, 0.7)))


def test_a_close_lets_what_was_written_arrive_and_an_abort_tells_the_other_end() -> None:
    async def story(loop: VirtualLoop) -> None:
        client, server = await _pair(loop)
        assert client.transport is not None
        client.transport.write(b"last words")
        client.transport.close()
        await asyncio.sleep(1)
        assert server.heard == [b"last words"]
        assert server.lost == [None]
        assert client.lost == [None]

    run(story)


@pytest.mark.parametrize("after", range(0, 12))
def test_a_cut_lets_exactly_so_many_bytes_through_and_resets_both_ends(after: int) -> None:
    async def story(loop: VirtualLoop) -> None:
        loop.network.cuts = [after]
        client, server = await _pair(loop)
        assert client.transport is not None
        client.transport.write(b"hello ")
        client.transport.write(b"world!")
        await asyncio.sleep(1)
        assert b"".join(server.heard) == b"hello world!"[:after]
        assert [type(error) for error in (*client.lost, *server.lost)] == [ConnectionResetError] * 2

    run(story)


def test_a_dead_program_hears_nothing_and_cannot_connect_while_its_bytes_still_travel() -> None:
    async def story(loop: VirtualLoop) -> None:
        owner = object()
        loop.network.owner = lambda: owner
        client, server = await _pair(loop)
        assert client.transport is not None
        assert server.transport is not None
        client.transport.write(b"order")
        loop.network.bury(owner)
        client.transport.write(b"too late")
        server.transport.write(b"ack")
        await asyncio.sleep(1)
        assert server.heard == [b"order"]
        assert isinstance(server.lost[0], ConnectionResetError)
        assert not client.heard
        assert not client.lost
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(Peer, "127.0.0.1", 4002)

    run(story)


def test_unread_bytes_choke_the_writer_until_they_are_read() -> None:
    async def story(loop: VirtualLoop) -> None:
        client, server = await _pair(loop)
        assert client.transport is not None
        assert server.transport is not None
        choked: list[bool] = []
        client.pause_writing = lambda: choked.append(True)  # type: ignore[method-assign]
        client.resume_writing = lambda: choked.append(False)  # type: ignore[method-assign]
        server.transport.pause_reading()
        client.transport.write(b"x" * 100_000)
        await asyncio.sleep(1)
        assert choked == [True]
        assert not server.heard
        server.transport.resume_reading()
        await asyncio.sleep(1)
        assert choked == [True, False]

    run(story)


def test_waiting_for_what_never_comes_is_an_error_and_so_is_spinning() -> None:
    async def hang(loop: VirtualLoop) -> None:
        await loop.create_future()

    async def spin(loop: VirtualLoop) -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(SimulationError, match="nothing is scheduled"):
        run(hang)
    with pytest.raises(SimulationError, match="without rest"):
        run(spin)


def test_nobody_listens_and_a_port_that_is_taken_are_the_systems_own_errors() -> None:
    async def story(loop: VirtualLoop) -> None:
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(Peer, "127.0.0.1", 1)
        await loop.create_server(Peer, "127.0.0.1", 4002)
        with pytest.raises(OSError, match="in use"):
            await loop.create_server(Peer, "127.0.0.1", 4002)

    run(story)
