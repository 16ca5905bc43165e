"""The histogram's stated error, held against exact quantiles."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alluse_core.telemetry import Histogram

STATED_ERROR = 0.004
VALUES = st.floats(min_value=1e-300, max_value=1e300) | st.just(0.0) | st.integers(1, 10**9)
LISTS = st.lists(VALUES, min_size=1, max_size=80)


def histogram(values: list[float]) -> Histogram:
    made = Histogram()
    for value in values:
        made.record(value)
    return made


@given(LISTS, st.floats(0.0, 1.0))
def test_a_quantile_is_off_by_at_most_the_stated_error(values: list[float], share: float) -> None:
    exact = sorted(values)[max(math.ceil(share * len(values)), 1) - 1]
    found = histogram(values).quantile(share)
    assert abs(found - exact) <= STATED_ERROR * exact


@given(LISTS)
def test_count_maximum_and_mean_are_exact(values: list[float]) -> None:
    made = histogram(values)
    assert made.count == len(values)
    assert made.maximum == max(values)
    assert made.quantile(1.0) <= made.maximum
    assert made.mean == pytest.approx(sum(values) / len(values))


@given(st.lists(LISTS, max_size=4))
def test_merging_is_as_if_one_had_counted_all(parts: list[list[float]]) -> None:
    merged = Histogram().merge(histogram(part) for part in parts)
    together = histogram([value for part in parts for value in part])
    assert merged.buckets == together.buckets
    assert merged.maximum == together.maximum
    assert merged.total == pytest.approx(together.total)


@given(LISTS, st.lists(st.floats(0.0, 1.0), min_size=2, max_size=6))
def test_quantiles_never_fall_as_the_share_grows(values: list[float], shares: list[float]) -> None:
    found = histogram(values).quantiles(*sorted(shares))
    assert list(found) == sorted(found)


def test_merging_leaves_what_was_merged_as_it_was() -> None:
    one, other = histogram([1.0]), histogram([2.0])
    one.merge([other])
    assert (one.count, other.count) == (1, 1)


def test_an_empty_histogram_knows_no_quantile_and_no_mean() -> None:
    assert all(math.isnan(value) for value in (*Histogram().quantiles(0.5, 1.0), Histogram().mean))
    assert Histogram().count == 0


@pytest.mark.parametrize("value", [-1.0, -1e-300, math.nan, math.inf, -math.inf])
def test_what_cannot_be_counted_is_refused_and_leaves_no_trace(value: float) -> None:
    made = Histogram()
    with pytest.raises((ValueError, OverflowError)):
        made.record(value)
    assert (made.count, made.total, made.maximum) == (0, 0.0, 0.0)


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_share_outside_of_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="shares"):
        histogram([1.0]).quantile(share)


def test_memory_is_bounded_by_128_buckets_for_each_power_of_two() -> None:
    made = histogram([1.0 + number / 10_000 for number in range(10_000)])
    assert len(made.buckets) <= 128
