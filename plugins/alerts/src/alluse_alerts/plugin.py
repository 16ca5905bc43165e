"""Registers the six rules and the trading pack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from alluse_alerts import settings
from alluse_core.markers import hookimpl
from alluse_core.providers import Context, Provider

if TYPE_CHECKING:
    from alluse_core.ports import AlertRule

_RULES: tuple[tuple[str, str, type[settings.Terms], str], ...] = (
    (
        "trading_error_rate_high",
        "trading:TradingErrorRateHigh",
        settings.ErrorRateSettings,
        "venue rejections and UNKNOWN orders, of the orders submitted",
    ),
    (
        "trading_latency_high",
        "trading:TradingLatencyHigh",
        settings.LatencySettings,
        "submit to wire, and wire to acknowledgement against its own past",
    ),
    (
        "market_data_throughput_low",
        "market_data:MarketDataThroughputLow",
        settings.ThroughputSettings,
        "reads served while more are asked for; subscriptions alive",
    ),
    (
        "market_data_latency_high",
        "market_data:MarketDataLatencyHigh",
        settings.DataLatencySettings,
        "slow cached reads; quotes unconfirmed for long",
    ),
    (
        "memory_usage_high",
        "resources:MemoryUsageHigh",
        settings.MemorySettings,
        "memory of the nearest limit, now and forecast",
    ),
    (
        "cpu_usage_high",
        "resources:CpuUsageHigh",
        settings.CpuSettings,
        "busy processors of host and process",
    ),
    (
        "broker_link_down",
        "pack:BrokerLinkDown",
        settings.LinkSettings,
        "the order path to a broker does not work",
    ),
    (
        "unknown_order",
        "pack:UnknownOrder",
        settings.UnknownOrderSettings,
        "an order whose fate is not known",
    ),
    (
        "unprotected_position",
        "pack:UnprotectedPosition",
        settings.ProtectionSettings,
        "an open position whose protection does not work at the broker",
    ),
    (
        "exits_exceed_position",
        "pack:ExitsExceedPosition",
        settings.SurplusSettings,
        "exits at the broker that would close more than is open",
    ),
    (
        "position_mismatch",
        "pack:PositionMismatch",
        settings.PositionSettings,
        "positions that differ from the broker's twice in a row",
    ),
    (
        "pacing_headroom_low",
        "pack:PacingHeadroomLow",
        settings.PacingSettings,
        "nearly all messages that the broker allows are used",
    ),
    (
        "event_loop_lag_high",
        "resources:EventLoopLagHigh",
        settings.LoopLagSettings,
        "something in the event loop takes too long",
    ),
    (
        "ticks_missed",
        "resources:TicksMissed",
        settings.MissedTicksSettings,
        "the monitor itself did not run when it should have",
    ),
    (
        "clock_skew_high",
        "resources:ClockSkewHigh",
        settings.ClockSkewSettings,
        "our clock and a broker's differ",
    ),
)


@hookimpl
def alluse_alert_rules() -> Iterator[Provider[AlertRule]]:
    """Offer every rule under its own name; its terms are ``[rules.NAME]``."""
    for name, target, settings_type, text in _RULES:
        opened: Callable[[Context], AlertRule] = partial(_open, target)
        yield Provider(name, opened, settings_type, text)


def _open(target: str, context: Context) -> AlertRule:
    module, _, rule = target.partition(":")
    made: AlertRule = getattr(import_module(f"alluse_alerts.{module}"), rule)(context.settings)
    return made
