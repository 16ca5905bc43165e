"""What the quotes service counts, under the component ``market_data_system``."""

from __future__ import annotations

from alluse_core.model import QuoteCondition
from alluse_core.telemetry import Registry

COMPONENT = "market_data_system"

TIMED_ONE_IN = 64
"""Every how many-th awaited read ``latency_ms`` times."""


class Measures:
    """The instruments of the service.

    ``latency_ms``: what a read took, cached and fetched together. Reading the clock costs as
    much as a cached read, so one awaited read in 64 is timed, chosen before it is known whether
    it hits; reads through ``cached`` are not among them. ``cached_read_ms``: the cache's own part
    of those that hit, the two readings of the clock included. ``fetch_ms``: every miss, from the
    first reader to the answer. ``queue_wait_ms``: from the first reader to a worker.
    ``line_hits`` and ``line_misses``: refresh periods in which an instrument was read while a
    line held it fresh, and requests for one that none did; ``lines_opened`` is the churn.
    """

    def __init__(self, telemetry: Registry) -> None:
        self.latency_ms = telemetry.timer(COMPONENT, "latency_ms", "ms")
        self.cached_read_ms = telemetry.timer(COMPONENT, "cached_read_ms", "ms")
        self.fetch_ms = telemetry.timer(COMPONENT, "fetch_ms", "ms")
        self.queue_wait_ms = telemetry.timer(COMPONENT, "queue_wait_ms", "ms")
        self.ticks_in = telemetry.counter(COMPONENT, "ticks_in")
        self.puts = telemetry.counter(COMPONENT, "quotes_put")
        self.broker_calls = telemetry.counter(COMPONENT, "broker_calls")
        self.broker_errors = telemetry.counter(COMPONENT, "broker_errors")
        self.coalesced = telemetry.counter(COMPONENT, "coalesced")
        self.unavailable = telemetry.counter(COMPONENT, "quotes_unavailable")
        self.lines_opened = telemetry.counter(COMPONENT, "lines_opened")
        self.lines_released = telemetry.counter(COMPONENT, "lines_released")
        self.line_hits = telemetry.counter(COMPONENT, "line_hits")
        self.line_misses = telemetry.counter(COMPONENT, "line_misses")
        self.marked = {
            condition: telemetry.counter(COMPONENT, "quotes_marked", condition=condition.value)
            for condition in QuoteCondition
            if condition is not QuoteCondition.NORMAL
        }
