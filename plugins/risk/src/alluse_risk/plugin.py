"""Registers the pre-trade controls with ALL-USE."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from alluse_core import Context, Provider, hookimpl
from alluse_risk import settings
from alluse_risk.budget import BUDGET_USED, COMPONENT

if TYPE_CHECKING:
    from alluse_core.ports import MetricSource

_MEASURED = (
    "max_quantity",
    "max_value",
    "price_collar",
    "message_rate",
    "stale_quote",
    "position_cap",
)


def _opener(class_name: str, *, measured: bool) -> Callable[[Context], Any]:
    def open_stage(context: Context) -> Any:
        from alluse_risk import stages

        arguments = [context.settings]
        if measured:
            arguments.append(
                context.telemetry.gauge(COMPONENT, BUDGET_USED, "%", control=context.name)
            )
        return getattr(stages, class_name)(*arguments)

    return open_stage


def _open_reduce_only(_: Context) -> Any:
    from alluse_risk.stages import ReduceOnly

    return ReduceOnly()


@hookimpl
def alluse_order_stages() -> Iterator[Provider[Any]]:
    """Offer the controls."""
    for name, class_name, settings_type, measured, text in (
        ("max_quantity", "MaxQuantity", settings.MaxQuantitySettings, True, "order size"),
        ("max_value", "MaxValue", settings.MaxValueSettings, True, "order value"),
        ("price_collar", "PriceCollar", settings.PriceCollarSettings, True, "distance to market"),
        ("message_rate", "MessageRate", settings.MessageRateSettings, True, "orders a second"),
        ("duplicate_order", "DuplicateOrder", settings.DuplicateOrderSettings, False, "repeats"),
        ("stale_quote", "StaleQuote", settings.StaleQuoteSettings, True, "live market data"),
        ("position_cap", "PositionCap", settings.PositionCapSettings, True, "position size"),
        ("unknown_cap", "UnknownCap", settings.UnknownCapSettings, False, "UNKNOWN orders"),
    ):
        yield Provider(name, _opener(class_name, measured=measured), settings_type, text)
    yield Provider("reduce_only", _open_reduce_only, help="orders that may only reduce")


@hookimpl
def alluse_metric_sources() -> Iterator[Provider[MetricSource]]:
    """Offer the share of the limits that is in use."""
    yield Provider("risk_budget", _open_budget, help="the share of risk limits in use")


def _open_budget(context: Context) -> MetricSource:
    from alluse_risk.budget import RiskBudget

    gauge = context.telemetry.gauge
    return RiskBudget(
        {name: gauge(COMPONENT, BUDGET_USED, "%", control=name) for name in _MEASURED}
    )
