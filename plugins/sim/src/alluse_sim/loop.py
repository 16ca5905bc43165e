"""An event loop in virtual time: it never waits, and its sockets are queues in memory.

What runs here is deterministic: one thread, no operating system, and time that jumps to the next
timer as soon as nothing is left to do. Real asyncio code, client libraries included, runs on it
unchanged as long as it opens its connections through the loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from alluse_core.errors import AllUseError
from alluse_sim.network import MemoryServer, Network

T = TypeVar("T")

TURN = 5e-6
"""Seconds that one turn of the loop takes. Without it a program that asks "is it later than then"
at the very moment it set its timer for would ask for ever."""

BUSY_TURNS = 1_000_000
"""Turns of the loop without a moment of rest: beyond it something spins."""


class SimulationError(AllUseError):
    """The simulated program cannot go on, or asked for what is not simulated."""


class _Timeline:
    """Stands where the loop's selector stands: instead of waiting for sockets it moves time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._turns = 0

    def select(self, timeout: float | None) -> list[object]:
        if timeout is None:
            raise SimulationError(
                "nothing is scheduled any more and the program still waits",
                hint="a future is awaited that nobody completes",
            )
        self.now += TURN
        if timeout > 0:
            self.now += timeout
            self._turns = 0
            return []
        self._turns += 1
        if self._turns > BUSY_TURNS:
            raise SimulationError(
                f"{BUSY_TURNS} turns of the loop up to {self.now:.3f} s without rest",
                hint="look for a loop that yields without sleeping",
            )
        return []

    def close(self) -> None:
        """There is nothing to close."""


class VirtualLoop(asyncio.base_events.BaseEventLoop):
    """Runs asyncio programs in virtual time, starting at 0 seconds.

    ``network`` carries its connections. Executors run inline; another thread cannot reach it.
    Raises SimulationError where the program would hang or spin for ever.
    """

    def __init__(self, network: Network | None = None) -> None:
        super().__init__()
        self._timeline = _Timeline()
        # BaseEventLoop asks this for what is ready and how long to wait.
        self._selector = self._timeline
        # A timer set for a moment must be due when time is that moment, rounding included.
        self._clock_resolution = 1e-6
        self.network = network or Network()

    def time(self) -> float:
        """Return virtual seconds since the loop began."""
        return self._timeline.now

    def _process_events(self, event_list: list[object]) -> None:
        """There are no sockets, hence no events of theirs."""

    def _write_to_self(self) -> None:
        """A loop that never waits need not be woken."""

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        """Schedule from the loop's own thread. Raises SimulationError from another."""
        if self._thread_id not in (None, threading.get_ident()):  # type: ignore[attr-defined]
            raise SimulationError(
                "another thread calls into a simulation: it would not be repeatable"
            )
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run ``func`` now, in this thread."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it belongs to who awaits the future
            future.set_exception(error)
        return future

    async def create_connection(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], host: Any, port: Any, **_: Any
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Connect within the network. Raises ConnectionRefusedError as an operating system does."""
        return await self.network.connect(self, protocol_factory, str(host), int(port))

    async def create_server(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], host: Any, port: Any, **_: Any
    ) -> MemoryServer:
        """Listen within the network; port 0 takes a free one."""
        return self.network.listen(self, protocol_factory, str(host), int(port))


class LoopClock:
    """The virtual loop's time as a Clock; ``began`` is the wall-clock time of its second 0.

    ``skew`` seconds are added to the wall clock only, as a machine's wrong clock has them.
    """

    def __init__(self, loop: VirtualLoop, began: datetime | None = None) -> None:
        self._loop = loop
        self.began = began or datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
        self.skew = 0.0

    def now(self) -> datetime:
        """Return the wall-clock time, aware, UTC."""
        return self.began + timedelta(seconds=self._loop.time() + self.skew)

    def monotonic(self) -> float:
        """Return virtual seconds."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Wait in virtual time."""
        await asyncio.sleep(seconds)


def run(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]], network: Network | None = None) -> T:
    """Run ``main(loop)`` to its end on a loop of its own and return what it returned."""
    loop = VirtualLoop(network)
    try:
        # Client libraries ask for the thread's loop, not for the running one.
        asyncio.set_event_loop(loop)
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(main(loop))
    finally:
        asyncio.set_event_loop(None)
