from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from alluse_alerts.plugin import alluse_alert_rules

from alluse_core.monitor.store import SqliteMetricStore
from alluse_core.ports import AlertRule, MetricView
from alluse_core.testing import AlertRuleConformance, make_context
from alluse_core.testing.timeline import Timeline

_OFFERED = {provider.name: provider for provider in alluse_alert_rules()}
_LONG = 400

# What each second brings: counters by increment, timers by values, "=" gauges by value.
_GOOD: dict[str, Any] = {
    "trading_system.orders_submitted": 50,
    "trading_system.orders_rejected": 0,
    "trading_system.submit_to_wire_ms": [2.0] * 50,
    "trading_system.wire_to_ack_ms": [20.0] * 50,
    "market_data_system.reads_requested": 3_000,
    "market_data_system.reads_served": 3_000,
    "market_data_system.cached_read_ms": [0.001] * 50,
    **{f"=market_data_system.quote_age/symbol={symbol}": 0.5 for symbol in range(6)},
    "=system_resources.memory_usage_mb": 200.0,
    "=system_resources.cpu_percent": 10.0,
    "=system_resources.process_cpu_percent": 10.0,
    "event_loop.lag_ms": [0.2] * 10,
    "alerts.ticks_missed": 0,
    "=broker.link_up/broker=main": 1.0,
    "=broker.pacing_headroom_percent/broker=main": 90.0,
    "=broker.clock_skew_ms/broker=main": 1.0,
    "=trading_system.orders_unknown_now": 0.0,
    "=trading_system.unprotected_quantity/instrument=AAPL": 0.0,
    "=trading_system.exits_surplus/account=DU1": 0.0,
    "=trading_system.position_differences/broker=main": 0.0,
}
_BAD: dict[str, dict[str, Any]] = {
    "trading_error_rate_high": {"trading_system.orders_rejected": 5},
    "trading_latency_high": {"trading_system.submit_to_wire_ms": [60.0] * 50},
    "market_data_throughput_low": {"market_data_system.reads_served": 100},
    "market_data_latency_high": {"market_data_system.cached_read_ms": [4.0] * 50},
    "memory_usage_high": {"=system_resources.memory_usage_mb": 7_900.0},
    "cpu_usage_high": {"=system_resources.cpu_percent": 99.0},
    "broker_link_down": {"=broker.link_up/broker=main": 0.0},
    "unknown_order": {"=trading_system.orders_unknown_now": 1.0},
    "unprotected_position": {"=trading_system.unprotected_quantity/instrument=AAPL": 10.0},
    "exits_exceed_position": {"=trading_system.exits_surplus/account=DU1": 40.0},
    "position_mismatch": {"=trading_system.position_differences/broker=main": 1.0},
    "pacing_headroom_low": {"=broker.pacing_headroom_percent/broker=main": 2.0},
    "event_loop_lag_high": {"event_loop.lag_ms": [300.0] * 10},
    "ticks_missed": {"alerts.ticks_missed": 1},
    "clock_skew_high": {"=broker.clock_skew_ms/broker=main": -200.0},
}


def _rule(name: str) -> AlertRule:
    provider = _OFFERED[name]
    settings_type: Any = provider.settings_type
    return provider.open(make_context(settings=settings_type()))


class _Idle:
    name, severity, unit, runbook = "idle", None, "", ""
    for_seconds = keep_firing_for = 0.0

    def read(self, view: MetricView) -> list[Any]:
        return []


@pytest.mark.parametrize("name", list(_OFFERED))
class TestRules(AlertRuleConformance):
    @pytest.fixture(autouse=True)
    def choose(self, name: str, tmp_path: Path) -> Any:
        self.name = name
        self.store = SqliteMetricStore(tmp_path / "metrics.db")
        yield
        self.store.close()

    def make_rule(self) -> AlertRule:
        rule = _rule(self.name)
        if self.name == "position_mismatch":
            # One comparison that differs was seen: the next one makes two in a row.
            list(rule.read(self.view(_BAD[self.name], seconds=1)))
        return rule

    def good_view(self) -> MetricView:
        return self.view({}, _seconds(self.name))

    def bad_view(self) -> MetricView:
        return self.view(_BAD[self.name], _seconds(self.name))

    def view(self, bad: dict[str, Any], seconds: int) -> MetricView:
        idle: Any = _Idle()
        line = Timeline(idle, self.store)

        async def play() -> None:
            for _ in range(seconds):
                _bring(line, {**_GOOD, **bad})
                await line.tick()

        asyncio.run(play())
        return line.history


def _seconds(name: str) -> int:
    # A baseline and a forecast need history; the rest is quick.
    return {"trading_latency_high": 160, "memory_usage_high": 620}.get(name, 20)


def _bring(line: Timeline, brought: dict[str, Any]) -> None:
    for name, what in brought.items():
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


def test_every_rule_has_a_runbook_in_the_readme() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    for name in (*_OFFERED, "alert_rule_failing"):
        assert f"\n### {name}\n" in readme
