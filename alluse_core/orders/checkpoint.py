"""How far the journal was verified, so that a start need not walk all of it again.

A checkpoint lies beside the journal. It names the last record that was read and found whole, and
the records up to there that a start still needs: those of orders that have not ended and of
brackets that are not over, and the newest word on each matter that outlives a process. It saves
time and proves nothing: one that is missing, damaged or of another history means that the whole
journal is walked. It is therefore never synced.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from alluse_core.orders.chain import GENESIS, Head, link
from alluse_core.orders.reader import COLUMNS, Entry, entry
from alluse_core.orders.records import Kind, Row
from alluse_core.orders.verification import Damage, Walk

_FORMAT = 2
_OF_A_BRACKET = '"group_kind":"bracket"'
_ENDED = frozenset({"DENIED", "FILLED", "CANCELED", "REJECTED", "EXPIRED"})
# Brokers tell executions again for a week at most; each adjustment calls a person once.
_ADJUSTMENTS_KEPT = 1_000


def checkpoint_path(journal: Path) -> Path:
    """Return where the checkpoint of a journal lies."""
    return journal.with_name(journal.name + ".checked")


@attrs.define
class Standing:
    """Which records a start needs, by their sequence numbers.

    ``live``: those of each order that has not ended. ``ended``: those of each that has, and whose
    bracket is not over; ``family`` names the entry of each order of such a bracket. ``revived``:
    orders that count again after their end, whose earlier records are found by their key.
    ``matters``: the newest record of each matter that is about no order. ``each``: records about no
    order that all count. ``orders``: how many there ever were.
    """

    orders: int = 0
    live: dict[str, list[int]] = attrs.field(factory=dict)
    ended: dict[str, list[int]] = attrs.field(factory=dict)
    family: dict[str, str] = attrs.field(factory=dict)
    revived: set[str] = attrs.field(factory=set)
    matters: dict[str, int] = attrs.field(factory=dict)
    each: list[int] = attrs.field(factory=list)
    adjustments: list[int] = attrs.field(factory=list)

    def __len__(self) -> int:
        return sum(map(len, self.stories.values())) + len(self.general)

    @property
    def stories(self) -> dict[str, list[int]]:
        """The records of each order that a start needs."""
        return self.live | self.ended

    def take(self, sequence: int, row: Row) -> None:
        """Learn from the next record."""
        if not row.key:
            self._general(sequence, row)
            return
        if row.kind == Kind.ORDER:
            self.orders += 1
        if row.kind == Kind.BRACKET or (row.kind == Kind.ORDER and _OF_A_BRACKET in row.body):
            self._bracket(row, json.loads(row.body))
        story = self.live.get(row.key)
        if story is not None and row.state not in _ENDED:
            story.append(sequence)
        else:
            self._turn(sequence, row)

    def _turn(self, sequence: int, row: Row) -> None:
        """Take a record that may begin a story, or end it, or be of one that ended."""
        key, alive = row.key, bool(row.state) and row.state not in _ENDED
        story = (self.live if key in self.live else self.ended).pop(key, None)
        if story is None:
            if not alive:
                return
            story = []
            if row.kind != Kind.ORDER:
                self.revived.add(key)
        story.append(sequence)
        if alive:
            self.live[key] = story
        elif key in self.family:
            self.ended[key] = story
        else:
            self.revived.discard(key)

    def _bracket(self, row: Row, body: dict[str, Any]) -> None:
        """Learn of a bracket by its exits, or by what is told of it later."""
        if row.kind == Kind.ORDER:
            if body["entry"]:
                self.family[row.key] = self.family[body["entry"]] = body["entry"]
            return
        for key in (row.key, *body["exits"]):
            if body["over"]:
                self.family.pop(key, None)
                self.ended.pop(key, None)
                self.revived -= {key} - self.live.keys()
            elif key not in self.family:
                self.family[key] = row.key
                if key not in self.live:
                    self.ended[key] = []
                    self.revived.add(key)

    def _general(self, sequence: int, row: Row) -> None:
        if row.kind == Kind.ADJUSTMENT:
            self.adjustments.append(sequence)
            del self.adjustments[:-_ADJUSTMENTS_KEPT]
        elif row.kind in (Kind.IDS, Kind.CONTROL, Kind.POSITION):
            matter = matter_of(row.kind, json.loads(row.body))
            if matter == EACH:
                self.each.append(sequence)
            elif matter:
                self.matters[matter] = sequence

    @property
    def general(self) -> list[int]:
        """The records that are about no order, in their order."""
        return sorted((*self.matters.values(), *self.each, *self.adjustments))


EACH = "each"
"""Of these records not only the newest counts: what persons decided, and what is not known here."""


def matter_of(kind: str, body: dict[str, Any]) -> str:
    """Return what a record about no order decides until the next of its kind; '' for nothing."""
    broker = body.get("broker")
    if kind == Kind.IDS:
        return f"ids/{broker}"
    if kind == Kind.POSITION:
        return f"positions/{broker}" if "positions" in body else ""
    if "state" in body:
        return "state"
    if "paged" in body:
        return ""
    action = body.get("action")
    if action == "breaker":
        return f"breaker/{broker}"
    if action in ("approval begun", "approval ended"):
        return f"approval/{broker}"
    return "differences" if action == "differences" else EACH


@attrs.define
class Checkpoint:
    """What was verified, and what of it a start needs. It goes on with each record read."""

    walk: Walk = attrs.field(factory=Walk)
    standing: Standing = attrs.field(factory=Standing)

    def write(self, path: Path) -> None:
        """Put it beside the journal. Raises OSError."""
        walk, standing = self.walk, self.standing
        content = json.dumps(
            {
                "format": _FORMAT,
                "sequence": walk.head.sequence,
                "hash": walk.head.hash.hex(),
                "records": walk.records,
                "found": walk.found,
                "accepted_at": walk.accepted_at,
                "standing": attrs.asdict(standing) | {"revived": sorted(standing.revived)},
            }
        ).encode()
        made = path.with_name(path.name + ".new")
        made.write_bytes(content + b"\n" + hashlib.sha256(content).hexdigest().encode())
        os.replace(made, path)


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Return what a file holds; None where it is missing or not whole."""
    try:
        content, _, digest = path.read_bytes().rpartition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() != digest:
            return None
        return _checkpoint(json.loads(content))
    except (OSError, KeyError, TypeError, ValueError):
        return None


