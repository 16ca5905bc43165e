"""What the adapter's tests share: a context, the simulated gateway, and a scripted server."""

from __future__ import annotations

import asyncio
import struct
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

from alluse_ibkr.broker import IbkrBroker
from alluse_ibkr.settings import IbkrSettings

from alluse_core.clock import Clock, SystemClock
from alluse_core.model import Evidence, Instrument
from alluse_core.orders.user_rules import classifier
from alluse_core.ports import EvidenceSink, Pacer, Priority
from alluse_core.providers import Context
from alluse_core.settings import ErrorRule
from alluse_core.telemetry import Registry

LIBRARIES = ("ib_insync", "ib_async")
AAPL = Instrument.stock("AAPL")
MSFT = Instrument.stock("MSFT")
EURUSD = Instrument.forex("EURUSD")
CALL = Instrument.option("AAPL", date(2030, 1, 18), 100, "C")
FUTURE = Instrument.future("ES", date(2030, 3, 15), "CME", multiplier=50)
TICK_TIME = 1_700_000_000.0


class CountingPacer:
    """Gives every turn at once, and remembers whose turn it was."""

    def __init__(self) -> None:
        self.turns: list[Priority] = []

    async def turn(self, priority: Priority, messages: int = 1) -> float:
        """Take note."""
        self.turns.append(priority)
        return 0.0


class Lab:
    """A broker with everything it was opened with in reach."""

    def __init__(
        self,
        clock: Clock | None = None,
        state_dir: Path | None = None,
        sink: EvidenceSink | None = None,
        pacer: Pacer | None = None,
        errors: Sequence[ErrorRule] = (),
        **settings: Any,
    ) -> None:
        quick: dict[str, Any] = {
            "connect_timeout": 5.0,
            "request_timeout": 5.0,
            "reconnect_min": 0.02,
            "reconnect_max": 0.05,
            "client_id_patience": 0.0,
        }
        if state_dir is None:
            state_dir = Path(tempfile.mkdtemp(prefix="alluse-ibkr-"))
        self.settings = IbkrSettings(**{**quick, **settings})
        self.evidence: list[Evidence] = []
        self.registry = Registry()
        self.pacer = CountingPacer()
        self.clock = clock or SystemClock()
        self.broker = IbkrBroker(
            Context(
                name="main",
                clock=self.clock,
                telemetry=self.registry,
                settings=self.settings,
                state_dir=state_dir,
                secret=lambda _: None,
                evidence=sink or self.evidence.append,
                pacer=pacer or self.pacer,
                classify=classifier(errors),
            )
        )

    def of(self, kind: type) -> list[Any]:
        """Return the evidence of one kind, in order."""
        return [item for item in self.evidence if isinstance(item, kind)]

    def sample(self, metric: str, **labels: str) -> float | None:
        """Return a figure of this tick."""
        for sample in self.registry.collect(self.clock.monotonic()):
            if (
                sample.series.metric == metric
                and labels.items() <= dict(sample.series.labels).items()
            ):
                return sample.value
        return None


@asynccontextmanager
async def connected(lab: Lab) -> AsyncIterator[IbkrBroker]:
    """Connect, and close at the end whatever happened."""
    await lab.broker.connect()
    try:
        yield lab.broker
    finally:
        await lab.broker.close()
        await asyncio.sleep(0)


def make_exchange() -> Any:
    """Return an exchange without delays that lists one instrument of each kind."""
    from alluse_paper.exchange import Exchange
    from alluse_paper.fill_model import FillModel
    from alluse_paper.market import Listing

    listings = [
        Listing.of(AAPL, primary_exchange="NASDAQ", long_name="APPLE INC"),
        Listing.of(MSFT, primary_exchange="NASDAQ"),
        Listing.of(EURUSD),
        Listing.of(CALL),
        Listing.of(Instrument.option("AAPL", date(2030, 1, 18), 110, "C")),
        Listing.of(FUTURE),
        Listing.of(Instrument.future("ES", date(2030, 6, 21), "CME", multiplier=50)),
    ]
    model = FillModel(latency_ms=0, enforce_hours=False)
    exchange = Exchange(SystemClock(), listings, fill_model=model)
    show(exchange, AAPL, 100.0, 100.1)
    show(exchange, MSFT, 300.0, 300.2)
    show(exchange, EURUSD, 1.1, 1.1001)
    show(exchange, CALL, 5.0, 5.1)
    show(exchange, FUTURE, 5000.0, 5000.25)
    return exchange


def show(exchange: Any, instrument: Instrument, bid: float, ask: float, size: float = 900) -> None:
    """Show a new top of book."""
    from alluse_paper.market import QuoteEvent

    exchange.on_market(QuoteEvent(instrument, TICK_TIME, bid, size, ask, size))


@asynccontextmanager
async def gateway(**more: Any) -> AsyncIterator[Any]:
    """Run the simulated gateway on a free port."""
    from alluse_gateway import SimulatedGateway

    async with SimulatedGateway(make_exchange(), sampling=0, **more) as running:
        yield running


async def until(condition: Callable[[], object], what: str, seconds: float = 5.0) -> None:
    """Wait for ``condition``; fail after ``seconds``."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        assert loop.time() < deadline, f"waited {seconds} s for {what}"
        await asyncio.sleep(0.002)


# --- a scripted server ---------------------------------------------------------------------------


def frame(*fields: object) -> bytes:
    """Return one message of the wire."""
    payload = b"".join(str(field).encode() + b"\0" for field in fields)
    return struct.pack(">I", len(payload)) + payload


VERSION = frame(176, "20260105 14:30:00 UTC")
NEXT_ID = frame(9, 1, 100)
ACCOUNTS = frame(15, 1, "DU1,DU2,")


class Peer:
    """The server's side of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def hello(self) -> bytes:
        """Read the version message of the client."""
        head = await self.reader.readexactly(8)
        return await self.reader.readexactly(struct.unpack(">I", head[4:])[0])

    async def message(self) -> list[str]:
        """Read one message of the client, as fields."""
        (length,) = struct.unpack(">I", await self.reader.readexactly(4))
        return (await self.reader.readexactly(length)).decode().split("\0")[:-1]

    def send(self, *frames: bytes) -> None:
        """Write frames back to back."""
        self.writer.write(b"".join(frames))

    async def accept(self) -> None:
        """Do the whole handshake."""
        await self.hello()
        self.send(VERSION)
        await self.message()
        self.send(ACCOUNTS, NEXT_ID)

    async def serve(self, answers: dict[str, bytes] | None = None) -> None:
        """Answer the time, and other requests by their message id, until the client goes."""
        known = {"49": frame(49, 1, 1_700_000_000), **(answers or {})}
        while True:
            fields = await self.message()
            self.send(known.get(fields[0], b""))


Script = Callable[[Peer], Awaitable[None]]


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[int]:
    """Serve each connection by ``script`` and close it afterwards; yield the port."""
    tasks: set[asyncio.Task[Any]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await script(Peer(reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tuple(tasks), return_exceptions=True)
        await asyncio.sleep(0)
