"""A checkpoint is believed where it fits its journal only, and holds words other versions read."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from signed_journal import (
    accepted,
    closed_journal,
    edit,
    ended,
    event,
    live,
    opened,
    opened_problem,
    stories,
)

from alluse_core.orders.checkpoint import checkpoint_path, read_checkpoint
from alluse_core.orders.records import Kind
from alluse_core.orders.verification import Damage


@pytest.fixture
def path() -> Iterator[Path]:
    """A closed journal: record 1 to 2 are of an order that lives, 3 to 62 of twenty that ended."""
    with closed_journal() as path:
        yield path


# --- which checkpoint is believed ----------------------------------------------------------------


def test_a_journal_without_a_checkpoint_opens_and_gets_one(path: Path) -> None:
    checkpoint_path(path).unlink()
    journal = opened(path)
    assert stories(journal) == {"lives": [1, 2]}
    journal.close()
    kept = read_checkpoint(checkpoint_path(path))
    assert kept is not None
    assert kept.walk.head.sequence == kept.walk.records == 62
    assert kept.standing.live == {"lives": [1, 2]}


def rewritten(path: Path, **fields: object) -> None:
    """Write a checkpoint that is whole and says otherwise."""
    content = json.loads(path.read_bytes().rpartition(b"\n")[0])
    text = json.dumps(content | fields).encode()
    path.write_bytes(text + b"\n" + hashlib.sha256(text).hexdigest().encode())


@pytest.mark.parametrize(
    "fields",
    [
        {"hash": "00" * 32},
        {"sequence": 61},
        {"sequence": 63},
        {"format": 99},
        {"hash": "no hash"},
        {"standing": {"unknown": 1}},
    ],
)
def test_a_checkpoint_that_does_not_fit_is_not_believed(
    path: Path, fields: dict[str, object]
) -> None:
    rewritten(checkpoint_path(path), **fields)
    edit(path, "UPDATE record SET body = '{}' WHERE seq = 20")
    assert opened_problem(path) == "record 20 is not what was written"


def test_a_checkpoint_of_another_journal_is_not_believed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = opened(tmp_path / "other" / "journal.db")
    ended(other, 21)
    other.close()
    shutil.copy(checkpoint_path(tmp_path / "other" / "journal.db"), checkpoint_path(path))
    journal = opened(path)
    assert stories(journal) == {"lives": [1, 2]}
    journal.close()


def test_a_shorter_history_is_told_whatever_the_checkpoint_says(path: Path) -> None:
    edit(path, "DELETE FROM record WHERE seq > 50")
    assert opened_problem(path) == "the journal ends at record 50, the anchor knows 62"
    checkpoint_path(path).unlink()
    assert opened_problem(path) == "the journal ends at record 50, the anchor knows 62"


def test_without_its_anchor_nothing_is_believed(path: Path) -> None:
    path.with_name("journal.db.anchor").unlink()
    edit(path, "UPDATE record SET body = '{}' WHERE seq = 20")
    assert opened_problem(path) == "record 20 is not what was written"


def test_what_a_person_accepted_stays_accepted_behind_a_checkpoint(path: Path) -> None:
    edit(path, "DELETE FROM record WHERE seq = 2")
    journal = opened(path)
    event(journal, "lives", "ACCEPTED")
    journal.append(journal.scribe.row(Kind.ACCEPTED, {"by": "Ada", "problem": journal.problem}))
    journal.close()
    before = checkpoint_path(path).read_bytes()
    for _ in range(2):
        journal = opened(path)
        assert journal.problem == ""
        assert journal.verification.accepted
        assert stories(journal) == {"lives": [1, 63]}
        journal.close()
    assert checkpoint_path(path).read_bytes() != before


def test_a_live_order_behind_a_gap_is_read_by_walking_all(path: Path) -> None:
    journal = opened(path)
    live(journal, "later")
    journal.close()
    edit(path, "DELETE FROM record WHERE seq IN (20, 62)")
    journal = opened(path)
    assert journal.problem == "records 20 to 20 are gone"
    assert stories(journal)["later"] == [63, 64]
    journal.close()


# --- words that other versions read --------------------------------------------------------------


def test_a_checkpoint_is_read_back_as_it_was_written(path: Path) -> None:
    checkpoint = read_checkpoint(checkpoint_path(path))
    assert checkpoint is not None
    checkpoint.walk.found = (5, "record 5 is bad", Damage.EDITED)
    checkpoint.walk.accepted_at = 6
    checkpoint.standing.revived.add("lives")
    checkpoint.write(checkpoint_path(path))
    assert read_checkpoint(checkpoint_path(path)) == checkpoint


def content_of(path: Path) -> Any:
    return json.loads(checkpoint_path(path).read_bytes().rpartition(b"\n")[0])


def test_a_checkpoint_holds_these_words(path: Path) -> None:
    journal = opened(path)
    event(journal, "ended-3", "ACCEPTED")
    journal.append(journal.scribe.row(Kind.IDS, {"broker": "a", "up_to": 64}))
    journal.append(journal.scribe.row(Kind.CONTROL, {"action": "approve", "accepted": [1]}))
    journal.append(journal.scribe.row(Kind.ADJUSTMENT, {"broker": "a", "execution_id": "x1"}))
    head = journal._head
    journal.close()
    content, digest = checkpoint_path(path).read_bytes().split(b"\n")
    assert json.loads(content) == {
        "format": 2,
        "sequence": 66,
        "hash": head.hash.hex(),
        "records": 66,
        "found": None,
        "accepted_at": 0,
        "standing": {
            "orders": 21,
            "live": {"lives": [1, 2], "ended-3": [63]},
            "ended": {},
            "family": {},
            "revived": ["ended-3"],
            "matters": {"ids/a": 64},
            "each": [65],
            "adjustments": [66],
        },
    }
    assert digest.decode() == hashlib.sha256(content).hexdigest()
    assert not list(path.parent.glob("*.new"))


def test_damage_that_was_accepted_is_kept_in_these_words(path: Path) -> None:
    edit(path, "UPDATE record SET body = '{}' WHERE seq = 20")
    assert accepted(path) == ""
    content = content_of(path)
    assert content["found"] == [20, "record 20 is not what was written", "edited"]
    assert content["accepted_at"] == 63


def test_what_was_decided_about_no_order_is_kept_by_these_words(path: Path) -> None:
    journal = opened(path)
    bodies: list[tuple[Kind, dict[str, Any]]] = [
        (Kind.IDS, {"broker": "a", "up_to": 64}),
        (Kind.POSITION, {"broker": "a", "positions": []}),
        (Kind.CONTROL, {"action": "halt", "state": "HALTED", "reason": "one"}),
        (Kind.CONTROL, {"action": "breaker", "broker": "a", "breaker": "open"}),
        (Kind.CONTROL, {"action": "approval begun", "broker": "a", "since": 0}),
        (Kind.CONTROL, {"action": "differences", "differences": [], "needed": True}),
    ]
    for kind, body in bodies:
        journal.append(journal.scribe.row(kind, body))
    journal.close()
    names = ["ids/a", "positions/a", "state", "breaker/a", "approval/a", "differences"]
    assert content_of(path)["standing"]["matters"] == {
        name: number for number, name in enumerate(names, 63)
    }


def test_an_order_that_ended_again_leaves_nothing_in_the_checkpoint(path: Path) -> None:
    before = content_of(path)["standing"]
    journal = opened(path)
    event(journal, "ended-3", "ACCEPTED")
    event(journal, "ended-3", "CANCELED")
    journal.close()
    assert content_of(path)["standing"] == before


def test_a_journal_of_one_record_gets_a_checkpoint_when_it_closes(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal.db")
    journal.append(journal.scribe.row(Kind.START, {}))
    journal.close()
    assert content_of(tmp_path / "journal.db")["sequence"] == 1
