"""A simulated gateway for test suites that have no event loop of their own.

::

    @pytest.fixture
    def gateway():
        with running(scenario="slow-acks", time_scale=0.1) as gateway:
            yield gateway

    def test_my_bot_survives(gateway):
        my_bot.trade("127.0.0.1", gateway.port)
        assert [each.state for each in gateway.orders()] == ["FILLED"]
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from alluse_core.clock import SystemClock
from alluse_core.errors import BrokerError
from alluse_gateway.truth import ExecutionTruth, OrderTruth

if TYPE_CHECKING:
    from alluse_gateway.server import SimulatedGateway

__all__ = ["RunningGateway", "running"]

T = TypeVar("T")


class RunningGateway:
    """A gateway that serves in a thread of its own; every method may be called from any other."""

    def __init__(self, loop: asyncio.AbstractEventLoop, gateway: SimulatedGateway) -> None:
        self._loop = loop
        self._gateway = gateway
        self.host = "127.0.0.1"
        self.port = gateway.port

    def control(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Do what the control interface does: ``control("drop", client=1)``. Raises UsageError."""
        request = {"do": do, **arguments}
        future = asyncio.run_coroutine_threadsafe(
            self._gateway.control.command(request), self._loop
        )
        return future.result()

    def orders(self) -> tuple[OrderTruth, ...]:
        """Return what became of every order."""
        return self.call(lambda: self._gateway.ledger.orders())

    def executions(self) -> tuple[ExecutionTruth, ...]:
        """Return every execution, in order."""
        return self.call(lambda: self._gateway.ledger.executions())

    def positions(self) -> Mapping[tuple[str, str], Decimal]:
        """Return what executions made of each (account, symbol); flat ones are left out."""
        return self.call(lambda: self._gateway.ledger.positions())

    def ledger(self, event: str = "") -> list[dict[str, Any]]:
        """Return the ledger's entries, of one event where one is named."""
        kept = self.call(lambda: list(self._gateway.ledger))
        return [each for each in kept if not event or each["event"] == event]

    def wait_for(self, event: str, count: int = 1, seconds: float = 10.0) -> list[dict[str, Any]]:
        """Wait until the ledger has ``count`` entries of ``event``; return them.

        Raises TimeoutError.
        """
        ends = time.monotonic() + seconds
        while len(found := self.ledger(event)) < count:
            if time.monotonic() > ends:
                raise TimeoutError(f"{len(found)} of {count} entries {event!r} in {seconds} s")
            time.sleep(0.005)
        return found

    def call(self, question: Callable[[], T]) -> T:
        """Return what ``question`` returns in the gateway's thread."""

        async def ask() -> T:
            return question()

        return asyncio.run_coroutine_threadsafe(ask(), self._loop).result()


@contextmanager
def running(
    gateway: Callable[[], SimulatedGateway] | None = None, *, symbols: int = 20, **options: Any
) -> Iterator[RunningGateway]:
    """Serve a simulated gateway in a thread while the ``with`` lasts.

    ``options`` are those of :class:`~alluse_gateway.server.SimulatedGateway`; without an
    ``exchange`` or a ``market`` a synthetic market of ``symbols`` symbols is played, from
    ``seed``. ``gateway`` makes another gateway instead, inside the thread. What goes wrong in the
    gateway or in its scenario is raised at the end.
    """
    started: list[RunningGateway] = []
    failures: list[BaseException] = []
    ready, ended = threading.Event(), asyncio.Event()

    async def serve() -> None:
        try:
            async with (gateway or (lambda: _made(symbols, options)))() as served:
                started.append(RunningGateway(asyncio.get_running_loop(), served))
                ready.set()
                await ended.wait()
        except Exception as error:  # noqa: BLE001  raised again in the caller's thread
            failures.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="gateway", daemon=True)
    thread.start()
    ready.wait()
    try:
        if started:
            yield started[0]
    finally:
        if started:
            _end(started[0], ended)
        thread.join(20.0)
    if thread.is_alive():
        raise BrokerError("the simulated gateway did not stop within 20 s")
    if failures:
        raise failures[0]


def _end(running: RunningGateway, ended: asyncio.Event) -> None:
    try:
        running.call(ended.set)
    except RuntimeError:
        # The loop is closed: the gateway has failed, and its error is raised by who asked.
        return


def _made(symbols: int, options: dict[str, Any]) -> SimulatedGateway:
    from alluse_gateway.server import SimulatedGateway

    if "exchange" not in options and "market" not in options:
        from alluse_paper.synthetic import SyntheticMarket

        market = SyntheticMarket(options.get("seed", 0), symbols, SystemClock().now())
        options = options | {"market": market}
    return SimulatedGateway(**options)
