"""What of a bracket is open without its protection: told with its amount, over restarts too."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import attrs
import pytest
from desk_floor import AAPL, NODE, Floor, amount, buy, deaf, floor, run, sell

from alluse_core.errors import TradingHalted
from alluse_core.model import (
    BrokerStatus,
    ComboLeg,
    GroupKind,
    Instrument,
    Order,
    OrderGroup,
    OrderReport,
    OrderState,
    Side,
)
from alluse_core.orders.checkpoint import checkpoint_path
from alluse_core.orders.committer import InlineCommitter
from alluse_core.orders.journal import Journal, verify
from alluse_core.orders.protection import Bracket
from alluse_core.orders.reader import JournalReader
from alluse_core.orders.ticket import Ticket
from alluse_core.settings import OrdersSettings
from alluse_core.testing import VirtualClock
from alluse_core.testing.fakes import FakeBroker

MSFT = Instrument.stock("MSFT")
SPREAD = Instrument.combo("AAPL", (ComboLeg(AAPL, Side.BUY), ComboLeg(MSFT, Side.SELL)))
SETTINGS = OrdersSettings(stages=(), settle_seconds=0.0, reconcile_every=3_600.0)


async def bracket(desk: Floor, key: str = "one", quantity: int = 100) -> Sequence[Ticket]:
    """Submit a bracket; return (entry, take-profit, stop)."""
    entry = buy(f"{key}/entry", quantity)
    group = OrderGroup.bracket(entry, take_profit="110", stop="90")
    return (await desk.orders.submit(group)).tickets


async def opened(desk: Floor, key: str = "one", quantity: int = 100) -> Sequence[Ticket]:
    """Return a bracket whose entry filled whole."""
    tickets = await bracket(desk, key, quantity)
    await desk.settle()
    desk.broker.fill(tickets[0].order_ref)
    return tickets


def tomorrow(venue: FakeBroker) -> None:
    """Let the broker's lists forget what ended, and its executions."""
    venue.fills.clear()
    venue.orders = {ref: order for ref, order in venue.orders.items() if order.is_open}


def bare(desk: Floor) -> dict[str, Decimal]:
    return {
        instrument.symbol: quantity for instrument, quantity in desk.orders.unprotected().items()
    }


def gauge(desk: Floor) -> float:
    return desk.registry.gauge("trading_system", "unprotected_quantity", "").value


def surplus(desk: Floor) -> float | None:
    """Return how much larger the exits at work are than what is open; None: nobody measured it."""
    desk.orders.unprotected()
    found = {
        str(sample.series): sample.value
        for sample in desk.registry.collect(0.0)
        if sample.series.metric == "exits_surplus"
    }
    return found.get("trading_system.exits_surplus{account=DU1}")


def notes(folder: Path, key: str = "one/entry") -> list[tuple[bool, str]]:
    with JournalReader(folder / "journal.db") as reader:
        bodies = [entry.body for entry in reader.entries("bracket", key=key)]
    return [(body["over"], body["closed_elsewhere"]) for body in bodies]


