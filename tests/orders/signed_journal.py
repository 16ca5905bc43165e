"""Journals whose records were verified and signed off, to be damaged and opened again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from damage import memory_folder
from desk_floor import NODE

from alluse_core.orders.committer import InlineCommitter
from alluse_core.orders.journal import Journal
from alluse_core.orders.records import Kind, Row
from alluse_core.testing import VirtualClock


def opened(path: Path, **how: Any) -> Journal:
    how = {"whole_below": 0, **how}
    return Journal(path, clock=VirtualClock(), node=NODE, committer=InlineCommitter(), **how)


def event(journal: Journal, key: str, state: str, kind: Kind = Kind.EVENT) -> None:
    body = {"broker": "fake", "event": "X"}
    journal.append(journal.scribe.row(kind, body, key, f"ref-{key}", state))


def live(journal: Journal, key: str) -> None:
    event(journal, key, "INTENT", Kind.ORDER)
    event(journal, key, "SUBMITTED")


def ended(journal: Journal, count: int, start: int = 0) -> None:
    for number in range(start, start + count):
        live(journal, f"ended-{number}")
        event(journal, f"ended-{number}", "REJECTED")


def edit(path: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement, values)
    connection.commit()
    connection.close()


def stories(journal: Journal) -> dict[str, list[int]]:
    _, found = journal.recover()
    return {story[0].key: [entry.sequence for entry in story] for story in found}


def opened_problem(path: Path, **how: Any) -> str:
    journal = opened(path, **how)
    journal.close()
    return journal.problem


def stored(path: Path, sequence: int) -> tuple[int, Row, bytes]:
    connection = sqlite3.connect(path)
    columns = "time, kind, key, ref, state, body"
    row = connection.execute(f"SELECT {columns} FROM record WHERE seq = ?", (sequence,)).fetchone()
    (before,) = connection.execute(
        "SELECT hash FROM record WHERE seq = ?", (sequence - 1,)
    ).fetchone()
    connection.close()
    return sequence, Row(*row), before


@contextmanager
def closed_journal() -> Iterator[Path]:
    """Yield a journal: records 1 to 2 are of an order that lives, 3 to 62 of twenty that ended."""
    with memory_folder() as folder:
        journal = opened(folder / "journal.db")
        live(journal, "lives")
        ended(journal, 20)
        journal.close()
        yield folder / "journal.db"


def accepted(path: Path) -> str:
    """Accept what is wrong, as the first record that is written, and open again."""
    journal = opened(path, whole_below=10_000)
    assert journal.problem
    journal.append(journal.scribe.row(Kind.ACCEPTED, {"by": "Ada", "problem": journal.problem}))
    journal.close()
    return opened_problem(path, whole_below=10_000)
