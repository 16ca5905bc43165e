"""The standard suite of brokers passes a sound broker and fails one that breaks a promise."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import SkipTest

import attrs
import pytest
from suite_runs import failures

from alluse_core.model import (
    AccountValue,
    BrokerStatus,
    DataType,
    Execution,
    Instrument,
    OrderIdentity,
    OrderReport,
    Quote,
    Snapshot,
)
from alluse_core.ports import Broker, EvidenceSink, OrderMessage
from alluse_core.testing import BrokerConformance, Desk, make_context
from alluse_core.testing.fakes import FakeBroker

ROOT = Path(__file__).resolve().parents[2]


# --- brokers -------------------------------------------------------------------------------------


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


# --- brokers, and what their venues do -----------------------------------------------------------


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
