"""Checking the journal: its chain of hashes, its order, its length against the anchor."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

import attrs

from alluse_core.orders.chain import EMPTY, Head, link, read_anchor
from alluse_core.orders.reader import COLUMNS, JournalReader, anchor_path, corrupt
from alluse_core.orders.records import Kind, Row

UNREADABLE = (sqlite3.DatabaseError, ArithmeticError, KeyError, TypeError, ValueError)
"""What reading a damaged database, or decoding what it holds, raises."""
TOLD_EVERY = 10_000
"""Whoever watches a long check or export hears of each so many records."""


class Damage(StrEnum):
    """What kind of damage a check of the journal found."""

    EDITED = "edited"
    GONE = "gone"
    SHORTER = "shorter"
    ANCHOR = "anchor"
    UNSOUND = "unsound"


_COMPARE = "compare with the broker's statement, then 'alluse orders resume --by NAME'"
_RESTORE = "restore journal.db and journal.db.anchor from one copy; or " + _COMPARE
WAYS_OUT: Mapping[Damage, str] = MappingProxyType(
    {
        Damage.EDITED: _RESTORE,
        Damage.GONE: _RESTORE,
        Damage.SHORTER: f"a start finds missing orders at the broker by their orderRef; {_COMPARE}",
        Damage.ANCHOR: f"restore journal.db.anchor beside the journal; or {_COMPARE}",
        Damage.UNSOUND: "stop the process, delete journal.db.checked and start: the indexes are"
        " made anew from the records",
    }
)


@attrs.frozen
class Verification:
    """What a check of the journal found. ``problem`` is empty where it is whole.

    ``at`` is the sequence number the (first) problem was found at; of a gap, its first.
    ``accepted``: a person was told of it and went on.
    """

    records: int
    head: Head
    problem: str
    at: int
    accepted: bool
    damage: Damage | None

    @property
    def way_out(self) -> str:
        """What to do about the problem; empty where there is none."""
        return "" if self.damage is None else WAYS_OUT[self.damage]

    @property
    def ok(self) -> bool:
        """Whether chain and anchor agree from the first record to the last."""
        return not self.problem


@attrs.define
class Walk:
    """Checks the chain record by record while they are read; see :func:`verify`.

    ``found``: where, what and of which kind the problem is that counts, so far. Later problems than
    one that was accepted matter; of several open ones, the first does.
    """

    head: Head = EMPTY
    records: int = 0
    found: tuple[int, str, Damage] | None = None
    accepted_at: int = 0

    def take(self, sequence: int, row: Row, stored: bytes) -> bool:
        """Check the next record; return whether it is what was written."""
        whole = True
        if sequence <= self.head.sequence:
            self._report(1, f"record {sequence} is none of the journal's", Damage.EDITED)
            return False
        if sequence != self.head.sequence + 1:
            gone = f"records {self.head.sequence + 1} to {sequence - 1} are gone"
            # At the first that is missing: the one after the gap may be a person's word for it.
            self._report(self.head.sequence + 1, gone, Damage.GONE)
        elif link(self.head.hash, sequence, row) != stored:
            self._report(sequence, f"record {sequence} is not what was written", Damage.EDITED)
            whole = False
        if whole and row.kind == Kind.ACCEPTED:
            self.accepted_at = sequence
        self.head = Head(sequence, stored)
        self.records += 1
        return whole

    def passed_anchor(self, anchor: Head, sequence: int, stored: bytes) -> None:
        """Compare the record that the anchor names."""
        if sequence == anchor.sequence and stored != anchor.hash:
            other = f"record {sequence} is not the one the anchor names"
            self._report(sequence, other, Damage.EDITED)

    def finish(self, anchor: Head | None, unsound: str) -> Verification:
        """Compare the end with the anchor and return the verdict.

        ``unsound``: what SQLite says of the file, where that is not sound.
        """
        after = self.head.sequence + 1
        if anchor is None:
            if self.records:
                self._report(after, "the anchor is missing or unreadable", Damage.ANCHOR)
        elif anchor.sequence > self.head.sequence:
            shorter = (
                f"the journal ends at record {self.head.sequence},"
                f" the anchor knows {anchor.sequence}"
            )
            self._report(after, shorter, Damage.SHORTER)
        if unsound:
            self._report(after, f"the file is not sound: {unsound}", Damage.UNSOUND)
        return self.verdict()

    def verdict(self) -> Verification:
        """Return what is known so far."""
        at, problem, damage = self.found or (0, "", None)
        accepted = self.accepted_at > at > 0
        return Verification(self.records, self.head, problem, at, accepted, damage)

    def _report(self, at: int, problem: str, damage: Damage) -> None:
        if self.found is None or self.accepted_at > self.found[0]:
            self.found = (at, problem, damage)


def walk(
    connection: sqlite3.Connection, anchor: Head | None, checker: Walk, most: int = sys.maxsize
) -> Iterator[tuple[int, Row]]:
    """Yield the records after the checker's head that are what was written; ``most``: of so many.

    The others are left out: what they say was never said.
    """
    try:
        yield from _walk(connection, anchor, checker, most)
    except sqlite3.OperationalError:
        # A flipped bit that makes no text is damage like any other; what else it was comes again.
        connection.text_factory = _any_text
        yield from _walk(connection, anchor, checker, most)


def _any_text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _walk(
    connection: sqlite3.Connection, anchor: Head | None, checker: Walk, most: int
) -> Iterator[tuple[int, Row]]:
    # At the beginning also what stands before the first record, where nothing belongs.
    after = checker.head.sequence if checker.records else -(1 << 63)
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM record WHERE seq > ? ORDER BY seq LIMIT ?", (after, most)
    )
    for sequence, *fields, stored in rows:
        row = Row(*fields)
        whole = checker.take(sequence, row, stored)
        if anchor is not None:
            checker.passed_anchor(anchor, sequence, stored)
        if whole:
            yield sequence, row


def unsoundness(connection: sqlite3.Connection) -> str:
    """Return what is wrong with the file beside its records, as its indexes are; '' for nothing.

    No hash covers the indexes, and an order is found by its key through one.
    """
    (said,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    return "" if said == "ok" else " ".join(said.replace("*** in database main ***", "").split())


def verify(path: Path, progress: Callable[[int, int], None] | None = None) -> Verification:
    """Check chain, order, length against the anchor, and indexes of the journal at ``path``.

    ``progress`` is called now and then with (records read, records there are). Raises JournalError
    where there is no journal, JournalCorrupt where it is no database any more.
    """
    checker = Walk()
    with JournalReader(path) as reader:
        anchor = read_anchor(anchor_path(path))
        try:
            last = reader.last
            for sequence, _ in walk(reader.connection, anchor, checker):
                if progress is not None and sequence % TOLD_EVERY == 0:
                    progress(sequence, last)
            unsound = unsoundness(reader.connection)
        except UNREADABLE as error:
            raise corrupt(path, error) from None
    return checker.finish(anchor, unsound)
