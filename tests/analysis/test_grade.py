"""The grade follows from what was measured, and from nothing else."""

from __future__ import annotations

import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alluse_core.analysis.grade import WEIGHTS, Measured, Measurements, Share, apdex, grade

GOOD = Measurements(
    link_up=Share(600, 600),
    orders=500,
    errors=0,
    satisfied=500,
    tolerating=0,
    latencies=500,
    latency_target_ms=250.0,
    fresh_reads=10_000,
    reads=10_000,
    resources_ok=Share(600, 600),
    ticks=600,
    ticks_expected=600,
)


def but(**changed: object) -> Measurements:
    return attrs.evolve(GOOD, **changed)  # type: ignore[arg-type]


def test_the_weights_are_a_hundred() -> None:
    assert sum(WEIGHTS.values()) == 100


def test_a_session_without_fault_earns_an_a() -> None:
    result = grade(GOOD)
    assert (result.letter, result.points) == ("A", pytest.approx(100))
    assert result.caps == ()


def test_half_of_the_error_budget_costs_half_of_its_points() -> None:
    part = next(p for p in grade(but(orders=1000, errors=5)).parts if p.name == "errors")
    assert part.lost == pytest.approx(12.5)
    assert part.low < part.raw < part.high


@pytest.mark.parametrize(
    ("changed", "letter"),
    [
        ({"critical_alerts": 1}, "C"),
        ({"risk_breaches": 1}, "D"),
        ({"unknown_orders": 1}, "D"),
        ({"position_mismatches": 1}, "D"),
        ({"critical_alerts": 1, "unknown_orders": 2}, "D"),
    ],
)
def test_what_may_not_happen_caps_the_letter_and_says_so(
    changed: dict[str, int], letter: str
) -> None:
    result = grade(but(**changed))
    assert result.letter == letter
    assert len(result.caps) == len(changed)


def test_a_cap_never_lifts_a_worse_letter() -> None:
    worse = but(critical_alerts=1, errors=400, link_up=Share(10, 600), satisfied=0)
    assert grade(worse).letter == "F"


def test_a_quiet_agent_gives_the_weight_of_what_it_did_not_do_to_the_rest() -> None:
    result = grade(but(orders=3, errors=0, latencies=3, satisfied=3))
    quiet = [part for part in result.parts if part.measured is Measured.TOO_QUIET]
    assert [part.name for part in quiet] == ["errors", "latency"]
    assert all(part.weight == part.points == 0 for part in quiet)
    assert sum(part.weight for part in result.parts) == pytest.approx(100)
    assert result.redistributed == 45


@pytest.mark.parametrize("name", ["link_up", "resources_ok", "orders", "latencies", "reads"])
def test_a_metric_that_should_be_there_and_is_not_is_never_full_marks(name: str) -> None:
    result = grade(but(**{name: None}))
    missing = [part for part in result.parts if part.measured is Measured.MISSING]
    assert len(missing) == 1
    assert missing[0].points == 0
    assert missing[0].lost == missing[0].weight > 0


def test_under_95_percent_of_samples_there_is_no_letter() -> None:
    result = grade(but(ticks=569))
    assert result.incomplete
    assert result.letter == ""
    assert not grade(but(ticks=570)).incomplete


def test_no_ticks_at_all_are_incomplete_too() -> None:
    assert grade(but(ticks=0, ticks_expected=0)).incomplete


def test_apdex_counts_the_tolerating_half() -> None:
    assert apdex(60, 30, 100) == 0.75
    assert math.isnan(apdex(0, 0, 0))


@given(good=st.integers(0, 5000), total=st.integers(1, 5000))
def test_the_interval_holds_its_share(good: int, total: int) -> None:
    share = Share(min(good, total), total)
    low, high = share.interval()
    assert 0 <= low <= share.value + 1e-12
    assert share.value - 1e-12 <= high <= 1


@given(errors=st.integers(0, 499), up=st.integers(0, 600), ok=st.integers(0, 600))
def test_points_stay_in_range_and_more_errors_never_help(errors: int, up: int, ok: int) -> None:
    changed = but(errors=errors, link_up=Share(up, 600), resources_ok=Share(ok, 600))
    result = grade(changed)
    assert 0 <= result.points <= 100 + 1e-9
    assert grade(attrs.evolve(changed, errors=errors + 1)).points <= result.points + 1e-9
