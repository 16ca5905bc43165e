"""One tick of collection: ask everything that measures, remember it, hand it to the store."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from alluse_core.clock import Clock
from alluse_core.errors import StoreError
from alluse_core.model import NodeIdentity, Sample, SeriesId
from alluse_core.monitor.blame import Blame
from alluse_core.monitor.headlines import Headlines
from alluse_core.monitor.history import History
from alluse_core.monitor.sources import GcPauses, LoopLag, PythonSource
from alluse_core.ports import Batch, MetricSource, MetricStore
from alluse_core.telemetry import Registry

_log = logging.getLogger(__name__)


class Collector:
    """Collects the registry and all sources that are due, once a tick.

    Implements :class:`~alluse_core.ports.MetricView` over what it collected. A source that
    raises loses the samples of this tick, is counted under its name and logged once for each
    type of error; a sample that is NaN or infinite is left out and counted; one that holds the
    event loop is named (:class:`~alluse_core.monitor.blame.Blame`). Call :meth:`tick` from one
    place only.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        sources: Sequence[MetricSource],
        store: MetricStore,
        clock: Clock,
        node: NodeIdentity,
        period: float = 1.0,
        history: History | None = None,
        cpu_clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._registry = registry
        self._store = store
        self._clock = clock
        self._node = node
        self._period = period
        self._cpu_clock = cpu_clock
        self.history = history or History(registry, period=period)
        self._sources: tuple[MetricSource, ...] = (PythonSource(), *sources)
        self._headlines = Headlines(self.history)
        self._due: dict[str, float] = {}
        self._logged: set[tuple[str, type[Exception]]] = set()
        self._lag = LoopLag(registry)
        self._pauses = GcPauses(registry)
        self._blame = Blame(registry)
        self._tick_ms = registry.timer("monitor", "tick_ms")
        registry.observe("monitor", "series", lambda: float(len(self.history)))
        registry.observe("monitor", "series_refused", lambda: float(self.history.refused))

    async def start(self) -> None:
        """Begin to measure the event loop and the garbage collector."""
        self._lag.start()
        self._pauses.start()

    async def stop(self) -> None:
        """End what :meth:`start` began. Safe to call twice."""
        self._lag.stop()
        self._pauses.stop()

    def tick(self) -> None:
        """Collect, remember and store the samples of this moment."""
        began = self._cpu_clock()
        now, wall = self._clock.monotonic(), self._clock.now()
        self.history.begin(now, wall)
        self.history.add(self._finite("registry", self._registry.collect(now)))
        for source in self._sources:
            # Half a tick early is due: ticks are not exact to the microsecond.
            if now + self._period / 2.0 >= self._due.get(source.name, -math.inf):
                self._due[source.name] = self._next_due(source, now)
                self._collect(source, now)
        self._collect(self._headlines, now)
        node = self._node
        batch = Batch(
            node.tenant,
            node.node,
            node.agent,
            node.incarnation,
            wall,
            self.history.samples(),
        )
        try:
            self._store.append(batch)
        except StoreError as error:
            self._count_error("store", error)
        self._tick_ms.record((self._cpu_clock() - began) * 1000.0)

    def latest_samples(self) -> Mapping[SeriesId, float]:
        """Return all samples of the newest tick."""
        return self.history.samples()

    @property
    def now(self) -> float:
        """Monotonic seconds of the newest tick."""
        return self.history.now

    @property
    def time(self) -> datetime:
        """Wall-clock time of the newest tick."""
        return self.history.time

    def latest(self, component: str, metric: str) -> Mapping[SeriesId, float]:
        """See :class:`~alluse_core.ports.MetricView`."""
        return self.history.latest(component, metric)

    def window(self, series: SeriesId, seconds: float) -> Sequence[tuple[float, float]]:
        """See :class:`~alluse_core.ports.MetricView`."""
        return self.history.window(series, seconds)

    def increase(self, component: str, metric: str, seconds: float) -> float | None:
        """See :class:`~alluse_core.ports.MetricView`."""
        return self.history.increase(component, metric, seconds)

    def quantile(
        self, component: str, metric: str, share: float, seconds: float
    ) -> tuple[float, int] | None:
        """See :class:`~alluse_core.ports.MetricView`."""
        return self.history.quantile(component, metric, share, seconds)

    def _next_due(self, source: MetricSource, now: float) -> float:
        due = self._due.get(source.name, now) + source.period
        return due if due > now else now + source.period

    def _collect(self, source: MetricSource, now: float) -> None:
        began = self._cpu_clock()
        try:
            # All or nothing: half of what a source measures could be read as the whole.
            samples = list(self._finite(source.name, source.collect(now)))
        except Exception as error:  # noqa: BLE001 - named, counted and logged below
            self._count_error(source.name, error)
        else:
            self.history.add(samples)
        took = self._cpu_clock() - began
        self._registry.timer("monitor", "source_ms", source=source.name).record(took * 1000.0)
        self._blame.took("source", source.name, took)

    def _finite(self, name: str, samples: Iterable[Sample]) -> Iterable[Sample]:
        for sample in samples:
            if math.isfinite(sample.value):
                yield sample
            else:
                self._registry.counter("monitor", "samples_refused", source=name).value += 1

    def _count_error(self, name: str, error: Exception) -> None:
        self._registry.counter("monitor", "source_errors", source=name).value += 1
        if (name, type(error)) not in self._logged:
            self._logged.add((name, type(error)))
            _log.error(
                "metric source %r failed; more of %s are only counted",
                name,
                type(error).__name__,
                exc_info=error,
            )
