"""What code without an event loop holds: the runtime of :func:`alluse_core.open`, blocking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from alluse_core.errors import AllUseError, UsageError
from alluse_core.model import AccountMode, AccountValue, NodeIdentity, Position, Snapshot
from alluse_core.monitor.alerts import AlertEngine
from alluse_core.redaction import Redaction
from alluse_core.runtime import Metrics, Runtime
from alluse_core.runtime import open as open_runtime
from alluse_core.settings import Settings
from alluse_core.sync.loop import Loop
from alluse_core.sync.orders import SyncOrders
from alluse_core.sync.quotes import SyncQuotes


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


class SyncRuntime:
    """A :class:`~alluse_core.runtime.Runtime` in a thread of its own."""

    orders: SyncOrders
    quotes: SyncQuotes
    metrics: Metrics
    alerts: AlertEngine

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._loop: Loop | None = None

    def __enter__(self) -> Self:
        if self._loop is not None:
            raise UsageError("this runtime is open already", hint="open another for another 'with'")
        self._loop = Loop()
        try:
            self._loop.wait(self._runtime.__aenter__())
        except BaseException:
            self._close_loop()
            raise
        self.orders = SyncOrders(self._loop, self._runtime.orders)
        self.quotes = SyncQuotes(self._loop, self._runtime.quotes)
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

    @property
    def settings(self) -> Settings:
        """What it was opened with."""
        return self._runtime.settings

    @property
    def node(self) -> NodeIdentity:
        """The identity that everything leaving this process carries."""
        return self._runtime.node

    @property
    def redaction(self) -> Redaction:
        """Hides the secrets of settings and plugins; a filter for your own log handlers."""
        return self._runtime.redaction

    @property
    def state(self) -> Path:
        """The folder of journal.db and metrics.db."""
        return self._runtime.state

    @property
    def mode(self) -> AccountMode:
        """PAPER where every account is; LIVE as soon as one is."""
        return self._open().call(lambda: self._runtime.mode)

    def positions(self) -> Snapshot[Position]:
        """Return what the accounts hold, as last told."""
        return self._open().call(self._runtime.positions)

    def account(self) -> Snapshot[AccountValue]:
        """Return the accounts' figures, as last told."""
        return self._open().call(self._runtime.account)

    def report(self, out: Path | str) -> list[Path]:
        """Write all reports into ``out``."""
        return self._open().wait(self._runtime.report(out))

    def _open(self) -> Loop:
        if self._loop is None:
            raise AllUseError("this runtime is not open", hint="use it inside 'with'")
        return self._loop

    def _close_loop(self) -> None:
        if self._loop is not None:
            self._loop.close()
            self._loop = None
