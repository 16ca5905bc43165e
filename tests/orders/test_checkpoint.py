"""A start goes on from what was verified before, and reads no more than that needs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import Any

import pytest
from damage import memory_folder
from hypothesis import given, settings
from hypothesis import strategies as st
from signed_journal import closed_journal, edit, ended, event, live, opened, opened_problem, stories

from alluse_core.model import OrderState
from alluse_core.orders import checkpoint as module
from alluse_core.orders.checkpoint import checkpoint_path
from alluse_core.orders.records import Kind
from alluse_core.orders.storage import Storage, allocate, connect
from alluse_core.orders.verification import verify


@pytest.fixture
def path() -> Iterator[Path]:
    """A closed journal: record 1 to 2 are of an order that lives, 3 to 62 of twenty that ended."""
    with closed_journal() as path:
        yield path


def steps_of_a_start(path: Path, given: Set[str] = frozenset({"lives"})) -> int:
    """Return how much SQLite does for an opening, in hundreds of its instructions."""
    counted = 0

    def count() -> None:
        nonlocal counted
        counted += 1

    def counting(at: Path) -> sqlite3.Connection:
        connection = connect(at)
        connection.set_progress_handler(count, 100)
        return connection

    journal = opened(path, storage=Storage(connect=counting, allocate=allocate))
    found = counted
    assert set(stories(journal)) == given
    journal.close()
    return found


def test_a_start_does_not_read_what_was_signed_off(path: Path) -> None:
    short = steps_of_a_start(path)
    journal = opened(path)
    ended(journal, 400, 1_000)
    journal.close()
    assert steps_of_a_start(path) <= short + 1
    checkpoint_path(path).unlink()
    assert steps_of_a_start(path) > short + 100


def test_a_start_does_not_read_what_was_signed_off_for_an_order_that_lives_again(
    path: Path,
) -> None:
    def steps_with_one_that_lives_again() -> int:
        return steps_of_a_start(path, {"lives", "ended-3"})

    journal = opened(path)
    event(journal, "ended-3", "ACCEPTED")
    journal.close()
    short = steps_with_one_that_lives_again()
    journal = opened(path)
    ended(journal, 400, 1_000)
    journal.close()
    assert steps_with_one_that_lives_again() <= short + 1


def test_few_records_are_always_walked_and_so_are_those_after_the_checkpoint(path: Path) -> None:
    assert opened_problem(path) == ""
    edit(path, "UPDATE record SET body = '{}' WHERE seq = 20")
    assert opened_problem(path) == "", "behind the checkpoint, and of an order that ended"
    assert verify(path).problem == "record 20 is not what was written"
    assert opened_problem(path, whole_below=62) == "", "as many as that are believed"
    assert opened_problem(path, whole_below=63) == "record 20 is not what was written"


def test_what_follows_the_checkpoint_is_given_and_checked_too(path: Path) -> None:
    kept = checkpoint_path(path).read_bytes()
    journal = opened(path)
    live(journal, "later")
    journal.close()
    checkpoint_path(path).write_bytes(kept)
    journal = opened(path)
    assert journal.verification.records == 64
    assert stories(journal) == {"lives": [1, 2], "later": [63, 64]}
    journal.close()
    checkpoint_path(path).write_bytes(kept)
    edit(path, "UPDATE record SET body = '{}' WHERE seq = 64")
    assert opened_problem(path) == "record 64 is not what was written"


@pytest.mark.parametrize("state", [each for each in OrderState if each is not OrderState.INTENT])
def test_a_start_is_given_the_orders_that_have_not_ended(path: Path, state: OrderState) -> None:
    journal = opened(path)
    live(journal, "one")
    event(journal, "one", state)
    journal.close()
    journal = opened(path)
    assert ("one" in stories(journal)) is not state.is_terminal
    journal.close()


def test_a_start_is_given_the_oldest_orders_first(path: Path) -> None:
    journal = opened(path)
    live(journal, "later")
    event(journal, "ended-3", "ACCEPTED")
    journal.close()
    journal = opened(path)
    assert list(stories(journal)) == ["lives", "ended-3", "later"]
    journal.close()


def test_an_order_that_lives_again_has_its_whole_story(path: Path) -> None:
    journal = opened(path)
    event(journal, "ended-3", "ACCEPTED")
    journal.close()
    for _ in range(2):
        journal = opened(path)
        assert stories(journal) == {"lives": [1, 2], "ended-3": [12, 13, 14, 63]}
        journal.close()
    edit(path, "DELETE FROM record WHERE seq = 12")
    journal = opened(path)
    assert journal.problem == "records 12 to 12 are gone"
    assert stories(journal)["ended-3"] == [13, 14, 63]
    journal.close()


def test_an_old_record_of_a_live_order_is_checked_at_each_start(path: Path) -> None:
    edit(path, "UPDATE record SET state = 'REJECTED' WHERE seq = 2")
    journal = opened(path)
    assert journal.problem == "record 2 is not what was written"
    assert stories(journal) == {"lives": [1]}, "what was never said is not given"
    journal.close()


def test_a_record_that_is_gone_from_a_live_order_is_told(path: Path) -> None:
    edit(path, "DELETE FROM record WHERE seq = 2")
    assert opened_problem(path) == "records 2 to 2 are gone"


def test_what_outlives_a_process_is_given_by_its_newest_record(path: Path) -> None:
    journal = opened(path)
    bodies: list[tuple[Kind, dict[str, Any]]] = [
        (Kind.IDS, {"broker": "a", "up_to": 64}),
        (Kind.IDS, {"broker": "a", "up_to": 128}),
        (Kind.IDS, {"broker": "b", "up_to": 64}),
        (Kind.CONTROL, {"state": "HALTED", "reason": "one"}),
        (Kind.CONTROL, {"state": "ACTIVE", "reason": "two"}),
        (Kind.CONTROL, {"action": "differences", "differences": [], "needed": True}),
        (Kind.CONTROL, {"action": "canary", "canary": "agent/1"}),
        (Kind.CONTROL, {"action": "canary lifted", "canary": "agent/1"}),
        (Kind.CONTROL, {"action": "approve", "accepted": [1]}),
        (Kind.CONTROL, {"action": "approve", "accepted": [2]}),
        (Kind.CONTROL, {"action": "page", "paged": "a reason"}),
        (Kind.CONTROL, {"action": "breaker", "broker": "a", "breaker": "open"}),
        (Kind.CONTROL, {"action": "breaker", "broker": "a", "breaker": "closed"}),
        (Kind.CONTROL, {"action": "differences", "differences": [], "needed": False}),
        (Kind.POSITION, {"broker": "a", "positions": []}),
        (Kind.POSITION, {"broker": "a", "mismatch": "AAPL"}),
        (Kind.ADJUSTMENT, {"broker": "a", "execution_id": "x1"}),
        (Kind.ADJUSTMENT, {"broker": "a", "execution_id": "x2"}),
        (Kind.NOTICE, {"broker": "a"}),
        (Kind.CONTROL, {"action": "approval begun", "broker": "a", "since": 0}),
        (Kind.CONTROL, {"action": "approval begun", "broker": "b", "since": 0}),
        (Kind.CONTROL, {"action": "approval ended", "broker": "a"}),
    ]
    for kind, body in bodies:
        journal.append(journal.scribe.row(kind, body))
    journal.close()
    expected = [2, 3, 5, 7, 8, 9, 10, 13, 14, 15, 17, 18, 21, 22]
    for whole_below in (0, 10_000):
        journal = opened(path, whole_below=whole_below)
        general, _ = journal.recover()
        assert [entry.sequence - 62 for entry in general] == expected
        journal.close()


def test_of_many_adjustments_the_newest_are_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ADJUSTMENTS_KEPT", 3)
    journal = opened(path)
    for number in range(5):
        journal.append(journal.scribe.row(Kind.ADJUSTMENT, {"execution_id": f"x{number}"}))
    journal.close()
    general, _ = opened(path).recover()
    assert [entry.body["execution_id"] for entry in general] == ["x2", "x3", "x4"]


_STATES = st.sampled_from(["", "SUBMITTED", "ACCEPTED", "FILLED", "CANCELED"])

_RECORDS = st.lists(st.tuples(st.sampled_from(["", "a", "b", "c"]), _STATES), max_size=12)


@settings(max_examples=25, deadline=None)
@given(st.lists(_RECORDS, min_size=1, max_size=4))
def test_a_start_from_a_checkpoint_is_given_what_a_whole_walk_is(
    runs: Sequence[Sequence[tuple[str, str]]],
) -> None:
    with memory_folder() as folder:
        path, known = folder / "journal.db", set[str]()
        for records in runs:
            journal = opened(path)
            for key, state in records:
                if key and key not in known:
                    known.add(key)
                    event(journal, key, "INTENT", Kind.ORDER)
                event(journal, key, state if key else "", Kind.EVENT if key else Kind.CONTROL)
            journal.close()
        resumed, walked = opened(path), None
        found = resumed.recover(), resumed.orders_ever, resumed.verification
        resumed.close()
        checkpoint_path(path).unlink(missing_ok=True)
        walked = opened(path)
        assert found == (walked.recover(), walked.orders_ever, walked.verification)
        walked.close()
