"""A start on a journal that is not whole: what it says of itself, and the way back."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import attrs
import pytest
from desk_floor import NODE, buy, floor, run

from alluse_core.cli.offline import decide
from alluse_core.errors import JournalError
from alluse_core.ports import TradingState

NEXT = attrs.evolve(NODE, incarnation="incarnation-2")
THIRD = attrs.evolve(NODE, incarnation="incarnation-3")


async def _damaged(folder: Path) -> None:
    async with floor(folder) as desk:
        await desk.orders.submit(buy("one"))
        await desk.settle()
    (anchor,) = [path for path in folder.iterdir() if "anchor" in path.name]
    anchor.unlink()


def test_a_start_on_a_damaged_journal_says_that_only_reductions_pass(tmp_path: Path) -> None:
    async def scenario() -> None:
        await _damaged(tmp_path)
        async with floor(tmp_path, node=NEXT) as desk:
            assert desk.orders.state is TradingState.REDUCING
            assert "anchor" in desk.orders.reason
            told = {each.series.metric: each.value for each in desk.registry.collect(0.0)}
            assert told["new_risk_allowed"] == 0
            with pytest.raises(JournalError, match="new risk is stopped"):
                await desk.orders.submit(buy("two"))
            await desk.orders.resume("Ada")
            assert desk.orders.state is TradingState.ACTIVE
            assert desk.orders.reason == ""
        async with floor(tmp_path, node=THIRD) as again:
            assert again.orders.state is TradingState.ACTIVE
            await again.orders.submit(buy("three"))

    run(scenario())


def test_a_damaged_journal_can_be_accepted_while_no_process_runs(tmp_path: Path) -> None:
    asyncio.run(_damaged(tmp_path))
    status = asyncio.run(decide(tmp_path, "status", {}))
    assert status["state"] is TradingState.REDUCING
    assert "anchor" in status["reason"]
    resumed = asyncio.run(decide(tmp_path, "resume", {"by": "Ada"}))
    assert (resumed["state"], resumed["reason"]) == (TradingState.ACTIVE, "")

    async def scenario() -> None:
        async with floor(tmp_path, node=NEXT) as desk:
            assert desk.orders.state is TradingState.ACTIVE
            await desk.orders.submit(buy("two"))

    run(scenario())


def test_a_halt_of_a_damaged_journal_stays_a_halt(tmp_path: Path) -> None:
    asyncio.run(_damaged(tmp_path))
    halted = asyncio.run(decide(tmp_path, "halt", {"reason": "a look at it"}))
    assert (halted["state"], halted["reason"]) == (TradingState.HALTED, "a look at it")

    async def scenario() -> None:
        async with floor(tmp_path, node=NEXT) as desk:
            assert desk.orders.state is TradingState.HALTED
            assert desk.orders.reason == "a look at it"

    run(scenario())


def test_a_lost_end_is_accepted_by_the_first_word_of_a_person_while_no_process_runs(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await desk.orders.submit(buy("one"))
            await desk.settle()

    asyncio.run(scenario())
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        connection.execute("DELETE FROM record WHERE seq = (SELECT max(seq) FROM record)")
        connection.commit()
    assert "anchor knows" in asyncio.run(decide(tmp_path, "status", {}))["reason"]
    asyncio.run(decide(tmp_path, "resume", {"by": "Ada"}))
    status = asyncio.run(decide(tmp_path, "status", {}))
    assert (status["state"], status["reason"]) == (TradingState.ACTIVE, "")
