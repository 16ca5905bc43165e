"""Each standard suite passes a sound object and fails a broken one: the tests can fail."""

from __future__ import annotations

import asyncio
import math
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import SkipTest

import attrs
import pytest
from alluse_cache.lru import open_lru
from alluse_cache.settings import LruSettings

from alluse_core.clock import Clock
from alluse_core.model import (
    AccountValue,
    BrokerStatus,
    Condition,
    DataType,
    Execution,
    Finding,
    Instrument,
    OrderIdentity,
    OrderReport,
    Quote,
    Reading,
    Sample,
    SeriesId,
    Severity,
    Snapshot,
)
from alluse_core.ports import Broker, EvidenceSink, Frame, MetricView, OrderMessage, QuoteCache
from alluse_core.testing import (
    AlertRuleConformance,
    AnalyzerConformance,
    BrokerConformance,
    Conformance,
    Desk,
    MetricSourceConformance,
    NoMetrics,
    QuoteCacheConformance,
    make_context,
)
from alluse_core.testing.fakes import FakeBroker

ROOT = Path(__file__).resolve().parents[2]


def failures(suite: Conformance) -> set[str]:
    """Run every standard test of ``suite`` and return the names of those that fail."""
    failed = set()
    for name in dir(suite):
        if name.startswith("test_"):
            try:
                getattr(suite, name)()
            except SkipTest:
                continue
            except Exception:  # noqa: BLE001  a standard test may fail in any way
                failed.add(name)
    return failed


# --- caches -------------------------------------------------------------------------------------


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


# --- metric sources -----------------------------------------------------------------------------


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


# --- alert rules --------------------------------------------------------------------------------


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


# --- analyzers ----------------------------------------------------------------------------------


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


# --- brokers ------------------------------------------------------------------------------------


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "broker_plugin" / "src"))
    from acme_broker import plugin

    yield plugin
    for name in [name for name in sys.modules if name.startswith("acme_broker")]:
        del sys.modules[name]


def suite_of(broker_type: Any, drop: type | None = None) -> BrokerConformance:
    class Suite(BrokerConformance):
        @asynccontextmanager
        async def open_broker(self, evidence: EvidenceSink) -> AsyncIterator[Broker]:
            def tell(item: Any) -> None:
                if drop is None or not isinstance(item, drop):
                    evidence(item)

            yield broker_type(make_context(name="acme", evidence=tell))

        async def pass_time(self) -> None:
            await asyncio.sleep(0)

    return Suite()


def test_the_example_broker_passes_and_broken_ones_fail(acme: Any) -> None:
    class NothingOpen(acme.AcmeBroker):  # type: ignore[misc, name-defined]
        async def open_orders(self) -> Snapshot[OrderReport]:
            return self._snapshot([])  # type: ignore[no-any-return]

    class SendsNowhere(acme.AcmeBroker):  # type: ignore[misc, name-defined]
        def place(self, messages: Sequence[OrderMessage]) -> None:
            if self.accounts and self.link.value == "up":
                super().place(messages)

    class Knows(acme.AcmeBroker):  # type: ignore[misc, name-defined]
        async def define(self, instrument: Instrument) -> Any:
            return await super().define(Instrument.stock("AAPL"))

    assert failures(suite_of(acme.AcmeBroker)) == set()
    empty = failures(suite_of(NothingOpen))
    assert "test_a_query_without_a_link_raises_and_is_never_empty" in empty
    assert "test_open_orders_hold_a_resting_order_with_its_terms" in empty
    assert failures(suite_of(SendsNowhere)) == {"test_an_order_without_a_link_is_provably_not_sent"}
    assert failures(suite_of(Knows)) == {"test_an_unknown_instrument_is_not_found"}


def test_a_broker_that_keeps_its_fills_to_itself_fails(acme: Any) -> None:
    from alluse_core.model import Execution

    failed = failures(suite_of(acme.AcmeBroker, drop=Execution))
    assert "test_a_marketable_order_fills_and_each_execution_has_its_own_id" in failed
    assert "test_executions_on_request_are_those_that_were_told" in failed


# --- brokers, and what their venues do ----------------------------------------------------------


