"""What the broker says, in whatever order and however often it says it."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from desk_floor import AAPL, NODE, buy, floor, placed, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alluse_core.errors import (
    BrokerUnavailable,
    OrderDenied,
    OrderError,
    UsageError,
)
from alluse_core.model import (
    BrokerStatus,
    Evidence,
    InstrumentDefinition,
    LinkState,
    OrderIdentity,
    OrderReport,
    OrderState,
    Verb,
)
from alluse_core.orders.journal import verify
from alluse_core.orders.states import CommandState

S = OrderState


def test_a_lost_acknowledgement_is_asked_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.mode = "silent"
            ticket = await placed(desk)
            assert ticket.state is S.SUBMITTED
            await desk.settle(12)
            assert ticket.state is S.ACCEPTED

    run(scenario())


def test_an_order_that_no_list_mentions_is_unknown_until_evidence_or_a_person(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.mode = "lose"
            ticket, other = await placed(desk), await placed(desk, buy("two"))
            waiting = asyncio.ensure_future(ticket.outcome())
            await desk.settle(12)
            outcome = await waiting
            assert (outcome.state, outcome.settled) == (S.UNKNOWN, False)
            assert desk.count("orders_unknown") == 2
            assert desk.orders._book.working(("fake", "DU1"), AAPL), "it counts as exposure"
            await desk.settle(600)
            assert ticket.state is S.UNKNOWN, "no time-out resolves it"
            assert (await desk.orders.submit(buy("one"))) == ticket
            assert len(desk.broker.sent) == 2, "the key is not sent again"
            identity = OrderIdentity(other.order_ref, 77)
            desk.broker.say(OrderReport("fake", identity, BrokerStatus.WORKING))
            assert other.state is S.ACCEPTED
            for state, by in ((S.CANCELED, " "), (S.ACCEPTED, "Ada"), (S.DENIED, "Ada")):
                with pytest.raises(UsageError):
                    await desk.orders.resolve("one", state, by)
            await desk.orders.resolve("one", S.CANCELED, by="Ada")
            assert (await ticket.outcome()).state is S.CANCELED
            with pytest.raises(OrderError, match="not UNKNOWN"):
                await desk.orders.resolve("one", S.CANCELED, by="Ada")
            assert desk.journal.read().story("one")[-1].body["reason"] == "resolved by Ada"

    run(scenario())


@pytest.mark.parametrize("flaw", ["lists_fail", "incomplete"])
def test_a_query_that_failed_or_is_not_whole_proves_nothing(tmp_path: Path, flaw: str) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.mode = "lose"
            ticket = await placed(desk)
            desk.broker.lists_fail = flaw == "lists_fail"
            desk.broker.lists_complete = flaw != "incomplete"
            await desk.settle(100)
            assert ticket.state is S.SUBMITTED
            desk.broker.lists_fail, desk.broker.lists_complete = False, True
            await desk.settle(100)
            assert ticket.state is S.UNKNOWN

    run(scenario())


def test_a_lost_link_gates_new_risk_and_what_happened_meanwhile_is_learnt(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            filled, resting = await placed(desk), await placed(desk, buy("two"))
            desk.broker.turn(LinkState.DOWN)
            with pytest.raises(OrderDenied) as caught:
                await desk.orders.submit(buy("three"))
            assert caught.value.stage == "link"
            with pytest.raises(BrokerUnavailable):
                await desk.orders.reconcile("fake")
            heard, desk.broker._evidence = desk.broker._evidence, lambda _: None
            desk.broker.fill(filled.order_ref)
            desk.broker._evidence = heard
            cancel = await desk.orders.cancel("two")
            await desk.settle()
            assert cancel.state is CommandState.QUEUED, "it still tries"
            desk.broker.turn(LinkState.UP)
            with pytest.raises(OrderDenied) as caught:
                await desk.orders.submit(buy("four"))
            assert caught.value.stage == "reconciling"
            await desk.settle(1)
            assert filled.known.settled
            assert (cancel.state, resting.state) == (CommandState.CONFIRMED, S.CANCELED)
            assert desk.orders.positions().rows[0].quantity == 100
            await placed(desk, buy("five"))

    run(scenario())


def test_whatever_else_place_raises_leaves_the_order_in_doubt(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:

            def broken(messages: Any) -> None:
                raise OSError("connection reset")

            place = desk.broker.place
            desk.broker.place = broken  # type: ignore[method-assign]
            ticket = await placed(desk)
            assert ticket.state is S.UNKNOWN
            desk.broker.place = place  # type: ignore[method-assign]

    run(scenario())


@given(data=st.data())
@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_shuffled_and_repeated_evidence_ends_the_same(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path_factory.mktemp("shuffle")) as desk:
            desk.broker.mode = "silent"
            ticket = await placed(desk)
            said: list[Evidence] = []
            desk.broker._evidence = said.append
            order = desk.broker.orders[ticket.order_ref]
            desk.broker.report(order)
            for part in (30, 30, 40):
                desk.broker.fill(ticket.order_ref, Decimal(part))
            repeated = said + data.draw(st.lists(st.sampled_from(said), max_size=6))
            for item in data.draw(st.permutations(repeated)):
                desk.orders.evidence(item)
            outcome = ticket.known
            assert (outcome.state, outcome.settled, outcome.filled) == (S.FILLED, True, 100)
            assert desk.orders.positions().rows[0].quantity == 100
            assert desk.count("fills") == 3
            assert desk.count("impossible_events") == 0

    run(scenario())


def test_evidence_that_cannot_be_applied_is_counted_and_asked_for_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            identity = desk.broker.orders[ticket.order_ref].identity
            desk.broker.say(OrderReport("fake", identity, "nonsense"))  # type: ignore[arg-type]
            assert desk.count("evidence_errors") == 1
            assert ticket.state is S.ACCEPTED

    run(scenario())


def test_a_list_that_is_older_than_the_end_of_an_order_does_not_revive_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            ask = desk.broker.open_orders

            async def slow() -> Any:
                answer = await ask()
                desk.broker.cancel_by_broker(ticket.order_ref)
                return answer

            desk.broker.open_orders = slow  # type: ignore[method-assign]
            await desk.orders.reconcile("fake")
            assert ticket.state is S.CANCELED
            desk.broker.open_orders = ask  # type: ignore[method-assign]
            await desk.settle(1)
            desk.broker.orders[ticket.order_ref].status = BrokerStatus.WORKING
            await desk.orders.reconcile("fake")
            assert ticket.state is S.ACCEPTED, "what the broker lists later is alive"
            assert desk.count("impossible_events") == 1

    run(scenario())


def test_a_day_order_of_yesterday_expires_by_the_hours_and_an_unseen_one_does_not(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        from alluse_core.testing import VirtualClock

        clock = VirtualClock()
        close = clock.now() + timedelta(hours=6)
        hours = InstrumentDefinition(AAPL, "1", liquid_hours=((clock.now(), close),))
        async with floor(tmp_path, clock=clock, definition=hours) as desk:
            seen = await placed(desk)
            desk.broker.mode = "lose"
            unseen = await placed(desk, buy("two"))
            await clock.advance(20)
            # In one step: nothing that happens in between matters here, and it takes real time.
            clock._monotonic += 7 * 3600
            await clock.advance(0)
            assert (seen.state, unseen.state) == (S.ACCEPTED, S.UNKNOWN)
            desk.broker.orders.clear()
            found = await desk.orders.reconcile("fake")
            assert (seen.state, unseen.state) == (S.EXPIRED, S.UNKNOWN)
            assert found.expired == ("one",)

    run(scenario())


def test_after_a_restart_orders_are_what_the_broker_says_and_no_id_is_used_twice(
    tmp_path: Path,
) -> None:
    """Lean.IB #242: a restart rolls nextValidId back, ids are reissued."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await placed(desk, buy("open"))
            await placed(desk, buy("filled while away"))
            await desk.orders.modify("open", limit_price="99")
            desk.broker.mode = "lose"
            await placed(desk, buy("lost"))
            await desk.settle()
            broker, clock = desk.broker, desk.clock
            used = [m.order_id for kind, w in broker.sent if kind == "place" for m in w]  # type: ignore[attr-defined]
            reference = desk.orders.get("filled while away").order_ref
        broker._evidence = lambda _: None
        broker.fill(reference)
        broker.mode, broker.order_id_floor = "accept", 1
        node = attrs.evolve(NODE, incarnation="incarnation-2")
        async with floor(tmp_path, broker=broker, clock=clock, node=node) as desk:
            get = desk.orders.get
            assert get("open").state is S.ACCEPTED
            assert get("open").order.limit_price == Decimal(99)
            assert get("filled while away").known.settled
            assert get("lost").state is S.UNKNOWN
            fresh = await placed(desk, buy("fresh"))
            assert desk.orders._live(fresh.key).order_id > max(used)
            cancel = await desk.orders.cancel("open")
            await desk.settle()
            assert cancel.state is CommandState.CONFIRMED
        assert verify(tmp_path / "journal.db").ok

    run(scenario())


