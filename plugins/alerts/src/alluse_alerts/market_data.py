"""Rules about quotes: throughput, latency of reads, and how long ago a quote was confirmed."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from alluse_alerts.rule import Rule, above, below, no_data
from alluse_alerts.settings import DataLatencySettings, ThroughputSettings
from alluse_core.model import Condition, Reading, SeriesId, labels
from alluse_core.ports import MetricView

COMPONENT = "market_data_system"
QUOTE_AGE = "quote_age"


class MarketDataThroughputLow(Rule[ThroughputSettings]):
    """Fewer reads served than asked for, or fewer subscriptions alive than there are.

    Demand below the threshold is an idle agent and clears; so does a quiet market, since a
    subscription that is confirmed without ticks counts as alive.
    """

    name = "market_data_throughput_low"
    unit = "1/s"

    def read(self, view: MetricView) -> Iterator[Reading]:
        """Read what was served against demand, and the share of subscriptions alive."""
        yield self._served(view)
        yield self._ticking(view)

    def _served(self, view: MetricView) -> Reading:
        terms = self.settings
        part = labels(part="served")
        asked = view.increase(COMPONENT, "reads_requested", terms.window)
        served = view.increase(COMPONENT, "reads_served", terms.window)
        if asked is None or served is None:
            return no_data(terms.served_trip, "reads are not measured", part)
        demand, rate = asked / terms.window, served / terms.window
        condition = below(rate, terms.served_trip, terms.served_clear)
        # Within a window some reads are still on their way: one in a hundred is no shortfall.
        if demand < terms.served_trip or rate >= 0.99 * demand:
            condition = Condition.CLEAR
        text = f"{rate:.0f} reads a second were served of {demand:.0f} asked for"
        return Reading(condition, rate, terms.served_trip, text, part)

    def _ticking(self, view: MetricView) -> Reading:
        terms = self.settings
        part = labels(part="subscriptions")
        ages = view.latest(COMPONENT, QUOTE_AGE).values()
        live = len(ages)
        if live < terms.min_subscriptions:
            text = f"{live} live subscriptions are too few to judge by"
            return no_data(terms.ticking_trip, text, part)
        alive = sum(age <= terms.alive_seconds for age in ages)
        share = 100.0 * alive / live
        condition = below(share, terms.ticking_trip, terms.ticking_clear)
        text = f"{alive} of {live} subscriptions are alive: {share:.0f} %"
        return Reading(condition, share, terms.ticking_trip, text, part)


class MarketDataLatencyHigh(Rule[DataLatencySettings]):
    """Slow reads from the cache, or quotes that nothing has confirmed for long, by symbol.

    A symbol's usual gap is twice the median of its age over the last hour, learned anew every
    five minutes and never from the stretch in which it is stale.
    """

    name = "market_data_latency_high"
    unit = "ms"

    def __init__(self, settings: DataLatencySettings) -> None:
        super().__init__(settings)
        self._gaps: dict[SeriesId, tuple[float, float]] = {}
        self._watched: set[SeriesId] = set()

    def read(self, view: MetricView) -> Iterator[Reading]:
        """Read cached reads once, and the age of each quote that is watched."""
        yield self._cached(view)
        ages = dict(list(view.latest(COMPONENT, QUOTE_AGE).items())[: self.settings.max_symbols])
        for series, age in ages.items():
            yield self._age(view, series, age)
        for series in self._watched - ages.keys():
            yield self._given_back(series)
        self._watched = set(ages)

    def _given_back(self, series: SeriesId) -> Reading:
        # A line that nobody wants any more is no stale quote, and nothing else would say so.
        self._gaps.pop(series, None)
        limit = self.settings.stale_seconds * 1000.0
        return Reading(Condition.CLEAR, 0.0, limit, "no line is held any more", series.labels)

    def _cached(self, view: MetricView) -> Reading:
        terms = self.settings
        part = labels(part="cached_read")
        found = view.quantile(COMPONENT, "cached_read_ms", 0.99, terms.window)
        if found is None or found[1] < terms.min_samples:
            return no_data(terms.trip, "too few cached reads were timed to judge", part)
        value, count = found
        text = f"cached reads p99 {value:.3f} ms over {count} in {terms.window:g} s"
        return Reading(above(value, terms.trip, terms.clear), value, terms.trip, text, part)

    def _age(self, view: MetricView, series: SeriesId, age: float) -> Reading:
        terms = self.settings
        gap = self._usual_gap(view, series, age)
        if gap is None:
            limit = terms.stale_unlearned
        else:
            limit = max(terms.stale_seconds, terms.stale_gaps * gap)
        condition = above(age, limit, limit / 2.0)
        usual = "unknown" if gap is None else f"{gap:.1f} s"
        text = f"the quote is unconfirmed for {age:.1f} s; its usual gap is {usual}"
        return Reading(condition, age * 1000.0, limit * 1000.0, text, series.labels)

    def _usual_gap(self, view: MetricView, series: SeriesId, age: float) -> float | None:
        terms = self.settings
        learned = self._gaps.get(series)
        if learned is not None and (view.now - learned[0] < 300.0 or age > terms.stale_seconds):
            return learned[1]
        ages = [value for _, value in view.window(series, 3_600.0)]
        if len(ages) < terms.learn_ticks:
            return None
        gap = 2.0 * median(ages)
        self._gaps[series] = (view.now, gap)
        return gap
