"""Alerts grouped in time, and what the system did meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

import attrs

from alluse_core.model import Alert, OrderState
from alluse_report.orders import ACKNOWLEDGED, LinkChange
from alluse_report.session import Session

JOIN_SECONDS: Final = 2.0
"""Alerts whose conditions are this close together are one incident."""

# What a rule watches: component, metric (labels of the alert fill the braces), worst is highest.
_WATCHED: Final[Mapping[str, tuple[str, str, bool]]] = MappingProxyType(
    {
        "trading_error_rate_high": ("trading_system", "error_rate", True),
        "trading_latency_high": ("trading_system", "{leg}_ms.max", True),
        "market_data_throughput_low": ("market_data_system", "throughput_ops_sec", False),
        "market_data_latency_high": ("market_data_system", "quote_age", True),
        "memory_usage_high": ("system_resources", "memory_usage_mb", True),
        "cpu_usage_high": ("system_resources", "cpu_percent", True),
        "event_loop_lag_high": ("event_loop", "lag_ms.max", True),
        "clock_skew_high": ("broker", "clock_skew_ms", True),
        "broker_link_down": ("broker", "link_up", False),
        "pacing_headroom_low": ("broker", "pacing_headroom_percent", False),
    }
)


@attrs.frozen
class Peak:
    """The worst sample of the metric that a rule watches, while the alert was not over."""

    value: float
    unit: str
    metric: str


@attrs.frozen
class Orders:
    """How many orders reached a state for the first time within the span, by the journal."""

    submitted: int
    acknowledged: int
    filled: int
    canceled: int
    rejected: int
    denied: int
    unknown: int


@attrs.frozen
class Incident:
    """Alerts that fired together. ``began`` and ``ended`` are Unix seconds.

    It begins with the first bad reading and ends when the last of its alerts is resolved, or with
    the session where ``ongoing``. ``peaks`` belong to ``alerts``, None where no stored series is
    what the rule watches. ``orders`` is None without a journal, ``link_samples`` 0 where nothing
    measured the link.
    """

    began: float
    ended: float
    ongoing: bool
    alerts: tuple[Alert, ...]
    peaks: tuple[Peak | None, ...]
    orders: Orders | None
    link_samples: int
    link_up_samples: int
    links: tuple[LinkChange, ...]


def incidents(session: Session) -> list[Incident]:
    """Return the incidents of a session, oldest first; alerts that never fired make none."""
    fired = sorted((a for a in session.alerts if a.fired_at), key=lambda alert: alert.pending_at)
    groups: list[list[Alert]] = []
    bad_until = 0.0
    for alert in fired:
        if not groups or alert.pending_at.timestamp() > bad_until + JOIN_SECONDS:
            groups.append([])
            bad_until = 0.0
        groups[-1].append(alert)
        # Alerts are kept firing for a while after all is well: that time joins nothing.
        bad_until = max(bad_until, _at(alert.clear_at or alert.resolved_at, session))
    return [_incident(session, group) for group in groups]


def utc(at: float) -> str:
    """Return Unix seconds as ISO time."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _at(time: datetime | None, session: Session) -> float:
    return session.times[-1] if time is None else time.timestamp()


def _incident(session: Session, alerts: Sequence[Alert]) -> Incident:
    began = min(alert.pending_at.timestamp() for alert in alerts)
    ended = max(_at(alert.resolved_at, session) for alert in alerts)
    link = [
        value
        for times, values in session.named("broker", "link_up").values()
        for at, value in zip(times, values, strict=True)
        if began <= at <= ended
    ]
    return Incident(
        began,
        ended,
        any(alert.resolved_at is None for alert in alerts),
        tuple(alerts),
        tuple(_peak(session, alert) for alert in alerts),
        _orders(session, began, ended),
        len(link),
        sum(value >= 1.0 for value in link),
        tuple(change for change in session.links if began <= change.at <= ended),
    )


def _peak(session: Session, alert: Alert) -> Peak | None:
    component, metric, highest = _WATCHED.get(alert.rule, ("", "", True))
    labels = dict(alert.labels)
    name = metric.format_map({"leg": labels.get("leg", "latency")})
    found = [
        (value, series.unit)
        for series, (times, values) in session.named(component, name).items()
        # A rule for one broker or symbol is not judged by the samples of another.
        if all(labels.get(key, value) == value for key, value in series.labels)
        for at, value in zip(times, values, strict=True)
        if alert.pending_at.timestamp() <= at <= _at(alert.resolved_at, session)
    ]
    if not found:
        return None
    value, unit = max(found) if highest else min(found)
    return Peak(value, unit, f"{component}.{name}")


def _orders(session: Session, began: float, ended: float) -> Orders | None:
    if session.orders is None:
        return None

    def reached(*wanted: OrderState) -> int:
        firsts = (
            next((at for at, state in order.states if state in wanted), None)
            for order in session.orders or ()
        )
        return sum(at is not None and began <= at <= ended for at in firsts)

    return Orders(
        submitted=reached(OrderState.SUBMITTED),
        acknowledged=reached(*ACKNOWLEDGED),
        filled=reached(OrderState.FILLED),
        canceled=reached(OrderState.CANCELED),
        rejected=reached(OrderState.REJECTED),
        denied=reached(OrderState.DENIED),
        unknown=reached(OrderState.UNKNOWN),
    )
