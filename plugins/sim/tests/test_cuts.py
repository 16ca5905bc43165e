"""The connection is cut at every byte of what is sent and of what is answered.

By default: every byte of a placed order's frame, some of the answers, and of a bracket's frames
those bytes that differ to a reader of frames: that the others are like them is shown for each.
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
from alluse_gateway.wire import FrameReader
from alluse_sim.cuts import ACTS, BEYOND, IN, OUT, cut_at, cut_everywhere, ends_of, spoken

EVERY = int(os.environ.get("ALLUSE_CUT_EVERY", "0"))
FIRST = int(os.environ.get("ALLUSE_CUT_FROM", "0"))
ALL = [(name, direction, EVERY) for name in ACTS for direction in (OUT, IN)]
SHORT = [
    ("place", OUT, 1),
    ("place", IN, 29),
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


@pytest.fixture(scope="module")
def bracket() -> tuple[bytes, list[int]]:
    """What a bracket sends, and where each of its frames ends."""
    said = spoken("bracket")
    return said, ends_of(said)


def test_of_a_frame_that_is_cut_at_any_byte_the_broker_reads_nothing(
    bracket: tuple[bytes, list[int]],
) -> None:
    said, ends = bracket
    assert len(ends) == 3
    whole = [said[start + 4 : end] for start, end in zip([0, *ends], ends, strict=False)]
    for at in range(len(said) + 1):
        reader = FrameReader()
        reader.feed(said[:at])
        assert list(reader.frames()) == whole[: sum(end <= at for end in ends)]


@pytest.mark.slow
def test_a_bracket_cut_in_or_between_its_frames_is_covered_or_told(
    bracket: tuple[bytes, list[int]],
) -> None:
    _, ends = bracket
    offsets = [0]
    for start, end in zip([0, *ends], ends, strict=False):
        # Each byte of its length, the first and a middle one of its text, its last, and its end.
        offsets += [start + 1, start + 2, start + 3, start + 4, (start + end) // 2, end - 1, end]
    found = cut_at("bracket", OUT, offsets)
    assert not found.problems, "\n".join(found.problems)
    assert found.placed == [sum(end <= at for end in ends) for at in offsets]
