"""What working orders could do to a position, and the share of the limits in use."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from alluse_risk.exposure import reach
from alluse_risk.plugin import alluse_metric_sources

from alluse_core.model import Instrument, OrderState, Side
from alluse_core.ports import WorkingOrder
from alluse_core.telemetry import Registry
from alluse_core.testing import MetricSourceConformance, make_context

AAPL = Instrument.stock("AAPL")


def working(key: str, side: Side, remaining: int, **more: Any) -> WorkingOrder:
    state = OrderState.UNKNOWN
    return WorkingOrder(key, AAPL, side, Decimal(remaining), None, state, "DU1", **more)


def test_only_orders_of_the_side_count_and_unknown_ones_do() -> None:
    orders = [working("a", Side.BUY, 100), working("b", Side.SELL, 500)]
    assert reach(Side.BUY, Decimal(50), orders) == 150
    assert reach(Side.SELL, Decimal(50), orders) == -450


def test_exits_that_cancel_each_other_count_once_and_only_beyond_their_entry() -> None:
    exits = [
        working("p", Side.SELL, 100, oca_group="g", entry="e"),
        working("s", Side.SELL, 100, oca_group="g", entry="e"),
    ]
    entry = working("e", Side.BUY, 100)
    assert reach(Side.SELL, Decimal(0), [entry, *exits]) == 0
    assert reach(Side.SELL, Decimal(100), exits) == 0
    assert reach(Side.SELL, Decimal(0), exits) == -100


def test_the_budget_is_the_largest_share_and_absent_before_any_decision() -> None:
    registry = Registry()
    (provider,) = alluse_metric_sources()
    source = provider.open(make_context(telemetry=registry))
    assert list(source.collect(1.0)) == []
    for control, used in (("max_quantity", 10.0), ("position_cap", 40.0)):
        registry.gauge("risk_management", "budget_used", "%", control=control).value = used
    (sample,) = source.collect(1.0)
    assert (sample.series.metric, sample.value) == ("budget_used_max", 40.0)


class TestRiskBudgetConforms(MetricSourceConformance):
    def make_source(self) -> Any:
        registry = Registry()
        registry.gauge("risk_management", "budget_used", "%", control="max_value").value = 1.0
        (provider,) = alluse_metric_sources()
        return provider.open(make_context(telemetry=registry))
