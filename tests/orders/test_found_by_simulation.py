"""What sessions in virtual time brought to light, each in its smallest form."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import attrs
import pytest
from desk_floor import AAPL, NODE, HeldDisk, buy, deaf, floor, run, sell

from alluse_core.errors import CommandRejected, JournalError, NotSent
from alluse_core.model import BrokerNotice, BrokerStatus, LinkState, OrderReport, OrderState, Side
from alluse_core.orders.journal import JournalReader
from alluse_core.orders.states import CommandState
from alluse_core.testing import VirtualClock
from alluse_core.testing.fakes import FakeBroker

S = OrderState
NEXT = attrs.evolve(NODE, incarnation="incarnation-2")
ACCOUNT = ("fake", "DU1")


def test_a_fill_that_a_status_told_counts_until_its_execution_is_in_hand(tmp_path: Path) -> None:
    """A status said "filled", the execution was lost: the quantity counted nowhere."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one", 100))
            await desk.settle()
            order = desk.broker.orders[ticket.order_ref]
            order.filled, order.status = Decimal(100), BrokerStatus.FILLED
            desk.broker.report(order)
            assert ticket.state is S.FILLED
            book = desk.orders._book
            (counted,) = [live.as_working() for live in book.working(ACCOUNT, AAPL)]
            assert counted.remaining == 100
            assert not book.live()
            order.filled = Decimal(0)
            desk.broker.fill(ticket.order_ref, Decimal(100))
            assert book.position(ACCOUNT, AAPL) == 100
            assert not book.working(ACCOUNT, AAPL)

    run(scenario())


class LateTeller(FakeBroker):
    """Fills while its positions are asked for, and tells of the fill later."""

    waiting = ""

    async def positions(self):  # type: ignore[no-untyped-def]
        """Fill first, so that the list holds what nobody was told of."""
        if self.waiting:
            with deaf(self):
                self.fill(self.waiting)
            self.waiting = ""
        return await super().positions()


