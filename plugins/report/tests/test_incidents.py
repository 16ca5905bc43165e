"""Alerts belong together where their conditions do, not where their hold times do."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alluse_report.incidents import incidents
from alluse_report.latency import second
from alluse_report.orders import OrderHistory
from alluse_report.session import Session

from alluse_core.model import Alert, AlertState, NodeIdentity, OrderState, SeriesId, Severity

BEGIN = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
LINK = SeriesId("broker", "link_up", (("broker", "main"),), "")


def alert(rule: str, pending: float, clear: float, resolved: float | None) -> Alert:
    def at(seconds: float) -> datetime:
        return BEGIN + timedelta(seconds=seconds)

    return Alert(
        id=f"{rule}-{pending}",
        rule=rule,
        labels=(("broker", "main"),),
        severity=Severity.WARNING,
        state=AlertState.FIRING if resolved is None else AlertState.RESOLVED,
        value=0.0,
        threshold=1.0,
        unit="",
        text="",
        pending_at=at(pending),
        fired_at=at(pending + 1),
        clear_at=None if resolved is None else at(clear),
        resolved_at=None if resolved is None else at(resolved),
    )


def session(*alerts: Alert, orders: Any = ()) -> Session:
    times = [BEGIN.timestamp() + second for second in range(61)]
    link = [0.0 if 20 <= second < 26 else 1.0 for second in range(61)]
    return Session(
        NodeIdentity("t", "n", "a", "i"), times, {LINK: (times, link)}, alerts, (), orders
    )


def test_an_alert_that_is_only_held_joins_nothing() -> None:
    found = incidents(session(alert("x", 5, 10, 20), alert("broker_link_down", 20, 26, 31)))
    assert [[a.rule for a in incident.alerts] for incident in found] == [
        ["x"],
        ["broker_link_down"],
    ]


def test_conditions_that_overlap_are_one_incident_with_its_worst_sample() -> None:
    (found,) = incidents(session(alert("x", 25, 30, 40), alert("broker_link_down", 20, 26, 31)))
    assert found.ended - found.began == pytest.approx(20.0)
    down, other = found.peaks
    assert down is not None
    assert down.value == 0.0
    # A rule whose series is not known has no peak, rather than somebody else's.
    assert other is None
    assert (found.link_samples, found.link_up_samples) == (21, 15)


def test_an_incident_that_is_not_over_lasts_to_the_end_of_the_session() -> None:
    (found,) = incidents(session(alert("broker_link_down", 20, 0, None)))
    assert found.ongoing
    assert found.ended - found.began == pytest.approx(40.0)


def test_orders_count_where_they_first_reached_a_state() -> None:
    start = BEGIN.timestamp()
    passed = [(10.0, OrderState.SUBMITTED), (21.0, OrderState.ACCEPTED), (50.0, OrderState.FILLED)]
    order = OrderHistory("k", "DU1", tuple((start + at, state) for at, state in passed))
    (found,) = incidents(session(alert("broker_link_down", 20, 26, 31), orders=(order,)))
    assert found.orders is not None
    assert (found.orders.submitted, found.orders.acknowledged, found.orders.filled) == (0, 1, 0)
    (unknown,) = incidents(session(alert("broker_link_down", 20, 26, 31), orders=None))
    assert unknown.orders is None


def test_each_record_is_counted_at_the_next_percentile_of_its_second() -> None:
    stored = {"p50": 1.0, "p90": 5.0, "p99": 9.0, "max": 9.5}
    assert second(stored, 10) == [1.0] * 5 + [5.0] * 4 + [9.0]
    assert second({"p50": 2.0, "p90": 2.0, "p99": 2.0, "max": 2.0}, 1) == [2.0]
    assert second(dict.fromkeys(stored), 2) == [math.inf] * 2
