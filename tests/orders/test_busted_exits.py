"""Trades of exits that are busted: what covers their position again, and what does not."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from desk_floor import AAPL, Floor, amount, deaf, floor, heard, run, terms_of
from exits_lab import (
    ENTRY,
    STOP,
    TAKE,
    at_the_broker,
    bracket,
    bust,
    held_back,
    live,
    next_process,
    opened,
    rebuilt,
    reports,
    unheard,
)

from alluse_core.model import OrderReport
from alluse_core.orders.ticket import Ticket


async def claimed_and_busted(desk: Floor) -> Ticket:
    """Let a status claim 40 of the take-profit whose execution is lost; bust that, return it."""
    _, take, stop = await opened(desk)
    words = unheard(desk, (take, 40))
    for word in reports(words, take) + reports(words, stop):
        desk.broker.say(word)
    assert (live(desk, TAKE).filled, live(desk).order.quantity) == (40, 60)
    bust(desk, desk.broker.fills.pop())
    return take


@pytest.mark.parametrize("forgets", [False, True])
def test_a_bust_of_a_fill_that_only_a_status_claimed_is_put_back_on_the_stop(
    tmp_path: Path, forgets: bool
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            take = await claimed_and_busted(desk)
            if forgets:  # what its statuses say of it after a bust is known of no broker for sure
                desk.broker.orders[take.order_ref].filled -= 40
            assert (live(desk, TAKE).filled, live(desk, TAKE).exposed) == (0, 100)
            assert desk.orders.unprotected() == {AAPL: 40}
            await desk.settle(30)
            assert at_the_broker(desk, desk.orders.get(STOP)) == 100
            assert desk.orders.unprotected() == {}
            desk.broker.say(heard(desk, TAKE))
            assert live(desk, TAKE).filled == 0

    run(scenario())


@pytest.mark.parametrize("forgets", [False, True])
def test_a_stop_that_was_reduced_by_a_trade_of_which_only_the_bust_was_told_is_told_as_too_small(
    tmp_path: Path, forgets: bool
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            unheard(desk, (take, 40))
            with held_back(desk):
                bust(desk, desk.broker.fills.pop())
            if forgets:
                desk.broker.orders[take.order_ref].filled -= 40
            await desk.settle(1)
            await desk.orders.reconcile("fake")
            assert live(desk, TAKE).filled == 0
            assert desk.orders.unprotected() == {AAPL: 40}
            await desk.settle(30)
            assert (stop.order.quantity, at_the_broker(desk, stop)) == (100, 60)
            assert desk.orders.unprotected() == {AAPL: 40}, "a person may have made it 60, and know"

    run(scenario())


def test_a_stop_covers_no_more_than_what_the_broker_says_to_be_left_of_it(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, _, stop = await opened(desk)
            fill = desk.broker.fill(stop.order_ref, amount(40))
            assert desk.orders.unprotected() == {}
            bust(desk, fill)
            assert (heard(desk, STOP).remaining, live(desk).remaining) == (60, 100)
            assert desk.orders.unprotected() == {AAPL: 40}
            await desk.settle(30)
            assert desk.orders.unprotected() == {AAPL: 40}
        async with next_process(tmp_path, desk) as desk:
            assert desk.orders.unprotected() == {AAPL: 40}
            desk.broker.orders[stop.order_ref].filled -= 40
            await desk.settle(1)
            await desk.orders.reconcile("fake")
            assert desk.orders.unprotected() == {}

    run(scenario())


def test_what_was_left_of_a_stop_before_it_was_made_larger_says_nothing_of_it_now(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, _, stop = await opened(desk)
            fill = desk.broker.fill(stop.order_ref, amount(40))
            bust(desk, fill)
            report = terms_of(heard(desk, STOP), quantity=amount(140))
            desk.broker.say(attrs.evolve(report, filled=None, remaining=None))
            assert live(desk).told_remaining is None
            assert desk.orders.unprotected() == {}
            desk.broker.say(attrs.evolve(report, remaining=amount(100)))
            assert live(desk).told_remaining == 100
            live(desk).perm_ids += (7,)
            assert live(desk).told_remaining is None, "of the newest of its permIds nothing is told"

    run(scenario())


@pytest.mark.parametrize("held", [0, 30])
def test_after_such_a_bust_of_an_entry_nothing_is_taken_off_that_would_bare_what_is_held(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, held: int
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            entry, _, stop = await bracket(desk)
            with deaf(desk.broker, OrderReport):
                desk.broker.fill(entry.order_ref, amount(50))
                desk.broker.cancel_by_broker(entry.order_ref)
            fill = desk.broker.fills.pop()
            (place,) = desk.broker.held
            desk.broker.held[place] = amount(held - 50)
            bust(desk, fill)
            await desk.settle(30)
            assert (entry.known.filled, stop.state.is_terminal) == (0, not held)
            told = [each for each in caplog.messages if f"{ENTRY} ended with 0 filled" in each]
            assert len(told) == bool(held)

    run(scenario())


def test_what_is_filled_after_such_a_bust_counts_with_its_execution(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            take = await claimed_and_busted(desk)
            words = unheard(desk, (take, 20))
            desk.broker.say(reports(words, take)[0])
            assert live(desk, TAKE).filled == 0, "60 by its status: 20, or 40 and 20 of two trades"
            for word in words:
                desk.broker.say(word)
            assert (live(desk, TAKE).executed, live(desk, TAKE).filled) == (20, 20)

    run(scenario())


def test_such_a_bust_holds_after_a_restart_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await claimed_and_busted(desk)
            assert (await rebuilt(desk, TAKE)).busted_untold
        async with next_process(tmp_path, desk) as desk:
            assert heard(desk, TAKE).filled == 40, "so it is claimed still"
            assert (live(desk, TAKE).filled, live(desk).filled) == (0, 0)
            await desk.settle(30)
            assert live(desk, STOP).order.quantity == 100
            assert desk.orders.unprotected() == {}

    run(scenario())