def test_a_fill_inside_a_position_list_is_not_counted_again_when_it_is_told(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        broker = LateTeller(lambda _: None, clock=clock)
        async with floor(tmp_path, broker=broker, clock=clock) as desk:
            ticket = await desk.orders.submit(buy("one", 55))
            await desk.settle()
            broker.waiting = ticket.order_ref
            await desk.orders.reconcile("fake")
            broker.say(broker.fills[0])
            assert desk.orders._book.position(ACCOUNT, AAPL) == 55
            assert desk.count("position_mismatches") == 0

    run(scenario())


def test_of_two_changes_the_echo_of_the_second_ends_both(tmp_path: Path) -> None:
    """The first one's echo was lost with the link; both waited for ever."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one", 100, "100"))
            await desk.settle()
            desk.broker.answers_modifies = False
            first = await desk.orders.modify("one", limit_price="101")
            await desk.settle()
            desk.broker.answers_modifies = True
            second = await desk.orders.modify("one", quantity=105)
            await desk.settle()
            assert await second.outcome(5) is CommandState.CONFIRMED
            with pytest.raises(CommandRejected, match="a later change took its place"):
                await first.outcome(5)
            assert ticket.order.quantity == 105
            assert ticket.known.pending is None

    run(scenario())


def test_a_change_that_a_stray_refusal_seemed_to_end_is_still_believed(tmp_path: Path) -> None:
    """Seed 1708: a 161 about nothing came while the change was on its way, and the change was made.

    Until the broker shows terms the larger quantity counts, or a cap could be passed.
    """

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            held = desk.broker.orders[ticket.order_ref]
            desk.broker.answers_modifies = False
            change = await desk.orders.modify("one", quantity=150)
            await desk.settle()
            desk.broker.say(BrokerNotice("fake", 161, "cannot be cancelled", held.identity))
            assert change.state is CommandState.REFUSED
            live = desk.orders._live("one")
            assert (ticket.order.quantity, live.exposed) == (100, 150)
            report = desk.broker.report_of(held)
            assert report.terms is not None
            terms = attrs.evolve(report.terms, quantity=Decimal(150))
            desk.broker.say(attrs.evolve(report, terms=terms))
            assert change.state is CommandState.CONFIRMED
            assert (ticket.order.quantity, live.exposed) == (150, 150)
            assert not ticket.known.differences

    run(scenario())


def test_of_the_changes_that_count_as_refused_without_proof_the_newest_are_kept(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            held = desk.broker.orders[ticket.order_ref]
            desk.broker.answers_modifies = False
            for turn in range(12):
                await desk.orders.modify("one", limit_price=Decimal(80 + turn))
                await desk.settle()
                desk.broker.say(BrokerNotice("fake", 161, "cannot be cancelled", held.identity))
            doubted = desk.orders._live("one").doubted
            assert [each.order.limit_price for each in doubted if each.order] == [*range(84, 92)]

    run(scenario())


def test_an_order_that_the_broker_lists_untransmitted_is_held(tmp_path: Path) -> None:
    """A bracket whose last order never arrived stayed SUBMITTED, as if nothing were known."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.mode = "silent"
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            desk.broker.orders[ticket.order_ref].status = BrokerStatus.PENDING
            await desk.orders.reconcile("fake")
            assert ticket.state is S.HELD

    run(scenario())


def test_an_order_called_cancelled_lives_again_although_it_was_told_of_meanwhile(
    tmp_path: Path,
) -> None:
    """The report that came with the list made the list look old, and the questions never ended."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            order = desk.broker.orders[ticket.order_ref]
            order.status = BrokerStatus.CANCELED
            desk.broker.report(order)
            assert ticket.state is S.CANCELED
            await desk.settle(1)
            order.status = BrokerStatus.WORKING
            asked = desk.broker.queries
            desk.broker.report(order)
            await desk.settle(5)
            assert ticket.state is S.ACCEPTED
            assert desk.count("impossible_events") >= 1
            assert desk.broker.queries - asked < 20, "a contradiction is settled, not asked about"

    run(scenario())


def test_what_still_waited_for_its_turn_at_a_crash_is_known_not_to_have_left(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        broker = FakeBroker(lambda _: None, clock=clock)
        async with floor(tmp_path, broker=broker, clock=clock, rate=50.0) as desk:
            for number in range(30):
                await desk.orders.submit(buy(f"key-{number}"))
            sent = {m.order.key for _, what in broker.sent for m in what}  # type: ignore[attr-defined]
            released = _released(tmp_path)
            assert sent <= released
            assert len(released - sent) <= 8, "released only as far ahead as may leave at once"
            # The process ends here: nothing more is written or sent.
            await _cut_off(desk)
        revived = FakeBroker(lambda _: None, clock=clock)
        async with floor(tmp_path, broker=revived, clock=clock, node=NEXT) as desk:
            await desk.settle(1)
            states = {key: desk.orders.get(key).state for key in (f"key-{n}" for n in range(30))}
            assert {key for key, state in states.items() if state is S.CANCELED} == (
                set(states) - released
            )
            assert {states[key] for key in released} == {S.UNKNOWN}
            assert len(released) < 20
            told = desk.orders.get("key-29").known.reason
            assert "ended before it was sent" in told
            last = desk.journal.read().story("key-29")[-1]
            assert (last.body["source"], last.body["event"]) == ("recovery", "WITHDRAW")

    run(scenario())


def _released(folder: Path) -> set[str]:
    """Return the keys that the journal lets leave."""
    found = set()
    with JournalReader(folder / "journal.db") as reader:
        for entry in reader.entries():
            event = entry.body.get("event")
            if event == "RELEASE" or (event == "SUBMIT" and not entry.body.get("waits")):
                found.add(entry.key)
    return found


async def _cut_off(desk) -> None:  # type: ignore[no-untyped-def]
    for outbox in desk.orders._outboxes.values():
        await outbox.stop()
    desk.orders._life.withdraw_unsent = lambda: None
    desk.journal._handover._waiting.clear()


def test_no_more_orders_leave_while_their_release_cannot_be_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, rate=50.0) as desk:
            tickets = [await desk.orders.submit(buy(f"key-{n}")) for n in range(20)]
            write = desk.journal._committer._write  # type: ignore[attr-defined]

            def full(rows: object) -> None:
                raise JournalError("the disk is full")

            desk.journal._committer._write = full  # type: ignore[attr-defined]
            await desk.settle(3)
            desk.journal._committer._write = write  # type: ignore[attr-defined]
            sent = sum(len(what) for _, what in desk.broker.sent)  # type: ignore[arg-type]
            assert sent <= 16
            assert {ticket.state for ticket in tickets[sent:]} == {S.DENIED}

    run(scenario())


def test_a_cancel_leaves_as_soon_as_the_broker_names_its_order(tmp_path: Path) -> None:
    """A crash lost the order's number; the cancel waited for the link to break once more."""

    async def scenario() -> None:
        clock = VirtualClock()
        broker = FakeBroker(lambda _: None, clock=clock)
        async with floor(tmp_path, broker=broker, clock=clock) as desk:
            broker.mode = "lose"
            ticket = await desk.orders.submit(sell("one"))
            await desk.settle()
            live = desk.orders._live("one")
            number, live.order_id = live.order_id, 0
            desk.orders._book._numbers.clear()
            refuse = FakeBroker.cancel

            def cancel(identity):  # type: ignore[no-untyped-def]
                if not identity.order_id:
                    raise NotSent("the order has no number")
                refuse(broker, identity)

            broker.cancel = cancel  # type: ignore[method-assign]
            await desk.orders.cancel("one")
            await desk.settle()
            assert not [kind for kind, _ in broker.sent if kind == "cancel"]
            identity = attrs.evolve(live.identities()[0], order_id=number, perm_id=77)
            broker.say(
                OrderReport("fake", identity, BrokerStatus.WORKING, Decimal(0), Decimal(100))
            )
            await desk.settle()
            assert [kind for kind, _ in broker.sent if kind == "cancel"] == ["cancel"]
            assert ticket.order.side is Side.SELL
            assert broker.link is LinkState.UP

    run(scenario())


def test_an_order_withdrawn_while_its_release_is_written_takes_no_place_for_ever(
    tmp_path: Path,
) -> None:
    """Each of them counted as about to leave from then on; eight, and no order left any more."""

    async def scenario() -> None:
        disk = HeldDisk()
        async with floor(tmp_path, committer=disk, rate=4) as desk:
            await asyncio.gather(*(desk.orders.submit(buy(f"{each}")) for each in range(40)))
            for _ in range(6):
                disk.holds = True
                await desk.settle(0.3)
                for waiting in [each for each in desk.orders._book.live() if each.unsent][:4]:
                    await desk.orders.cancel(waiting.key)
                await desk.settle(0.8)
                disk.release()
                await desk.settle(0.1)
            await desk.settle(30)
            last = await desk.orders.submit(buy("last"))
            await desk.settle(5)
            assert last.state is S.ACCEPTED

    run(scenario())
