"""The order service against an oracle, under any mixture of orders, faults and restarts.

ALLUSE_MODEL_EXAMPLES and ALLUSE_MODEL_STEPS set how many sequences are tried and how long each is.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from alluse_sim.planted import BUGS
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from venue_model import OrderModel

EXAMPLES = int(os.environ.get("ALLUSE_MODEL_EXAMPLES", "200"))
STEPS = int(os.environ.get("ALLUSE_MODEL_STEPS", "50"))
QUIET = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_what_is_believed_never_contradicts_the_broker(ran: Callable[[int], None]) -> None:
    class Counted(OrderModel):
        def teardown(self) -> None:
            super().teardown()
            ran(1)

    run_state_machine_as_test(
        Counted,
        settings=settings(max_examples=EXAMPLES, stateful_step_count=STEPS, **QUIET),  # type: ignore[arg-type]
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "resend-on-reconnect",
        "key-taken-twice",
        "every-fill-counts",
        "no-late-fills",
        "cancel-at-once",
    ],
)
def test_a_planted_bug_is_found(name: str) -> None:
    looking = settings(
        max_examples=600,
        stateful_step_count=20,
        phases=[Phase.generate],
        derandomize=True,
        report_multiple_bugs=False,
        print_blob=False,
        **QUIET,  # type: ignore[arg-type]
    )
    with BUGS[name].planted(), pytest.raises(AssertionError):
        run_state_machine_as_test(OrderModel, settings=looking)
