"""What a broker's coded message is about, and what it does to orders."""

from __future__ import annotations

import asyncio
from pathlib import Path

import attrs
import pytest
from desk_floor import Floor, HeldDisk, buy, floor, placed, run

from alluse_core.errors import (
    CommandRejected,
    OrderDenied,
)
from alluse_core.model import (
    BrokerNotice,
    BrokerStatus,
    OrderState,
    TimeInForce,
)
from alluse_core.orders.states import CommandState
from alluse_core.ports import TradingState
from alluse_core.settings import ErrorRule, OrdersSettings, RuleClass, RuleVerb


def _deaf(*_: object) -> None:
    """Take a command and say nothing of it."""


async def _unanswered(desk: Floor) -> BrokerNotice:
    """Place an order whose acknowledgement does not come; return a rejection of it."""
    desk.broker.mode = "silent"
    desk.broker.modify = desk.broker.cancel = _deaf  # type: ignore[method-assign]
    await desk.orders.submit(buy("one"))
    await desk.settle()
    (order,) = desk.broker.orders.values()
    return BrokerNotice("fake", 201, "Order rejected", order.identity, 1)


@pytest.mark.parametrize(
    ("at_the_broker", "state"),
    [
        (BrokerStatus.REJECTED, OrderState.REJECTED),
        (BrokerStatus.WORKING, OrderState.ACCEPTED),
    ],
)
def test_a_rejection_before_the_first_answer_is_the_places_or_the_modifys_as_the_lists_say(
    tmp_path: Path, at_the_broker: BrokerStatus, state: OrderState
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            rejection = await _unanswered(desk)
            change = await desk.orders.modify("one", limit_price="99.5")
            await desk.settle()
            (order,) = desk.broker.orders.values()
            order.status = at_the_broker
            desk.broker.say(rejection)
            assert desk.orders.get("one").state is OrderState.SUBMITTED
            await desk.settle(1)
            assert desk.orders.get("one").state is state
            duplicate = BrokerNotice("fake", 103, "Duplicate order id", rejection.identity, 1)
            desk.broker.say(duplicate)
            await desk.settle(30)
            assert desk.orders.get("one").state is state
            assert not change.state.is_pending

    run(scenario())


def test_a_rejection_before_the_first_answer_is_the_places_where_a_change_has_not_left(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, committer=(disk := HeldDisk())) as desk:
            rejection = await _unanswered(desk)
            disk.holds = True
            change = asyncio.ensure_future(desk.orders.modify("one", limit_price="99.5"))
            await desk.settle()
            desk.broker.say(rejection)
            assert desk.orders.get("one").state is OrderState.REJECTED
            disk.release()
            assert (await change).state is CommandState.WITHDRAWN

    run(scenario())


def test_after_a_status_that_left_it_submitted_a_rejection_is_the_modifys(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            rejection = await _unanswered(desk)
            (order,) = desk.broker.orders.values()
            pending = attrs.evolve(desk.broker.report_of(order), status=BrokerStatus.PENDING)
            desk.broker.say(pending)
            change = await desk.orders.modify("one", limit_price="99.5")
            await desk.settle()
            desk.broker.say(rejection)
            assert desk.orders.get("one").state is OrderState.SUBMITTED
            assert change.state is CommandState.REFUSED

    run(scenario())


def test_a_rejection_before_the_first_answer_is_not_the_cancels(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            rejection = await _unanswered(desk)
            cancel = await desk.orders.cancel("one")
            await desk.settle()
            desk.broker.say(rejection)
            assert desk.orders.get("one").state is OrderState.REJECTED
            assert cancel.state is not CommandState.CONFIRMED

    run(scenario())


@pytest.mark.parametrize("code", [161, 10148])
def test_a_code_that_speaks_of_cancels_answers_the_cancel(tmp_path: Path, code: int) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            rejection = await _unanswered(desk)
            cancel = await desk.orders.cancel("one")
            await desk.settle()
            desk.broker.say(BrokerNotice("fake", code, "cannot cancel", rejection.identity, 1))
            assert desk.orders.get("one").state is not OrderState.REJECTED
            assert cancel.state is CommandState.REFUSED

    run(scenario())


@pytest.mark.parametrize("code", [202, 10147])
def test_a_code_of_cancels_rejects_no_order_that_was_not_answered_yet(
    tmp_path: Path, code: int
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            rejection = await _unanswered(desk)
            cancel = await desk.orders.cancel("one")
            await desk.settle()
            desk.broker.say(BrokerNotice("fake", code, "of the cancel", rejection.identity, 1))
            assert desk.orders.get("one").state is OrderState.SUBMITTED
            assert cancel.state is CommandState.SENT
            assert desk.count("unasked_cancels") == 0

    run(scenario())


def test_a_message_that_an_order_is_held_is_the_first_word_that_the_broker_has_it(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            rejection = await _unanswered(desk)
            await desk.settle(2)
            desk.broker.say(BrokerNotice("fake", 404, "locating", rejection.identity, 1))
            live = desk.orders._live("one")
            assert live.state is OrderState.HELD
            assert live.held
            assert live.acked_at == live.evidence_at == desk.clock.monotonic()
            assert live.reason == "404 locating"

    run(scenario())


@pytest.mark.parametrize("code", [1101, 504])
def test_word_of_the_link_alone_asks_nothing_the_link_itself_will(
    tmp_path: Path, code: int
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            before = desk.count("reconciliations", broker="fake")
            assert before == 1, "the start asks once"
            desk.broker.say(BrokerNotice("fake", code, "of the link", None, -1))
            await desk.settle(1)
            assert desk.count("reconciliations", broker="fake") == before
            desk.broker.say(BrokerNotice("fake", 103, "of some order", None, -1))
            await desk.settle(1)
            assert desk.count("reconciliations", broker="fake") == before + 1

    run(scenario())


def test_a_202_that_nobody_asked_for_is_no_answer_also_after_the_status(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            (order,) = desk.broker.orders.values()
            desk.broker.cancel_by_broker(ticket.order_ref)
            desk.broker.say(BrokerNotice("fake", 202, "Order Canceled", order.identity, 1))
            assert desk.count("errors", error_class="command_reject") == 1
            assert desk.count("errors", error_class="info") == 0
            asked = desk.count("reconciliations", broker="fake")
            await desk.settle(1)
            assert desk.count("reconciliations", broker="fake") == asked + 1

    run(scenario())


def test_after_the_first_answer_a_rejection_is_the_modifys(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await desk.orders.submit(buy("one"))
            await desk.settle()
            desk.broker.modify = _deaf  # type: ignore[method-assign]
            change = await desk.orders.modify("one", limit_price="99.5")
            await desk.settle()
            (order,) = desk.broker.orders.values()
            desk.broker.say(BrokerNotice("fake", 201, "Order rejected", order.identity, 1))
            assert change.state is CommandState.REFUSED
            assert desk.orders.get("one").state is OrderState.ACCEPTED

    run(scenario())


def test_an_unknown_order_is_not_modified_since_that_could_place_it_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.mode = "lose"
            await desk.orders.submit(buy("one"))
            await desk.settle(30)
            assert desk.orders.get("one").state is OrderState.UNKNOWN
            sent = len(desk.broker.sent)
            with pytest.raises(CommandRejected, match="second time"):
                await desk.orders.modify("one", limit_price="99.5")
            assert len(desk.broker.sent) == sent

    run(scenario())


def test_a_modify_that_waits_is_not_sent_once_its_order_ended(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, rate=1) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle(5)
            await desk.orders.submit(buy("two", price="98"))
            change = await desk.orders.modify("one", limit_price="99.5")
            desk.broker.fill(ticket.order_ref)
            await desk.settle(5)
            assert change.state is CommandState.WITHDRAWN
            assert [kind for kind, _ in desk.broker.sent] == ["place", "place"]

    run(scenario())


@pytest.mark.parametrize("status_first", [True, False])
def test_an_unasked_cancel_told_by_status_and_message_is_counted_once(
    tmp_path: Path, status_first: bool
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one", time_in_force=TimeInForce.GTC))
            await desk.settle()
            (order,) = desk.broker.orders.values()
            if status_first:
                desk.broker.cancel_by_broker(ticket.order_ref)
            desk.broker.say(BrokerNotice("fake", 202, "Order Canceled", order.identity, 1))
            if not status_first:
                desk.broker.cancel_by_broker(ticket.order_ref)
            await desk.settle()
            assert desk.orders.get("one").state is OrderState.CANCELED
            assert desk.count("unasked_cancels") == 1

    run(scenario())


S = OrderState


def test_word_of_too_many_messages_slows_the_pacer_and_asks(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, rate=40) as desk:
            for code in (31337, 420, 162):
                desk.broker.say(BrokerNotice("fake", code, "pacing of something else"))
            assert desk.pacer._rate == 40, "what is limited by other rules has its own pacing"
            desk.broker.say(BrokerNotice("fake", 100, "Max rate of messages per second exceeded"))
            assert desk.pacer._rate == 20

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


def test_a_cancel_that_nobody_asked_for_is_counted_also_where_only_a_message_tells_it(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            identity = desk.broker.orders[ticket.order_ref].identity
            for _ in range(2):
                desk.broker.say(BrokerNotice("fake", 202, "Order Canceled", identity, 1))
            assert desk.count("unasked_cancels") == 1
            assert desk.orders.get("one").known.reason == "202 Order Canceled"

    run(scenario())


@pytest.mark.parametrize("code", [161, 202, 10147, 10148])
def test_a_code_of_cancels_is_the_cancels_answer_to_a_rule_of_the_settings_too(
    tmp_path: Path, code: int
) -> None:
    rule = ErrorRule((code,), RuleClass.COMMAND_REJECT, "seen here", verbs=(RuleVerb.CANCEL,))
    settings = OrdersSettings(stages=(), settle_seconds=0.0, errors=(rule,))

    async def scenario() -> None:
        async with floor(tmp_path, settings=settings) as desk:
            rejection = await _unanswered(desk)
            await desk.orders.cancel("one")
            await desk.settle()
            desk.broker.say(BrokerNotice("fake", code, "of the cancel", rejection.identity, 1))
            await desk.orders.flush()
            (told,) = (each for each in desk.journal.read().story("one") if each.kind == "notice")
            assert told.body["rule"].startswith("seen here")

    run(scenario())
