"""Each standard suite passes a sound object and fails a broken one: the tests can fail."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from alluse_cache.lru import open_lru
from alluse_cache.settings import LruSettings
from suite_runs import failures

from alluse_core.clock import Clock
from alluse_core.model import (
    Condition,
    Finding,
    Instrument,
    Quote,
    Reading,
    Sample,
    SeriesId,
    Severity,
)
from alluse_core.ports import Frame, MetricView, QuoteCache
from alluse_core.testing import (
    AlertRuleConformance,
    AnalyzerConformance,
    MetricSourceConformance,
    NoMetrics,
    QuoteCacheConformance,
)

# --- caches --------------------------------------------------------------------------------------


class Cache(QuoteCacheConformance):
    def __init__(self, **broken: Any) -> None:
        self.broken = broken

    def make_cache(self, capacity: int, clock: Clock) -> QuoteCache:
        cache = open_lru(LruSettings(capacity, "python"), clock)
        for name, replacement in self.broken.items():
            setattr(cache, name, replacement(cache, clock))
        return cache


def _immortal(cache: Any, clock: Clock) -> Any:
    store = cache.store
    return lambda quote, deadline: store(quote, deadline + 1e9)


def _peek_without_use(cache: Any, clock: Clock) -> Any:
    def peek(instrument: Instrument) -> Quote | None:
        entry = cache._entries.get(instrument)
        return entry[0] if entry and clock.monotonic() < entry[1] else None

    return peek


def _watch_by_discarding(cache: Any, clock: Clock) -> Any:
    watch = cache.watch

    def discarding(instrument: Instrument, peeked: Any) -> None:
        watch(instrument, peeked)
        cache.discard(instrument)

    return discarding


def _live_statistics(cache: Any, clock: Clock) -> Any:
    once: list[Any] = []
    stats = cache.stats

    def live() -> Any:
        once.append(stats())
        for name in ("hits", "misses", "expired"):
            setattr(once[0], name, getattr(once[-1], name))
        return once[0]

    return live


@pytest.mark.parametrize(
    ("broken", "caught_by"),
    [
        ({"store": _immortal}, "test_a_stored_quote_is_peeked_until_its_deadline"),
        ({"peek": _peek_without_use}, "test_a_peek_counts_as_a_use"),
        ({"stats": _live_statistics}, "test_statistics_count_what_happened_and_are_a_copy"),
        (
            {"discard": lambda cache, clock: lambda instrument: None},
            "test_discard_forgets_one_and_clear_forgets_all",
        ),
        (
            {"watch": lambda cache, clock: lambda instrument, peeked: None},
            "test_a_watch_is_told_once_of_the_next_peek_hit_or_miss",
        ),
        (
            {"watch": _watch_by_discarding},
            "test_a_watched_quote_is_served_and_counted_as_any_other",
        ),
        (
            {"unwatch": lambda cache, clock: lambda instrument: None},
            "test_the_newest_watch_is_told_and_one_taken_back_is_not",
        ),
    ],
)
def test_a_broken_cache_fails(broken: dict[str, Any], caught_by: str) -> None:
    assert failures(Cache()) == set()
    assert caught_by in failures(Cache(**broken))


# --- metric sources ------------------------------------------------------------------------------


class Source(MetricSourceConformance):
    def __init__(self, *samples: Sample) -> None:
        self.samples = samples
        self.name, self.period = "test", 1.0

    def make_source(self) -> Any:
        return self

    def collect(self, now: float) -> Iterable[Sample]:
        return self.samples


SERIES = SeriesId("test", "value")


@pytest.mark.parametrize(
    ("samples", "caught_by"),
    [
        ([], "test_it_measures_something"),
        ([Sample(SERIES, math.nan)], "test_every_sample_is_a_finite_number"),
        ([Sample(SERIES, 1.0)] * 2, "test_no_series_is_sampled_twice_in_one_tick"),
        (
            [Sample(SeriesId("test", "v", (("b", "1"), ("a", "2"))), 1.0)],
            "test_series_have_names_and_sorted_labels",
        ),
    ],
)
def test_a_broken_metric_source_fails(samples: list[Sample], caught_by: str) -> None:
    assert failures(Source(Sample(SERIES, 1.0))) == set()
    assert caught_by in failures(Source(*samples))


def test_a_source_that_labels_by_time_fails() -> None:
    class Flood(Source):
        def collect(self, now: float) -> Iterator[Sample]:
            yield Sample(SeriesId("test", "v", (("at", str(now)),)), 1.0)

    assert failures(Flood()) == {"test_it_makes_no_new_series_each_tick"}


# --- alert rules ---------------------------------------------------------------------------------


class Level(NoMetrics):
    def __init__(self, value: float) -> None:
        self.value = value

    def latest(self, component: str, metric: str) -> Mapping[SeriesId, float]:
        return {SERIES: self.value}


class Rule(AlertRuleConformance):
    name, severity, unit = "too_high", Severity.WARNING, "%"
    for_seconds, keep_firing_for, runbook = 10.0, 10.0, "docs/too-high"
    guesses = False
    deaf = False

    def make_rule(self) -> Any:
        return self

    def bad_view(self) -> MetricView:
        return Level(99.0)

    def good_view(self) -> MetricView:
        return Level(1.0)

    def read(self, view: MetricView) -> Iterable[Reading]:
        values = list(view.latest("test", "value").values())
        if not values:
            if self.guesses:
                return [Reading(Condition.CLEAR, 0.0, 50.0, "nothing to see")]
            return [Reading(Condition.NO_DATA, math.nan, 50.0, "no samples")]
        trip = values[0] > 50.0 and not self.deaf
        condition = Condition.TRIP if trip else Condition.CLEAR
        return [Reading(condition, values[0], 50.0, f"value is {values[0]}")]


def test_a_broken_alert_rule_fails() -> None:
    guessing, deaf = Rule(), Rule()
    guessing.guesses, deaf.deaf = True, True
    assert failures(Rule()) == set()
    assert failures(guessing) == {"test_without_metrics_it_reads_no_data_and_does_not_guess"}
    assert failures(deaf) == {"test_it_trips_on_bad_metrics"}


# --- analyzers -----------------------------------------------------------------------------------


class Means(AnalyzerConformance):
    name = "means"
    flaw = ""

    def make_analyzer(self) -> Any:
        return self

    def analyze(self, frame: Frame) -> Sequence[Finding]:
        if self.flaw == "needs data":
            frame.times[0]
        if self.flaw == "writes" and frame.values and len(frame.values[0]):
            frame.values[0][0] = 7.0 + random.random()
        name = "someone" if self.flaw == "borrowed name" else self.name
        facts = {"random": random.random() if self.flaw == "random" else 0.0}
        if self.flaw == "infinite":
            facts["peak"] = math.inf
        return [Finding(name, "mean", series, facts) for series in frame.series]


@pytest.mark.parametrize(
    ("flaw", "caught_by"),
    [
        ("needs data", "test_it_survives_every_odd_frame"),
        ("writes", "test_it_leaves_the_frame_as_it_was"),
        ("borrowed name", "test_findings_name_the_analyzer_and_a_series_of_the_frame"),
        ("random", "test_the_same_frame_gives_the_same_findings"),
        ("infinite", "test_findings_can_be_written_as_json"),
    ],
)
def test_a_broken_analyzer_fails(flaw: str, caught_by: str) -> None:
    broken = Means()
    broken.flaw = flaw
    assert failures(Means()) == set()
    assert caught_by in failures(broken)


# --- the rule about overriding -------------------------------------------------------------------


def test_a_standard_test_can_only_be_overridden_as_xfail_with_a_reason() -> None:
    with pytest.raises(TypeError, match="xfail"):

        class Silenced(QuoteCacheConformance):
            def test_a_peek_counts_as_a_use(self) -> None:
                pass

    with pytest.raises(TypeError, match="xfail"):

        class NoReason(QuoteCacheConformance):
            @pytest.mark.xfail
            def test_a_peek_counts_as_a_use(self) -> None:
                pass

    class Stated(QuoteCacheConformance):
        @pytest.mark.xfail(reason="a FIFO by design")
        def test_a_peek_counts_as_a_use(self) -> None:
            super().test_a_peek_counts_as_a_use()

        def test_something_of_its_own(self) -> None:
            pass


def test_the_suites_do_not_import_pytest() -> None:
    code = "import sys, alluse_core.testing; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
