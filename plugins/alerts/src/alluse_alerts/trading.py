"""Rules about the order path: errors and latency."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from alluse_alerts.rule import Rule, above, no_data
from alluse_alerts.settings import ErrorRateSettings, LatencySettings
from alluse_core.model import Condition, Reading, SeriesId, Severity, labels
from alluse_core.ports import MetricView

COMPONENT = "trading_system"


class TradingErrorRateHigh(Rule[ErrorRateSettings]):
    """Venue rejections and UNKNOWN orders, of the orders submitted. Our own denials are none.

    Under the minimum counts it neither trips nor clears. With no order in the window there is no
    data.
    """

    name = "trading_error_rate_high"
    severity = Severity.CRITICAL
    unit = "%"

    def read(self, view: MetricView) -> Iterator[Reading]:
        """Read one figure for all brokers together."""
        terms = self.settings
        orders = view.increase(COMPONENT, "orders_submitted", terms.window)
        if not orders:
            yield no_data(terms.trip, f"no orders were submitted in {terms.window:g} s")
            return
        rejected = view.increase(COMPONENT, "orders_rejected", terms.window) or 0.0
        unknown = view.increase(COMPONENT, "orders_unknown", terms.window) or 0.0
        errors = rejected + unknown
        rate = 100.0 * errors / orders
        condition = above(rate, terms.trip, terms.clear)
        few = errors < terms.min_errors or orders < terms.min_orders
        if condition is Condition.TRIP and few:
            condition = Condition.HOLD
        text = (
            f"{rejected:g} rejected and {unknown:g} UNKNOWN of {orders:g} orders"
            f" in {terms.window:g} s: {rate:.2f} %"
        )
        yield Reading(condition, rate, terms.trip, text)


class TradingLatencyHigh(Rule[LatencySettings]):
    """Two figures: what we add (submit to wire), and what the way to the broker takes.

    The first has fixed thresholds; the second is compared with the same route's own past, since
    a wide-area link is no fault of ours. The pacer's wait is in neither, and shown beside.
    """

    name = "trading_latency_high"
    unit = "ms"

    def __init__(self, settings: LatencySettings) -> None:
        super().__init__(settings)
        self._routes: set[SeriesId] = set()

    def read(self, view: MetricView) -> Iterator[Reading]:
        """Read submit to wire once, and wire to acknowledgement by route."""
        yield self._submit_to_wire(view)
        self._routes.update(view.latest(COMPONENT, "wire_to_ack_ms.p90"))
        for series in self._routes:
            yield self._wire_to_ack(view, series)

    def _submit_to_wire(self, view: MetricView) -> Reading:
        terms = self.settings
        leg = labels(leg="submit_to_wire")
        found = view.quantile(COMPONENT, "submit_to_wire_ms", 0.99, terms.window)
        name = "p99"
        if found is not None and found[1] < terms.min_samples:
            found = view.quantile(COMPONENT, "submit_to_wire_ms", 0.90, terms.window)
            name = "p90"
        if found is None or found[1] < terms.few_samples:
            count = 0 if found is None else found[1]
            text = f"{count} orders in {terms.window:g} s are too few to judge"
            return no_data(terms.trip, text, leg)
        value, count = found
        text = (
            f"submit to wire {name} {value:.1f} ms over {count} orders"
            f" in {terms.window:g} s{self._pacing(view)}"
        )
        return Reading(above(value, terms.trip, terms.clear), value, terms.trip, text, leg)

    def _pacing(self, view: MetricView) -> str:
        wait = view.quantile(COMPONENT, "pacing_wait_ms", 0.99, self.settings.window)
        return "" if wait is None else f"; waiting for the pacer p99 {wait[0]:.1f} ms"

    def _wire_to_ack(self, view: MetricView, series: SeriesId) -> Reading:
        terms = self.settings
        subject = tuple(sorted((*series.labels, ("leg", "wire_to_ack"))))
        ticks = view.window(series, 3_600.0)
        since = view.now - terms.window
        recent = [value for at, value in ticks if at > since]
        past = [value for at, value in ticks if at <= since]
        if not recent or len(past) < terms.baseline_min_ticks:
            text = f"{len(recent)} recent and {len(past)} past ticks are too few to compare"
            return no_data(terms.baseline_margin_ms, text, subject)
        value, baseline = median(recent), median(past)
        trip = max(terms.baseline_trip * baseline, baseline + terms.baseline_margin_ms)
        clear = max(terms.baseline_clear * baseline, baseline + terms.baseline_margin_ms / 2.0)
        text = (
            f"wire to acknowledgement {value:.1f} ms (median of p90 by tick, {terms.window:g} s),"
            f" {baseline:.1f} ms before"
        )
        return Reading(above(value, trip, clear), value, trip, text, subject)
