"""Power cuts: what was acknowledged is there, the chain is whole, or the journal says it is not.

``ALLUSE_POWER_CUTS=10000`` makes that many; with ``ALLUSE_POWER_FROM=2000`` they are those after
the first two thousand.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest
from desk_floor import NODE
from forgetful_disk import ForgetfulDisk, mounted

from alluse_core.errors import JournalError
from alluse_core.orders.committer import InlineCommitter
from alluse_core.orders.journal import Journal, JournalReader
from alluse_core.orders.records import Kind
from alluse_core.orders.storage import DISK, Storage
from alluse_core.testing import VirtualClock

CUTS = int(os.environ.get("ALLUSE_POWER_CUTS", "200"))
FIRST = int(os.environ.get("ALLUSE_POWER_FROM", "0"))
CUTS_IN_A_LIFE = 10
JOURNAL = "journal.db"


def opened(folder: Path, clock: VirtualClock, storage: Storage = DISK) -> Journal:
    return Journal(
        folder / JOURNAL, clock=clock, node=NODE, committer=InlineCommitter(), storage=storage
    )


class Ticks(VirtualClock):
    """Time that passes while nothing waits for it."""

    def passes(self, seconds: float) -> None:
        self._move_to(self.monotonic() + seconds)


@attrs.define
class Life:
    """One process on a disk: the keys that it wrote, and after how many a batch ended."""

    disk: ForgetfulDisk
    written: list[str]
    ends: set[int] = attrs.field(factory=set)

    def live(self, dice: random.Random, batches: int) -> None:
        """Write batches of one to five records and end in order: cuts may fall anywhere."""
        clock = Ticks()
        with mounted(self.disk):
            journal = opened(self.disk.folder, clock, self.disk.storage)
            try:
                self._take_up(journal)
                for _ in range(batches):
                    clock.passes(dice.choice((0.0, 0.1, 1.5)))
                    self._write(journal, dice)
            finally:
                journal.close()

    def _take_up(self, journal: Journal) -> None:
        assert not journal.problem, journal.problem
        del self.written[journal.verification.records :]
        self.ends = {0, len(self.written)}
        self.disk.acknowledge(len(self.written))

    def _write(self, journal: Journal, dice: random.Random) -> None:
        names = [f"{len(self.written) + n} {dice.random()}" for n in range(dice.randint(1, 5))]
        self.written += names
        self.ends.add(len(self.written))
        body = {"text": "x" * dice.choice((5, 50, 3000))}
        rows = [journal.scribe.row(Kind.EVENT, body, name) for name in names]
        journal.append(*rows, then=self._told)

    def _told(self, error: JournalError | None) -> None:
        if error is None:
            self.disk.acknowledge(len(self.written))


@attrs.frozen
class Found:
    """What a start after a power cut finds. ``whole``: nothing is said to be wrong."""

    records: int
    promised: int
    whole: bool
    said: str


def start_after(life: Life, at: int, dice: random.Random, folder: Path) -> Found:
    """Cut the power after ``at`` operations and start with the production code on what is left."""
    promised = life.disk.cut(at, dice, folder)
    try:
        journal = opened(folder, Ticks())
    except JournalError as error:
        return Found(0, promised, False, str(error))
    try:
        with JournalReader(folder / JOURNAL) as reader:
            keys = [entry.key for entry in reader.entries()]
        if not journal.problem:
            assert keys == life.written[: len(keys)], "records are what was written, in order"
            assert len(keys) in life.ends, "a batch is there as a whole or not at all"
        return Found(len(keys), promised, not journal.problem, journal.problem)
    finally:
        journal.close()


@contextmanager
def folder() -> Iterator[Path]:
    """Keep a folder while the ``with`` lasts: ten thousand of them are too many for pytest."""
    path = Path(tempfile.mkdtemp(prefix="alluse-power-"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def cuts_of(seed: int, count: int, synchronous: str = "FULL") -> Iterator[Found]:
    """Cut the power ``count`` times in two lives, the second on what one cut of the first left."""
    dice = random.Random(seed)
    with folder() as first, folder() as second:
        life = play(first, [], dice, synchronous)
        for number in range(count):
            if number == count // 2 and synchronous == "FULL":
                life.disk.cut(dice.randint(0, len(life.disk.ops)), dice, second)
                life = play(second, list(life.written), dice, synchronous)
            with folder() as left:
                yield start_after(life, dice.randint(0, len(life.disk.ops)), dice, left)


def play(where: Path, written: list[str], dice: random.Random, synchronous: str) -> Life:
    """Live on a disk whose log is folded into the database often, so that cuts fall there too."""
    disk = ForgetfulDisk(where)
    disk.checkpoint_pages = dice.choice((4, 15, 4000))
    disk.synchronous = synchronous
    life = Life(disk, written)
    life.live(dice, dice.randint(3, 25))
    return life


@pytest.mark.slow
@pytest.mark.timeout(300 + CUTS)
def test_a_power_cut_at_any_moment_loses_nothing_that_was_acknowledged(
    ran: Callable[[int], None],
) -> None:
    seen: Counter[str] = Counter()
    first = FIRST // CUTS_IN_A_LIFE
    for seed in range(first, first - (-CUTS // CUTS_IN_A_LIFE)):
        for found in cuts_of(seed, CUTS_IN_A_LIFE):
            assert found.whole, f"seed {seed}: {found}"
            assert found.records >= found.promised, f"seed {seed}: {found}"
            ran(1)
            seen["cuts"] += 1
            seen["with records promised"] += found.promised > 0
            seen["with more than was promised"] += found.records > found.promised
    assert seen["cuts"] >= CUTS
    assert seen["with records promised"] > CUTS // 2
    assert seen["with more than was promised"] > CUTS // 50, "cuts fell into commits"
    print(dict(seen))


def test_a_journal_that_does_not_sync_is_found_out() -> None:
    lost = silently = 0
    for seed in range(8):
        for found in cuts_of(seed, CUTS_IN_A_LIFE // 2, synchronous="OFF"):
            lost += found.records < found.promised
            silently += found.records < found.promised and found.whole
    assert lost > 5, "this disk forgets what was not synced, and the test sees it"
    assert silently, "only the sync, not the anchor, keeps the newest records"
