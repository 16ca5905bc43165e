"""``alluse journal verify`` says what is wrong and the way out; an export can be read again."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from damage import memory_folder
from desk_floor import NODE, buy, floor, run

from alluse_core.cli import journal as commands
from alluse_core.cli.journal import FINDINGS, journal_export, journal_verify
from alluse_core.cli.offline import decide
from alluse_core.errors import JournalCorrupt, JournalError, StateError
from alluse_core.model import OrderGroup, OrderState
from alluse_core.orders.checkpoint import checkpoint_path
from alluse_core.orders.committer import InlineCommitter
from alluse_core.orders.export import read_export
from alluse_core.orders.journal import Journal
from alluse_core.orders.reader import JournalReader, anchor_path
from alluse_core.orders.records import Kind
from alluse_core.orders.verification import WAYS_OUT, Damage
from alluse_core.testing import VirtualClock

SCHEMA = Path(__file__).parents[2] / "docs/reference/journal-record.schema.json"


@pytest.fixture
def traded() -> Iterator[Path]:
    """A folder with the journal of a short session: a bracket, and a halt that says why."""
    with memory_folder() as folder:

        async def scenario() -> None:
            async with floor(folder) as desk:
                bracket = OrderGroup.bracket(buy("entry"), take_profit="110", stop="90")
                await desk.orders.submit(bracket)
                await desk.orders.halt("Größe zu groß")
                await desk.settle(2.0)

        run(scenario())
        yield folder


def edit(folder: Path, statement: str) -> None:
    connection = sqlite3.connect(folder / "journal.db")
    connection.execute(statement)
    connection.commit()
    connection.close()


def called(command: Any, *arguments: object) -> tuple[Any, str]:
    """Return what a command returns, and what it printed."""
    given = [str(each) for each in arguments]
    result = CliRunner().invoke(command, given, standalone_mode=False, catch_exceptions=False)
    return result.return_value, result.stdout


def verified(folder: Path) -> tuple[int, dict[str, Any], str]:
    """Return the exit code, the JSON and the words of ``alluse journal verify``."""
    code, printed = called(journal_verify, "--out", folder, "--json")
    again, words = called(journal_verify, "--out", folder)
    assert code == again
    return code, json.loads(printed), words


# --- verify ---------------------------------------------------------------------------------------


def test_a_whole_journal_is_said_to_be_so_with_its_last_hash(traded: Path) -> None:
    code, facts, words = verified(traded)
    assert code == 0
    assert facts["ok"]
    assert facts["records"] == facts["sequence"] > 10
    assert facts["damage"] is None
    assert facts["way_out"] == ""
    assert words.startswith(f"ok: {facts['records']} records; ")
    assert f"hash {facts['head'][:16]}" in words


def test_who_names_the_root_of_the_state_folders_is_told_where_the_journal_lies(
    traded: Path, tmp_path: Path
) -> None:
    """``[alluse] state_dir`` is the root; a process holds a folder of tenant and account in it."""
    folder = tmp_path / "default" / "DU1"
    shutil.copytree(traded, folder)
    for wrong, hint in ((tmp_path, f"--out {folder}"), (folder.parent, "name another --out")):
        with pytest.raises(JournalError, match="there is no journal") as told:
            called(journal_verify, "--out", wrong)
        assert told.value.hint.endswith(hint)
    with pytest.raises(StateError, match="has no journal") as offline:
        asyncio.run(decide(tmp_path, "resume", {"by": "Ada"}))
    assert offline.value.hint == f"name one of its folders: --state {folder}"


def without_anchor(folder: Path) -> None:
    anchor_path(folder / "journal.db").unlink()


def with_other_index(folder: Path) -> None:
    edit(folder, "DROP INDEX record_ref")
    edit(folder, "CREATE INDEX record_ref ON record (ref) WHERE kind = 'none'")
    connection = sqlite3.connect(folder / "journal.db")
    connection.execute("PRAGMA writable_schema = ON")
    sql = "CREATE INDEX record_ref ON record (ref) WHERE kind = 'order'"
    connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'record_ref'", (sql,))
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("damaged", "damage", "words"),
    [
        (
            lambda folder: edit(folder, "UPDATE record SET state = 'FILLED' WHERE key = 'entry'"),
            Damage.EDITED,
            "of order 'entry'",
        ),
        (
            lambda folder: edit(folder, "UPDATE record SET state = 'FILLED' WHERE seq = 5"),
            Damage.EDITED,
            "NOT WHOLE at record 5: record 5 is not what was written\n  there stands, of ",
        ),
        (
            lambda folder: edit(folder, "DELETE FROM record WHERE seq = 5"),
            Damage.GONE,
            "NOT WHOLE at record 5: records 5 to 5 are gone\n  after it stands, of ",
        ),
        (
            lambda folder: edit(folder, "DELETE FROM record WHERE seq > 5"),
            Damage.SHORTER,
            "the journal ends at record 5, the anchor knows ",
        ),
        (without_anchor, Damage.ANCHOR, "the anchor is missing"),
        (with_other_index, Damage.UNSOUND, "missing from index record_ref"),
    ],
)
def test_each_damage_is_named_with_its_place_and_the_way_out(
    traded: Path, damaged: Callable[[Path], None], damage: Damage, words: str
) -> None:
    damaged(traded)
    code, facts, told = verified(traded)
    assert code == FINDINGS
    assert (facts["ok"], facts["damage"], facts["accepted"]) == (False, damage.value, False)
    assert facts["way_out"] == WAYS_OUT[damage]
    assert f"NOT WHOLE at record {facts['at']}: {facts['problem']}" in told
    assert f"way out: {WAYS_OUT[damage]}" in told
    assert words in told


def test_damage_that_a_person_accepted_is_still_named_and_said_to_be_accepted(
    traded: Path,
) -> None:
    edit(traded, "DELETE FROM record WHERE seq = 5")
    path = traded / "journal.db"
    journal = Journal(path, clock=VirtualClock(), node=NODE, committer=InlineCommitter())
    journal.append(journal.scribe.row(Kind.ACCEPTED, {"by": "Ada", "problem": journal.problem}))
    journal.close()
    code, facts, words = verified(traded)
    assert code == FINDINGS
    assert facts["accepted"]
    assert "a person accepted this" in words


def test_a_damaged_record_that_cannot_be_shown_is_named_all_the_same(traded: Path) -> None:
    edit(traded, "UPDATE record SET body = '{' WHERE seq = 5")
    code, facts, words = verified(traded)
    assert (code, facts["at"]) == (FINDINGS, 5)
    assert "there stands" not in words


def test_a_file_that_is_no_database_any_more_is_a_finding_with_a_way_out(traded: Path) -> None:
    (traded / "journal.db").write_bytes(b"no database" * 1_000)
    code, facts, words = verified(traded)
    assert code == FINDINGS
    assert not facts["ok"]
    assert "cannot be read as a journal" in facts["problem"]
    assert facts["way_out"] in words


def test_the_way_out_of_an_index_leads_out(traded: Path) -> None:
    with_other_index(traded)
    checkpoint_path(traded / "journal.db").unlink(missing_ok=True)
    path = traded / "journal.db"
    Journal(path, clock=VirtualClock(), node=NODE, committer=InlineCommitter()).close()
    assert verified(traded)[0] == 0


def test_who_watches_a_long_check_or_export_sees_how_far_it_is(
    traded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("alluse_core.orders.verification.TOLD_EVERY", 5)
    monkeypatch.setattr(commands, "TOLD_EVERY", 5)
    journal_verify.main(["--out", str(traded)], standalone_mode=False)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    journal_verify.main(["--out", str(traded)], standalone_mode=False)
    told = capsys.readouterr().err
    with JournalReader(traded / "journal.db") as reader:
        assert f"\r5 of {reader.last} records " in told
    assert told.endswith("\r\033[K")
    journal_export.main(["--out", str(traded)], standalone_mode=False)
    assert "\r10 of " in capsys.readouterr().err


# --- export ---------------------------------------------------------------------------------------


def exported(folder: Path, *options: str) -> list[str]:
    _, printed = called(journal_export, "--out", folder, *options)
    return printed.splitlines()


def test_every_exported_line_is_what_the_schema_says(traded: Path) -> None:
    schema = json.loads(SCHEMA.read_text("utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    lines = exported(traded, "--hashes")
    for line in lines:
        validator.validate(json.loads(line))
    assert {json.loads(line)["kind"] for line in lines} >= {"start", "order", "event", "control"}


def test_the_schema_names_every_kind_and_state() -> None:
    properties = json.loads(SCHEMA.read_text("utf-8"))["properties"]
    assert properties["kind"]["enum"] == [kind.value for kind in Kind]
    assert set(properties["state"]["enum"]) == {"", *(state.value for state in OrderState)}


@pytest.mark.parametrize("options", [(), ("--hashes",)])
def test_what_was_exported_is_read_back_as_it_was(traded: Path, options: tuple[str, ...]) -> None:
    with JournalReader(traded / "journal.db") as reader:
        assert list(read_export(exported(traded, *options))) == list(reader.entries())


def test_an_export_with_hashes_shows_an_edit_and_one_without_cannot(traded: Path) -> None:
    lines = exported(traded, "--hashes")
    changed = lines[5].replace('"agent":"', '"agent":"x')
    with pytest.raises(JournalCorrupt, match="record 6 in line 6 is not what was written"):
        list(read_export([*lines[:5], changed, *lines[6:]]))
    assert len(list(read_export(lines[5:]))) == len(lines) - 5, "the first has none before it"
    assert len(list(read_export(lines[:3] + lines[4:]))) == len(lines) - 1, "nor has one in a gap"
    plain = exported(traded)
    assert list(read_export([plain[5].replace('"agent":"', '"agent":"x')]))


@pytest.mark.parametrize("line", ["{}", "no JSON", '{"sequence": 1, "time": "yesterday"}', "[]"])
def test_a_line_that_is_no_record_is_named(line: str) -> None:
    with pytest.raises(JournalCorrupt, match="line 1 is no record of a journal"):
        list(read_export([line]))


def test_an_export_can_be_narrowed_by_kind_and_time(traded: Path) -> None:
    with JournalReader(traded / "journal.db") as reader:
        entries = list(reader.entries())
    found = [json.loads(line)["sequence"] for line in exported(traded, "--kind", "order")]
    assert found == [entry.sequence for entry in entries if entry.kind == "order"] != []
    last = entries[-1].time
    early = exported(traded, "--until", last.isoformat())
    assert len(early) == sum(entry.time < last for entry in entries) > 0


def test_hashes_stand_in_the_other_form_too(traded: Path) -> None:
    written = "\n".join(exported(traded, "--format", "csv", "--hashes"))
    rows = list(csv.DictReader(io.StringIO(written)))
    lines = [json.loads(line) for line in exported(traded, "--hashes")]
    assert [row["hash"] for row in rows] == [line["hash"] for line in lines]


def test_an_export_shows_an_edit_of_its_very_first_record(traded: Path) -> None:
    lines = exported(traded, "--hashes")
    changed = lines[0].replace('"agent":"', '"agent":"x')
    with pytest.raises(JournalCorrupt, match="record 1 in line 1 is not what was written"):
        list(read_export([changed, *lines[1:]]))
    assert len(list(read_export(lines[1:]))) == len(lines) - 1, "the second has none before it"


def test_a_number_that_is_none_is_not_in_any_record(traded: Path) -> None:
    first = json.loads(exported(traded)[0])
    line = json.dumps({**first, "body": {**first["body"], "price": float("nan")}})
    with pytest.raises(JournalCorrupt, match="line 1 is no record of a journal"):
        list(read_export([line]))
