"""The standard tests of a MetricSource."""

from __future__ import annotations

import math

from alluse_core.model import Sample
from alluse_core.ports import MetricSource
from alluse_core.testing.conformance import Conformance

_TICKS = 5


class MetricSourceConformance(Conformance):
    """Subclass it as ``Test...`` and define :meth:`make_source`.

    ``may_be_silent``: a source that has nothing to measure in the test may yield nothing.
    """

    may_be_silent = False

    def make_source(self) -> MetricSource:
        """Return a source, ready to be asked."""
        raise NotImplementedError("a conformance test says how to make its source")

    def ticks(self) -> list[list[Sample]]:
        """Return the samples of some ticks, one second apart."""
        source = self.make_source()
        return [list(source.collect(1000.0 + second)) for second in range(_TICKS)]

    def test_it_has_a_name_and_a_positive_period(self) -> None:
        source = self.make_source()
        assert source.name
        assert source.period > 0.0

    def test_it_measures_something(self) -> None:
        assert self.may_be_silent or any(self.ticks()), "no sample in several ticks"

    def test_every_sample_is_a_finite_number(self) -> None:
        for tick in self.ticks():
            for sample in tick:
                assert isinstance(sample.value, float)
                assert math.isfinite(sample.value), f"{sample.series}: absent is no sample"

    def test_no_series_is_sampled_twice_in_one_tick(self) -> None:
        for tick in self.ticks():
            series = [sample.series for sample in tick]
            assert len(set(series)) == len(series)

    def test_series_have_names_and_sorted_labels(self) -> None:
        for tick in self.ticks():
            for sample in tick:
                assert sample.series.component
                assert sample.series.metric
                assert sample.series.labels == tuple(sorted(sample.series.labels))

    def test_it_makes_no_new_series_each_tick(self) -> None:
        ticks = [{sample.series for sample in tick} for tick in self.ticks()]
        seen = set().union(*ticks)
        widest = max((len(tick) for tick in ticks), default=0)
        assert len(seen) <= 2 * widest, "label values that change each tick flood a store"
