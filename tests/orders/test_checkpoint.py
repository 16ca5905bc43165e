"""A start goes on from what was verified before, and believes a checkpoint no further than that."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path
from typing import Any

import pytest
from damage import memory_folder, small_pages
from desk_floor import NODE, buy, floor, run
from hypothesis import given, settings
from hypothesis import strategies as st

from alluse_core.errors import JournalCorrupt
from alluse_core.model import OrderState
from alluse_core.orders import checkpoint as module
from alluse_core.orders import history, soundness, verification
from alluse_core.orders.checkpoint import checkpoint_path, read_checkpoint
from alluse_core.orders.committer import InlineCommitter
from alluse_core.orders.journal import Journal
from alluse_core.orders.reader import JournalReader, anchor_path
from alluse_core.orders.records import Kind, Row
from alluse_core.orders.storage import Storage, allocate, connect
from alluse_core.orders.verification import Damage, verify
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


@pytest.fixture
def path() -> Iterator[Path]:
    """A closed journal: record 1 to 2 are of an order that lives, 3 to 62 of twenty that ended."""
    with memory_folder() as folder:
        journal = opened(folder / "journal.db")
        live(journal, "lives")
        ended(journal, 20)
        journal.close()
        yield folder / "journal.db"


# --- what a start reads -------------------------------------------------------------------------


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


def opened_problem(path: Path, **how: Any) -> str:
    journal = opened(path, **how)
    journal.close()
    return journal.problem


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


@pytest.mark.parametrize("state", [each for each in OrderState if each is not OrderState.INTENT])
def test_a_start_is_given_the_orders_that_have_not_ended(path: Path, state: OrderState) -> None:
    journal = opened(path)
    live(journal, "one")
    event(journal, "one", state)
    journal.close()
    journal = opened(path)
    assert ("one" in stories(journal)) is not state.is_terminal
    journal.close()


def test_one_new_record_is_worth_a_checkpoint_when_the_journal_closes(path: Path) -> None:
    journal = opened(path)
    event(journal, "lives", "ACCEPTED")
    journal.close()
    checkpoint = read_checkpoint(checkpoint_path(path))
    assert checkpoint is not None
    assert checkpoint.walk.head.sequence == 63


def test_a_problem_found_at_the_opening_stays_whatever_is_read_back(path: Path) -> None:
    edit(path, "UPDATE record SET body = '{}' WHERE seq = 2")
    journal = opened(path)
    for _ in range(2):
        assert journal.problem == "record 2 is not what was written"
        event(journal, "lives", "ACCEPTED")
        journal.sign_off()
    journal.close()


def test_nothing_is_read_back_where_nothing_is_new(path: Path) -> None:
    journal = opened(path)
    journal.sign_off()
    assert journal._readers == []
    event(journal, "lives", "ACCEPTED")
    journal.sign_off()
    journal.sign_off()
    assert len(journal._readers) == 1
    journal.close()


def test_a_checkpoint_is_read_back_as_it_was_written(path: Path) -> None:
    checkpoint = read_checkpoint(checkpoint_path(path))
    assert checkpoint is not None
    checkpoint.walk.found = (5, "record 5 is bad", Damage.EDITED)
    checkpoint.walk.accepted_at = 6
    checkpoint.standing.revived.add("lives")
    checkpoint.write(checkpoint_path(path))
    assert read_checkpoint(checkpoint_path(path)) == checkpoint


def test_a_whole_journal_has_no_problem_at_no_record(path: Path) -> None:
    found = verify(path)
    assert (found.ok, found.records, found.head.sequence) == (True, 62, 62)
    assert (found.problem, found.at, found.damage, found.way_out) == ("", 0, None, "")
    assert not found.accepted, "there was nothing to accept"


def test_each_problem_is_found_at_its_record(path: Path) -> None:
    def found(statement: str) -> tuple[int, str]:
        changed = path.with_name("changed.db")
        for suffix in ("", ".anchor"):
            shutil.copy(f"{path}{suffix}", f"{changed}{suffix}")
        edit(changed, statement)
        verdict = verify(changed)
        return verdict.at, verdict.problem

    assert found("UPDATE record SET body = '{}' WHERE seq = 20") == (
        *(20, "record 20 is not what was written"),
    )
    assert found("DELETE FROM record WHERE seq IN (20, 21)") == (20, "records 20 to 21 are gone")
    assert found("DELETE FROM record WHERE seq > 60") == (
        *(61, "the journal ends at record 60, the anchor knows 62"),
    )
    assert found("UPDATE record SET seq = -5 WHERE seq = 1") == (
        *(1, "record -5 is none of the journal's"),
    )
    anchor_path(path).unlink()
    assert (verify(path).at, verify(path).problem) == (
        *(63, "the anchor is missing or unreadable"),
    )


def test_a_long_check_tells_how_far_it_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "TOLD_EVERY", 20)
    told: list[tuple[int, int]] = []
    assert verify(path, lambda *so_far: told.append(so_far)).ok
    assert told == [(20, 62), (40, 62), (60, 62)]


def test_an_old_record_of_a_live_order_is_checked_at_each_start(path: Path) -> None:
    edit(path, "UPDATE record SET state = 'REJECTED' WHERE seq = 2")
    journal = opened(path)
    assert journal.problem == "record 2 is not what was written"
    assert stories(journal) == {"lives": [1]}, "what was never said is not given"
    journal.close()


def test_a_record_that_is_gone_from_a_live_order_is_told(path: Path) -> None:
    edit(path, "DELETE FROM record WHERE seq = 2")
    assert opened_problem(path) == "records 2 to 2 are gone"


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


# --- which checkpoint is believed ---------------------------------------------------------------


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
    path.write_bytes(text + b"\n" + module.hashlib.sha256(text).hexdigest().encode())


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


# --- signing off while it runs ------------------------------------------------------------------


def test_new_records_are_read_back_some_at_a_time(path: Path) -> None:
    journal = opened(path)
    ended(journal, 400, 100)
    for expected in (312, 562, 812, 1062, 1262, 1262):
        journal.sign_off()
        assert journal._history.signed == expected
    kept = read_checkpoint(checkpoint_path(path))
    assert kept is not None
    assert kept.walk.head.sequence == 1062, "it is written every thousand records"
    journal.close()
    kept = read_checkpoint(checkpoint_path(path))
    assert kept is not None
    assert kept.walk.head.sequence == 1262


def test_the_more_orders_live_the_rarer_the_checkpoint_is_written(path: Path) -> None:
    journal = opened(path)
    for number in range(600):
        live(journal, f"more-{number}")
        journal.sign_off()
    kept = read_checkpoint(checkpoint_path(path))
    assert kept is not None
    assert kept.walk.head.sequence == 62
    journal.close()


def test_a_running_order_service_signs_off_what_it_wrote(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await desk.orders.submit(buy("one"))
            await desk.settle(3.0)
            assert desk.journal._history.signed == desk.journal._head.sequence
            assert desk.journal.problem == ""

    run(scenario())


def test_what_does_not_come_back_as_it_was_written_stops_new_risk(path: Path) -> None:
    journal = opened(path)
    live(journal, "one")
    edit(path, "UPDATE record SET state = 'FILLED' WHERE seq = 64")
    journal.sign_off()
    assert journal.problem == "record 64 is not what was written"
    journal.close()
    kept = read_checkpoint(checkpoint_path(path))
    assert kept is not None
    assert kept.walk.head.sequence == 62, "what is not whole is not signed"


def test_records_that_cannot_be_read_back_are_a_problem_and_a_mute_disk_waits(path: Path) -> None:
    journal = opened(path)
    live(journal, "one")
    edit(path, "ALTER TABLE record RENAME TO hidden")
    journal.sign_off()
    assert journal.problem == "", "it is asked again later"
    edit(path, "ALTER TABLE hidden RENAME TO record")
    edit(path, "UPDATE record SET kind = 'control', key = '', body = '[' WHERE seq = 64")
    # The hash is made to fit, so that only its content is wrong.
    (_, row, before) = _record(path, 64)
    fitting = module.link(before, 64, row)
    edit(path, "UPDATE record SET hash = ? WHERE seq = 64", fitting)
    journal.sign_off()
    assert journal.problem.startswith("what follows record 64 cannot be read: ")
    journal.close()


def _record(path: Path, sequence: int) -> tuple[int, Row, bytes]:
    connection = sqlite3.connect(path)
    columns = "time, kind, key, ref, state, body"
    row = connection.execute(f"SELECT {columns} FROM record WHERE seq = ?", (sequence,)).fetchone()
    (before,) = connection.execute(
        "SELECT hash FROM record WHERE seq = ?", (sequence - 1,)
    ).fetchone()
    connection.close()
    return sequence, Row(*row), before


def test_a_checkpoint_that_cannot_be_written_is_done_without(path: Path) -> None:
    checkpoint_path(path).unlink()
    checkpoint_path(path).mkdir()
    journal = opened(path)
    live(journal, "one")
    journal.close()
    journal = opened(path)
    assert set(stories(journal)) == {"lives", "one"}
    journal.close()


# --- damage -------------------------------------------------------------------------------------


def test_text_that_is_none_any_more_is_damage_like_any_other(path: Path) -> None:
    edit(path, "UPDATE record SET body = CAST(x'7bff7d' AS TEXT) WHERE seq = 20")
    assert verify(path).problem == "record 20 is not what was written"
    assert opened_problem(path, whole_below=100) == "record 20 is not what was written"
    with JournalReader(path) as reader, pytest.raises(JournalCorrupt, match="UTF-8"):
        list(reader.entries())


def test_a_record_before_the_first_is_found(path: Path) -> None:
    edit(path, "UPDATE record SET seq = -5 WHERE seq = 62")
    assert verify(path).problem == "record -5 is none of the journal's"
    assert opened_problem(path) == "record -5 is none of the journal's"


def test_a_record_that_cannot_be_decoded_is_named(path: Path) -> None:
    edit(path, "UPDATE record SET body = '{' WHERE seq = 20")
    with JournalReader(path) as reader:
        with pytest.raises(JournalCorrupt, match="record 20 cannot be read"):
            list(reader.entries())
        with pytest.raises(JournalCorrupt, match="record 1 cannot be read: 'instrument'"):
            reader.order("lives")


def _indexed(path: Path, condition: str) -> None:
    """Say that the index of orderRefs holds other records than it does."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA writable_schema = ON")
    sql = f"CREATE INDEX record_ref ON record (ref) WHERE {condition}"
    connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'record_ref'", (sql,))
    connection.commit()
    connection.close()


