"""Every periodic job as data, and what drives them.

In production APScheduler drives the cycles. It reads the wall clock itself, so in virtual time it
would run nothing and after a jump of an hour back it would stall for an hour: a simulation uses
:class:`VirtualDriver`, and :class:`SchedulerDriver` has a watchdog on the monotonic clock.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from inspect import isawaitable
from typing import Any

import attrs

from alluse_core.clock import Clock
from alluse_core.ports import Leadership
from alluse_core.telemetry import Registry

_log = logging.getLogger(__name__)

# A timer may wake a hair early by another clock than the one that set it; a tick this share of
# its period early is the tick that was due.
_EARLY = 0.02


@attrs.frozen
class Cycle:
    """One periodic job: ``fn`` is called every ``period`` seconds, in the event loop.

    ``fn`` may be a coroutine function; a plain one must not block. ``leased``: of several
    processes only the one that holds the lease of this name may run it.
    """

    name: str
    period: float = attrs.field(validator=attrs.validators.gt(0.0))
    fn: Callable[[], Awaitable[None] | None]
    leased: bool = False


class CycleRun:
    """Runs one cycle when told to, and measures it.

    Component ``cycles``, labelled by cycle: ``lateness_ms`` from the moment the oldest tick that
    did not run yet was due; ``duration_ms``; counters ``runs``, ``missed`` (ticks that were
    merged into a later one), ``overruns`` (runs longer than the period), ``errors`` by type.
    An exception is logged once for each type and never ends the cycle.
    """

    def __init__(
        self, cycle: Cycle, clock: Clock, telemetry: Registry, leadership: Leadership | None
    ) -> None:
        self.cycle = cycle
        self._clock = clock
        self._telemetry = telemetry
        self._leadership = leadership if cycle.leased else None
        self._next_due = math.inf
        self._logged: set[type[BaseException]] = set()
        name = cycle.name
        self._lateness = telemetry.timer("cycles", "lateness_ms", cycle=name)
        self._duration = telemetry.timer("cycles", "duration_ms", cycle=name)
        self._runs = telemetry.counter("cycles", "runs", cycle=name)
        self._missed = telemetry.counter("cycles", "missed", cycle=name)
        self._overruns = telemetry.counter("cycles", "overruns", cycle=name)

    @property
    def next_due(self) -> float:
        """Monotonic seconds at which the next tick is due."""
        return self._next_due

    def expect(self, due: float) -> None:
        """Set when the next tick is due; later ones follow each period."""
        self._next_due = due

    async def run(self) -> None:
        """Run the cycle once, now."""
        began = self._clock.monotonic()
        self._account_for(began)
        try:
            if self._leadership is None or await self._leadership.lease(self.cycle.name):
                self._runs.value += 1
                result = self.cycle.fn()
                if isawaitable(result):
                    await result
        except Exception as error:  # noqa: BLE001 - one bad run must not end the cycle
            self._count_error(error)
        took = self._clock.monotonic() - began
        self._duration.record(took * 1000.0)
        self._overruns.value += took > self.cycle.period

    def _account_for(self, now: float) -> None:
        period = self.cycle.period
        late = now - self._next_due
        if late < -_EARLY * period:
            return
        self._lateness.record(max(0.0, late) * 1000.0)
        merged = max(0, math.floor(late / period + _EARLY))
        self._missed.value += merged
        self._next_due += (merged + 1) * period

    def _count_error(self, error: Exception) -> None:
        kind = type(error)
        name = self.cycle.name
        self._telemetry.counter("cycles", "errors", cycle=name, error=kind.__name__).value += 1
        if kind not in self._logged:
            self._logged.add(kind)
            _log.error(
                "cycle %r failed and goes on; more of %s are only counted",
                name,
                kind.__name__,
                exc_info=error,
            )


class VirtualDriver:
    """Drives cycles by the clock it is given: for virtual time, and exact under it.

    Each cycle has a task of its own, so a slow one delays none of the others. Ticks that pass
    while a run lasts are merged into one.
    """

    def __init__(
        self,
        cycles: Sequence[Cycle],
        clock: Clock,
        telemetry: Registry,
        *,
        leadership: Leadership | None = None,
    ) -> None:
        self._clock = clock
        self._runs = [CycleRun(cycle, clock, telemetry, leadership) for cycle in cycles]
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin; the first run of each cycle is one period from now."""
        now = self._clock.monotonic()
        for run in self._runs:
            run.expect(now + run.cycle.period)
            name = f"cycle {run.cycle.name}"
            self._tasks.append(asyncio.get_running_loop().create_task(self._drive(run), name=name))

    async def stop(self) -> None:
        """End; a run in progress is cancelled and waited for. Safe to call twice."""
        tasks, self._tasks = self._tasks, []
        await _end(tasks)

    async def _drive(self, run: CycleRun) -> None:
        while True:
            await self._clock.sleep(run.next_due - self._clock.monotonic())
            await run.run()


