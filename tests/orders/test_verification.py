"""A check finds what is not as it was written, says where, and takes a person's word for it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from signed_journal import (
    accepted,
    closed_journal,
    edit,
    live,
    opened,
    opened_problem,
    stored,
    stories,
)

from alluse_core.errors import JournalCorrupt
from alluse_core.orders import verification
from alluse_core.orders.chain import link
from alluse_core.orders.reader import JournalReader, anchor_path
from alluse_core.orders.records import Kind
from alluse_core.orders.verification import verify


@pytest.fixture
def path() -> Iterator[Path]:
    """A closed journal: record 1 to 2 are of an order that lives, 3 to 62 of twenty that ended."""
    with closed_journal() as path:
        yield path


# --- what is found, and where --------------------------------------------------------------------


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


def test_a_long_check_tells_how_far_it_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "TOLD_EVERY", 20)
    told: list[tuple[int, int]] = []
    assert verify(path, lambda *so_far: told.append(so_far)).ok
    assert told == [(20, 62), (40, 62), (60, 62)]


def test_text_that_is_none_any_more_is_damage_like_any_other(path: Path) -> None:
    edit(path, "UPDATE record SET body = CAST(x'7bff7d' AS TEXT) WHERE seq = 20")
    assert verify(path).problem == "record 20 is not what was written"
    assert opened_problem(path, whole_below=100) == "record 20 is not what was written"
    with JournalReader(path) as reader, pytest.raises(JournalCorrupt, match="UTF-8"):
        list(reader.entries())


def test_a_record_that_cannot_be_decoded_is_named(path: Path) -> None:
    edit(path, "UPDATE record SET body = '{' WHERE seq = 20")
    with JournalReader(path) as reader:
        with pytest.raises(JournalCorrupt, match="record 20 cannot be read"):
            list(reader.entries())
        with pytest.raises(JournalCorrupt, match="record 1 cannot be read: 'instrument'"):
            reader.order("lives")


def test_a_record_before_the_first_is_found(path: Path) -> None:
    edit(path, "UPDATE record SET seq = -5 WHERE seq = 62")
    assert verify(path).problem == "record -5 is none of the journal's"
    assert opened_problem(path) == "record -5 is none of the journal's"


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


# --- what a person accepted ----------------------------------------------------------------------


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
    _, row, before = stored(path, 63)
    forged = row._replace(body=row.body.replace("Ada", "Eve"))
    for sequence, written in ((63, forged), (64, stored(path, 64)[1])):
        before = link(before, sequence, written)
        fields = (written.body, before, sequence)
        edit(path, "UPDATE record SET body = ?, hash = ? WHERE seq = ?", *fields)
    # The anchor of a killed process may be behind: what follows it has its own damage.
    anchor_path(path).write_bytes(anchor)
    found = verify(path)
    assert (found.problem, found.accepted) == (
        *("record 63 is not the one the anchor names", False),
    )
