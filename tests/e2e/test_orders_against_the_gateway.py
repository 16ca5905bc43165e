"""No order is lost or sent twice: sessions with faults, compared with the gateway's own ledger.

``ALLUSE_TCP_SESSIONS=300`` runs that many seeds, ``ALLUSE_SEED=7`` that one only.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from order_sessions import AAPL, CLIENT, Result, World, session, sessions, settings

import alluse_core
from alluse_core import Order, Side
from alluse_core.clock import SystemClock
from alluse_core.model import OrderState
from alluse_core.orders.states import CommandState

SEEDS = tuple(range(1, int(os.environ.get("ALLUSE_TCP_SESSIONS", "12")) + 1))
if "ALLUSE_SEED" in os.environ:
    SEEDS = (int(os.environ["ALLUSE_SEED"]),)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Result]:
    return asyncio.run(sessions(SEEDS, tmp_path_factory.mktemp("sessions")))


@pytest.mark.slow
@pytest.mark.timeout(60 + 5 * len(SEEDS))
@pytest.mark.parametrize("seed", SEEDS)
def test_belief_and_journal_equal_the_ledger_after_faults(
    results: dict[int, Result], seed: int
) -> None:
    result = results[seed]
    assert not result.problems, f"reproduce with ALLUSE_SEED={seed}\n{result}"
    assert result.sent, "a session in which nothing was sent shows nothing"


@pytest.mark.slow
def test_a_session_with_an_id_rollback_uses_no_id_twice(tmp_path: Path) -> None:
    """Lean.IB #242: a restart rolls nextValidId 38103 -> 38099, and ids are issued again."""
    result = asyncio.run(session(8, tmp_path, ("roll-back", "roll-back"), 1, 30))
    assert not result.problems, result


@pytest.mark.slow
def test_fills_during_1100_are_asked_for_and_counted(tmp_path: Path) -> None:
    """Lean.IB #249: fills during 1100 were never asked for again."""
    result = asyncio.run(session(9, tmp_path, ("outage", "outage", "outage"), 0, 30))
    assert not result.problems, result
    assert result.fills


@pytest.mark.slow
def test_a_cancel_that_the_broker_cannot_find_ends_neither_order_nor_wait(tmp_path: Path) -> None:
    """Lean.IB #248 (10147 unhandled) and nautilus #4288 (phantom cancel, double exposure)."""

    async def story() -> None:
        async with (
            World(1, SystemClock()) as venue,
            alluse_core.open(settings(venue.port), state=tmp_path) as runtime,
        ):
            venue.control.half_open(CLIENT)
            order = Order.limit(AAPL, Side.BUY, 5, 50, key="lost")
            ticket = await runtime.orders.submit(order)
            await asyncio.sleep(0.2)
            venue.let_go()
            assert (await ticket.outcome(10)).state is OrderState.UNKNOWN
            while runtime.orders.reconciling:
                await asyncio.sleep(0.05)
            cancel = await runtime.orders.cancel("lost")
            assert await cancel.outcome(10) is CommandState.LOST
            assert any("10147" in word for word in ticket.known.evidence)
            assert ticket.state is OrderState.UNKNOWN
            assert (await runtime.orders.submit(order)) == ticket
            assert not venue.ledger.of("place")

    asyncio.run(story())
