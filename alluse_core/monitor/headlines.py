"""The headline metrics, computed each tick from the counters and timers of the running code.

Those of system_resources are measured by the plugin ``system`` itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from alluse_core.model import Sample, SeriesId
from alluse_core.monitor.definitions import (
    DEFINITIONS,
    RATIO_SECONDS,
    RECENT_SECONDS,
    SESSION_SECONDS,
)
from alluse_core.monitor.history import History

_SERIES = {
    (d.component, d.metric): SeriesId(d.component, d.metric, (), d.unit) for d in DEFINITIONS
}


class Headlines:
    """A metric source over the history; see :mod:`alluse_core.monitor.definitions`."""

    name = "headlines"
    period = 1.0

    def __init__(self, history: History) -> None:
        self._history = history

    def collect(self, now: float) -> Iterator[Sample]:
        """Yield those headline metrics that something measured."""
        for (component, metric), value in self._values():
            if value is not None:
                yield Sample(_SERIES[component, metric], value)

    def _values(self) -> Iterator[tuple[tuple[str, str], float | None]]:
        trading, data, broker = "trading_system", "market_data_system", "ibkr_integration"
        yield (trading, "error_rate"), self._error_rate()
        yield (trading, "latency_ms"), self._median(trading, "latency_ms")
        yield (trading, "throughput_ops_sec"), self._rate(trading, "orders_submitted")
        yield (data, "throughput_ops_sec"), self._rate(data, "reads_served")
        yield (data, "latency_ms"), self._median(data, "latency_ms")
        yield (data, "cache_hit_rate"), self._hit_rate()
        yield (
            (broker, "connection_success_rate"),
            self._share(
                self._increase(broker, "connects", SESSION_SECONDS),
                self._increase(broker, "connection_attempts", SESSION_SECONDS),
            ),
        )
        yield (broker, "operation_latency_ms"), self._median(broker, "operation_latency_ms")
        yield (broker, "reuse_ratio"), self._reuse_ratio()

    def _error_rate(self) -> float | None:
        increase = self._increase
        orders = increase("trading_system", "orders_submitted", RATIO_SECONDS)
        rejected = increase("trading_system", "orders_rejected", RATIO_SECONDS)
        unknown = increase("trading_system", "orders_unknown", RATIO_SECONDS)
        if rejected is None and unknown is None:
            return None
        return self._share((rejected or 0.0) + (unknown or 0.0), orders)

    def _hit_rate(self) -> float | None:
        hits = self._increase("market_data_system", "cache_hits", RATIO_SECONDS)
        misses = self._increase("market_data_system", "cache_misses", RATIO_SECONDS)
        if hits is None or misses is None:
            return None
        return self._share(hits, hits + misses)

    def _reuse_ratio(self) -> float | None:
        connects = self._increase("ibkr_integration", "connects", SESSION_SECONDS)
        leases = self._increase("ibkr_integration", "connection_leases", SESSION_SECONDS)
        if connects is None or leases is None:
            return None
        return self._share(leases - connects, leases)

    def _increase(self, component: str, metric: str, seconds: float) -> float | None:
        # The first orders, reads and connections often come before the first tick.
        return self._history.increase(component, metric, seconds, from_start=True)

    def _rate(self, component: str, metric: str) -> float | None:
        return self._history.rate(component, metric, RECENT_SECONDS)

    def _median(self, component: str, metric: str) -> float | None:
        found = self._history.quantile(component, metric, 0.5, RECENT_SECONDS)
        return None if found is None else found[0]

    @staticmethod
    def _share(part: float | None, whole: float | None) -> float | None:
        """Return a percentage; None where nothing happened that it could be a share of."""
        if part is None or not whole:
            return None
        return 100.0 * max(0.0, part) / whole