def test_a_start_without_a_link_keeps_new_risk_out_until_the_evidence_is_there(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            broker, clock = desk.broker, desk.clock
        broker.lists_fail = True
        async with floor(tmp_path, broker=broker, clock=clock) as desk:
            with pytest.raises(OrderDenied, match="evidence"):
                await desk.orders.submit(buy("one"))
            broker.lists_fail = False
            await desk.settle(5)
            await placed(desk, buy("two"))

    run(scenario())


def test_a_cancel_without_an_answer_is_lost_and_said_not_forgotten(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            desk.broker.answers_cancels = False
            cancel = await desk.orders.cancel("one")
            await desk.settle()
            assert ticket.known.pending is Verb.CANCEL
            assert (await desk.orders.cancel("one")).state is CommandState.SENT
            await desk.settle(15)
            assert cancel.state is CommandState.LOST
            assert ticket.state is S.ACCEPTED
            desk.broker.answers_cancels = True
            again = await desk.orders.cancel("one")
            await desk.settle()
            assert (again.state, ticket.state) == (CommandState.CONFIRMED, S.CANCELED)

    run(scenario())


def test_a_cancel_of_an_order_that_is_not_listed_does_not_wait_for_ever(tmp_path: Path) -> None:
    """An answer that cannot come must not be asked for each second until the end of days."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.mode = "lose"
            ticket = await placed(desk)
            desk.broker.answers_cancels = False
            cancel = await desk.orders.cancel("one")
            await desk.settle(15)
            assert (ticket.state, cancel.state) == (S.UNKNOWN, CommandState.LOST)
            rounds = desk.count("reconciliations")
            await desk.settle(30)
            assert desk.count("reconciliations") == rounds

    run(scenario())


def test_a_position_that_is_not_the_sum_of_fills_is_counted_and_the_brokers_is_taken(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.held["DU1", AAPL] = Decimal(7)
            await desk.orders.reconcile("fake")
            assert desk.count("position_mismatches") == 1
            gauge = desk.registry.gauge("trading_system", "position_differences", broker="fake")
            assert gauge.value == 1.0, "what the alert position_mismatch reads"
            assert desk.count("position_adjustments", cause="unexplained") == 1
            assert desk.orders.positions().rows[0].quantity == 7

    run(scenario())


def test_numbers_of_orders_rise_without_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            sequence = desk.orders._parts.sequences["fake"]
            given_out = [sequence.take(n) for n in itertools.islice(itertools.cycle((1, 3)), 1500)]
            assert given_out == sorted(set(given_out))
            desk.broker.order_id_floor = 50_000
            assert sequence.take(1) == 50_000
            sequence.above(60_000)
            assert sequence.take(1) == 60_001

    run(scenario())


def test_what_was_not_sent_when_it_stopped_is_withdrawn_and_not_in_doubt(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, rate=1) as desk:
            await desk.orders.submit(buy("one"))
            await desk.orders.submit(buy("two"))
            broker, clock = desk.broker, desk.clock
        async with floor(tmp_path, broker=broker, clock=clock) as desk:
            assert desk.orders.get("one").state in (S.ACCEPTED, S.CANCELED)
            assert desk.orders.get("two").state is S.CANCELED
            assert desk.count("orders_unknown") == 0

    run(scenario())


def test_after_evidence_that_could_not_be_applied_the_broker_is_asked_for_all(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            identity = desk.broker.orders[ticket.order_ref].identity
            before = desk.count("reconciliations", broker="fake")
            desk.broker.say(OrderReport("fake", identity, "nonsense"))  # type: ignore[arg-type]
            await desk.settle()
            assert desk.count("reconciliations", broker="fake") == before + 1

    run(scenario())
