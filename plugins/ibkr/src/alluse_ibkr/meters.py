"""What the adapter counts about itself, under ``ibkr_integration``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from alluse_core.clock import Clock
from alluse_core.telemetry import Registry

COMPONENT = "ibkr_integration"


class WorkingTime:
    """The share of the seconds since the first attempt in which a role could work.

    A role can work while any connection that serves it does: a spare, or one that stands in.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = math.nan
        self._up_since = math.nan
        self._up_seconds = 0.0
        self._up = 0

    def began(self) -> None:
        """The session begins: from now on the role ought to work."""
        if math.isnan(self._began):
            self._began = self._clock.monotonic()

    def up(self) -> None:
        """One more connection of the role works."""
        if not self._up:
            self._up_since = self._clock.monotonic()
        self._up += 1

    def down(self) -> None:
        """One connection of the role less."""
        self._up -= 1
        if not self._up:
            self._up_seconds += self._clock.monotonic() - self._up_since

    def share(self) -> float | None:
        """Return the share in percent; None before the first attempt."""
        now = self._clock.monotonic()
        if math.isnan(self._began) or now <= self._began:
            return None
        current = now - self._up_since if self._up else 0.0
        return 100 * (self._up_seconds + current) / (now - self._began)


class RoleMeters:
    """Counts of one connection, named by its role, over all its sockets.

    Connection success is ``connects`` of ``connection_attempts``, reuse 1 - ``connects`` of
    ``connection_leases``. ``working`` are the roles that it serves.
    """

    def __init__(
        self,
        registry: Registry,
        clock: Clock,
        broker: str,
        role: str,
        working: Sequence[WorkingTime] | None = None,
    ) -> None:
        self._registry = registry
        self._broker = broker
        self._labels = {"broker": broker, "role": role}
        self.attempts = registry.counter(COMPONENT, "connection_attempts", **self._labels)
        self.connects = registry.counter(COMPONENT, "connects", **self._labels)
        self.leases = registry.counter(COMPONENT, "connection_leases", **self._labels)
        self.decode_errors = registry.counter(COMPONENT, "decode_errors", **self._labels)
        self.watchdog_failures = registry.counter(COMPONENT, "watchdog_failures", **self._labels)
        self.round_trip = registry.timer(COMPONENT, "probe_round_trip", "ms", **self._labels)
        self._working = tuple(working) if working is not None else (WorkingTime(clock),)
        self._is_up = False
        self.observe("connection_reuse_ratio", self._reuse, "%")
        if working is None:
            self.observe("session_working_share", self._working[0].share, "%")

    def observe(self, name: str, read: Callable[[], float | None], unit: str = "") -> None:
        """Have ``read`` called at each tick for a figure of this role."""
        self._registry.observe(COMPONENT, name, read, unit, **self._labels)

    def began(self) -> None:
        """The session begins: from now on the roles served ought to work."""
        for each in self._working:
            each.began()

    def up(self) -> None:
        """The connection works from now on."""
        if not self._is_up:
            self._is_up = True
            for each in self._working:
                each.up()

    def down(self) -> None:
        """The connection does not work any more."""
        if self._is_up:
            self._is_up = False
            for each in self._working:
                each.down()

    def operation(self, name: str, seconds: float) -> None:
        """Record how long an operation took, from the send to the last word of its answer."""
        timer = self._registry.timer(
            COMPONENT, "operation_latency_ms", "ms", broker=self._broker, operation=name
        )
        timer.record(seconds * 1000)

    def failed(self, name: str) -> None:
        """Count an operation that got an error, or no answer."""
        self._registry.counter(
            COMPONENT, "operation_failures", broker=self._broker, operation=name
        ).value += 1

    def _reuse(self) -> float | None:
        leases = self.leases.value
        return 100 * (1 - self.connects.value / leases) if leases else None