class LivingBroker(FakeBroker):
    """A fake whose streams are alive as long as its link, as a stream with a heartbeat is."""

    def subscribe(self, instrument: Instrument, sink: Any) -> Any:
        stream = super().subscribe(instrument, sink)
        clock = self.clock

        class Living(type(stream)):  # type: ignore[misc]
            alive_at = property(lambda _: clock.monotonic(), lambda *_: None)

        stream.__class__ = Living
        return stream


class VenueSuite(BrokerConformance):
    """The whole suite over a fake whose venue does all that a venue can do."""

    def __init__(self, broker_type: type[FakeBroker] = LivingBroker) -> None:
        self.broker_type = broker_type
        self.twice = False

    @asynccontextmanager
    async def opened(self, evidence: EvidenceSink, *accounts: str) -> AsyncIterator[Broker]:
        def tell(item: Any) -> None:
            for _ in range(2 if self.twice else 1):
                evidence(item)

        self.twice = False
        self.fake = self.broker_type(tell, accounts=accounts)
        self.fake.mode = "market"
        self.fake.unlisted.add(self.unknown_instrument)
        self.fake.values = [
            AccountValue("fake", name, "Net", Decimal(1), "USD") for name in accounts
        ]
        quote = Quote(self.instrument, 99.0, 101.0, 100.0, 100.0, data_type=DataType.LIVE)
        self.fake.tick(quote)
        yield self.fake

    def open_broker(self, evidence: EvidenceSink) -> Any:
        return self.opened(evidence, "DU1")

    def open_with_two_accounts(self, evidence: EvidenceSink) -> Any:
        return self.opened(evidence, "DU1", "DU2")

    async def pass_time(self) -> None:
        await asyncio.sleep(0)

    async def pause_market(self, desk: Desk) -> None:
        """Nothing to do: a fake ticks when it is told to."""

    async def part_next_fill(self, desk: Desk) -> None:
        fill = self.fake.fill
        self.fake.fill = lambda reference: fill(reference, self.quantity / 2)  # type: ignore[method-assign, assignment]

    async def show_the_rest(self, desk: Desk) -> None:
        self.fake.fill(next(iter(self.fake.orders)))

    async def fill_after_cancel(self, desk: Desk, message: OrderMessage) -> None:
        self.fake.fill(message.order_ref)

    async def repeat_callbacks(self, desk: Desk) -> None:
        self.twice = True

    async def ignore_next_modify(self, desk: Desk) -> None:
        self.fake.answers_modifies = False

    async def reject_next(self, desk: Desk) -> None:
        self.fake.mode = "reject"

    async def place_by_hand(self, desk: Desk) -> None:
        identity = OrderIdentity(perm_id=77)
        self.fake.foreign.append(OrderReport("fake", identity, BrokerStatus.WORKING))


class StopsListeningAfterACancel(LivingBroker):
    def fill(self, order_ref: str, *more: Any, **named: Any) -> Any:
        if self.orders[order_ref].status is not BrokerStatus.CANCELED:
            return super().fill(order_ref, *more, **named)
        return None


class NamesEachTellingAnew(LivingBroker):
    told = 0

    def say(self, item: Any) -> None:
        evidence = self._evidence
        if isinstance(item, Execution):
            # Named here, as by an adapter that makes execution ids of its own.
            def naming(one: Any) -> None:
                self.told += 1
                evidence(attrs.evolve(one, execution_id=f"{one.execution_id}/{self.told}"))

            self._evidence = naming
        super().say(item)
        self._evidence = evidence


class BelievesItsModify(LivingBroker):
    def modify(self, message: OrderMessage, identity: OrderIdentity) -> None:
        super().modify(message, identity)
        self.orders[message.order_ref].message = message


class CallsAPartTheWhole(LivingBroker):
    def report_of(self, order: Any, reason: str = "") -> OrderReport:
        made = super().report_of(order, reason)
        done = order.filled > 0
        return attrs.evolve(made, status=BrokerStatus.FILLED) if done else made


class KeepsRejectsToItself(LivingBroker):
    def reject(self, order_ref: str, text: str = "") -> None:
        self.orders[order_ref].status = BrokerStatus.REJECTED


class SeesItsOwnOrdersOnly(LivingBroker):
    async def open_orders(self) -> Snapshot[OrderReport]:
        self.foreign.clear()
        return await super().open_orders()


