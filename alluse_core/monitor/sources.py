"""What the core measures about the interpreter it runs in."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator, Mapping

from alluse_core.model import Sample, SeriesId, labels
from alluse_core.ports import Broker
from alluse_core.telemetry import Registry


class LoopLag:
    """Measures how late the event loop calls what it was asked to call.

    Every ``interval`` seconds, by the loop's own clock, into the timer ``event_loop.lag_ms``. A
    loop that was blocked for one second shows one lag of that second.
    """

    def __init__(self, telemetry: Registry, interval: float = 0.1) -> None:
        self._timer = telemetry.timer("event_loop", "lag_ms")
        self._interval = interval
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, in the running loop."""
        loop = asyncio.get_running_loop()
        self._arm(loop, loop.time() + self._interval)

    def stop(self) -> None:
        """End. Safe to call twice."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._handle = loop.call_at(due, self._measure, loop, due)

    def _measure(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        self._timer.record(max(0.0, now - due) * 1000.0)
        self._arm(loop, now + self._interval)


class GcPauses:
    """Measures each garbage collection, into the timer ``python.gc_pause_ms{generation=}``."""

    def __init__(self, telemetry: Registry) -> None:
        self._timers = [
            telemetry.timer("python", "gc_pause_ms", generation=generation)
            for generation in range(3)
        ]
        self._began = 0.0

    def start(self) -> None:
        """Begin."""
        gc.callbacks.append(self._observe)

    def stop(self) -> None:
        """End. Safe to call twice."""
        if self._observe in gc.callbacks:
            gc.callbacks.remove(self._observe)

    def _observe(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        elif self._began:
            took = time.perf_counter() - self._began
            self._timers[info["generation"]].record(took * 1000.0)


class BrokersSource:
    """Whether the order path to each broker works: ``broker.link_up{broker=}``, 1 or 0.

    DEGRADED is 0: the socket is up while nothing can be traded. GATED is 1: exits find their way.
    """

    name = "brokers"
    period = 1.0

    def __init__(self, brokers: Mapping[str, Broker]) -> None:
        self._brokers = brokers

    def collect(self, now: float) -> Iterator[Sample]:
        """Yield one sample a broker."""
        for name, broker in self._brokers.items():
            series = SeriesId("broker", "link_up", labels(broker=name))
            yield Sample(series, float(broker.link.works))


class PythonSource:
    """Garbage collections, threads and tasks of this interpreter."""

    name = "python"
    period = 1.0

    def collect(self, now: float) -> Iterator[Sample]:
        """Yield counts since the interpreter started, and what there is now."""
        for generation, stats in enumerate(gc.get_stats()):
            for what in ("collections", "collected", "uncollectable"):
                yield _sample(f"gc_{what}", stats[what], generation=generation)
        for generation, count in enumerate(gc.get_count()):
            yield _sample("gc_pending", count, generation=generation)
        yield _sample("threads", threading.active_count())
        try:
            yield _sample("tasks", len(asyncio.all_tasks()))
        except RuntimeError:
            return  # no loop runs in this thread: there is nothing to count


def _sample(metric: str, value: float, **labelled: object) -> Sample:
    return Sample(SeriesId("python", metric, labels(**labelled)), float(value))
