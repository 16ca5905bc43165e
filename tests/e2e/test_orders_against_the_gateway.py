"""No order is lost or sent twice: sessions with faults, compared with the gateway's own ledger.

``ALLUSE_TCP_SESSIONS=300`` runs that many seeds, ``ALLUSE_TCP_FROM=100`` those after the first
hundred, ``ALLUSE_SEED=7`` that one only.
"""

from __future__ import annotations

import asyncio
import os

import pytest
from order_sessions import Result, sessions

from alluse_core.testing.steady import steady_time

COUNT = int(os.environ.get("ALLUSE_TCP_SESSIONS", "12"))
FIRST = int(os.environ.get("ALLUSE_TCP_FROM", "0")) + 1
SEEDS = tuple(range(FIRST, FIRST + COUNT))
if "ALLUSE_SEED" in os.environ:
    SEEDS = (int(os.environ["ALLUSE_SEED"]),)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Result]:
    # Both ends are in this process: messages that left in time are not to arrive bunched because
    # it stood still.
    with steady_time():
        return asyncio.run(sessions(SEEDS, tmp_path_factory.mktemp("sessions")))


@pytest.mark.slow
@pytest.mark.timeout(240 + 5 * len(SEEDS))
@pytest.mark.parametrize("seed", SEEDS)
def test_belief_and_journal_equal_the_ledger_after_faults(
    results: dict[int, Result], seed: int
) -> None:
    result = results[seed]
    assert not result.problems, f"reproduce with ALLUSE_SEED={seed}\n{result}"
    assert result.sent, "a session in which nothing was sent shows nothing"