def test_an_index_that_misses_records_is_found_and_made_anew(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _indexed(path, "kind = 'none'")
    journal = opened(path)
    live(journal, "missed")
    journal.close()
    _indexed(path, "kind = 'order'")
    with JournalReader(path) as reader:
        assert reader.key_of("ref-missed") is None
    assert verify(path).problem == ("the file is not sound: row 63 missing from index record_ref")
    assert opened_problem(path, whole_below=100) == ""
    assert "made anew: row 63 missing" in caplog.text
    with JournalReader(path) as reader:
        assert reader.key_of("ref-missed") == "missed"
    assert verify(path).ok


def _looked(journal: Journal) -> None:
    """Wait until the journal has looked at its indexes."""
    journal.sign_off()
    for thread in threading.enumerate():
        if thread.name == "alluse-journal-check":
            thread.join(5)
    journal.sign_off()


def test_an_index_behind_a_checkpoint_that_misses_records_stops_new_risk_soon(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _indexed(path, "kind = 'none'")
    journal = opened(path)
    live(journal, "missed")
    journal.close()
    _indexed(path, "kind = 'order'")
    journal = opened(path)
    assert journal.problem == "", "a start from a checkpoint has not looked"
    _looked(journal)
    said = "the file is not sound: row 63 missing from index record_ref"
    assert journal.problem == f"{said}; a new start makes its indexes anew"
    assert "do not match its records: row 63 missing" in caplog.text
    journal.close()
    assert opened_problem(path) == ""
    with JournalReader(path) as reader:
        assert reader.key_of("ref-missed") == "missed"
    assert verify(path).ok


def test_sound_indexes_are_looked_at_once_and_trading_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[object] = []

    def look(connection: sqlite3.Connection) -> str:
        looked.append(connection)
        return unsoundness(connection)

    unsoundness = soundness.unsoundness
    monkeypatch.setattr(soundness, "unsoundness", look)
    journal = opened(path)
    _looked(journal)
    assert journal.problem == ""
    ended(journal, 2, start=500)
    journal.sign_off()
    assert len(looked) == 1
    journal.close()
    journal = opened(path, whole_below=1_000)
    journal.sign_off()
    assert len(looked) == 1, "a whole walk looked by itself"
    journal.close()
    assert read_checkpoint(checkpoint_path(path)) is not None


def test_a_close_interrupts_the_look_and_takes_nothing_for_damage(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def endless(connection: sqlite3.Connection) -> str:
        begun.set()
        connection.execute(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
        ).fetchone()
        return "never"

    monkeypatch.setattr(soundness, "unsoundness", endless)
    journal = opened(path)
    journal.sign_off()
    assert begun.wait(5)
    journal.sign_off()
    journal.close()
    assert journal.problem == ""
    assert not [each for each in threading.enumerate() if each.name == "alluse-journal-check"]
    assert opened_problem(path) == ""


def test_a_file_that_cannot_be_looked_at_is_a_problem(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: sqlite3.Connection) -> str:
        raise sqlite3.DatabaseError("disk I/O error")

    monkeypatch.setattr(soundness, "unsoundness", broken)
    journal = opened(path)
    _looked(journal)
    assert journal.problem.startswith("the file is not sound: disk I/O error")
    journal.close()


def test_a_walk_finds_the_records_of_a_key_whatever_its_index_says(path: Path) -> None:
    def indexed(condition: str) -> None:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA writable_schema = ON")
        sql = f"CREATE INDEX record_key ON record (key, seq) WHERE {condition}"
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'record_key'", (sql,))
        connection.commit()
        connection.close()

    indexed("key = 'nobody'")
    journal = opened(path)
    event(journal, "ended-3", "ACCEPTED")
    journal.close()
    indexed("key <> ''")
    journal = opened(path, whole_below=100)
    assert stories(journal)["ended-3"] == [12, 13, 14, 63]
    journal.close()


def test_a_file_that_stays_unsound_is_a_problem(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "unsoundness", lambda _: "page 3 is never used")
    assert opened_problem(path, whole_below=100) == "the file is not sound: page 3 is never used"
    assert opened_problem(path) == "", "behind a checkpoint it is asked after the start"


def test_where_records_are_damaged_nothing_is_made_anew(path: Path) -> None:
    _indexed(path, "kind = 'none'")
    journal = opened(path)
    live(journal, "missed")
    journal.close()
    _indexed(path, "kind = 'order'")
    edit(path, "UPDATE record SET state = 'FILLED' WHERE seq = 20")
    assert opened_problem(path, whole_below=100) == "record 20 is not what was written"
    with JournalReader(path) as reader:
        assert reader.key_of("ref-missed") is None


def test_a_main_file_that_holds_nothing_yet_is_not_torn_off(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"")
    assert not history._torn_off(path)


# --- words that other versions read --------------------------------------------------------------


def content_of(path: Path) -> Any:
    return json.loads(checkpoint_path(path).read_bytes().rpartition(b"\n")[0])


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda path: edit(path, "UPDATE record SET body = '{}' WHERE seq = 20"), "edited"),
        (lambda path: edit(path, "DELETE FROM record WHERE seq = 20"), "gone"),
        (lambda path: edit(path, "DELETE FROM record WHERE seq = 62"), "shorter"),
        (lambda path: anchor_path(path).unlink(), "anchor"),
        (lambda path: free_pages_said_to_be(path, 7), "unsound"),
    ],
)
def test_each_kind_of_damage_has_this_word(
    path: Path, damage: Callable[[Path], None], word: str
) -> None:
    damage(path)
    assert verify(path).damage == word


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


