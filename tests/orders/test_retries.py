"""What repeats by itself stays a small share of what goes out anyway."""

from __future__ import annotations

from pathlib import Path

import pytest
from desk_floor import buy, floor, run

from alluse_core.model import LinkState, OrderState
from alluse_core.orders.retries import FLOOR, WINDOW, RetryBudget, may_retry
from alluse_core.settings import OrdersSettings


@pytest.mark.parametrize(
    ("first", "again", "allowed"),
    [(0, 0, True), (0, 9, True), (0, 10, False), (100, 19, True), (100, 20, False)],
)
def test_a_tenth_of_the_first_tries_may_repeat_and_a_few_beside(
    first: int, again: int, allowed: bool
) -> None:
    assert may_retry(first, again) is allowed


def test_a_budget_forgets_what_left_its_window() -> None:
    budget = RetryBudget()
    budget.tried(0.0, 100)
    assert sum(budget.passes(1.0) for _ in range(100)) == FLOOR + 10
    assert not budget.passes(WINDOW)
    assert sum(budget.passes(1.0 + WINDOW) for _ in range(100)) == FLOOR
    other = RetryBudget()
    for _ in range(FLOOR):
        other.repeated(5.0)
    assert not other.passes(6.0)


def test_the_same_overdue_answer_is_asked_for_at_most_as_the_budget_allows(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await desk.orders.submit(buy("one"))
            await desk.settle()
            # Its cancel is never answered, and an incomplete list proves nothing.
            desk.broker.answers_cancels = False
            desk.broker.lists_complete = False
            await desk.orders.cancel("one")
            await desk.settle(15)
            before = desk.count("reconciliations", broker="fake")
            await desk.settle(600)
            rounds = desk.count("reconciliations", broker="fake") - before
            assert rounds <= FLOOR * (600 / WINDOW + 1) + 2
            made = desk.count("retries", what="question", outcome="made")
            assert 0 < made <= FLOOR * (600 / WINDOW + 2)
            assert desk.count("retries", what="question", outcome="held") > made
            # Another order's answer is not kept waiting by that.
            desk.broker.mode = "silent"
            await desk.orders.submit(buy("two", 50))
            overdue = desk.orders._overdue
            assert overdue.may_ask("fake", overdue.of("fake") | {("two", 0)})

    run(scenario())


def test_an_answer_is_overdue_once_patience_has_run_out_and_not_before(tmp_path: Path) -> None:
    patience = OrdersSettings().acknowledge_within

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await desk.orders.submit(buy("answered"))
            await desk.settle()
            desk.broker.mode = "silent"
            desk.broker.answers_cancels = False
            await desk.orders.submit(buy("one", 50))
            await desk.orders.cancel("answered")
            await desk.settle()
            overdue = desk.orders._overdue
            assert overdue.of("fake") == frozenset()
            desk.clock._monotonic += patience
            assert overdue.of("fake") == frozenset(), "it has as long as that"
            desk.clock._monotonic += 0.001
            assert overdue.of("fake") == {("one", 0), ("answered", 1)}

    run(scenario())


def test_cancels_that_a_broken_link_kept_leave_together_whatever_the_budget(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            keys = [f"order-{number}" for number in range(3 * FLOOR)]
            for number, key in enumerate(keys):
                await desk.orders.submit(buy(key, number + 1))
            await desk.settle()
            for _ in range(10 * FLOOR):
                desk.orders._desk.retries["fake"].repeated(desk.clock.monotonic())
            desk.broker.turn(LinkState.DOWN)
            await desk.orders.halt("fire")
            await desk.settle()
            desk.broker.turn(LinkState.UP)
            await desk.settle()
            assert {desk.orders.get(key).state for key in keys} == {OrderState.CANCELED}
            assert desk.count("retries", what="cancel", outcome="made") == len(keys)

    run(scenario())


def test_a_round_that_is_asked_again_uses_the_budget_of_what_repeats(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.lists_fail = True
            desk.broker.turn(LinkState.UP)
            for seconds in (0, 1, 2, 4, 8):
                await desk.settle(seconds)
            made = desk.count("retries", what="reconciliation", outcome="made")
            assert made == 4
            budget, now = desk.orders._desk.retries["fake"], desk.clock.monotonic()
            assert sum(budget.passes(now) for _ in range(FLOOR)) == FLOOR - made

    run(scenario())