def test_an_exit_that_is_refused_after_the_entry_filled_is_told_with_its_amount(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, take, stop = await bracket(desk)
            await desk.settle()
            desk.broker.fill(entry.order_ref, amount(40))
            assert bare(desk) == {}
            desk.broker.reject(stop.order_ref)
            # Its number had an answer before: only the lists tell whose refusal that was.
            await desk.settle(1)
            assert stop.state is OrderState.REJECTED
            # The take-profit works, and protects from no loss.
            assert take.state is OrderState.ACCEPTED
            assert bare(desk) == {"AAPL": 40}
            desk.broker.fill(entry.order_ref)
            assert bare(desk) == {"AAPL": 100}
            desk.broker.fill(take.order_ref, amount(30))
            assert bare(desk) == {"AAPL": 70}

    run(scenario())


def test_exits_larger_than_what_is_open_are_told_with_their_surplus(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            assert surplus(desk) is None
            entry, take, stop = await bracket(desk)
            await bracket(desk, "other")
            await desk.settle()
            desk.broker.fill(entry.order_ref, amount(40))
            assert surplus(desk) == 0, "the entry may open the rest"
            desk.broker.fill(take.order_ref, amount(10))
            report = desk.broker.orders[entry.order_ref]
            report.status = BrokerStatus.CANCELED
            desk.broker.report(report)
            assert (entry.state, stop.order.quantity) == (OrderState.CANCELED, 90)
            assert surplus(desk) == 60, "30 are open, and 90 would be closed"
            await desk.settle(10)
            assert (stop.order.quantity, surplus(desk)) == (30, 0)
            desk.broker.fill(stop.order_ref)
            await desk.settle(5)
            assert surplus(desk) == 0

    run(scenario())


async def sold(desk: Floor, quantity: int, key: str = "elsewhere") -> Ticket:
    """Sell without a bracket's exits."""
    ticket = await desk.orders.submit(sell(key, quantity, "100"))
    await desk.settle()
    desk.broker.fill(ticket.order_ref)
    return ticket


def test_exits_larger_than_what_is_held_are_told_whoever_closed_the_rest(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await bracket(desk)
            await desk.settle()
            desk.broker.fill(entry.order_ref, amount(60))
            assert surplus(desk) == 0
            await sold(desk, 50)
            assert surplus(desk) == 50, "10 are held, 40 may be opened yet, 100 would be closed"
            desk.broker.fill(entry.order_ref)
            assert surplus(desk) == 50
            await sold(desk, 80, "flips")
            assert surplus(desk) == 100, "each of them would add to what is short"
            desk.broker.fill(stop.order_ref, amount(30))
            assert surplus(desk) == 70
            desk.orders._book.told.clear()
            assert surplus(desk) == 0, "what is held is not known"

    run(scenario())


def test_a_fill_without_its_execution_is_no_surplus(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, _ = await bracket(desk)
            await desk.settle()
            with deaf(desk.broker, OrderReport):
                desk.broker.fill(entry.order_ref)
            assert (entry.known.filled, desk.orders.positions().rows) == (100, ())
            assert surplus(desk) == 0

    run(scenario())


def test_brackets_of_both_sides_are_no_surplus_of_each_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await opened(desk)
            group = OrderGroup.bracket(sell("two/entry", 70, "100"), take_profit="90", stop="110")
            short = (await desk.orders.submit(group)).tickets
            await desk.settle()
            desk.broker.fill(short[0].order_ref)
            assert surplus(desk) == 0
            await sold(desk, 40)
            assert surplus(desk) == 40

    run(scenario())


def test_nobody_holds_a_combo_and_its_exits_are_no_surplus(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry = Order.limit(SPREAD, Side.BUY, 100, "100", key="one/entry")
            group = OrderGroup.bracket(entry, take_profit="110", stop="90")
            tickets = (await desk.orders.submit(group)).tickets
            await desk.settle()
            desk.broker.fill(tickets[0].order_ref)
            assert tickets[0].state is OrderState.FILLED
            assert surplus(desk) == 0

    run(scenario())


def test_brackets_whose_exits_all_ended_are_known_after_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            venue = desk.broker
            _, take, stop = await opened(desk)
            venue.cancel_by_broker(take.order_ref)
            venue.reject(stop.order_ref)
            await desk.settle(1)
            assert bare(desk) == {"AAPL": 100}
        tomorrow(venue)
        for _ in range(2):
            async with floor(tmp_path, broker=venue) as desk:
                assert bare(desk) == {"AAPL": 100}
                await desk.settle(2)
                assert gauge(desk) == 100

    run(scenario())


def test_a_bracket_that_is_over_is_not_read_back_by_a_start(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            venue = desk.broker
            for number in range(3):
                _, take, stop = await opened(desk, f"{number}")
                venue.fill(take.order_ref)
                venue.cancel_by_broker(stop.order_ref)
            await opened(desk, "open")
            await desk.settle(2)
        tomorrow(venue)
        assert notes(tmp_path, "0/entry") == [(True, "0")]
        async with floor(tmp_path, broker=venue) as desk:
            _, stories = desk.journal.recover()
            assert [story[0].key for story in stories] == [
                *("open/entry", "open/entry/profit", "open/entry/stop")
            ]
        assert verify(tmp_path / "journal.db").ok

    run(scenario())


def test_a_bracket_that_was_denied_is_not_read_back_by_a_start(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await desk.orders.halt("a test")
            with pytest.raises(TradingHalted):
                await bracket(desk)
        async with floor(tmp_path) as desk:
            assert desk.orders.all() == []

    run(scenario())


def test_an_open_bracket_stays_in_memory_among_orders_that_leave_it(tmp_path: Path) -> None:
    quiet = attrs.evolve(SETTINGS, breaker_failures=0, breaker_alike=0)

    async def scenario() -> None:
        async with floor(tmp_path, settings=quiet) as desk:
            desk.orders._book.keep_ended = 5
            _, take, stop = await opened(desk)
            desk.broker.cancel_by_broker(take.order_ref)
            desk.broker.cancel_by_broker(stop.order_ref)
            await desk.settle(2)
            desk.broker.mode = "reject"
            for number in range(20):
                await desk.orders.submit(buy(f"other-{number}"))
            await desk.settle(2)
            assert len(desk.orders._book) == 5 + 3
            assert bare(desk) == {"AAPL": 100}
            desk.broker.mode = "fill"
            await desk.orders.submit(sell("closing"))
            await desk.settle()
            for _ in range(2):
                await desk.orders.reconcile("fake")
            await desk.settle(2)
            assert len(desk.orders._book) == 5

    run(scenario())


def test_what_was_closed_without_its_exits_needs_none_later(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, settings=SETTINGS) as desk:
            venue = desk.broker
            _, take, stop = await opened(desk)
            venue.cancel_by_broker(take.order_ref)
            venue.cancel_by_broker(stop.order_ref)
            venue.mode = "fill"
            await desk.orders.submit(sell("by market"))
            await desk.settle()
            assert bare(desk) == {}
            # One list of positions is not enough: it may leave some out.
            await desk.orders.reconcile("fake")
            assert notes(tmp_path) == []
            await desk.orders.reconcile("fake")
            await desk.settle(2)
            await desk.orders.submit(buy("never protected"))
            await desk.settle()
            assert bare(desk) == {}
        assert notes(tmp_path) == [(False, "100"), (True, "100")]
        tomorrow(venue)
        async with floor(tmp_path, broker=venue) as desk:
            assert bare(desk) == {}

    run(scenario())


def test_of_two_stops_that_reduce_each_other_the_larger_covers_and_not_their_sum(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, settings=SETTINGS) as desk:
            stops = [
                Order.stop(AAPL, Side.SELL, each, "90", key=f"stop-{each}") for each in (60, 50)
            ]
            group = OrderGroup(GroupKind.BRACKET, "two", (buy("entry"), *stops))
            tickets = (await desk.orders.submit(group)).tickets
            await desk.settle()
            desk.broker.fill(tickets[0].order_ref)
            await desk.settle()
            assert bare(desk) == {"AAPL": 40}

    run(scenario())


def test_what_was_closed_in_part_leaves_the_rest_unprotected(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, settings=SETTINGS) as desk:
            venue = desk.broker
            for key in ("old", "new"):
                _, take, stop = await opened(desk, key)
                venue.cancel_by_broker(take.order_ref)
                venue.cancel_by_broker(stop.order_ref)
            venue.mode = "fill"
            await desk.orders.submit(sell("some", 130))
            await desk.settle()
            assert bare(desk) == {"AAPL": 70}
            for _ in range(3):
                await desk.orders.reconcile("fake")
            await desk.orders.submit(buy("more", 130))
            await desk.settle()
            assert bare(desk) == {"AAPL": 70}
            assert notes(tmp_path, "old/entry") == [(False, "100")]
        assert notes(tmp_path, "new/entry") == [(False, "30")]
        tomorrow(venue)
        async with floor(tmp_path, broker=venue) as desk:
            assert bare(desk) == {"AAPL": 70}

    run(scenario())


def test_a_late_fill_of_an_entry_opens_its_bracket_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            venue = desk.broker
            tickets = await bracket(desk)
            await desk.settle()
            for ticket in tickets:
                venue.cancel_by_broker(ticket.order_ref)
            await desk.settle(2)
            assert notes(tmp_path) == [(True, "0")]
            venue.fill(tickets[0].order_ref)
            assert bare(desk) == {"AAPL": 100}
            await desk.settle(2)
        assert notes(tmp_path) == [(True, "0"), (False, "0")]
        tomorrow(venue)
        async with floor(tmp_path, broker=venue) as desk:
            assert bare(desk) == {"AAPL": 100}

    run(scenario())


def test_a_working_stop_of_no_bracket_covers_what_it_would_close(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, _, stop = await opened(desk)
            desk.broker.cancel_by_broker(stop.order_ref)
            assert bare(desk) == {"AAPL": 100}
            new = Order.stop(AAPL, Side.SELL, 60, "90", key="by itself")
            await desk.orders.submit(new)
            await desk.settle()
            assert bare(desk) == {"AAPL": 40}
            pair = OrderGroup.oca(
                Order.stop(AAPL, Side.SELL, 30, "89", key="pair/a"),
                Order.stop(AAPL, Side.SELL, 20, "88", key="pair/b"),
                key="pair",
            )
            await desk.orders.submit(pair)
            await desk.settle()
            assert bare(desk) == {"AAPL": 10}
            # One that would enlarge the position protects nothing.
            await desk.orders.submit(Order.stop(AAPL, Side.BUY, 100, "120", key="up"))
            await desk.settle()
            assert bare(desk) == {"AAPL": 10}

    run(scenario())


def test_an_exit_covers_no_more_than_the_broker_has_it_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, _, stop = await opened(desk)
            booked = desk.broker.orders[stop.order_ref]
            order = attrs.evolve(booked.message.order, quantity=Decimal(70))
            booked.message = attrs.evolve(booked.message, order=order)
            desk.broker.report(booked)
            assert any("quantity is 70" in each for each in stop.known.differences)
            assert bare(desk) == {"AAPL": 30}
            # A list of completed orders may name no quantity.
            stop._live.hear(booked.identity.perm_id, Decimal(0))
            assert bare(desk) == {"AAPL": 30}

    run(scenario())


def test_a_start_from_a_checkpoint_is_given_the_brackets_that_a_whole_walk_gives(
    tmp_path: Path,
) -> None:
    """Of one that is over nothing; of one that was over and is open again all of it."""

    def stories() -> list[list[int]]:
        with closing(
            Journal(
                tmp_path / "journal.db",
                clock=VirtualClock(),
                node=NODE,
                committer=InlineCommitter(),
                whole_below=0,
            )
        ) as journal:
            return [[entry.sequence for entry in story] for story in journal.recover()[1]]

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            tickets = {key: await bracket(desk, key) for key in ("over", "again", "lives", "bare")}
            await desk.settle()
            desk.broker.fill(tickets["bare"][0].order_ref)
            for key in tickets:
                for ticket in tickets[key][key == "bare" :]:
                    desk.broker.cancel_by_broker(ticket.order_ref)
            await desk.settle(2)
            desk.broker.fill(tickets["again"][0].order_ref)
            desk.broker.orders[tickets["lives"][0].order_ref].status = BrokerStatus.WORKING
            await desk.orders.reconcile("fake")
            assert tickets["lives"][0].state is OrderState.ACCEPTED
            await desk.settle(2)
        for _ in range(2):
            resumed = stories()
            checkpoint_path(tmp_path / "journal.db").unlink()
            assert resumed == stories()
        with JournalReader(tmp_path / "journal.db") as reader:
            keys = [ticket.key for key in ("again", "lives", "bare") for ticket in tickets[key]]
            assert resumed == [[entry.sequence for entry in reader.story(key)] for key in keys]

    run(scenario())


def test_an_exit_whose_entry_the_journal_lost_stops_no_start(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            venue = desk.broker
            await opened(desk)
        with JournalReader(tmp_path / "journal.db") as reader:
            story = reader.story("one/entry")
        with sqlite3.connect(tmp_path / "journal.db") as connection:
            connection.execute("DELETE FROM record WHERE key = 'one/entry'")
        connection.close()
        async with floor(tmp_path, broker=venue) as desk:
            assert desk.journal.problem
            assert len(story) > 2
            # The broker still tells of the entry: it is ours, and the journal has lost it.
            assert any(ticket.key.startswith("orphan/") for ticket in desk.orders.all())

    run(scenario())


def test_a_bracket_without_a_stop_is_protected_by_its_other_exits(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            group = OrderGroup.bracket(buy("entry"), take_profit="110")
            entry, take = (await desk.orders.submit(group)).tickets
            await desk.settle()
            desk.broker.fill(entry.order_ref)
            assert bare(desk) == {}
            desk.broker.cancel_by_broker(take.order_ref)
            assert bare(desk) == {"AAPL": 100}
            assert Bracket(entry._live, [take._live]).ended

    run(scenario())
