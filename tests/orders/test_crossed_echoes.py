"""Our own change that crossed a fill is not taken for a person's, whatever words come late."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from desk_floor import Floor, amount, floor, run
from exits_lab import (
    STOP,
    S,
    at_the_broker,
    by_hand,
    due,
    executions,
    held_back,
    live,
    opened,
    rebuilt,
    reports,
)

from alluse_core.cli.story import tell
from alluse_core.model import Evidence
from alluse_core.orders.reader import JournalReader
from alluse_core.orders.records import Kind
from alluse_core.orders.ticket import Ticket


async def crossed(desk: Floor, **terms: Any) -> tuple[Ticket, Ticket, list[Evidence]]:
    """Let a change of the stop reach the broker after a fill of 40 beside it; nothing is heard.

    Return (take-profit, stop, what the broker said).
    """
    _, take, stop = await opened(desk)
    with held_back(desk) as words:
        desk.broker.fill(take.order_ref, amount(40))
        await desk.orders.modify(STOP, **terms)
        await desk.settle()
    return take, stop, words


def surplus(desk: Floor) -> float:
    return desk.registry.gauge("trading_system", "exits_surplus", account="DU1").value


@pytest.mark.parametrize("quantity", [100, 80])
def test_words_from_before_a_change_that_a_list_told_first_make_it_no_persons(
    tmp_path: Path, quantity: int
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            terms = {"stop_price": "91"} if quantity == 100 else {"quantity": quantity}
            _, stop, words = await crossed(desk, **terms)
            await desk.orders.reconcile("fake")
            assert stop.order.quantity == at_the_broker(desk, stop) == quantity
            for word in words:
                desk.broker.say(word)
            assert (stop.order.quantity, live(desk).enlarged) == (quantity, None)
            again = await rebuilt(desk)
            found = live(desk)
            assert (again.order, again.reduced) == (found.order, found.reduced)
            await desk.orders.flush()
            with JournalReader(desk.journal.path) as reader:
                assert reader.order(STOP).order == found.order
                echoes = [each for each in reader.story(STOP) if each.kind == Kind.ECHO]
            said = f"has it for {quantity}, as our last change asked for"
            assert said in [tell(each)[1] for each in echoes]
            await desk.settle(20)
            assert (at_the_broker(desk, stop), stop.order.quantity, due(desk)) == (60, 60, 0)
            assert surplus(desk) == 0
            desk.broker.fill(stop.order_ref)
            await desk.settle()
            assert (stop.state, set(desk.broker.held.values())) == (S.FILLED, {0})

    run(scenario())


def test_a_word_with_the_old_price_after_the_echo_makes_a_change_no_persons(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            take, stop, words = await crossed(desk, stop_price="91")
            late, *echoes = reports(words, stop)
            assert late.terms is not None
            assert late.terms.quantity == 60
            for word in (*echoes, *executions(words, take), late):
                desk.broker.say(word)
            assert stop.order.quantity == 60
            await desk.orders.reconcile("fake")
            assert (stop.order.quantity, live(desk).enlarged, due(desk)) == (100, None, 40)
            await desk.settle(20)
            assert (at_the_broker(desk, stop), stop.order.stop_price) == (60, 91)

    run(scenario())


def test_what_a_person_puts_back_on_an_exit_is_theirs_though_our_change_had_it_so(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            await desk.orders.modify(STOP, stop_price="91")
            await desk.settle()
            desk.broker.fill(take.order_ref, amount(40))
            assert stop.order.quantity == 60
            by_hand(desk, stop, 100)
            assert live(desk).enlarged
            await desk.settle(20)
            assert at_the_broker(desk, stop) == 100

    run(scenario())


def test_what_a_person_puts_back_is_theirs_once_the_echo_of_a_listed_change_came(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await opened(desk)
            with held_back(desk) as words:
                await desk.orders.modify(STOP, stop_price="91")
                await desk.settle()
            await desk.orders.reconcile("fake")
            for word in words:
                desk.broker.say(word)
            desk.broker.fill(take.order_ref, amount(40))
            by_hand(desk, stop, 100)
            assert live(desk).enlarged

    run(scenario())
