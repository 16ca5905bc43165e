"""The way in and out of one order."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from desk_floor import AAPL, Stage, buy, floor, run, sell

from alluse_core.errors import (
    CommandRejected,
    JournalCorrupt,
    JournalError,
    KeyConflict,
    OrderDenied,
    OrderError,
    OrderNotFound,
    TradingHalted,
)
from alluse_core.model import Order, OrderGroup, OrderState, Side
from alluse_core.orders.committer import ThreadCommitter
from alluse_core.orders.journal import JournalReader, verify
from alluse_core.orders.states import CommandState
from alluse_core.ports import ALLOW, Decision, OrderView, StagePhase, deny
from alluse_core.settings import OrdersSettings


def test_an_order_is_durable_sent_and_acknowledged(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, committer=ThreadCommitter()) as desk:
            ticket = await desk.orders.submit(buy("one"))
            with JournalReader(tmp_path / "journal.db") as reader:
                states = [entry.state for entry in reader.story("one")]
            # Nothing holds back what is durable: its answer may be on disk by now as well.
            assert states[:1] == ["SUBMITTED"]
            await desk.settle()
            assert ticket.state is OrderState.ACCEPTED
            assert [kind for kind, _ in desk.broker.sent] == ["place"]
            desk.broker.fill(ticket.order_ref)
            outcome = await ticket.outcome(timeout=1)
            assert (outcome.state, outcome.settled) == (OrderState.FILLED, True)
            assert (outcome.filled, outcome.average_price) == (Decimal(100), Decimal(100))
            assert outcome.evidence
            assert desk.orders.positions().rows[0].quantity == 100
            for metric in ("orders_submitted", "orders_acked", "fills"):
                assert desk.count(metric) == 1
        assert verify(tmp_path / "journal.db").ok

    run(scenario())


def test_a_resting_order_is_known_and_not_settled(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            waiting = asyncio.ensure_future(ticket.outcome(timeout=5))
            await desk.settle(6)
            outcome = await waiting
            assert (outcome.state, outcome.settled) == (OrderState.ACCEPTED, False)

    run(scenario())


def test_the_same_key_with_the_same_content_is_sent_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            first, again = await asyncio.gather(
                desk.orders.submit(buy("one")), desk.orders.submit(buy("one", price="100.0"))
            )
            assert first == again
            await desk.settle()
            assert len(desk.broker.sent) == 1
            with pytest.raises(KeyConflict):
                await desk.orders.submit(buy("one", quantity=5))

    run(scenario())


def test_a_key_stays_used_after_a_restart_and_after_its_order_left_memory(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.orders._book.keep_ended = 1
            desk.broker.mode = "fill"
            for key in ("one", "two", "three"):
                await desk.orders.submit(buy(key))
                await desk.settle()
            assert len(desk.orders.all()) == 1
            again = await desk.orders.submit(buy("one"))
            assert again.state is OrderState.FILLED
            assert desk.orders._book.get("one") is not None, "it stands in the book again"
            with pytest.raises(KeyConflict):
                await desk.orders.submit(sell("two"))
            archive = desk.orders._archive
            reader = archive.reader()
            assert archive.reader() is reader
            archive.close()
            with pytest.raises(JournalCorrupt, match="closed"):
                list(reader.entries())
            assert archive.by_key("three") is not None, "the next question opens it again"
            broker = desk.broker
        async with floor(tmp_path, broker=broker, clock=desk.clock) as desk:
            assert (await desk.orders.submit(buy("three"))).state is OrderState.FILLED
            with pytest.raises(KeyConflict):
                await desk.orders.submit(buy("one", price="7"))
            assert len(broker.sent) == 3
            assert desk.orders.get("two").known.filled == 100
            with pytest.raises(OrderNotFound):
                desk.orders.get("four")

    run(scenario())


def test_a_denial_is_journaled_with_its_figures_and_nothing_is_sent(tmp_path: Path) -> None:
    def refuse(order: Order, view: OrderView) -> Decision:
        return deny("too much", limit=5, value=order.quantity, source="[E]")

    async def scenario() -> None:
        async with floor(tmp_path, stages=(Stage(refuse),)) as desk:
            for _ in range(2):
                with pytest.raises(OrderDenied, match="too much") as caught:
                    await desk.orders.submit(buy("one"))
                assert caught.value.stage == "test_stage"
            assert not desk.broker.sent
            story = desk.journal.read().story("one")
            assert story[-1].state == "DENIED"
            assert story[-1].body["limit"] == "5"
            assert desk.count("orders_denied") == 1
            assert desk.count("denials", stage="test_stage") == 1

    run(scenario())


def _raises(order: Order, view: OrderView) -> Decision:
    raise RuntimeError("boom")


def test_a_stage_that_raises_denies_new_risk_only(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, stages=(Stage(_raises),)) as desk:
            with pytest.raises(OrderDenied, match="boom"):
                await desk.orders.submit(buy("one"))
            desk.broker.held["DU1", AAPL] = Decimal(100)
            await desk.orders.reconcile("fake")
            exit_ticket = await desk.orders.submit(sell("exit"))
            await desk.settle()
            assert exit_ticket.state is OrderState.ACCEPTED
            with pytest.raises(OrderDenied):
                await desk.orders.submit(sell("second exit", quantity=1))

    run(scenario())


def test_a_validate_stage_holds_for_exits_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        stage = Stage(_raises, phase=StagePhase.VALIDATE)
        async with floor(tmp_path, stages=(stage,)) as desk:
            desk.broker.held["DU1", AAPL] = Decimal(100)
            await desk.orders.reconcile("fake")
            with pytest.raises(OrderDenied):
                await desk.orders.submit(sell("exit"))

    run(scenario())


def test_a_stage_that_overruns_its_budget_denies_and_is_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, stages=()) as desk:

            def slow(order: Order, view: OrderView) -> Decision:
                desk.clock._monotonic += 1.2
                return ALLOW

            desk.orders._pipeline._checks._risk = (Stage(slow, "sleeper"),)
            with pytest.raises(OrderDenied, match="sleeper") as caught:
                await desk.orders.submit(buy("one"))
            assert caught.value.stage == "sleeper"

    run(scenario())


def test_a_live_account_needs_its_name_in_the_settings(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, accounts=("U7",)) as desk:
            with pytest.raises(OrderDenied) as caught:
                await desk.orders.submit(buy("one"))
            assert caught.value.stage == "live_account"
        settings = OrdersSettings(stages=(), live_account="U7")
        async with floor(tmp_path, accounts=("U7",), settings=settings) as desk:
            await desk.orders.submit(buy("two"))
            with pytest.raises(OrderDenied):
                await desk.orders.submit(buy("three", account="U8"))
            with pytest.raises(OrderError, match="did you mean 'fake'"):
                await desk.orders.submit(buy("four", broker="fakr"))

    run(scenario())


def test_a_submit_that_is_cancelled_is_not_retracted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, committer=ThreadCommitter()) as desk:
            task = asyncio.ensure_future(desk.orders.submit(buy("one")))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            assert ticket.state is OrderState.ACCEPTED
            assert len(desk.broker.sent) == 1

    run(scenario())


def test_a_bracket_is_one_intent_one_turn_and_transmits_with_its_last(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, rate=50) as desk:
            group = OrderGroup.bracket(buy("entry"), take_profit="110", stop="90")
            ticket = await desk.orders.submit(group)
            await desk.settle()
            ((kind, messages),) = desk.broker.sent
            assert kind == "place"
            first, profit, stop = messages  # type: ignore[misc]
            assert [first.transmit, profit.transmit, stop.transmit] == [False, False, True]
            assert [profit.order_id, stop.order_id] == [first.order_id + 1, first.order_id + 2]
            assert profit.parent_order_id == stop.parent_order_id == first.order_id
            assert first.oca_group == ""
            assert profit.oca_group == stop.oca_group != ""
            assert await desk.orders.submit(group) is not None
            assert len(desk.broker.sent) == 1
            assert ticket["entry/stop"].state is OrderState.ACCEPTED
            with pytest.raises(KeyConflict):
                await desk.orders.submit(OrderGroup.oca(buy("entry"), buy("other"), key="x"))

    run(scenario())


def test_modify_and_cancel_are_commands_beside_the_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            change = await desk.orders.modify("one", limit_price="99.5")
            assert ticket.known.pending is not None
            await desk.settle()
            assert change.state is CommandState.CONFIRMED
            assert ticket.order.limit_price == Decimal("99.5")
            cancel = await desk.orders.cancel("one")
            assert await cancel.outcome(timeout=1) is CommandState.CONFIRMED
            assert ticket.state is OrderState.CANCELED
            for call in (desk.orders.cancel("one"), desk.orders.modify("one", quantity=3)):
                with pytest.raises(CommandRejected):
                    await call
            assert desk.journal.read().order("one").order.limit_price == Decimal("99.5")

    run(scenario())


def test_a_refused_modify_leaves_the_order_as_it_was(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            from alluse_core.model import BrokerNotice

            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            desk.broker.answers_modifies = False
            change = await desk.orders.modify("one", quantity=200)
            await desk.settle()
            assert desk.orders._live("one").remaining == 200
            identity = desk.broker.orders[ticket.order_ref].identity
            desk.broker.say(BrokerNotice("fake", 110, "price does not conform", identity))
            assert change.state is CommandState.REFUSED
            with pytest.raises(CommandRejected, match="110"):
                await change.outcome()
            assert ticket.state is OrderState.ACCEPTED
            assert ticket.order.quantity == 100
            # The message may have been about something else: the larger quantity counts until
            # the broker shows the old terms, for which it is asked at once.
            assert desk.orders._live("one").remaining == 200
            await desk.settle(1)
            assert desk.orders._live("one").remaining == 100

    run(scenario())


def test_the_cancel_of_an_unsent_order_withdraws_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, rate=1) as desk:
            await desk.orders.submit(buy("one"))
            waiting = await desk.orders.submit(buy("two"))
            await desk.settle()
            assert len(desk.broker.sent) == 1
            command = await desk.orders.cancel("two")
            assert waiting.state is OrderState.CANCELED
            assert command.state is CommandState.WITHDRAWN
            await desk.settle(5)
            assert len(desk.broker.sent) == 1

    run(scenario())


def test_cancels_and_exits_go_before_orders_that_wait_for_their_turn(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, rate=1) as desk:
            desk.broker.held["DU1", AAPL] = Decimal(100)
            await desk.orders.reconcile("fake")
            first = await desk.orders.submit(buy("first"))
            await desk.settle()
            for key in ("a", "b"):
                await desk.orders.submit(buy(key))
            await desk.orders.submit(sell("exit"))
            await desk.orders.cancel("first")
            await desk.settle(10)
            assert first.state is OrderState.CANCELED
            kinds = [
                kind if kind != "place" else what[0].order.key  # type: ignore[index]
                for kind, what in desk.broker.sent
            ]
            # 'a' was first in its lane and waited at the pacer before the others came.
            assert kinds == ["first", "cancel", "exit", "a", "b"]

    run(scenario())


def test_halt_cancels_what_increases_risk_and_keeps_protection(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.held["DU1", AAPL] = Decimal(100)
            await desk.orders.reconcile("fake")
            more = await desk.orders.submit(buy("more"))
            stop = await desk.orders.submit(Order.stop(AAPL, Side.SELL, 100, "90", key="stop"))
            await desk.settle()
            await desk.orders.halt("test")
            await desk.settle()
            assert more.state is OrderState.CANCELED
            assert stop.state is OrderState.ACCEPTED
            with pytest.raises(TradingHalted):
                await desk.orders.submit(buy("new"))
            broker = desk.broker
        async with floor(tmp_path, broker=broker, clock=desk.clock) as desk:
            assert desk.orders.state.value == "HALTED"
            await desk.orders.resume(by="Ada")
            await desk.orders.submit(buy("after"))

    run(scenario())


def test_flatten_closes_positions_and_cancels_protection_last(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.held["DU1", AAPL] = Decimal(100)
            await desk.orders.reconcile("fake")
            await desk.orders.submit(Order.stop(AAPL, Side.SELL, 100, "90", key="stop"))
            await desk.settle(2)
            desk.broker.mode = "fill"
            result = await desk.orders.flatten()
            assert not result.still_open
            await desk.settle()
            assert [kind for kind, _ in desk.broker.sent] == ["place", "place", "cancel"]
            assert not desk.orders.positions().rows

    run(scenario())


def test_no_new_risk_is_sent_when_the_journal_cannot_be_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await desk.orders.submit(buy("before"))
            await desk.settle()
            write, failing = desk.journal._committer._write, True  # type: ignore[attr-defined]

            def full(rows: object) -> None:
                if failing:
                    raise JournalError("database or disk is full")
                write(rows)

            desk.journal._committer._write = full  # type: ignore[attr-defined]
            with pytest.raises(JournalError):
                await desk.orders.submit(buy("one"))
            with pytest.raises(JournalError):
                await desk.orders.submit(buy("two"))
            assert len(desk.broker.sent) == 1
            cancel = await desk.orders.cancel("before")
            await desk.settle()
            assert cancel.state is CommandState.CONFIRMED
            failing = False
            await desk.settle(3)
            assert not desk.journal.trouble
            await desk.orders.submit(buy("three"))
        assert verify(tmp_path / "journal.db").ok
        with JournalReader(tmp_path / "journal.db") as reader:
            assert reader.order("one").state is OrderState.DENIED
            assert reader.order("before").state is OrderState.CANCELED

    run(scenario())
