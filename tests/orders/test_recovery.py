"""Orders rebuilt from their stories in the journal."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from desk_floor import NODE, Floor, Stage, buy, floor, run, sell

from alluse_core.errors import OrderDenied
from alluse_core.model import (
    LinkState,
    Order,
    OrderGroup,
    OrderIdentity,
    OrderState,
)
from alluse_core.orders import records
from alluse_core.orders.committer import InlineCommitter
from alluse_core.orders.journal import Journal
from alluse_core.orders.records import Kind
from alluse_core.orders.recovery import rebuild
from alluse_core.ports import ALLOW, Decision, OrderView, deny
from alluse_core.testing import VirtualClock


def opened(path: Path, **more: Any) -> Journal:
    committer = more.pop("committer", None) or InlineCommitter()
    return Journal(path, clock=VirtualClock(), node=NODE, committer=committer, **more)


def test_an_order_is_rebuilt_with_all_that_was_recorded_of_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            desk.broker.fill(ticket.order_ref, Decimal(40), Decimal("99"))
            desk.broker.answers_modifies = desk.broker.answers_cancels = False
            await desk.orders.modify("one", quantity=150)
            await desk.settle()
            await desk.orders.flush()
            before = desk.orders._live("one")
            again = rebuild(desk.journal.read().story("one"))
            assert again is not None
            for name in (
                "order",
                "digest",
                "ref",
                "state",
                "order_id",
                "client_id",
                "parent_order_id",
                "perm_ids",
                "fills",
                "legs",
                "executed",
                "quantity",
                "exposed",
                "reducing",
                "adopted",
                "durable",
                "group",
                "entry",
                "oca_group",
                "pending",
            ):
                assert getattr(again, name) == getattr(before, name), name
            desk.broker.answers_modifies = True
            desk.broker.modify(
                attrs.evolve(
                    desk.broker.orders[ticket.order_ref].message,
                    order=attrs.evolve(ticket.order, quantity=Decimal(150)),
                ),
                before.identities()[0],
            )
            await desk.orders.cancel("one")
            await desk.settle()
            await desk.orders.flush()
            again = rebuild(desk.journal.read().story("one"))
            assert again is not None
            assert again.order.quantity == 150
            assert [command.state.value for command in again.commands] == ["SENT"]

    run(scenario())


def test_an_intent_without_its_decision_was_not_sent(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal.db")
    order = sell("one", broker="fake", account="DU1")
    body = {**records.order_fields(order), "digest": records.digest_of(order)}
    journal.append(journal.scribe.row(Kind.ORDER, body, "one", "r", "INTENT"))
    with journal.read() as reader:
        live = rebuild(reader.story("one"))
    assert live is not None
    assert live.state is OrderState.DENIED
    journal.close()


@pytest.mark.parametrize("waits", [False, True])
def test_an_intent_and_its_decision_read_the_same_in_one_record_and_in_two(
    tmp_path: Path, waits: bool
) -> None:
    journal = opened(tmp_path / "journal.db")
    order = buy("one", broker="fake", account="DU1")
    body = {**records.order_fields(order), "digest": records.digest_of(order)}
    decision = {"event": "SUBMIT", **({"waits": True} if waits else {})}
    row = journal.scribe.row
    journal.append(
        row(Kind.ORDER, {**body, **decision}, "one", "r", "SUBMITTED"),
        row(Kind.ORDER, body, "two", "r", "INTENT"),
        row(Kind.EVENT, decision, "two", "r", "SUBMITTED"),
    )
    with journal.read() as reader:
        one, two = rebuild(reader.story("one")), rebuild(reader.story("two"))
    assert one is not None
    assert two is not None
    assert (one.state, one.waits, one.words) == (two.state, two.waits, two.words)
    assert (one.state, one.waits) == (OrderState.SUBMITTED, waits)
    assert one.words == ("agent: SUBMIT",)
    journal.close()


def _refuse(order: Order, view: OrderView) -> Decision:
    return deny("too much", limit=5, value=order.quantity, source="test")


def test_a_denial_is_rebuilt_with_the_stage_and_its_figures(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, stages=(Stage(_refuse),)) as desk:
            with pytest.raises(OrderDenied):
                await desk.orders.submit(buy("one"))
            await desk.orders.flush()
            again = rebuild(desk.journal.read().story("one"))
            assert again is not None
            assert again.state is OrderState.DENIED
            assert again.denial is not None
            stage, decision = again.denial
            assert (stage, decision.reason, decision.limit) == ("test_stage", "too much", "5")
            assert (decision.value, decision.source) == ("100", "test")

    run(scenario())


def test_the_orders_of_a_bracket_and_one_that_was_adopted_are_rebuilt_with_their_names(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            bracket = OrderGroup.bracket(buy("entry"), take_profit="110", stop="90")
            await desk.orders.submit(bracket)
            await desk.settle()
            entry = next(iter(desk.broker.orders.values()))
            report = desk.broker.report_of(entry)
            stem = entry.identity.order_ref.rpartition("-")[0]
            lost = OrderIdentity(f"{stem}-LOST", 12, 34, 5)
            desk.broker.say(attrs.evolve(report, identity=lost))
            await desk.orders.flush()
            keys = [live.key for live in desk.orders._book.live("fake")]
            assert len(keys) == 4
            reader = desk.journal.read()
            for key in keys:
                before, again = desk.orders._live(key), rebuild(reader.story(key))
                assert again is not None
                for name in ("order_id", "client_id", "entry", "group", "group_kind"):
                    assert getattr(again, name) == getattr(before, name), (key, name)
                assert again.oca_group == before.oca_group
                assert (again.parent_order_id, again.adopted) == (
                    before.parent_order_id,
                    key.startswith("orphan/"),
                )
            exits = [rebuild(reader.story(key)) for key in keys[1:3]]
            assert all(each is not None and each.oca_group and each.entry for each in exits)
            adopted = rebuild(reader.story(keys[3]))
            assert adopted is not None
            assert (adopted.order_id, adopted.client_id) == (34, 5)

    run(scenario())


def test_a_command_that_was_deferred_may_have_been_sent_for_all_a_restart_knows(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await desk.orders.submit(buy("one"))
            await desk.settle()
            desk.broker.turn(LinkState.DOWN)
            cancel = await desk.orders.cancel("one")
            await desk.settle()
            assert cancel.state.value == "QUEUED"
            await desk.orders.flush()
            again = rebuild(desk.journal.read().story("one"))
            assert again is not None
            assert [each.state.value for each in again.commands] == ["SENT"]

    run(scenario())


def test_a_command_whose_request_was_not_written_down_changes_no_rebuilt_order(
    tmp_path: Path,
) -> None:
    journal = opened(tmp_path / "journal.db")
    order = buy("one", broker="fake", account="DU1")
    body = {**records.order_fields(order), "digest": records.digest_of(order)}
    journal.append(
        journal.scribe.row(Kind.ORDER, body, "one", "r", "SUBMITTED"),
        journal.scribe.row(
            Kind.COMMAND,
            {"command": 7, "event": "CONFIRM", "command_state": "CONFIRMED"},
            "one",
            "r",
            "ACCEPTED",
        ),
    )
    with journal.read() as reader:
        live = rebuild(reader.story("one"))
    assert live is not None
    assert (live.order, live.state, live.commands) == (order, OrderState.ACCEPTED, ())
    journal.close()


# --- what was sent, and what was not, when the process ended -------------------------------------


def killed(desk: Floor) -> None:
    """Nothing is withdrawn in order, and the journal stays as it is."""
    desk.orders._life.withdraw_unsent = lambda: None  # type: ignore[method-assign]


def test_an_order_that_left_is_not_taken_for_unsent_since_its_cancel_was_recorded(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.mode = "silent"
            desk.broker.answers_cancels = False
            await desk.orders.submit(buy("one"))
            await desk.settle()
            await desk.orders.cancel("one")
            await desk.settle()
            killed(desk)
        async with floor(tmp_path, broker=desk.broker, clock=desk.clock) as again:
            assert again.orders.get("one").state is OrderState.ACCEPTED
            assert again.count("impossible_events") == 0

    run(scenario())


def test_an_order_that_waited_its_turn_and_left_is_not_taken_for_unsent(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, rate=1) as desk:
            desk.broker.mode = "silent"
            for key in ("one", "two"):
                await desk.orders.submit(buy(key))
            await desk.settle(5)
            assert len(desk.broker.sent) == 2
            killed(desk)
        async with floor(tmp_path, broker=desk.broker, clock=desk.clock) as again:
            assert again.orders.get("two").state is OrderState.ACCEPTED
            assert again.count("impossible_events") == 0

    run(scenario())


def test_an_order_that_waited_its_turn_is_known_to_be_unsent_also_when_it_was_to_be_changed(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, rate=1) as desk:
            for key in ("one", "two", "three"):
                await desk.orders.submit(buy(key))
            await desk.orders.modify("three", quantity=150)
            await desk.orders.flush()
            killed(desk)
        sent = len(desk.broker.sent)
        async with floor(tmp_path, broker=desk.broker, clock=desk.clock) as again:
            await again.settle(30)
            third = again.orders.get("three")
            assert (third.state, third.known.reason) == (
                *(OrderState.CANCELED, "the process ended before it was sent"),
            )
            assert len(again.broker.sent) == sent

    run(scenario())


def test_an_order_that_got_no_number_has_none_after_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, stages=(Stage(_refuse),)) as desk:
            with pytest.raises(OrderDenied):
                await desk.orders.submit(buy("one"))
            await desk.orders.flush()
            again = rebuild(desk.journal.read().story("one"))
            assert again is not None
            assert (again.order_id, again.client_id, again.perm_ids) == (0, 0, ())

    run(scenario())


def test_an_order_whose_change_was_denied_is_rebuilt_without_it(tmp_path: Path) -> None:
    def small(order: Order, _: OrderView) -> Decision:
        return ALLOW if order.quantity <= 100 else deny("too large")

    async def scenario() -> None:
        async with floor(tmp_path, stages=(Stage(small),)) as desk:
            await desk.orders.submit(buy("one"))
            await desk.settle()
            with pytest.raises(OrderDenied):
                await desk.orders.modify("one", quantity=150)
        again = attrs.evolve(NODE, incarnation="incarnation-2")
        async with floor(tmp_path, broker=desk.broker, node=again) as desk:
            live = desk.orders._live("one")
            assert (live.order.quantity, live.commands) == (100, ())

    run(scenario())
