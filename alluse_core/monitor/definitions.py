"""What each headline metric counts, over which window, by which clock."""

from __future__ import annotations

import attrs


@attrs.frozen
class Definition:
    """The written definition of one metric. It is absent whenever ``counted`` saw nothing."""

    component: str
    metric: str
    unit: str
    counted: str
    window: str
    clock: str = "monotonic"


RATIO_SECONDS = 60.0
"""Window of error rate and cache hit rate; what came before the first tick is in the first one."""

RECENT_SECONDS = 10.0
"""Window of latencies and throughputs."""

SESSION_SECONDS = 3_600.0
"""Window of connections and leases, which are rare; those before the first tick count."""

DEFINITIONS = (
    Definition(
        "trading_system",
        "error_rate",
        "%",
        "orders that the venue rejected or that became UNKNOWN, for each order submitted;"
        " orders denied by our own controls count on neither side",
        "60 s",
    ),
    Definition(
        "trading_system",
        "latency_ms",
        "ms",
        "median from submit to the broker's first acknowledgement, durable write included,"
        " the pacer's wait and held orders excluded",
        "10 s",
    ),
    Definition(
        "trading_system",
        "throughput_ops_sec",
        "1/s",
        "orders submitted to a broker, a second",
        "10 s",
    ),
    Definition(
        "market_data_system",
        "throughput_ops_sec",
        "1/s",
        "reads of quotes that were answered with a quote, a second",
        "10 s",
    ),
    Definition(
        "market_data_system",
        "latency_ms",
        "ms",
        "median of the time an awaited read of a quote took, cached and fetched ones together;"
        " one read in 64 is timed",
        "10 s",
    ),
    Definition(
        "market_data_system",
        "cache_hit_rate",
        "%",
        "reads answered from the cache, of all reads that asked it",
        "60 s",
    ),
    Definition(
        "ibkr_integration",
        "connection_success_rate",
        "%",
        "attempts to connect that ended connected, of all attempts",
        "1 h",
    ),
    Definition(
        "ibkr_integration",
        "operation_latency_ms",
        "ms",
        "median round trip of requests to the broker, all kinds together",
        "10 s",
    ),
    Definition(
        "ibkr_integration",
        "reuse_ratio",
        "%",
        "1 - connects / leases: uses of a connection that did not need a new one; near 100 by"
        " construction, so read session_working_share beside it",
        "1 h",
    ),
    Definition(
        "system_resources",
        "memory_usage_mb",
        "MB",
        "resident memory of this process (1 MB = 2^20 bytes)",
        "the moment",
        "none",
    ),
    Definition(
        "system_resources",
        "cpu_percent",
        "%",
        "busy share of all processors of the host",
        "since the tick before",
        "the kernel's",
    ),
    Definition(
        "system_resources",
        "disk_usage_percent",
        "%",
        "used share of the file system that holds the state folder",
        "the moment",
        "none",
    ),
)
