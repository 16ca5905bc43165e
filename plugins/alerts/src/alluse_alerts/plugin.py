"""Registers the six rules and the trading pack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alluse_alerts.market_data import (
    DataLatencySettings,
    MarketDataLatencyHigh,
    MarketDataThroughputLow,
    ThroughputSettings,
)
from alluse_alerts.pack import (
    BrokerLinkDown,
    LinkSettings,
    PacingHeadroomLow,
    PacingSettings,
    PositionMismatch,
    PositionSettings,
    UnknownOrder,
    UnknownOrderSettings,
)
from alluse_alerts.resources import (
    ClockSkewHigh,
    ClockSkewSettings,
    CpuSettings,
    CpuUsageHigh,
    EventLoopLagHigh,
    LoopLagSettings,
    MemorySettings,
    MemoryUsageHigh,
    MissedTicksSettings,
    TicksMissed,
)
from alluse_alerts.rule import Rule, Terms
from alluse_alerts.trading import (
    ErrorRateSettings,
    LatencySettings,
    TradingErrorRateHigh,
    TradingLatencyHigh,
)
from alluse_core.markers import hookimpl
from alluse_core.ports import AlertRule
from alluse_core.providers import Context, Provider

_RULES: tuple[tuple[type[Rule[Any]], type[Terms]], ...] = (
    (TradingErrorRateHigh, ErrorRateSettings),
    (TradingLatencyHigh, LatencySettings),
    (MarketDataThroughputLow, ThroughputSettings),
    (MarketDataLatencyHigh, DataLatencySettings),
    (MemoryUsageHigh, MemorySettings),
    (CpuUsageHigh, CpuSettings),
    (BrokerLinkDown, LinkSettings),
    (UnknownOrder, UnknownOrderSettings),
    (PositionMismatch, PositionSettings),
    (PacingHeadroomLow, PacingSettings),
    (EventLoopLagHigh, LoopLagSettings),
    (TicksMissed, MissedTicksSettings),
    (ClockSkewHigh, ClockSkewSettings),
)


@hookimpl
def alluse_alert_rules() -> Iterator[Provider[AlertRule]]:
    """Offer every rule under its own name; its terms are ``[rules.NAME]``."""
    for rule_type, settings_type in _RULES:
        summary = (rule_type.__doc__ or "").split("\n", 1)[0]
        yield Provider(rule_type.name, _opener(rule_type), settings_type, summary)


def _opener(rule_type: type[Rule[Any]]) -> Any:
    def open_rule(context: Context) -> AlertRule:
        return rule_type(context.settings)

    return open_rule
