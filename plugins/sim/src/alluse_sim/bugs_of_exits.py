"""Bugs of a bracket's exits: what one of them filled and what that takes off the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from alluse_core.orders import lanes
from alluse_core.orders.reductions import Reductions
from alluse_core.orders.trimming import Trimming
from alluse_sim.bug import Bug, Patch

_BRACKETS = {"brackets": 0.8, "cap": 0, "kill_at_batch": 0, "restarts": 0}


def _send_exits_that_cancel_each_other() -> Sequence[Patch]:
    message_of = lanes.message_of

    def cancelling(*arguments: Any, **more: Any) -> Any:
        return attrs.evolve(message_of(*arguments, **more), oca_reduces=False)

    return [(lanes, "message_of", cancelling)]


def _take_a_reduction_for_a_difference() -> Sequence[Patch]:
    return [(Reductions, "_explains", lambda *_: False)]


def _leave_exits_as_large_as_their_entry_was() -> Sequence[Patch]:
    async def nothing(*_: Any) -> None:
        """Let an exit be for more than its bracket can have open."""

    return [(Trimming, "_trim", nothing)]


BUGS = (
    Bug(
        "exits-cancel-each-other",
        "a take-profit that fills in part leaves the stop at work for the rest",
        _send_exits_that_cancel_each_other,
        {**_BRACKETS, "faults": ("slow", "late-acks", "slow")},
    ),
    Bug(
        "reduction-is-a-difference",
        "an exit follows what the broker takes off it",
        _take_a_reduction_for_a_difference,
        {**_BRACKETS, "faults": ("slow", "late-acks", "slow")},
    ),
    Bug(
        "exits-stay-too-large",
        "an exit is for no more than its entry opened or may open",
        _leave_exits_as_large_as_their_entry_was,
        {**_BRACKETS, "faults": ("slow", "late-acks", "slow")},
    ),
)
