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
from desk_floor import AAPL, NODE, Floor, buy, floor, run, sell
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alluse_core.errors import (
    BrokerUnavailable,
    OrderDenied,
    OrderError,
    UsageError,
)
from alluse_core.model import (
    BrokerNotice,
    BrokerStatus,
    Commission,
    Evidence,
    Execution,
    InstrumentDefinition,
    LinkState,
    Order,
    OrderIdentity,
    OrderReport,
    OrderState,
    Side,
    Verb,
)
from alluse_core.orders.journal import verify
from alluse_core.orders.states import CommandEvent, CommandState
from alluse_core.orders.ticket import Ticket
from alluse_core.ports import TradingState

S = OrderState


async def placed(desk: Floor, order: Order | None = None) -> Ticket:
    ticket = await desk.orders.submit(order or buy("one"))
    await desk.settle()
    return ticket


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


def test_an_exit_that_cannot_leave_is_denied_and_may_be_tried_under_a_new_key(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.held["DU1", AAPL] = Decimal(100)
            await desk.orders.reconcile("fake")
            desk.broker.turn(LinkState.DOWN)
            ticket = await placed(desk, sell("exit"))
            assert ticket.state is S.DENIED
            assert "not sent" in ticket.known.reason

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


def test_a_fill_after_a_cancel_still_counts(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            await desk.orders.cancel("one")
            await desk.settle()
            assert ticket.state is S.CANCELED
            desk.broker.fill(ticket.order_ref, Decimal(40))
            assert (ticket.state, ticket.known.filled) == (S.CANCELED, 40)
            assert desk.orders.positions().rows[0].quantity == 40

    run(scenario())


def test_a_fill_counts_once_and_a_correction_replaces_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            fill = desk.broker.fill(ticket.order_ref, Decimal(40), execution_id="aa.bb.01.01")
            for _ in range(3):
                desk.broker.say(fill)
            assert (desk.count("fills"), desk.count("duplicate_fills")) == (1, 3)
            correction = attrs.evolve(fill, execution_id="aa.bb.01.02", quantity=Decimal(30))
            desk.broker.say(correction)
            desk.broker.say(fill)
            assert desk.orders._live("one").executed == 30
            assert desk.orders.positions().rows[0].quantity == 30
            assert desk.count("fill_corrections") == 1

    run(scenario())


@given(data=st.data())
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
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


def test_two_perm_ids_of_one_order_are_both_tracked_and_both_cancelled(tmp_path: Path) -> None:
    """nautilus #4564: a modify during link loss leaves two live permIds."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            order = desk.broker.orders[ticket.order_ref]
            twin = attrs.evolve(order.identity, perm_id=555)
            desk.broker.say(OrderReport("fake", twin, BrokerStatus.WORKING))
            assert desk.count("second_perm_ids") == 1
            await desk.orders.cancel("one")
            await desk.settle()
            cancelled = {what.perm_id for kind, what in desk.broker.sent if kind == "cancel"}  # type: ignore[attr-defined]
            assert cancelled == {order.identity.perm_id, 555}

    run(scenario())


def test_an_order_that_lives_twice_calls_a_person_and_ends_with_the_last_of_both(
    tmp_path: Path,
) -> None:
    """nautilus #4564: the survivor was taken for cancelled, and filled six hours later."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            first = desk.broker.orders[ticket.order_ref].identity
            twin = attrs.evolve(first, perm_id=555)
            desk.broker.say(OrderReport("fake", twin, BrokerStatus.WORKING))
            assert desk.orders.state is TradingState.REDUCING
            assert "lives twice" in desk.orders.reason
            desk.broker.say(OrderReport("fake", twin, BrokerStatus.CANCELED))
            assert ticket.state is S.ACCEPTED
            desk.broker.say(OrderReport("fake", first, BrokerStatus.CANCELED))
            assert ticket.state is S.CANCELED

    run(scenario())


def test_an_echo_that_comes_after_a_list_with_the_old_terms_is_believed(tmp_path: Path) -> None:
    """Found by the scenario slow-acks: the change was called refused, and had been made."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            report = desk.broker.report_of(desk.broker.orders[ticket.order_ref])
            live = desk.orders._live("one")
            desk.broker.answers_modifies = False
            await desk.orders.modify("one", limit_price="98")
            await desk.settle()
            (command,) = live.commands
            desk.orders._applier.command(
                live, command, CommandEvent.REFUSE, "a list had the old terms", doubted=True
            )
            assert ticket.order.limit_price != 98
            assert report.terms is not None
            late = attrs.evolve(report, terms=attrs.evolve(report.terms, limit_price=Decimal(98)))
            desk.broker.say(late)
            assert ticket.order.limit_price == 98
            assert not ticket.known.differences
            assert not live.doubted

    run(scenario())


def test_an_echo_that_comes_after_a_restart_is_believed_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            report = desk.broker.report_of(desk.broker.orders[ticket.order_ref])
            desk.broker.answers_modifies = False
            await desk.orders.modify("one", limit_price="98")
            await desk.settle(30)
            assert not ticket.known.pending
        assert report.terms is not None
        late = attrs.evolve(report, terms=attrs.evolve(report.terms, limit_price=Decimal(98)))
        for turn in (2, 3):
            incarnation = attrs.evolve(NODE, incarnation=f"incarnation-{turn}")
            async with floor(tmp_path, broker=desk.broker, node=incarnation) as again:
                if turn == 2:
                    again.broker.say(late)
                assert again.orders.get("one").order.limit_price == 98
                assert not again.orders._live("one").doubted
            desk.broker.orders[ticket.order_ref].message = attrs.evolve(
                desk.broker.orders[ticket.order_ref].message,
                order=again.orders.get("one").order,
            )

    run(scenario())


def test_word_of_too_many_messages_slows_the_pacer_and_asks(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, rate=40) as desk:
            for code in (31337, 420, 162):
                desk.broker.say(BrokerNotice("fake", code, "pacing of something else"))
            assert desk.pacer._rate == 40, "what is limited by other rules has its own pacing"
            desk.broker.say(BrokerNotice("fake", 100, "Max rate of messages per second exceeded"))
            assert desk.pacer._rate == 20

    run(scenario())


def test_an_order_with_our_name_that_the_journal_lost_is_ours(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            report = desk.broker.report_of(desk.broker.orders[ticket.order_ref])
            stem = ticket.order_ref.rpartition("-")[0]
            lost = attrs.evolve(report, identity=OrderIdentity(f"{stem}-LOST", 12, 34, 1))
            by_hand = attrs.evolve(report, identity=OrderIdentity("", 13, 35, 0))
            desk.broker.foreign = [lost, by_hand]
            found = await desk.orders.reconcile("fake")
            assert found.external == 1
            assert desk.orders.get(f"orphan/{stem}-LOST").state is S.ACCEPTED
            assert desk.count("orphans_adopted") == 1
            await desk.orders.halt("test")
            await desk.settle()
            named = {what.order_ref for kind, what in desk.broker.sent if kind == "cancel"}  # type: ignore[attr-defined]
            assert named == {ticket.order_ref, f"{stem}-LOST"}, "never one placed by hand"

    run(scenario())


def test_an_echo_that_differs_from_the_intent_is_said(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            report = desk.broker.report_of(desk.broker.orders[ticket.order_ref])
            assert report.terms is not None
            terms = attrs.evolve(report.terms, time_in_force="GTC", limit_price=Decimal("99"))
            desk.broker.say(attrs.evolve(report, terms=terms))
            desk.broker.say(attrs.evolve(report, terms=terms))
            assert ticket.known.differences == (
                "time in force is GTC where DAY was asked for",
                "limit price is 99 where 100 was asked for",
            )
            assert desk.count("echo_differences") == 1

    run(scenario())


@pytest.mark.parametrize(
    ("code", "text", "state"),
    [
        (201, "Order rejected", S.REJECTED),
        (404, "Shares for this order are not immediately available", S.HELD),
        (399, "your order will be placed at the open", S.ACCEPTED),
        (10147, "order not found", S.ACCEPTED),
        (161, "cancel attempted when order is not in a cancellable state", S.ACCEPTED),
        (202, "Order cancelled", S.ACCEPTED),
        (99999, "something new", S.ACCEPTED),
    ],
)
def test_a_coded_message_ends_an_order_only_where_the_table_says_so(
    tmp_path: Path, code: int, text: str, state: OrderState
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.mode = "silent"
            ticket = await placed(desk)
            order = desk.broker.orders[ticket.order_ref]
            if state is S.ACCEPTED:
                desk.broker.report(order)
            asked = desk.broker.queries
            desk.broker.say(BrokerNotice("fake", code, text, order.identity, 1))
            await desk.settle(1)
            assert ticket.state is state
            assert (desk.broker.queries > asked) is (code in (10147, 161, 202, 99999))

    run(scenario())


def test_what_no_table_knows_about_no_order_asks_for_evidence(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            asked = desk.broker.queries
            desk.broker.say(BrokerNotice("fake", 2104, "Market data farm connection is OK"))
            await desk.settle()
            assert desk.broker.queries == asked
            desk.broker.say(BrokerNotice("fake", 10197, "competing live session"))
            assert desk.orders.state is TradingState.REDUCING
            with pytest.raises(OrderDenied):
                await desk.orders.submit(buy("one"))

    run(scenario())


def test_a_liquidation_pages_and_leaves_only_what_reduces(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            fill = Execution(
                "fake",
                OrderIdentity("", 5),
                "liq.01",
                "DU1",
                AAPL,
                Side.SELL,
                Decimal(10),
                Decimal(90),
                desk.clock.now(),
                liquidation=True,
            )
            desk.broker.say(fill)
            desk.broker.say(fill)
            assert desk.orders.state is TradingState.REDUCING
            assert desk.orders.positions().rows[0].quantity == -10
            await desk.orders.resume("Ada")
            with pytest.raises(UsageError):
                await desk.orders.resume(" ")

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


def test_a_commission_counts_once_and_may_come_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            cost = Commission("fake", "early.01", Decimal("1.5"), "USD")
            desk.broker.say(cost)
            desk.broker.say(cost)
            desk.broker.fill(ticket.order_ref, execution_id="early.01")
            await desk.settle()
            rows = list(desk.journal.read().entries("commission"))
            assert [(row.key, row.body["amount"]) for row in rows] == [("", "1.5"), ("one", "1.00")]

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


def test_two_exits_cannot_flip_the_position(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.held["DU1", AAPL] = Decimal(100)
            await desk.orders.reconcile("fake")
            book = desk.orders._book
            for quantity, proven in ((100, True), (101, False)):
                order = desk.orders._pipeline.complete(sell("x", quantity))
                assert book.reduces(order) is proven
            desk.broker.mode = "lose"
            await placed(desk, sell("first", 60))
            await desk.settle(15)
            assert desk.orders.get("first").state is S.UNKNOWN
            complete = desk.orders._pipeline.complete
            assert book.reduces(complete(sell("second", 40)))
            assert not book.reduces(complete(sell("second", 41)))
            assert not book.reduces(complete(buy("more", 1)))

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


def test_the_message_that_confirms_our_own_cancel_asks_for_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            await desk.orders.cancel("one")
            await desk.settle()
            assert ticket.state is S.CANCELED
            asked = desk.broker.queries
            identity = desk.broker.orders[ticket.order_ref].identity
            desk.broker.say(BrokerNotice("fake", 202, "Order Canceled", identity, 1))
            await desk.settle(1)
            assert desk.broker.queries == asked
            assert desk.count("errors", error_class="info") == 1

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


def test_an_order_whose_number_a_crash_lost_can_be_cancelled_once_it_is_seen(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.mode = "silent"
            ticket = await placed(desk)
            live = desk.orders._live("one")
            number, live.order_id = live.order_id, 0
            await desk.orders.reconcile("fake")
            assert desk.orders._live("one").order_id == number
            await desk.orders.cancel("one")
            await desk.settle()
            assert ticket.state is S.CANCELED

    run(scenario())


def test_a_reduce_only_order_is_held_to_it_whatever_stages_run(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            with pytest.raises(OrderDenied) as caught:
                await desk.orders.submit(sell("one", reduce_only=True))
            assert caught.value.stage == "reduce_only"
            desk.broker.held["DU1", AAPL] = Decimal(100)
            await desk.orders.reconcile("fake")
            await placed(desk, sell("two", reduce_only=True))

    run(scenario())
