"""Delivery of alerts to people, apart from the tick that found them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from alluse_core.clock import Clock
from alluse_core.model import Alert
from alluse_core.monitor.blame import Blame, stepwise
from alluse_core.ports import Notifier
from alluse_core.redaction import told_of
from alluse_core.telemetry import Registry

_log = logging.getLogger(__name__)

_QUEUE = 1_000
_ATTEMPTS = 10
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
_LAST_CHANCE = 5.0
_LONGEST_ATTEMPT = 30.0


class Notifications:
    """One bounded queue and one task for each notifier, so that a slow one delays no other.

    A failed delivery, or one without an end after 30 seconds, is tried again after 1, 2, 4 ... 60
    seconds, ten times in all. A full queue drops its oldest. One that holds the event loop is
    named (:class:`~alluse_core.monitor.blame.Blame`). Counters
    ``alerts.notifications{notifier=,outcome=}`` say what became of each: delivered, retried,
    failed, dropped.
    """

    def __init__(
        self,
        notifiers: Sequence[Notifier],
        clock: Clock,
        telemetry: Registry,
        cpu_clock: Callable[[], float] = time.perf_counter,
        told: Callable[[BaseException], str] = told_of,
    ) -> None:
        self._lines = [_Line(each, clock, telemetry, cpu_clock, told) for each in notifiers]

    def start(self) -> None:
        """Begin to deliver, in the running loop."""
        for line in self._lines:
            line.start()

    def offer(self, alert: Alert) -> None:
        """Queue a change of state for every notifier; returns at once."""
        for line in self._lines:
            line.offer(alert)

    async def stop(self) -> None:
        """Give what waits one short last chance, and end."""
        await asyncio.gather(*(line.stop() for line in self._lines))


class _Line:
    def __init__(
        self,
        notifier: Notifier,
        clock: Clock,
        telemetry: Registry,
        cpu_clock: Callable[[], float],
        told: Callable[[BaseException], str],
    ) -> None:
        self._notifier = notifier
        self._told = told
        self._cpu_clock = cpu_clock
        self._took = partial(Blame(telemetry).took, "notifier", notifier.name)
        self._clock = clock
        self._telemetry = telemetry
        self._queue: deque[Alert] = deque()
        self._offered = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        name = f"notifier {self._notifier.name}"
        self._task = asyncio.get_running_loop().create_task(self._deliver_all(), name=name)

    def offer(self, alert: Alert) -> None:
        if len(self._queue) >= _QUEUE:
            self._queue.popleft()
            self._count("dropped")
        self._queue.append(alert)
        self._offered.set()

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        try:
            async with asyncio.timeout(_LAST_CHANCE):
                while self._queue and await self._attempt(self._queue[0]):
                    self._queue.popleft()
        except TimeoutError:
            _log.warning("notifier %r did not answer in time", self._notifier.name)
        for _ in range(len(self._queue)):
            self._count("failed")
        self._queue.clear()

    async def _deliver_all(self) -> None:
        while True:
            await self._offered.wait()
            self._offered.clear()
            while self._queue:
                alert = self._queue[0]
                await self._deliver(alert)
                # A full queue may have dropped it meanwhile.
                if self._queue and self._queue[0] is alert:
                    self._queue.popleft()

    async def _deliver(self, alert: Alert) -> None:
        wait = _FIRST_WAIT
        for attempt in range(1, _ATTEMPTS + 1):
            if await self._attempt(alert):
                return
            if attempt < _ATTEMPTS:
                self._count("retried")
                await self._clock.sleep(wait)
                wait = min(_LONGEST_WAIT, wait * 2.0)
        self._count("failed")

    async def _attempt(self, alert: Alert) -> bool:
        name = self._notifier.name
        try:
            async with asyncio.timeout(_LONGEST_ATTEMPT):
                await stepwise(self._notifier.notify(alert), self._cpu_clock, self._took)
        except TimeoutError:
            _log.warning("notifier %r did not end on alert %s", name, alert.rule)
            return False
        except Exception as error:  # noqa: BLE001 - counted, logged, and tried again
            _log.warning("notifier %r failed on alert %s: %s", name, alert.rule, self._told(error))
            return False
        self._count("delivered")
        return True

    def _count(self, outcome: str) -> None:
        self._telemetry.counter(
            "alerts", "notifications", notifier=self._notifier.name, outcome=outcome
        ).value += 1
