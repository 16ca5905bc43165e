"""The runtime for code that has no event loop: the same names, blocking."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from alluse_core.errors import AllUseError
from alluse_core.model import (
    AccountValue,
    ChainPlan,
    ChainWindow,
    Instrument,
    OptionChain,
    OptionParameters,
    Order,
    OrderGroup,
    Position,
    Quote,
    Snapshot,
)
from alluse_core.monitor.alerts import AlertEngine
from alluse_core.orders.ticket import Outcome
from alluse_core.quotes.chain_read import Progress
from alluse_core.runtime import Metrics, Runtime
from alluse_core.runtime import open as open_runtime
from alluse_core.settings import Settings

T = TypeVar("T")


def open_sync(
    source: Path | str | Mapping[str, Any] | Settings | None = None,
    *,
    plugins: Sequence[object] = (),
    overrides: Mapping[str, Any] | None = None,
    state: Path | str | None = None,
) -> SyncRuntime:
    """Return a runtime to enter with a plain ``with``; see :func:`alluse_core.open`.

    It keeps an event loop in a thread of its own and ends both when it is left.
    """
    return SyncRuntime(open_runtime(source, plugins=plugins, overrides=overrides, state=state))


class _Loop:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="alluse-loop", daemon=True
        )
        self._thread.start()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` in the loop and return its result; Ctrl-C cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End what still runs in the loop, its worker threads, and the loop."""
        self.wait(_wind_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class SyncTicket:
    """A ticket whose ``outcome`` blocks."""

    def __init__(self, loop: _Loop, ticket: Any) -> None:
        self._loop = loop
        self._ticket = ticket

    @property
    def key(self) -> str:
        """The order's key."""
        return str(self._ticket.key)

    def outcome(self, timeout: float | None = None) -> Outcome:
        """Wait until the order is settled, at most ``timeout`` seconds; return what is known."""
        outcome: Outcome = self._loop.wait(self._ticket.outcome(timeout=timeout))
        return outcome


class SyncOrders:
    """The order commands of :class:`~alluse_core.orders.service.Orders`, blocking."""

    def __init__(self, loop: _Loop, runtime: Runtime) -> None:
        self._loop = loop
        self._orders = runtime.orders

    def submit(self, order: Order | OrderGroup) -> SyncTicket:
        """Journal and send; return once it is durable."""
        return SyncTicket(self._loop, self._loop.wait(self._orders.submit(order)))

    def modify(self, key: str, **changes: Any) -> None:
        """Change price or quantity of a live order."""
        self._loop.wait(self._orders.modify(key, **changes))

    def cancel(self, key: str) -> None:
        """Ask for a cancel."""
        self._loop.wait(self._orders.cancel(key))

    def halt(self, reason: str) -> None:
        """Stop new risk; protection stays."""
        self._loop.wait(self._orders.halt(reason))

    def flatten(self) -> None:
        """Close all positions, and cancel what protects them last."""
        self._loop.wait(self._orders.flatten())

    def resume(self, by: str) -> None:
        """Allow new risk again; ``by`` names who decided."""
        self._loop.wait(self._orders.resume(by=by))

    def close_breaker(self, broker: str, by: str) -> None:
        """Let new orders to a broker pass again; ``by`` names who decided."""
        self._loop.wait(self._orders.close_breaker(broker, by))


class SyncChains:
    """The reads of :class:`~alluse_core.quotes.chains.Chains`, blocking."""

    def __init__(self, loop: _Loop, runtime: Runtime) -> None:
        self._loop = loop
        self._chains = runtime.quotes.chains

    def parameters(self, underlying: Instrument) -> Sequence[OptionParameters]:
        """Return the classes of options on ``underlying``."""
        return self._loop.wait(self._chains.parameters(underlying))

    def plan(
        self,
        underlying: Instrument,
        window: ChainWindow | None = None,
        *,
        price: float | None = None,
    ) -> ChainPlan:
        """Return what of the chain would be read and what that costs."""
        return self._loop.wait(self._chains.plan(underlying, window, price=price))

    def read(self, plan: ChainPlan, progress: Progress | None = None) -> OptionChain:
        """Return a quote of each option, or why there is none.

        ``progress`` is called in the loop's thread and must not call this runtime.
        """
        return self._loop.wait(self._chains.read(plan, progress))


class SyncQuotes:
    """The reads of :class:`~alluse_core.quotes.service.Quotes`, blocking."""

    def __init__(self, loop: _Loop, runtime: Runtime) -> None:
        self._loop = loop
        self._quotes = runtime.quotes
        self.chains = SyncChains(loop, runtime)

    def get(self, instrument: Instrument, max_age: float | None = None) -> Quote:
        """Return a quote at most ``max_age`` seconds old."""
        return self._loop.wait(self._quotes.get(instrument, max_age))

    def cached(self, instrument: Instrument) -> Quote | None:
        """Return what is held and fresh; never waits for the broker."""
        held: Quote | None = self._loop.wait(_now(self._quotes.cached, instrument))
        return held

    def put(self, quote: Quote) -> None:
        """Hand in a quote of the caller's own feed."""
        self._loop.wait(_now(self._quotes.put, quote))

    def stream(self, instrument: Instrument) -> Iterator[Quote]:
        """Yield quotes as they change, the newest only."""
        stream = self._quotes.stream(instrument)
        try:
            while True:
                try:
                    yield self._loop.wait(_next(stream))
                except StopAsyncIteration:
                    return
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:
                self._loop.wait(close())


class SyncRuntime:
    """A :class:`~alluse_core.runtime.Runtime` in a thread of its own."""

    orders: SyncOrders
    quotes: SyncQuotes
    metrics: Metrics
    alerts: AlertEngine

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._loop: _Loop | None = None

    def __enter__(self) -> Self:
        if self._loop is not None:
            raise AllUseError("this runtime is open already")
        self._loop = _Loop()
        try:
            self._loop.wait(self._runtime.__aenter__())
        except BaseException:
            self._close_loop()
            raise
        self.orders = SyncOrders(self._loop, self._runtime)
        self.quotes = SyncQuotes(self._loop, self._runtime)
        self.metrics = self._runtime.metrics
        self.alerts = self._runtime.alerts
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._loop is not None:
            try:
                self._loop.wait(self._runtime.__aexit__(kind, error, trace))
            finally:
                self._close_loop()

    def positions(self) -> Snapshot[Position]:
        """Return what the accounts hold, as last told."""
        return self._runtime.positions()

    def account(self) -> Snapshot[AccountValue]:
        """Return the accounts' figures, as last told."""
        return self._runtime.account()

    def report(self, out: Path | str) -> list[Path]:
        """Write all reports into ``out``."""
        if self._loop is None:
            raise AllUseError("this runtime is not open", hint="use it inside 'with'")
        return self._loop.wait(self._runtime.report(out))

    def _close_loop(self) -> None:
        if self._loop is not None:
            self._loop.close()
            self._loop = None


async def _wind_up() -> None:
    """Do what ``asyncio.run`` does before it closes its loop."""
    loop, own = asyncio.get_running_loop(), asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks() if task is not own]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


async def _now(call: Any, *args: Any) -> Any:
    return call(*args)


async def _next(stream: Any) -> Quote:
    quote: Quote = await anext(stream)
    return quote
