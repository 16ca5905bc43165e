"""What the adapter counts about itself, under ``ibkr_integration``."""

from __future__ import annotations

import math
from collections.abc import Callable

from alluse_core.clock import Clock
from alluse_core.telemetry import Registry

COMPONENT = "ibkr_integration"


class RoleMeters:
    """Counts of one role's connection (orders or data), over all its sockets.

    Connection success is ``connects`` of ``connection_attempts``, reuse 1 - ``connects`` of
    ``connection_leases``; ``session_working_share`` is the share of the seconds since the first
    attempt in which the role could work.
    """

    def __init__(self, registry: Registry, clock: Clock, broker: str, role: str) -> None:
        self._registry = registry
        self._clock = clock
        self._broker = broker
        self._labels = {"broker": broker, "role": role}
        self.attempts = registry.counter(COMPONENT, "connection_attempts", **self._labels)
        self.connects = registry.counter(COMPONENT, "connects", **self._labels)
        self.leases = registry.counter(COMPONENT, "connection_leases", **self._labels)
        self.decode_errors = registry.counter(COMPONENT, "decode_errors", **self._labels)
        self.watchdog_failures = registry.counter(COMPONENT, "watchdog_failures", **self._labels)
        self.round_trip = registry.timer(COMPONENT, "probe_round_trip", "ms", **self._labels)
        self._began = math.nan
        self._up_since = math.nan
        self._up_seconds = 0.0
        self.observe("session_working_share", self._working_share, "%")

    def observe(self, name: str, read: Callable[[], float | None], unit: str = "") -> None:
        """Have ``read`` called at each tick for a figure of this role."""
        self._registry.observe(COMPONENT, name, read, unit, **self._labels)

    def began(self) -> None:
        """The session begins: from now on the role ought to work."""
        if math.isnan(self._began):
            self._began = self._clock.monotonic()

    def up(self) -> None:
        """The connection works from now on."""
        self._up_since = self._clock.monotonic()

    def down(self) -> None:
        """The connection does not work any more."""
        if not math.isnan(self._up_since):
            self._up_seconds += self._clock.monotonic() - self._up_since
            self._up_since = math.nan

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

    def _working_share(self) -> float | None:
        now = self._clock.monotonic()
        if math.isnan(self._began) or now <= self._began:
            return None
        current = 0.0 if math.isnan(self._up_since) else now - self._up_since
        return 100 * (self._up_seconds + current) / (now - self._began)
