"""Who may ask for orders, and from where."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from desk_floor import buy, floor, run

from alluse_core.errors import RuntimeClosed, UsageError


@pytest.mark.parametrize("nonsense", [None, [buy("one")], "one", 1])
def test_what_is_no_order_is_refused_by_its_type(tmp_path: Path, nonsense: Any) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            with pytest.raises(UsageError, match=type(nonsense).__name__):
                await desk.orders.submit(nonsense)

    run(scenario())


def test_a_runtime_that_is_closed_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await desk.orders.submit(buy("one"))
            await desk.settle()
        for asked in (
            desk.orders.submit(buy("late")),
            desk.orders.cancel("one"),
            desk.orders.modify("one", quantity=5),
        ):
            with pytest.raises(RuntimeClosed, match="closed"):
                await asked

    run(scenario())


def test_another_event_loop_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            caught: list[BaseException] = []

            def elsewhere() -> None:
                try:
                    asyncio.run(desk.orders.submit(buy("one")))
                except UsageError as error:
                    caught.append(error)

            thread = threading.Thread(target=elsewhere)
            thread.start()
            await asyncio.to_thread(thread.join, 10)
            (error,) = caught
            assert "open_sync" in getattr(error, "hint", "")
            await desk.settle()
            assert desk.broker.sent == []

    run(scenario())


def test_starting_and_stopping_twice_is_starting_and_stopping_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            before = desk.journal.committed
            await desk.orders.start()
            await desk.orders.flush()
            assert desk.journal.committed == before
            await desk.orders.stop()
            after = desk.journal.committed
            await desk.orders.stop()
            assert desk.journal.committed == after

    run(scenario())
