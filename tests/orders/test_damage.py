"""A journal that is torn or flipped anywhere: cut at its last whole record, and said.

``ALLUSE_DAMAGE_EVERY=1`` damages every byte of the log, of the main file and of the others; 16 each
sixteenth, and ``ALLUSE_DAMAGE_FROM=3`` begins with the fourth.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from damage import (
    ANCHOR,
    CHECKED,
    LOG,
    NAME,
    Found,
    Whole,
    judged,
    memory_folder,
    small_pages,
    stories_of,
)
from damage import written as write_journal

EVERY = int(os.environ.get("ALLUSE_DAMAGE_EVERY", "0"))
FIRST = int(os.environ.get("ALLUSE_DAMAGE_FROM", "0"))
"""1: every byte offset; n: each n-th; 0: those of the last frame, where pages are small."""
PAGES = (512, 4096) if EVERY else (512,)
DRAWN = 60
ENDED = {"DENIED", "FILLED", "CANCELED", "REJECTED", "EXPIRED"}

pytestmark = pytest.mark.timeout(0 if EVERY else 300)


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    with memory_folder() as folder:
        yield folder


@pytest.fixture(scope="module", params=PAGES, ids=lambda size: f"pages of {size}")
def page(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module", params=(False, True), ids=("fresh log", "restarted log"))
def whole(request: pytest.FixtureRequest, memory: Path, page: int) -> Whole:
    folder = memory / f"source-{page}-{request.param}"
    folder.mkdir()
    return write_journal(folder, small_pages(page), restarted=request.param)


@pytest.fixture(scope="module")
def settled(memory: Path, page: int) -> Whole:
    """A journal that was closed: all is in the main file."""
    folder = memory / f"settled-{page}"
    folder.mkdir()
    written = write_journal(folder, small_pages(page), restarted=False)
    files = {name: (folder / name).read_bytes() for name in (NAME, ANCHOR, CHECKED)}
    return attrs.evolve(written, files={**files, LOG: b""})


@pytest.fixture
def place(memory: Path) -> Path:
    folder = memory / "judged"
    folder.mkdir(exist_ok=True)
    return folder


def offsets(size: int, seed: int, always: range = range(0)) -> list[int]:
    """Return where to damage: every n-th byte, or some that are drawn and those of ``always``."""
    if EVERY:
        return list(range(FIRST, size, EVERY))
    dice = random.Random(seed)
    return sorted({*range(0, 48, 4), *always, *(dice.randrange(size) for _ in range(DRAWN))})


def flipped(content: bytes, offset: int) -> bytes:
    """Flip one bit of one byte; which, depends on the offset."""
    changed = bytearray(content)
    changed[offset] ^= 1 << random.Random(offset).randrange(8)
    return bytes(changed)


def last_frame(whole: Whole) -> range:
    """Return where the last frame of a fresh log is; few of a restarted one, to save time."""
    end = whole.commits[-1][0]
    return range(whole.frame(end - 1), end, 8 if whole.base else 1)


def judge(whole: Whole, place: Path, name: str, content: bytes, **how: Any) -> Found:
    return judged(place, {**whole.files, name: content}, small_pages(whole.page), **how)


def expect_cut(whole: Whole, found: Found, records: int) -> None:
    """Exactly the first ``records`` are there, in every way they are read, and the rest is said."""
    kept = whole.entries[:records]
    assert found.refused == found.unread == ""
    assert found.entries == kept
    live = {key: s for key, s in stories_of(kept).items() if s[-1].state not in ENDED}
    assert {story[0].key: story for story in found.stories} == live
    known = len(whole.entries)
    problem = f"the journal ends at record {records}, the anchor knows {known}"
    assert found.problem == (problem if records < known else "")
    assert found.later in (None, found.problem)


def test_the_undamaged_journal_is_whole(whole: Whole, place: Path) -> None:
    expect_cut(whole, judge(whole, place, LOG, whole.log, again=True), len(whole.entries))
    assert len({count for _, count in whole.commits}) == len(whole.commits) > 1


def test_a_flipped_bit_in_the_log_cuts_it_there_and_is_said(
    whole: Whole, place: Path, ran: Callable[[int], None]
) -> None:
    chosen = offsets(len(whole.log), 1, last_frame(whole))
    for offset in chosen:
        found = judge(whole, place, LOG, flipped(whole.log, offset), again=offset % 16 == 0)
        expect_cut(whole, found, whole.records_before(whole.frame(offset)))
        ran(1)
    print(f"a bit flipped in {len(chosen)} of the log's {len(whole.log)} bytes")


def test_a_log_that_is_torn_off_is_cut_there_and_said(
    whole: Whole, place: Path, ran: Callable[[int], None]
) -> None:
    chosen = offsets(len(whole.log), 2, last_frame(whole))
    for length in chosen:
        found = judge(whole, place, LOG, whole.log[:length], again=length % 16 == 0)
        expect_cut(whole, found, whole.records_before(length))
        ran(1)
    print(f"torn off at {len(chosen)} of the log's {len(whole.log)} bytes")


def expect_recovered(settled: Whole, found: Found) -> None:
    """What a start was given was written, and a live order that it was not given is told."""
    given = [*found.general, *(entry for story in found.stories for entry in story)]
    assert all(entry in settled.entries for entry in given)
    if not found.said:
        assert len(given) == 1 + 1 + 2


def test_a_flipped_bit_in_the_main_file_is_told_or_mended(
    settled: Whole, place: Path, ran: Callable[[int], None]
) -> None:
    main = settled.files[NAME]
    told, chosen = 0, offsets(len(main), 3)
    for offset in chosen:
        found = judge(settled, place, NAME, flipped(main, offset))
        ran(1)
        told += bool(found.said)
        expect_recovered(settled, found)
        if not found.said:
            expect_cut(settled, found, len(settled.entries))
            assert found.keys == ("a", "b")
    assert told > 0
    print(f"a bit flipped in {len(chosen)} of the main file's {len(main)} bytes, {told} told")


def test_behind_a_checkpoint_damage_is_told_where_it_matters_and_verify_tells_all(
    settled: Whole, place: Path, ran: Callable[[int], None]
) -> None:
    main = settled.files[NAME]
    hidden, chosen = 0, offsets(len(main), 4)
    for offset in chosen:
        content = flipped(main, offset)
        found = judge(settled, place, NAME, content, whole_below=0, again=True)
        ran(1)
        expect_recovered(settled, found)
        if not found.said and (found.unread or found.entries != settled.entries):
            hidden += 1
            assert found.later or found.unread
    # Where nothing was hidden the case that is judged here would not be tried at all.
    assert hidden > 0
    print(f"a bit flipped in {len(chosen)} of the main file's {len(main)} bytes, {hidden} hidden")


def test_a_main_file_that_is_torn_off_is_told_or_mended(
    settled: Whole, place: Path, ran: Callable[[int], None]
) -> None:
    main = settled.files[NAME]
    for length in offsets(len(main), 5):
        for whole_below in (0, 10_000):
            found = judge(settled, place, NAME, main[:length], whole_below=whole_below)
            expect_recovered(settled, found)
            if not found.said:
                # What was torn off was a part of an index, which was made anew.
                assert found.entries == settled.entries, length
                assert found.keys == ("a", "b")
            ran(1)


def test_a_damaged_checkpoint_only_means_a_whole_walk(
    settled: Whole, place: Path, ran: Callable[[int], None]
) -> None:
    kept = settled.files[CHECKED]
    for offset in offsets(len(kept), 6):
        for content in (flipped(kept, offset), kept[:offset]):
            found = judge(settled, place, CHECKED, content, whole_below=0)
            expect_cut(settled, found, len(settled.entries))
            ran(1)


def test_an_anchor_that_is_damaged_is_told_or_harmless(
    settled: Whole, place: Path, ran: Callable[[int], None]
) -> None:
    anchor = settled.files[ANCHOR]
    for offset in offsets(len(anchor), 5):
        for content in (flipped(anchor, offset), anchor[:offset]):
            found = judge(settled, place, ANCHOR, content)
            assert found.refused == ""
            assert found.entries == settled.entries
            assert found.problem in ("", "the anchor is missing or unreadable")
            ran(1)