# --- what a person accepted ----------------------------------------------------------------------


def accepted(path: Path) -> str:
    """Accept what is wrong, as the first record that is written, and open again."""
    journal = opened(path, whole_below=10_000)
    assert journal.problem
    journal.append(journal.scribe.row(Kind.ACCEPTED, {"by": "Ada", "problem": journal.problem}))
    journal.close()
    return opened_problem(path, whole_below=10_000)


def test_damage_of_the_first_record_can_be_accepted_too(path: Path) -> None:
    edit(path, "UPDATE record SET body = '{}' WHERE seq = 1")
    assert accepted(path) == ""
    assert verify(path).accepted


def test_a_lost_end_is_accepted_by_the_very_record_that_follows_the_gap(path: Path) -> None:
    edit(path, "DELETE FROM record WHERE seq > 60")
    assert accepted(path) == ""
    assert (verify(path).problem, verify(path).accepted) == ("records 61 to 62 are gone", True)


def test_a_word_of_acceptance_that_was_rewritten_itself_accepts_nothing(path: Path) -> None:
    journal = opened(path)
    journal.append(journal.scribe.row(Kind.ACCEPTED, {"by": "Ada", "problem": ""}))
    anchor = anchor_path(path).read_bytes()
    live(journal, "later")
    journal.close()
    _, row, before = _record(path, 63)
    forged = row._replace(body=row.body.replace("Ada", "Eve"))
    for sequence, written in ((63, forged), (64, _record(path, 64)[1])):
        before = module.link(before, sequence, written)
        fields = (written.body, before, sequence)
        edit(path, "UPDATE record SET body = ?, hash = ? WHERE seq = ?", *fields)
    # The anchor of a killed process may be behind: what follows it has its own damage.
    anchor_path(path).write_bytes(anchor)
    found = verify(path)
    assert (found.problem, found.accepted) == (
        *("record 63 is not the one the anchor names", False),
    )


