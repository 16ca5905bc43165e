"""Each rule: trips, holds, clears, has no data, and minds its minimum counts.

A timeline is a list of steps. A step is (seconds, what each of these seconds brings): counter
names to increments, timer names to lists of values, ``=name`` to a gauge's value (None: gone).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from alluse_alerts.market_data import (
    MarketDataLatencyHigh,
    MarketDataThroughputLow,
)
from alluse_alerts.pack import (
    BrokerLinkDown,
    ExitsExceedPosition,
    PacingHeadroomLow,
    PositionMismatch,
    UnknownOrder,
)
from alluse_alerts.plugin import alluse_alert_rules
from alluse_alerts.resources import (
    ClockSkewHigh,
    CpuUsageHigh,
    EventLoopLagHigh,
    MemoryUsageHigh,
    TicksMissed,
)
from alluse_alerts.rule import Rule
from alluse_alerts.settings import (
    ClockSkewSettings,
    CpuSettings,
    DataLatencySettings,
    ErrorRateSettings,
    LatencySettings,
    LinkSettings,
    LoopLagSettings,
    MemorySettings,
    MissedTicksSettings,
    PacingSettings,
    PositionSettings,
    SurplusSettings,
    ThroughputSettings,
    UnknownOrderSettings,
)
from alluse_alerts.trading import (
    TradingErrorRateHigh,
    TradingLatencyHigh,
)

from alluse_core.model import Condition, Severity
from alluse_core.monitor.store import SqliteMetricStore
from alluse_core.testing.timeline import Timeline

Step = tuple[int, Mapping[str, Any]]
RESTART: Step = (0, {})
ORDERS, REJECTED = "trading_system.orders_submitted", "trading_system.orders_rejected"
UNKNOWN = "trading_system.orders_unknown"
SUBMIT_TO_WIRE = "trading_system.submit_to_wire_ms"
WIRE_TO_ACK = "trading_system.wire_to_ack_ms"
ASKED, SERVED = "market_data_system.reads_requested", "market_data_system.reads_served"
CACHED = "market_data_system.cached_read_ms"
AGE = "=market_data_system.quote_age"
HOST_USED, HOST_LIMIT = (
    "=system_resources.memory_used_mb/scope=host",
    "=system_resources.memory_limit_mb/scope=host",
)
GROUP_USED, GROUP_LIMIT = (
    "=system_resources.memory_used_mb/scope=cgroup",
    "=system_resources.memory_limit_mb/scope=cgroup",
)
RSS = "=system_resources.memory_usage_mb"
CPU, OWN_CPU = "=system_resources.cpu_percent", "=system_resources.process_cpu_percent"
LAG = "event_loop.lag_ms"
LINK = "=broker.link_up/broker=main"
OVERDUE = "=ibkr_integration.outage_overdue_seconds/broker=main"
LOGIN = "=ibkr_integration.weekly_login_due/broker=main"
UNKNOWN_NOW = "=trading_system.orders_unknown_now"
DIFFERENCES = "=trading_system.position_differences/broker=main"
UNPROTECTED = "=trading_system.unprotected_quantity"
SURPLUS = "=trading_system.exits_surplus/account=DU1"
COMPARISONS = "=trading_system.position_comparisons/broker=main"
HEADROOM = "=broker.pacing_headroom_percent/broker=main"
SKEW = "=broker.clock_skew_ms/broker=main"


def play(
    make: Callable[[], Rule[Any]], store: SqliteMetricStore, steps: Sequence[Step]
) -> Timeline:
    line = Timeline(make(), store)

    async def run() -> None:
        for step in steps:
            seconds, brought = step
            if step is RESTART:
                line.restart(make())
            for _ in range(seconds):
                for name, what in brought.items():
                    bring(line, name, what)
                await line.tick()

    asyncio.run(run())
    return line


def bring(line: Timeline, name: str, what: Any) -> None:
    path, _, label = name.partition("/")
    labelled = dict([label.split("=")]) if label else {}
    component, metric = path.lstrip("=").split(".")
    if name.startswith("="):
        line.hold(component, metric, what, **labelled)
    elif isinstance(what, list):
        timer = line.registry.timer(component, metric, **labelled)
        for value in what:
            timer.record(value)
    else:
        line.registry.counter(component, metric, **labelled).value += what


def error_rate() -> TradingErrorRateHigh:
    return TradingErrorRateHigh(ErrorRateSettings(window=10.0, keep_firing_for=3.0))


def latency() -> TradingLatencyHigh:
    return TradingLatencyHigh(LatencySettings(for_seconds=5.0, keep_firing_for=0.0, window=10.0))


def throughput() -> MarketDataThroughputLow:
    return MarketDataThroughputLow(ThroughputSettings(for_seconds=5.0, keep_firing_for=0.0))


def data_latency() -> MarketDataLatencyHigh:
    return MarketDataLatencyHigh(
        DataLatencySettings(for_seconds=2.0, keep_firing_for=0.0, window=10.0)
    )


def memory() -> MemoryUsageHigh:
    terms = MemorySettings(
        for_seconds=0.0, keep_firing_for=0.0, forecast_window=60.0, forecast_minutes=1.0
    )
    return MemoryUsageHigh(terms)


def cpu() -> CpuUsageHigh:
    return CpuUsageHigh(CpuSettings(for_seconds=5.0, keep_firing_for=0.0, window=2.0))


def lag() -> EventLoopLagHigh:
    return EventLoopLagHigh(LoopLagSettings(for_seconds=2.0, keep_firing_for=0.0, window=5.0))


def ages(alive: int = 0, dead: int = 0) -> dict[str, float]:
    """Ages of subscriptions, by symbols 0, 1, ..."""
    return {
        f"{AGE}/symbol={symbol}": 0.5 if symbol < alive else 99.0 for symbol in range(alive + dead)
    }


TIMELINES: list[tuple[str, Callable[[], Rule[Any]], list[Step], list[str]]] = [
    (
        "orders without an error never trip",
        error_rate,
        [(20, {ORDERS: 10, REJECTED: 0})],
        [],
    ),
    (
        "a rate above the threshold trips, is kept firing, and resolves when the window is clean",
        error_rate,
        [(5, {ORDERS: 10}), (1, {ORDERS: 10, REJECTED: 2, UNKNOWN: 1}), (14, {ORDERS: 10})],
        ["6 pending", "6 firing", "19 resolved"],
    ),
    (
        "two errors are too few, however high the rate",
        error_rate,
        [(5, {ORDERS: 10}), (1, {ORDERS: 1, REJECTED: 2}), (15, {ORDERS: 1})],
        [],
    ),
    (
        "nineteen orders are too few",
        error_rate,
        [(1, {ORDERS: 0}), (1, {ORDERS: 19, REJECTED: 10}), (12, {ORDERS: 0})],
        [],
    ),
    (
        "our own denials are no errors",
        error_rate,
        [(10, {ORDERS: 10, "trading_system.orders_denied": 10})],
        [],
    ),
    (
        "an agent that went quiet keeps its alert: nothing proved it well",
        error_rate,
        [(3, {ORDERS: 10}), (1, {ORDERS: 10, REJECTED: 5}), (60, {})],
        ["4 pending", "4 firing"],
    ),
    (
        "nothing measured is no alert",
        error_rate,
        [(20, {})],
        [],
    ),
    (
        "a restart while firing neither repeats nor ends it, and new orders end it",
        error_rate,
        [
            (3, {ORDERS: 10}),
            (1, {ORDERS: 10, REJECTED: 5}),
            RESTART,
            (2, {}),
            (6, {ORDERS: 10, REJECTED: 0}),
        ],
        ["4 pending", "4 firing", "10 resolved"],
    ),
    (
        "slow submits for long enough trip, the band between holds, quick ones clear",
        latency,
        [
            (10, {SUBMIT_TO_WIRE: [5.0] * 20}),
            (8, {SUBMIT_TO_WIRE: [40.0] * 20}),
            (20, {SUBMIT_TO_WIRE: [22.0] * 20}),
            (11, {SUBMIT_TO_WIRE: [5.0] * 20}),
        ],
        [
            "11 pending{leg=submit_to_wire}",
            "16 firing{leg=submit_to_wire}",
            "48 resolved{leg=submit_to_wire}",
        ],
    ),
    (
        "one slow order in a hundred is not p99",
        latency,
        [(20, {SUBMIT_TO_WIRE: [5.0] * 100}), (5, {SUBMIT_TO_WIRE: [5.0] * 99 + [900.0]})],
        [],
    ),
    (
        "fewer than a hundred orders are judged by p90, fewer than twenty not at all",
        latency,
        [(12, {SUBMIT_TO_WIRE: [40.0]}), (12, {SUBMIT_TO_WIRE: [40.0] * 4})],
        ["16 pending{leg=submit_to_wire}", "21 firing{leg=submit_to_wire}"],
    ),
    (
        "the way to the broker is compared with its own past",
        latency,
        [
            (140, {f"{WIRE_TO_ACK}/broker=main": [80.0]}),
            (15, {f"{WIRE_TO_ACK}/broker=main": [400.0]}),
            (15, {f"{WIRE_TO_ACK}/broker=main": [80.0]}),
        ],
        [
            "146 pending{broker=main,leg=wire_to_ack}",
            "151 firing{broker=main,leg=wire_to_ack}",
            "161 resolved{broker=main,leg=wire_to_ack}",
        ],
    ),
    (
        "a far broker is no incident",
        latency,
        [(300, {f"{WIRE_TO_ACK}/broker=main": [400.0]})],
        [],
    ),
    (
        "demand that is not served trips",
        throughput,
        [
            (12, {ASKED: 2_000, SERVED: 2_000}),
            (16, {ASKED: 2_000, SERVED: 100}),
            (12, {ASKED: 2_000, SERVED: 2_000}),
        ],
        ["18 pending{part=served}", "23 firing{part=served}", "34 resolved{part=served}"],
    ),
    (
        "an idle agent is no incident",
        throughput,
        [(12, {ASKED: 5_000, SERVED: 5_000}), (60, {ASKED: 3, SERVED: 3})],
        [],
    ),
    (
        "subscriptions that die trip, five at least",
        throughput,
        [
            (5, ages(dead=4)),
            (5, ages(alive=20)),
            (6, ages(alive=10, dead=10)),
            (2, ages(alive=19, dead=1) | {f"{AGE}/symbol=18": 99.0}),
            (1, ages(alive=20)),
        ],
        [
            "11 pending{part=subscriptions}",
            "16 firing{part=subscriptions}",
            "19 resolved{part=subscriptions}",
        ],
    ),
    (
        "slow cached reads trip",
        data_latency,
        [
            (10, {CACHED: [0.001] * 50}),
            (6, {CACHED: [3.0] * 50}),
            (11, {CACHED: [0.001] * 50}),
        ],
        [
            "11 pending{part=cached_read}",
            "13 firing{part=cached_read}",
            "26 resolved{part=cached_read}",
        ],
    ),
    (
        "ninety slow reads are too few",
        data_latency,
        [(5, {}), (9, {CACHED: [3.0] * 10}), (20, {})],
        [],
    ),
    (
        "a quote trips by its own usual gap",
        data_latency,
        [
            (150, {f"{AGE}/symbol=BUSY": 0.5, f"{AGE}/symbol=IDLE": 2.0}),
            (5, {f"{AGE}/symbol=BUSY": 12.0, f"{AGE}/symbol=IDLE": 30.0}),
            (2, {f"{AGE}/symbol=BUSY": 0.1}),
        ],
        ["151 pending{symbol=BUSY}", "153 firing{symbol=BUSY}", "156 resolved{symbol=BUSY}"],
    ),
    (
        "a gap that is not learned yet is given a minute",
        data_latency,
        [(5, {f"{AGE}/symbol=A": 50.0}), (3, {f"{AGE}/symbol=A": 61.0})],
        ["6 pending{symbol=A}", "8 firing{symbol=A}"],
    ),
    (
        "a line that was given back is not stale",
        data_latency,
        [(5, {f"{AGE}/symbol=A": 99.0}), (2, {f"{AGE}/symbol=A": None})],
        ["1 pending{symbol=A}", "3 firing{symbol=A}", "6 resolved{symbol=A}"],
    ),
    (
        "the nearest memory limit trips with hysteresis",
        memory,
        [
            (2, {HOST_USED: 1_000.0, HOST_LIMIT: 8_000.0, GROUP_USED: 700.0, GROUP_LIMIT: 1_000.0}),
            (2, {GROUP_USED: 810.0}),
            (2, {GROUP_USED: 770.0}),
            (2, {GROUP_USED: 740.0}),
        ],
        ["3 pending{kind=now}", "3 firing{kind=now}", "7 resolved{kind=now}"],
    ),
    (
        "8 GB count where no limit is known",
        memory,
        [(2, {RSS: 6_000.0}), (2, {RSS: 6_700.0})],
        ["3 pending{kind=now}", "3 firing{kind=now}"],
    ),
    (
        "memory that is not measured keeps the alert",
        memory,
        [(2, {RSS: 6_700.0}), (5, {RSS: None})],
        ["1 pending{kind=now}", "1 firing{kind=now}"],
    ),
    (
        "a busy host trips by its mean, and holds above the clear threshold",
        cpu,
        [(5, {CPU: 50.0}), (8, {CPU: 99.0}), (5, {CPU: 85.0}), (3, {CPU: 20.0})],
        ["7 pending{scope=host}", "12 firing{scope=host}", "19 resolved{scope=host}"],
    ),
    (
        "a burst shorter than its time is no alert",
        cpu,
        [(5, {OWN_CPU: 50.0}), (4, {OWN_CPU: 99.0}), (5, {OWN_CPU: 10.0})],
        ["7 pending{scope=process}", "10 inactive{scope=process}"],
    ),
    (
        "a slow loop trips, twenty samples at least",
        lag,
        [(1, {LAG: [500.0] * 5}), (5, {}), (4, {LAG: [200.0] * 10}), (7, {LAG: [1.0] * 10})],
        ["8 pending", "10 firing", "15 resolved"],
    ),
    (
        "ticks that were missed trip until the window is clean",
        lambda: TicksMissed(MissedTicksSettings(keep_firing_for=0.0, window=5.0)),
        [
            (2, {"alerts.ticks_missed": 0}),
            (1, {"alerts.ticks_missed": 3}),
            (6, {"alerts.ticks_missed": 0}),
        ],
        ["3 pending", "3 firing", "8 resolved"],
    ),
    (
        "a clock that is off trips whichever way",
        lambda: ClockSkewHigh(ClockSkewSettings(for_seconds=2.0, keep_firing_for=0.0)),
        [(3, {SKEW: 5.0}), (4, {SKEW: -80.0}), (2, {SKEW: 40.0}), (1, {SKEW: -3.0})],
        ["4 pending{broker=main}", "6 firing{broker=main}", "10 resolved{broker=main}"],
    ),
    (
        "a link that is down pages at once, and ends when it stayed up",
        lambda: BrokerLinkDown(LinkSettings(keep_firing_for=3.0)),
        [(2, {LINK: 1.0}), (1, {LINK: 0.0}), (1, {LINK: 1.0}), (1, {LINK: 0.0}), (5, {LINK: 1.0})],
        ["3 pending{broker=main}", "3 firing{broker=main}", "9 resolved{broker=main}"],
    ),
    (
        "an outage that is overdue is told beside the link, and so is the weekly login",
        lambda: BrokerLinkDown(LinkSettings()),
        [
            (1, {LINK: 0.0, OVERDUE: -300.0, LOGIN: 0.0}),
            (1, {LINK: 0.0, OVERDUE: 1.0, LOGIN: 0.0}),
            (1, {LINK: 0.0, OVERDUE: 60.0, LOGIN: 1.0}),
        ],
        [
            "1 pending{broker=main}",
            "1 firing{broker=main}",
            "2 pending{broker=main,cause=overdue}",
            "2 firing{broker=main,cause=overdue}",
            "3 pending{broker=main,cause=weekly_login}",
            "3 firing{broker=main,cause=weekly_login}",
        ],
    ),
    (
        "a link that is not measured any more keeps its alert",
        lambda: BrokerLinkDown(LinkSettings()),
        [(1, {LINK: 0.0}), (60, {LINK: None})],
        ["1 pending{broker=main}", "1 firing{broker=main}"],
    ),
    (
        "one UNKNOWN order pages, and its resolution ends it",
        lambda: UnknownOrder(UnknownOrderSettings()),
        [(2, {UNKNOWN_NOW: 0.0}), (3, {UNKNOWN_NOW: 1.0}), (1, {UNKNOWN_NOW: 0.0})],
        ["3 pending", "3 firing", "6 resolved"],
    ),
    (
        "exits that are for more than is open for longer than a change takes page",
        lambda: ExitsExceedPosition(SurplusSettings()),
        [
            (2, {UNPROTECTED: 0.0}),
            (10, {SURPLUS: 40.0}),
            (2, {SURPLUS: 0.0}),
            (20, {SURPLUS: 40.0}),
            (1, {SURPLUS: 0.0}),
        ],
        [
            "3 pending{account=DU1}",
            "13 inactive{account=DU1}",
            "15 pending{account=DU1}",
            "30 firing{account=DU1}",
            "35 resolved{account=DU1}",
        ],
    ),
    (
        "a single comparison that differs is borne where two in a row are asked for",
        lambda: PositionMismatch(PositionSettings(times=2)),
        [
            (5, {COMPARISONS: 1.0, DIFFERENCES: 1.0}),
            (5, {COMPARISONS: 2.0, DIFFERENCES: 0.0}),
            (5, {COMPARISONS: 3.0, DIFFERENCES: 2.0}),
            (5, {COMPARISONS: 4.0, DIFFERENCES: 2.0}),
            (1, {COMPARISONS: 5.0, DIFFERENCES: 0.0}),
        ],
        ["16 pending{broker=main}", "16 firing{broker=main}", "21 resolved{broker=main}"],
    ),
    (
        "little pacing headroom trips, and clears well above",
        lambda: PacingHeadroomLow(PacingSettings(for_seconds=2.0, keep_firing_for=0.0)),
        [(2, {HEADROOM: 60.0}), (3, {HEADROOM: 4.0}), (2, {HEADROOM: 15.0}), (1, {HEADROOM: 40.0})],
        ["3 pending{broker=main}", "5 firing{broker=main}", "8 resolved{broker=main}"],
    ),
]


@pytest.mark.parametrize(
    ("make", "steps", "expected"),
    [case[1:] for case in TIMELINES],
    ids=[case[0].replace(" ", "_") for case in TIMELINES],
)
def test_timeline(
    store: SqliteMetricStore,
    make: Callable[[], Rule[Any]],
    steps: list[Step],
    expected: list[str],
) -> None:
    assert play(make, store, steps).transitions == expected


@pytest.mark.parametrize("provider", list(alluse_alert_rules()), ids=lambda p: p.name)
def test_a_rule_with_no_data_says_so_and_never_fires(
    provider: Any, store: SqliteMetricStore
) -> None:
    def make() -> Rule[Any]:
        context = type("Context", (), {"settings": provider.settings_type()})
        rule: Rule[Any] = provider.open(context)
        return rule

    line = play(make, store, [(3, {})])
    assert line.transitions == []
    for reading in line.readings().values():
        if provider.name != "ticks_missed":
            assert reading.condition is Condition.NO_DATA
        assert reading.text
    assert provider.help
    assert make().name == provider.name


def test_a_busy_processor_is_critical_together_with_a_slow_loop(store: SqliteMetricStore) -> None:
    line = play(cpu, store, [(10, {CPU: 99.0})])
    assert line.engine.active()[0].severity is Severity.WARNING
    line = play(cpu, store, [(10, {CPU: 99.0, LAG: [150.0] * 10})])
    assert line.engine.active()[0].severity is Severity.CRITICAL


def test_memory_that_grows_steadily_is_told_before_it_is_full(store: SqliteMetricStore) -> None:
    steps: list[Step] = [(1, {HOST_LIMIT: 1_000.0})]
    steps += [(1, {RSS: 100.0 + s, HOST_USED: 500.0 + s}) for s in range(70)]
    line = play(memory, store, steps)
    assert line.transitions == []
    steps += [(1, {RSS: 100.0 + 7 * s, HOST_USED: 500.0}) for s in range(70, 135)]
    line = play(memory, store, steps)
    assert [word.split(" ")[1] for word in line.transitions] == [
        "pending{kind=forecast}",
        "firing{kind=forecast}",
    ]
    assert "MB a minute" in line.engine.active()[0].text


def test_memory_that_goes_up_and_down_is_no_forecast(store: SqliteMetricStore) -> None:
    steps = [(1, {HOST_LIMIT: 1_000.0, HOST_USED: 700.0})]
    steps += [(1, {RSS: 300.0 + 200.0 * (s // 20 % 2)}) for s in range(130)]
    assert play(memory, store, steps).transitions == []


def test_the_pacers_wait_is_shown_beside_the_latency(store: SqliteMetricStore) -> None:
    steps = [(2, {SUBMIT_TO_WIRE: [5.0] * 50, "trading_system.pacing_wait_ms": [1_500.0]})]
    reading = play(latency, store, steps).readings()["leg=submit_to_wire"]
    assert "waiting for the pacer p99 15" in reading.text
