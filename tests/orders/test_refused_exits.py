"""A change that makes an exit fit, and that something here or at the broker keeps from it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from desk_floor import amount, floor, run
from exits_lab import (
    at_the_broker,
    changes,
    due,
    enlarged_again,
    told_alone,
)

from alluse_core.errors import JournalError


def test_a_surplus_that_cannot_be_taken_off_now_is_tried_again_later(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, _, stop = await enlarged_again(desk)
            commands, tries = desk.orders._commands, list[Decimal]()
            modify: Callable[..., Any] = commands.modify

            async def full(*arguments: Any, **_: Any) -> Any:
                tries.append(arguments[3])
                raise JournalError("the disk is full")

            commands.modify = full  # type: ignore[method-assign]
            await desk.settle(12)
            assert 1 < len(tries) < 6
            assert set(tries) == {60}
            commands.modify = modify  # type: ignore[method-assign]
            await desk.settle(30)
            assert at_the_broker(desk, stop) == 60

    run(scenario())


def test_a_change_that_the_broker_does_not_take_is_sent_ever_more_rarely_until_it_is_another(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await enlarged_again(desk)
            desk.broker.answers_modifies = False
            before = len(changes(desk))
            await desk.settle(500)
            assert len(changes(desk)) - before <= 9
            await desk.settle(600)
            assert len(changes(desk)) - before <= 11, "five minutes apart"
            told_alone(desk, take, 1)
            sent = len(changes(desk))
            await desk.settle(5)
            assert [each.order.quantity for each in changes(desk)[sent:]] == [59]
            desk.broker.answers_modifies = True
            await desk.settle(20)
            assert at_the_broker(desk, stop) == stop.order.quantity == 59, "its pauses are short"

    run(scenario())


def test_a_surplus_is_tried_again_soon_after_what_was_in_the_way_here_is_gone(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, _, stop = await enlarged_again(desk)
            commands = desk.orders._commands
            modify: Callable[..., Any] = commands.modify

            async def full(*_: Any, **__: Any) -> Any:
                raise JournalError("the disk is full")

            commands.modify = full  # type: ignore[method-assign]
            await desk.settle(300)
            commands.modify = modify  # type: ignore[method-assign]
            await desk.settle(31)
            assert at_the_broker(desk, stop) == 60

    run(scenario())


def test_a_person_is_not_told_of_tries_before_the_exit_fitted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            _, take, stop = await enlarged_again(desk)
            for quantity in (60, 50):
                desk.broker.answers_modifies = False
                before = len(changes(desk))
                while len(changes(desk)) < before + 2:
                    await desk.settle(1)
                desk.broker.answers_modifies = True
                await desk.settle(20)
                assert (at_the_broker(desk, stop), due(desk)) == (quantity, 0)
                told_alone(desk, take, 10)
                order = desk.broker.orders[stop.order_ref]
                enlarged = attrs.evolve(order.message.order, quantity=amount(quantity))
                order.message = attrs.evolve(order.message, order=enlarged)
            told = [each for each in caplog.messages if "does not take the change" in each]
            assert told == [], "twice at the third try"

    run(scenario())
