"""Gates new risk in the reset windows, and says how an outage stands."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from alluse_core.clock import Clock
from alluse_core.telemetry import Registry
from alluse_ibkr.meters import COMPONENT
from alluse_ibkr.windows import Outage, Window, inside, judge

_log = logging.getLogger(__name__)

LOOK_EVERY = 5.0
_SAY_FIRST = 60.0
_SAY_MOST = 900.0


class Calendar:
    """Looks at the wall clock every few seconds, since that may be set while timers run.

    ``gate`` gets why new risk is not allowed, or "". ``works`` says whether orders find their
    way: neither without a socket nor while the terminal has lost its uplink (1100).
    """

    def __init__(
        self,
        broker: str,
        clock: Clock,
        windows: Sequence[Window],
        registry: Registry,
        gate: Callable[[str], None],
        works: Callable[[], bool],
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._windows = tuple(windows)
        self._gate = gate
        self._works = works
        self._down_since = math.nan
        self._said_at = math.nan
        self._pause = _SAY_FIRST
        self.outage: Outage | None = None
        registry.observe(COMPONENT, "outage_overdue_seconds", self._overdue, "s", broker=broker)
        registry.observe(COMPONENT, "weekly_login_due", self._login, broker=broker)

    async def run(self) -> None:
        """Look for ever."""
        while True:
            self.look()
            await self._clock.sleep(LOOK_EVERY)

    def look(self) -> None:
        """Gate, or let go; judge the outage, if there is one."""
        now = self._clock.now()
        found = inside(self._windows, now)
        if found is None:
            self._gate("")
        else:
            window, end = found
            self._gate(f"{window.name} is until {end:%H:%M} UTC")
        self._watch(now)

    def _watch(self, now: datetime) -> None:
        if self._works():
            if self.outage is not None:
                _log.warning("%s is back", self._broker)
            self.outage, self._said_at, self._pause = None, math.nan, _SAY_FIRST
            self._down_since = math.nan
            return
        monotonic = self._clock.monotonic()
        if math.isnan(self._down_since):
            self._down_since = monotonic
        began = now - timedelta(seconds=monotonic - self._down_since)
        before, self.outage = self.outage, judge(self._windows, began, now)
        turned = before is None or (before.overdue, before.login) != (
            self.outage.overdue,
            self.outage.login,
        )
        if turned or monotonic - self._said_at >= self._pause:
            self._pause = _SAY_FIRST if turned else min(2 * self._pause, _SAY_MOST)
            self._said_at = monotonic
            level = logging.ERROR if self.outage.overdue else logging.WARNING
            _log.log(level, "%s is %s", self._broker, self.outage.text)

    def _overdue(self) -> float | None:
        if self.outage is None:
            return 0.0
        return (self._clock.now() - self.outage.due).total_seconds()

    def _login(self) -> float:
        return float(self.outage is not None and self.outage.login)
