"""What the gateway's tests share: a market moved by hand, and both real client libraries."""

from __future__ import annotations

import asyncio
import importlib
import struct
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

from alluse_gateway import wire
from alluse_gateway.server import SimulatedGateway
from alluse_paper.exchange import Exchange
from alluse_paper.fill_model import FillModel
from alluse_paper.market import Listing, QuoteEvent, TradeEvent

from alluse_core import Instrument
from alluse_core.clock import SystemClock

AAPL = Instrument.stock("AAPL")
MSFT = Instrument.stock("MSFT")
EURUSD = Instrument.forex("EURUSD")
LIBRARIES = ("ib_insync", "ib_async")
START = 1_700_000_000.0

CALL = Instrument.option("AAPL", date(2024, 1, 19), 100, "C")


def make_exchange(latency_ms: float = 0, **more: Any) -> Exchange:
    """Return an exchange that answers with the loop's next turn and lists three instruments."""
    model = FillModel(latency_ms=latency_ms, enforce_hours=False)
    listings = [
        Listing.of(AAPL, primary_exchange="NASDAQ", long_name="APPLE INC \\ é"),
        Listing.of(MSFT, primary_exchange="NASDAQ"),
        Listing.of(EURUSD),
    ]
    exchange = Exchange(SystemClock(), listings, fill_model=model, **more)
    quote(exchange, AAPL, 100.0, 100.1)
    trade(exchange, AAPL, 100.05)
    quote(exchange, MSFT, 300.0, 300.2)
    quote(exchange, EURUSD, 1.1, 1.1001)
    return exchange


def quote(
    exchange: Exchange,
    instrument: Instrument,
    bid: float,
    ask: float,
    size: float = 1000.0,
    at: float = START,
) -> None:
    """Show a new top of book."""
    exchange.on_market(QuoteEvent(instrument, at, bid, size, ask, size))


def trade(
    exchange: Exchange, instrument: Instrument, price: float, size: float = 50.0, at: float = START
) -> None:
    """Show a trade."""
    exchange.on_market(TradeEvent(instrument, at, price, size))


def library(name: str) -> Any:
    """Import a client library inside a running loop, where eventkit wants to be imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module(name)


@asynccontextmanager
async def client(
    name: str, gateway: SimulatedGateway, client_id: int = 1, **more: Any
) -> AsyncIterator[Any]:
    """Connect an unmodified IB object."""
    ib = library(name).IB()
    await ib.connectAsync("127.0.0.1", gateway.port, clientId=client_id, **more)
    try:
        yield ib
    finally:
        ib.disconnect()
        await asyncio.sleep(0)


async def opened(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a port of this machine, until the story that asked for it ends.

    A story that fails does not come to its ``close``. What it leaves open is found whenever the
    garbage is collected, and fails the test that runs then.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    story = asyncio.current_task()
    assert story is not None
    story.add_done_callback(lambda _: writer.transport.abort())
    return reader, writer


class RawClient:
    """A client that says exactly what a test wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, gateway: SimulatedGateway, client_id: int | None = 1) -> RawClient:
        raw = cls(*await opened(gateway.port))
        offer = b"v157..176"
        raw.writer.write(b"API\0" + struct.pack(">I", len(offer)) + offer)
        assert (await raw.read())[0] == "176"
        if client_id is not None:
            raw.send(71, 2, client_id, "")
            assert (await raw.read())[0] == "15"
        return raw

    def send(self, *values: object) -> None:
        self.writer.write(wire.message(*values))

    async def read(self) -> list[str]:
        (length,) = struct.unpack(">I", await self.reader.readexactly(4))
        return wire.fields_of(await self.reader.readexactly(length))

    async def read_until(self, kind: str) -> list[str]:
        while True:
            fields = await self.read()
            if fields[0] == kind:
                return fields

    async def error(self, code: int) -> list[str]:
        while True:
            fields = await self.read_until("4")
            if fields[3] == str(code):
                return fields

    async def rest(self) -> bytes:
        return await self.reader.read()

    def close(self) -> None:
        self.writer.close()


async def until(condition: Callable[[], object], what: str = "", seconds: float = 5.0) -> None:
    """Wait for ``condition``; fail after ``seconds``."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        assert loop.time() < deadline, f"waited {seconds} s for {what or condition}"
        await asyncio.sleep(0.005)


def run(story: Any) -> None:
    """Run a story; a stuck one fails."""
    asyncio.run(asyncio.wait_for(story(), 60))


def option_exchange() -> Exchange:
    """Return an exchange with AAPL and a call on it."""
    model = FillModel(latency_ms=0, enforce_hours=False)
    listings = [Listing.of(AAPL, primary_exchange="NASDAQ"), Listing.of(CALL)]
    exchange = Exchange(SystemClock(), listings, fill_model=model)
    quote(exchange, AAPL, 101.9, 102.1)
    return exchange