# --- a file that was torn off --------------------------------------------------------------------


def small(folder: Path, page: int, count: int) -> Path:
    """A closed journal of one order that lives and ``count`` that ended, in pages of that size."""
    path = folder / "journal.db"
    journal = opened(path, storage=small_pages(page))
    live(journal, "lives")
    ended(journal, count)
    journal.close()
    return path


def torn(path: Path, less: int) -> None:
    os.truncate(path, path.stat().st_size - less)


@pytest.mark.parametrize("page", [512, 65_536])
def test_a_file_that_lacks_its_last_byte_is_read_whole_again(page: int) -> None:
    with memory_folder() as folder:
        path = small(folder, page, 20)
        edit(path, "UPDATE record SET body = '{}' WHERE seq = 20")
        assert opened_problem(path) == "", "a whole file is believed as far as it was signed off"
        torn(path, 1)
        assert opened_problem(path) != ""


@pytest.mark.parametrize("less", [1, 256, 510])
def test_behind_a_checkpoint_a_page_that_was_torn_off_costs_no_order_its_lookup(less: int) -> None:
    """The last page of this file belongs to an index."""
    with memory_folder() as folder:
        path = small(folder, 512, 56)
        torn(path, less)
        assert opened_problem(path) == ""
        with JournalReader(path) as reader:
            for key in (f"ended-{number}" for number in range(56)):
                assert len(reader.story(key)) == 3
                assert reader.key_of(f"ref-{key}") == key


