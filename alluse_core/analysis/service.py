"""The analysis cycle: takes what is new, ships a window to the analyzers, keeps what they find."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from alluse_core.analysis.executors import AnalysisExecutor, WorkerProcess
from alluse_core.analysis.job import AnalyzerSpec, Job, Outcome
from alluse_core.analysis.windows import Window
from alluse_core.clock import Clock
from alluse_core.ports import Batch, MetricStore
from alluse_core.settings import AnalysisSettings
from alluse_core.telemetry import Registry

_log = logging.getLogger(__name__)

COMPONENT = "analysis"
# One slot has no change in it, and a worker that starts for nothing costs a second of
# processor.
_FEWEST_SLOTS = 2


class Analysis:
    """Analyses the newest ``settings.window`` seconds of the store at each :meth:`tick`.

    A tick that comes while one is running is skipped and counted; nobody waits for analysis. An
    analyzer that raises and a worker that ends are named in :attr:`last` and counted, and the
    next tick tries again. Metrics: ``analysis.{cycles,skipped,failures,worker_restarts}`` and
    the timer ``analysis.duration_ms`` by analyzer.
    """

    def __init__(
        self,
        *,
        specs: Sequence[AnalyzerSpec],
        store: MetricStore,
        clock: Clock,
        telemetry: Registry,
        settings: AnalysisSettings,
        executor: AnalysisExecutor | None = None,
        step: float = 1.0,
    ) -> None:
        self._specs = tuple(specs)
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._settings = settings
        self._executor = executor or WorkerProcess()
        self._window = Window(settings.window, step)
        self._read_until: datetime | None = None
        self._turn = asyncio.Lock()
        self._restarts = telemetry.counter(COMPONENT, "worker_restarts")
        self._cycles = telemetry.counter(COMPONENT, "cycles")
        self._skipped = telemetry.counter(COMPONENT, "skipped")
        self.last: Outcome | None = None

    async def tick(self) -> None:
        """Run one cycle, or skip it where the last one is still running."""
        if self._turn.locked():
            self._skipped.value += 1
            return
        await self.catch_up()

    async def catch_up(self) -> None:
        """Wait for a cycle that is running, then run one over all that is stored by now."""
        async with self._turn:
            await self._cycle()

    async def stop(self) -> None:
        """End the worker. Safe to call twice."""
        await self._executor.close()

    async def _cycle(self) -> None:
        time = self._clock.now()
        self._window.extend(await self._executor.call(self._new_batches))
        frame = self._window.frame()
        if len(frame.times) < _FEWEST_SLOTS or not frame.series:
            return
        outcome = await self._executor.run(Job(self._specs, frame))
        self.last = outcome
        self._account(outcome)
        if outcome.findings:
            self._store.save_findings(time, outcome.findings)

    def _new_batches(self) -> list[Batch]:
        since = self._read_until
        if since is None:
            since = self._clock.now() - timedelta(seconds=self._settings.window)
        batches = list(self._store.batches(start=since))
        if batches:
            # The bound is inclusive: the batch at this very time is overwritten by itself.
            self._read_until = batches[-1].time
        return batches

    def _account(self, outcome: Outcome) -> None:
        self._cycles.value += 1
        self._restarts.value = self._executor.restarts
        for name, seconds in outcome.seconds.items():
            timer = self._telemetry.timer(COMPONENT, "duration_ms", analyzer=name)
            timer.record(seconds * 1000.0)
        for failure in outcome.failures:
            who = failure.analyzer or "worker"
            self._telemetry.counter(COMPONENT, "failures", analyzer=who).value += 1
            _log.error("analyzer %s failed: %s", who, failure.error)
