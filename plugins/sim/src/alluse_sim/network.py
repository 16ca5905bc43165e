"""TCP as a program sees it, in memory: ordered bytes, late, cut into pieces, lost with the link."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Any

import attrs

_PORTS_FROM = 49152
_HIGH_WATER = 64 * 1024

Factory = Callable[[], asyncio.BaseProtocol]


class _Reset:
    """Travels like bytes; where it arrives the connection is reset."""


_RESET = _Reset()
_Parcel = bytes | None | _Reset  # None: the other end will send no more


@attrs.define
class Weather:
    """What the network does to bytes. Seconds; ``pieces`` is the share of writes cut in two.

    ``jitter`` is drawn anew for each write; bytes never overtake bytes.
    """

    latency: float = 0.0002
    jitter: float = 0.0003
    pieces: float = 0.0


@attrs.define
class Flow:
    """What one direction of a connection has carried, and where it is to be cut.

    ``cut_after`` bytes the connection is reset: what lies beyond is lost.
    """

    carried: int = 0
    cut_after: int | None = None


class Network:
    """Addresses, connections and weather. ``seed`` decides delays and cuts."""

    def __init__(self, seed: int = 0, weather: Weather | None = None) -> None:
        self.weather = weather or Weather()
        self.dice = random.Random(f"network {seed}")
        self.connections: list[tuple[MemoryTransport, MemoryTransport]] = []
        self._listening: dict[int, MemoryServer] = {}
        self._next_port = _PORTS_FROM
        self._owners: dict[MemoryTransport, object] = {}
        self._buried: set[object] = set()
        self.owner: Callable[[], object | None] = lambda: None
        self.cuts: list[int] = []
        """Bytes after which the next connections are cut, one for each; of the client's bytes."""
        self.answer_cuts: list[int] = []
        """The same, of the server's bytes."""

    def listen(
        self, loop: asyncio.AbstractEventLoop, factory: Factory, host: str, port: int
    ) -> MemoryServer:
        """Accept connections on a port. Raises OSError (98) where it is taken."""
        port = port or self._free_port()
        if port in self._listening:
            raise OSError(98, f"address already in use: {host}:{port}")
        server = self._listening[port] = MemoryServer(self, loop, factory, host, port)
        return server

    def unlisten(self, port: int) -> None:
        """Refuse connections on a port."""
        self._listening.pop(port, None)

    def _free_port(self) -> int:
        self._next_port += 1
        return self._next_port

    async def connect(
        self, loop: asyncio.AbstractEventLoop, factory: Factory, host: str, port: int
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Return the client's end of a new connection. Raises ConnectionRefusedError."""
        owner = self.owner()
        await asyncio.sleep(self.delay())
        server = self._listening.get(port)
        if server is None or owner in self._buried:
            raise ConnectionRefusedError(111, f"nothing listens on {host}:{port}")
        here, there = (host, self._free_port()), (server.host, port)
        client, peer = factory(), server.factory()
        near = MemoryTransport(self, loop, client, here, there)
        far = MemoryTransport(self, loop, peer, there, here)
        near.peer, far.peer = far, near
        self.connections.append((near, far))
        if owner is not None:
            self._owners[near] = owner
        if self.cuts:
            near.flow.cut_after = self.cuts.pop(0)
        if self.answer_cuts:
            far.flow.cut_after = self.answer_cuts.pop(0)
        loop.call_soon(peer.connection_made, far)
        client.connection_made(near)
        await asyncio.sleep(0)
        return near, client

    def bury(self, owner: object) -> None:
        """End all connections of an owner's and let it make no more, as its kernel would.

        Bytes that it had written still arrive; after them the other ends are reset.
        """
        self._buried.add(owner)
        for near in [each for each, of in self._owners.items() if of is owner]:
            near.die()

    def closed(self, transport: MemoryTransport) -> None:
        """Forget a connection of which both ends are gone."""
        self._owners.pop(transport, None)
        self.connections = [
            pair for pair in self.connections if not (pair[0].gone and pair[1].gone)
        ]

    def delay(self) -> float:
        """Draw the seconds that the next write takes."""
        return self.weather.latency + self.dice.random() * self.weather.jitter

    def cut_all(self) -> None:
        """Reset every connection at this instant; bytes on their way are lost."""
        for near, far in tuple(self.connections):
            near.sever()
            far.sever()


class _ServerSocket:
    """What programs ask of a listening socket: its address."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address

    def getsockname(self) -> tuple[str, int]:
        return self._address


class MemoryServer(asyncio.AbstractServer):
    """A port that accepts."""

    def __init__(
        self,
        network: Network,
        loop: asyncio.AbstractEventLoop,
        factory: Factory,
        host: str,
        port: int,
    ) -> None:
        self.factory = factory
        self.host = host
        self.port = port
        self.sockets = [_ServerSocket((host, port))]
        self._network = network
        self._loop = loop

    def close(self) -> None:
        """Accept no more; connections stay."""
        self._network.unlisten(self.port)

    def is_serving(self) -> bool:
        """Whether the port accepts."""
        return self._network._listening.get(self.port) is self

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop that it accepts on."""
        return self._loop

    async def start_serving(self) -> None:
        """It accepts from the start."""

    async def serve_forever(self) -> None:
        """Wait for ever."""
        await self._loop.create_future()

    async def wait_closed(self) -> None:
        """Nothing outlives close()."""


class MemoryTransport(asyncio.Transport):
    """One end of a connection. Calls arrive late at the other end, in their order."""

    peer: MemoryTransport

    def __init__(
        self,
        network: Network,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.BaseProtocol,
        here: tuple[str, int],
        there: tuple[str, int],
    ) -> None:
        super().__init__({"sockname": here, "peername": there})
        self.gone = False
        self.flow = Flow()
        self._network = network
        self._loop = loop
        self._protocol: Any = protocol
        self._closing = False
        self._ended = False
        self._reading = True
        self._coming: deque[_Parcel] = deque()
        self._arrived: deque[bytes | None] = deque()
        self._last_due = 0.0
        self._unread = 0
        self._high = _HIGH_WATER
        self._choked = False

    # --- sending ----------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; after the end they are dropped, as a socket's are."""
        if self._closing or self._ended or not data:
            return
        data = bytes(data)
        room = None if self.flow.cut_after is None else self.flow.cut_after - self.flow.carried
        if room is not None and room < len(data):
            self.flow.carried += room
            self._send(data[:room])
            # What got through is read before the reset is noticed.
            self._closing = True
            self._dispatch(_RESET)
            self.peer._dispatch(_RESET)
            return
        self.flow.carried += len(data)
        dice, weather = self._network.dice, self._network.weather
        if weather.pieces and len(data) > 1 and dice.random() < weather.pieces:
            at = dice.randrange(1, len(data))
            self._send(data[:at])
            self._send(data[at:])
        else:
            self._send(data)

    def _dispatch(self, data: _Parcel) -> None:
        """Let bytes, or the end, come to the other side.

        The loop's timers of one moment have no order: each takes what is first in the queue.
        """
        self.peer._coming.append(data)
        self._loop.call_at(self._due(), self.peer._arrive)

    def _due(self) -> float:
        self._last_due = max(self._last_due, self._loop.time() + self._network.delay())
        return self._last_due

    def _send(self, data: bytes) -> None:
        if not data:
            return
        self._unread += len(data)
        self._dispatch(data)
        if self._unread > self._high and not self._choked:
            self._choked = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Any) -> None:
        """Send all of them."""
        self.write(b"".join(list_of_data))

    def _delivered(self, size: int) -> None:
        self._unread -= size
        if self._choked and self._unread <= self._high // 4 and not self.gone:
            self._choked = False
            self._protocol.resume_writing()

    def get_write_buffer_size(self) -> int:
        """Return bytes that the other end has not read."""
        return self._unread

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set at how many unread bytes the protocol is asked to pause."""
        self._high = _HIGH_WATER if high is None else high

    def can_write_eof(self) -> bool:
        """A connection can be closed in one direction."""
        return True

    def write_eof(self) -> None:
        """Say that no more will be sent."""
        if not self._ended and not self._closing:
            self._ended = True
            self._dispatch(None)

    # --- receiving --------------------------------------------------------------------------

    def _arrive(self) -> None:
        if not self._coming:
            return  # lost with the link
        data = self._coming.popleft()
        if isinstance(data, _Reset):
            self.sever()
        elif self.gone:
            if data:
                # The other end writes to a socket that is closed: it is told by a reset.
                self.peer.sever()
        else:
            self._arrived.append(data)
            self._read()

    def _read(self) -> None:
        while self._reading and self._arrived and not self.gone:
            data = self._arrived.popleft()
            if data is None:
                if not self._protocol.eof_received():
                    self.close()
                return
            self.peer._delivered(len(data))
            if not self._closing:
                self._protocol.data_received(data)

    def pause_reading(self) -> None:
        """Leave what arrives unread."""
        self._reading = False

    def resume_reading(self) -> None:
        """Read again, what has piled up first."""
        if not self._reading:
            self._reading = True
            self._loop.call_soon(self._read)

    def is_reading(self) -> bool:
        """Whether what arrives is read."""
        return self._reading

    # --- ending -----------------------------------------------------------------------------

    def is_closing(self) -> bool:
        """Whether it was closed, or is gone."""
        return self._closing or self.gone

    def close(self) -> None:
        """Deliver what was written, then end both ends."""
        if self._closing or self.gone:
            return
        self._closing = True
        if not self._ended:
            self._ended = True
            self._dispatch(None)
        self._loop.call_soon(self._lost, None)

    def abort(self) -> None:
        """End at once; the other end is reset."""
        if self.gone:
            return
        self._closing = True
        self._dispatch(_RESET)
        self._loop.call_soon(self._lost, None)

    def die(self) -> None:
        """Its program is gone: what was written travels, nothing more is sent or heard."""
        if not self.gone:
            self._dispatch(_RESET)
            self._closing = True
            self.gone = True
            self._arrived.clear()
            self._network.closed(self)

    def sever(self) -> None:
        """The network resets this end; what was on its way here is lost."""
        if not self.gone:
            self._closing = True
            self._arrived.clear()
            self._coming.clear()
            self._lost(ConnectionResetError(104, "connection reset by peer"))

    def _lost(self, error: Exception | None) -> None:
        if not self.gone:
            self.gone = True
            self._network.closed(self)
            self._protocol.connection_lost(error)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection to another protocol."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return who reads it."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol
