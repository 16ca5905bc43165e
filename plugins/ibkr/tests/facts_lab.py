"""The unmodified client libraries against the simulated gateway, for the tests of facts."""

from __future__ import annotations

import asyncio
import importlib
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from alluse_gateway.answers import system
from ibkr_lab import AAPL, LIBRARIES

from alluse_core.model import Order, Side
from alluse_core.ports import OrderMessage

both = pytest.mark.parametrize("library", LIBRARIES)


def module(library: str) -> Any:
    """Import a client library inside a running loop, where eventkit wants to be imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module(library)


@asynccontextmanager
async def bare(library: str, gate: Any, client_id: int = 5, **more: Any) -> AsyncIterator[Any]:
    """Connect an unmodified IB object, and disconnect it at the end."""
    ib = module(library).IB()
    try:
        await ib.connectAsync("127.0.0.1", gate.port, clientId=client_id, **more)
        yield ib
    finally:
        ib.disconnect()
        await asyncio.sleep(0)


class LateWire:
    """A wire whose way to the gateway can be held, as a network does that delivers late."""

    def __init__(self) -> None:
        self.port = 0
        self._open = asyncio.Event()
        self._open.set()

    async def hold(self, seconds: float) -> None:
        """Keep for ``seconds`` what is sent to the gateway; it then arrives at once."""
        self._open.clear()
        await asyncio.sleep(seconds)
        self._open.set()

    async def carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, held: bool
    ) -> None:
        """Carry one direction of one connection until it ends."""
        try:
            while data := await reader.read(1 << 16):
                if held:
                    await self._open.wait()
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def late_wire(port: int) -> AsyncIterator[LateWire]:
    """Listen on a port of its own and carry everything to ``port`` and back."""
    wire = LateWire()
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        for task in (
            asyncio.create_task(wire.carry(reader, there_writer, held=True)),
            asyncio.create_task(wire.carry(there_reader, writer, held=False)),
        ):
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tuple(tasks), return_exceptions=True)
        await asyncio.sleep(0)


def resting(library: str, reference: str = "mine") -> Any:
    """Return a bid far below the market."""
    return module(library).LimitOrder("BUY", 1, 50.0, orderRef=reference, tif="DAY")


def stock(library: str) -> Any:
    """Return the contract of AAPL; ib_async wants the conId where it keys by contract."""
    return module(library).Stock("AAPL", "SMART", "USD")


def message(number: int, account: str, price: int = 50) -> OrderMessage:
    """Return an order of ours, ready to be sent."""
    order = Order.limit(AAPL, Side.BUY, 1, price, key=f"k{number}", account=account, broker="main")
    return OrderMessage(order, f"au-{number}", number)


def say(gate: Any, client: int, *frames: bytes) -> None:
    """Have the gateway send a client bytes of the test's own."""
    (session,) = [each for each in gate.sessions if each.alive and each.client_id == client]
    for each in frames:
        session.send(each)


def say_error(gate: Any, client: int, request_id: int, code: int, text: str = "some text") -> None:
    """Have the gateway send a client an error that bears an order's id."""
    (session,) = [each for each in gate.sessions if each.alive and each.client_id == client]
    say(gate, client, system.error(session.version, request_id, code, text))