class SchedulerDriver:
    """Drives cycles by APScheduler's AsyncIOScheduler.

    A tick runs however late it is (no misfire grace: what blocked the loop must not also cost
    the measurement of it); ticks missed together are merged into one run, and no cycle runs
    beside itself. Every ``watch_every`` seconds the watchdog compares the wall clock with the
    monotonic one; when they have parted by more than ``tolerance`` seconds it schedules
    everything anew.
    """

    def __init__(
        self,
        cycles: Sequence[Cycle],
        clock: Clock,
        telemetry: Registry,
        *,
        leadership: Leadership | None = None,
        watch_every: float = 1.0,
        tolerance: float = 0.5,
    ) -> None:
        self._clock = clock
        self._runs = [CycleRun(cycle, clock, telemetry, leadership) for cycle in cycles]
        self._watch_every = watch_every
        self._tolerance = tolerance
        self._jumps = telemetry.counter("cycles", "clock_jumps")
        self._skipped = telemetry.counter("cycles", "skipped_while_running")
        self._active: set[asyncio.Task[Any]] = set()
        self._watchdog: asyncio.Task[None] | None = None
        self._scheduler: Any = None

    async def start(self) -> None:
        """Begin; the first run of each cycle is one period from now."""
        from apscheduler.events import EVENT_JOB_MAX_INSTANCES
        from apscheduler.schedulers.asyncio import AsyncIOScheduler

        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._scheduler.add_listener(self._count_skipped, EVENT_JOB_MAX_INSTANCES)
        now = self._clock.monotonic()
        for run in self._runs:
            run.expect(now + run.cycle.period)
            self._schedule(run, now)
        self._scheduler.start()
        self._watchdog = asyncio.get_running_loop().create_task(
            self._watch(), name="cycles watchdog"
        )

    async def stop(self) -> None:
        """End; a run in progress is cancelled and waited for. Safe to call twice."""
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is None:
            return
        active = [*self._active, *([self._watchdog] if self._watchdog else [])]
        scheduler.remove_all_jobs()
        scheduler.shutdown(wait=False)
        # APScheduler ends, and cancels what runs, in a callback of the loop.
        await asyncio.sleep(0)
        await _end(active)
        self._watchdog = None

    def _schedule(self, run: CycleRun, now: float) -> None:
        from apscheduler.triggers.interval import IntervalTrigger

        # APScheduler compares with its own reading of the wall clock, so the first moment is
        # told in that clock.
        first = datetime.now(UTC) + timedelta(seconds=max(0.0, run.next_due - now))
        self._scheduler.add_job(
            self._run,
            IntervalTrigger(seconds=run.cycle.period, start_date=first, timezone=UTC),
            args=(run,),
            id=run.cycle.name,
            name=run.cycle.name,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
            replace_existing=True,
        )

    async def _run(self, run: CycleRun) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._active.add(task)
        try:
            await run.run()
        except asyncio.CancelledError:
            # APScheduler would log an end that was asked for as a failure.
            if self._scheduler is not None:
                raise
        finally:
            self._active.discard(task)

    def _count_skipped(self, _: object) -> None:
        self._skipped.value += 1

    async def _watch(self) -> None:
        offset = self._offset()
        while True:
            # The loop's timers are monotonic: this wakes up whatever the wall clock does.
            await asyncio.sleep(self._watch_every)
            parted = self._offset() - offset
            if abs(parted) > self._tolerance:
                _log.warning("the wall clock jumped by %+.1f s; all cycles start anew", parted)
                self._jumps.value += 1
                offset = self._offset()
                for run in self._runs:
                    self._schedule(run, self._clock.monotonic())

    def _offset(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic()


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