def _checkpoint(written: dict[str, Any]) -> Checkpoint | None:
    if written["format"] != _FORMAT:
        return None
    head = Head(written["sequence"], bytes.fromhex(written["hash"]))
    found = None
    if written["found"] is not None:
        at, problem, damage = written["found"]
        found = (at, problem, Damage(damage))
    standing = Standing(**written["standing"])
    standing.revived = set(standing.revived)
    return Checkpoint(Walk(head, written["records"], found, written["accepted_at"]), standing)


def is_of(checkpoint: Checkpoint, connection: sqlite3.Connection, anchor: Head | None) -> bool:
    """Whether a checkpoint is of this very history, and the anchor not behind it."""
    head = checkpoint.walk.head
    if anchor is None or anchor.sequence < head.sequence:
        return False
    found = connection.execute("SELECT hash FROM record WHERE seq = ?", (head.sequence,)).fetchone()
    return found is not None and found[0] == head.hash


@attrs.frozen
class Recovered:
    """What a start is given: records about no order, and the stories of orders that are open.

    ``sure``: they were all there and what was written.
    """

    general: list[Entry]
    stories: list[list[Entry]]
    sure: bool


def read_standing(connection: sqlite3.Connection, standing: Standing, *, walked: bool) -> Recovered:
    """Return what a start needs; what is not what was written is left out.

    ``walked``: all records were read just now, so that the index of the keys, which no hash
    covers, need not be believed.
    """
    general, sure = _read(connection, standing.general)
    stories = []
    for key, sequences in standing.stories.items():
        if key in standing.revived:
            sequences = _of_key(connection, key, indexed=not walked)
        story, whole = _read(connection, sequences)
        sure = sure and whole and bool(story) and story[0].kind == Kind.ORDER
        if story:
            stories.append(story)
    stories.sort(key=lambda story: story[0].sequence)
    return Recovered(general, stories, sure)


def _of_key(connection: sqlite3.Connection, key: str, *, indexed: bool) -> list[int]:
    # A sign before the column keeps SQLite from the index.
    term = "key" if indexed else "+key"
    found = connection.execute(
        f"SELECT seq FROM record WHERE {term} = ? AND key <> '' ORDER BY seq", (key,)
    )
    return [sequence for (sequence,) in found]


_ONE = f"SELECT {COLUMNS}, (SELECT hash FROM record WHERE seq = ? - 1) FROM record WHERE seq = ?"


def _read(connection: sqlite3.Connection, sequences: Sequence[int]) -> tuple[list[Entry], bool]:
    """Return those of the records that are what was written, and whether that is all for sure."""
    found, sure = [], True
    for sequence in sequences:
        for _, *fields, stored, before in connection.execute(_ONE, (sequence, sequence)):
            row = Row(*fields)
            if sequence == 1:
                before = GENESIS
            # After a gap nothing tells; the gap itself was said, or is not known yet.
            sure = sure and before is not None
            if before is None or link(before, sequence, row) == stored:
                found.append(entry(sequence, row))
    return found, sure and len(found) == len(sequences)