# --- records that are none of the journal's ------------------------------------------------------


@pytest.mark.parametrize("number", [0, -5])
def test_a_record_with_a_number_that_is_never_given_tells_of_no_order(
    path: Path, number: int
) -> None:
    edit(
        path,
        "INSERT INTO record SELECT ?, time, kind, 'ghost', 'ref-ghost', state, body, hash"
        " FROM record WHERE seq = 1",
        number,
    )
    journal = opened(path, whole_below=10_000)
    assert journal.problem == f"record {number} is none of the journal's"
    assert set(stories(journal)) == {"lives"}
    assert journal.orders_ever == 21
    journal.close()


def free_pages_said_to_be(path: Path, number: int) -> None:
    """Damage the header's count of unused pages (sqlite.org/fileformat2, offset 36)."""
    content = bytearray(path.read_bytes())
    content[36:40] = number.to_bytes(4, "big")
    path.write_bytes(content)


def test_what_sqlite_says_of_a_file_is_told_without_its_headings(path: Path) -> None:
    free_pages_said_to_be(path, 7)
    connection = sqlite3.connect(path)
    (said,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    connection.close()
    heading, sentence = said.splitlines()
    assert heading.startswith("***")
    assert verify(path).problem == f"the file is not sound: {sentence}"


# --- after the look at the indexes ---------------------------------------------------------------


@pytest.mark.parametrize("kept", [True, False])
def test_a_damaged_index_is_told_once_and_no_checkpoint_outlives_it(
    path: Path, caplog: pytest.LogCaptureFixture, kept: bool
) -> None:
    _indexed(path, "kind = 'none'")
    journal = opened(path)
    live(journal, "missed")
    journal.close()
    _indexed(path, "kind = 'order'")
    journal = opened(path)
    if not kept:
        checkpoint_path(path).unlink()
    _looked(journal)
    assert journal.problem
    journal.problem = ""  # a person accepted it
    ended(journal, 2, start=500)
    journal.sign_off()
    assert journal.problem == ""
    assert caplog.text.count("do not match its records") == 1
    journal.close()
    assert not checkpoint_path(path).exists(), "the next start reads all, and makes them anew"


def test_a_look_that_a_close_broke_off_keeps_no_file_open_and_no_process_alive(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, release = threading.Event(), threading.Event()

    def slow(_: sqlite3.Connection) -> str:
        begun.set()
        release.wait(5)
        return ""

    monkeypatch.setattr(soundness, "unsoundness", slow)
    journal = opened(path)
    journal.sign_off()
    assert begun.wait(5)
    (thread,) = (each for each in threading.enumerate() if each.name == "alluse-journal-check")
    assert thread.daemon
    release.set()
    journal.close()
    links = [Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd")]
    assert path not in {link.readlink() for link in links if link.is_symlink()}


def test_a_start_is_given_the_oldest_orders_first(path: Path) -> None:
    journal = opened(path)
    live(journal, "later")
    event(journal, "ended-3", "ACCEPTED")
    journal.close()
    journal = opened(path)
    assert list(stories(journal)) == ["lives", "ended-3", "later"]
    journal.close()
