"""The connection is cut at every byte of what is sent and of what is answered.

By default: every byte of a placed order's frame, some of a bracket's frames and of the answers.
``ALLUSE_CUT_EVERY=1`` cuts every act at every byte, in both directions; 7 at every seventh, and
``ALLUSE_CUT_FROM=3`` begins with the fourth.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor

import pytest
from alluse_sim.cuts import ACTS, BEYOND, IN, OUT, cut_everywhere

EVERY = int(os.environ.get("ALLUSE_CUT_EVERY", "0"))
FIRST = int(os.environ.get("ALLUSE_CUT_FROM", "0"))
ALL = [(name, direction, EVERY) for name in ACTS for direction in (OUT, IN)]
SHORT = [
    ("place", OUT, 1),
    ("place", IN, 29),
    ("bracket", OUT, 17),
    ("modify", OUT, 13),
    ("cancel", OUT, 1),
    ("connect", IN, 97),
]


def _quiet() -> None:
    logging.disable(logging.CRITICAL)


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context, initializer=_quiet) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize(("name", "direction", "every"), ALL if EVERY else SHORT)
def test_a_cut_at_any_byte_loses_no_order_and_sends_none_twice(
    pool: Executor, ran: Callable[[int], None], name: str, direction: str, every: int
) -> None:
    found = cut_everywhere(pool, name, direction, every, FIRST)
    print(found)
    ran(found.cuts)
    assert not found.problems, "\n".join(found.problems)
    assert found.cuts >= (found.size - FIRST) // every
    # A quote that is held already is not subscribed to again: there is nothing to cut.
    share = 2 if name == "quote" else 10
    assert found.missed <= BEYOND + found.cuts // share, "cuts that never struck show nothing"