class BooksOnItsFirstAccount(LivingBroker):
    def place(self, messages: Sequence[OrderMessage]) -> None:
        first = self.accounts[0] if self.accounts else ""
        super().place(
            [attrs.evolve(m, order=attrs.evolve(m.order, account=first)) for m in messages]
        )


class ForgetsItsNumbers(LivingBroker):
    def place(self, messages: Sequence[OrderMessage]) -> None:
        super().place(messages)
        self.order_id_floor = 1


class CancelsWhatIsFilled(LivingBroker):
    def cancel(self, identity: OrderIdentity) -> None:
        super().cancel(identity)
        if identity.order_ref in self.orders:
            self.cancel_by_broker(identity.order_ref)


class RenamesOnEachReport(LivingBroker):
    def report_of(self, order: Any, reason: str = "") -> OrderReport:
        made = super().report_of(order, reason)
        return attrs.evolve(
            made, identity=attrs.evolve(made.identity, perm_id=next(self._perm_ids))
        )


class LosesACancelRightBehind(LivingBroker):
    def cancel(self, identity: OrderIdentity) -> None:
        if self.sent and self.sent[-1][0] == "place":
            self._refuse_without_link()
            self.sent.append(("cancel", identity))
        else:
            super().cancel(identity)


class SendsTheFirstLast(LivingBroker):
    def place(self, messages: Sequence[OrderMessage]) -> None:
        super().place(messages[::-1])


class LetsThePresetDecide(LivingBroker):
    def report_of(self, order: Any, reason: str = "") -> OrderReport:
        made = super().report_of(order, reason)
        assert made.terms is not None
        return attrs.evolve(made, terms=attrs.evolve(made.terms, time_in_force="GTC"))


@pytest.mark.parametrize(
    ("broken", "caught_by"),
    [
        (FakeBroker, "test_a_symbol_that_does_not_tick_for_long_is_not_stale"),
        (StopsListeningAfterACancel, "test_a_fill_after_a_cancel_is_told_all_the_same"),
        (NamesEachTellingAnew, "test_news_that_comes_twice_names_the_same_executions"),
        (BelievesItsModify, "test_a_modify_that_did_not_take_shows_in_the_brokers_own_terms"),
        (CallsAPartTheWhole, "test_an_order_that_fills_in_parts_tells_each_part_once"),
        (KeepsRejectsToItself, "test_a_rejected_order_ends_with_the_brokers_reason"),
        (SeesItsOwnOrdersOnly, "test_an_order_placed_by_hand_is_among_the_open_ones_and_not_ours"),
        (BooksOnItsFirstAccount, "test_each_of_two_accounts_holds_what_was_bought_for_it"),
        (ForgetsItsNumbers, "test_an_order_id_that_was_used_lies_below_the_floor"),
        (CancelsWhatIsFilled, "test_a_cancel_of_a_filled_order_changes_nothing"),
        (RenamesOnEachReport, "test_an_order_keeps_the_identity_that_the_broker_gave_it"),
        (LosesACancelRightBehind, "test_a_cancel_right_behind_its_place_ends_the_order"),
        (SendsTheFirstLast, "test_orders_of_one_intent_are_all_reported_in_their_order"),
        (LetsThePresetDecide, "test_the_brokers_terms_carry_what_a_preset_could_change"),
    ],
)
def test_a_broker_that_breaks_one_promise_fails_the_test_of_it(
    broken: type[FakeBroker], caught_by: str
) -> None:
    suite = VenueSuite(broken)
    with pytest.raises(Exception):  # noqa: B017  any way of failing will do
        getattr(suite, caught_by)()


def test_a_venue_that_does_everything_leaves_nothing_to_skip() -> None:
    suite = VenueSuite()
    for name in dir(suite):
        if name.startswith("test_"):
            getattr(suite, name)()


def test_what_a_venue_cannot_do_is_skipped_with_a_reason(acme: Any) -> None:
    skipped = {}
    suite = suite_of(acme.AcmeBroker)
    for name in dir(suite):
        if name.startswith("test_"):
            try:
                getattr(suite, name)()
            except SkipTest as reason:
                skipped[name] = str(reason)
    assert len(skipped) == 9
    assert all(skipped.values())


# --- the rule about overriding ------------------------------------------------------------------


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
