"""An order's story is told in words; the journal is written out whole, and its damage is found."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import tracemalloc
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from desk_floor import AAPL, NODE, buy, floor, run

from alluse_core.cli.journal import journal_export, journal_verify
from alluse_core.cli.orders import orders_show
from alluse_core.model import BrokerNotice, Commission, OrderGroup
from alluse_core.orders.committer import InlineCommitter
from alluse_core.orders.journal import Journal
from alluse_core.orders.reader import JournalReader
from alluse_core.orders.records import Kind
from alluse_core.orders.verification import verify
from alluse_core.testing import VirtualClock


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose journal holds a bracket with a fill, its commission, a notice, a cancel."""
    folder = tmp_path_factory.mktemp("told")

    async def scenario() -> None:
        async with floor(folder) as desk:
            bracket = OrderGroup.bracket(buy("entry"), take_profit="110", stop="90")
            await desk.orders.submit(bracket)
            await desk.settle()
            entry = next(iter(desk.broker.orders.values()))
            desk.broker.say(BrokerNotice("fake", 399, "held until the open", entry.identity, 1))
            desk.broker.fill(entry.identity.order_ref, 40)
            await desk.settle()
            fill = desk.broker.fills[0]
            desk.broker.say(Commission("fake", fill.execution_id, Decimal("1.05"), "USD", None))
            await desk.settle(5)
            await desk.orders.cancel("entry")
            await desk.settle(1)

    run(scenario())
    return folder


def _run(command: object, *words: object) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words])  # type: ignore[arg-type]


def test_show_says_who_said_or_did_what(told: Path) -> None:
    shown = _run(orders_show, "entry", "--out", told)
    assert shown.exit_code == 0, shown.output
    for words in (
        "wants BUY 100",
        "all-use allowed it and made it durable",
        "gave it number",
        "works it, as permId",
        "399 held until the open: info, log",
        "BUY 40 at 100",
        "commission 1.05 USD for execution",
        "cancel 1: asked for it",
        "cancel 1: sent it",
        "cancel 1: was carried out",
        "cancelled it",
    ):
        assert words in shown.output, words
    assert shown.output.count("group ") >= 2, "the other orders of the bracket are named"


def test_show_tells_the_same_as_json(told: Path) -> None:
    shown = json.loads(_run(orders_show, "entry", "--out", told, "--json").output)
    assert len(shown["members"]) == 3
    assert {step["who"] for step in shown["story"]} >= {"agent", "all-use", "broker"}
    assert all(step["what"] for step in shown["story"])


def test_show_numbers_the_records_that_prove_each_state(told: Path) -> None:
    shown = json.loads(_run(orders_show, "entry", "--out", told, "--json").output)
    states = {step["sequence"]: step["state"] for step in shown["story"]}
    assert [states[number] for number in shown["evidence"]] == [
        "SUBMITTED",
        "ACCEPTED",
        "PARTIALLY_FILLED",
        "CANCELED",
    ]
    lines = _run(orders_show, "entry", "--out", told).output.splitlines()
    assert lines[0].endswith(f"is CANCELED, by record {shown['evidence'][-1]}")
    numbers = [int(line.split()[0]) for line in lines if line.split()[0].isdigit()]
    assert numbers == list(states)


def test_export_writes_every_record_in_both_forms(told: Path, tmp_path: Path) -> None:
    with JournalReader(told / "journal.db") as reader:
        entries = list(reader.entries())
    lines = _run(journal_export, "--out", told).stdout.splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == [each.sequence for each in entries]
    assert json.loads(lines[-1])["body"] == dict(entries[-1].body)
    target = tmp_path / "records.csv"
    assert _run(journal_export, "--out", told, "--format", "csv", "--to", target).exit_code == 0
    rows = list(csv.DictReader(io.StringIO(target.read_text("utf-8"))))
    assert [json.loads(row["body"]) for row in rows] == [dict(each.body) for each in entries]


def test_export_narrows_by_key_and_time(told: Path) -> None:
    with JournalReader(told / "journal.db") as reader:
        story = reader.story("entry")
        entries = list(reader.entries())
    last = entries[-1].time
    lines = _run(journal_export, "--out", told, "--key", "entry").stdout.splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == [each.sequence for each in story]
    late = _run(journal_export, "--out", told, "--since", last.isoformat()).stdout.splitlines()
    assert [json.loads(line)["time"] for line in late] == [last.isoformat()] * len(late)
    assert 0 < len(late) < len(entries)
    refused = _run(journal_export, "--out", told, "--since", "yesterday")
    assert "is no time" in str(refused.exception)


def test_export_holds_one_record_at_a_time(tmp_path: Path) -> None:
    journal = Journal(
        tmp_path / "journal.db", clock=VirtualClock(), node=NODE, committer=InlineCommitter()
    )
    journal.append(*(journal.scribe.row(Kind.NOTICE, {"text": "x" * 1_000}) for _ in range(10_000)))
    journal.close()
    target = tmp_path / "records.jsonl"
    tracemalloc.start()
    try:
        assert _run(journal_export, "--out", tmp_path, "--to", target).exit_code == 0
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert target.stat().st_size > 10e6
    assert most < 3e6


# --- verify ---------------------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A journal of 40 records."""
    path = tmp_path / "journal.db"
    journal = Journal(path, clock=VirtualClock(), node=NODE, committer=InlineCommitter())
    for number in range(40):
        journal.append(journal.scribe.row(Kind.NOTICE, {"number": number, "of": AAPL.id}))
    journal.close()
    assert verify(path).ok
    return path


def _change(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize("sequence", [1, 2, 17, 39, 40])
@pytest.mark.parametrize("place", [1, 9, 60, 120])
def test_verify_finds_an_edit_of_one_sign_anywhere(
    written: Path, sequence: int, place: int
) -> None:
    _change(
        written,
        f"UPDATE record SET body = substr(body, 1, {place}) || '~' || substr(body, {place} + 2)"
        f" WHERE seq = {sequence}",
    )
    found = verify(written)
    assert (found.ok, found.at) == (False, sequence)


@pytest.mark.parametrize("column", ["time", "kind", "key", "ref", "state"])
def test_verify_finds_an_edit_of_every_field(written: Path, column: str) -> None:
    _change(written, f"UPDATE record SET {column} = 7 WHERE seq = 20")
    assert verify(written).at == 20


@pytest.mark.parametrize("sequence", [1, 2, 20, 39])
def test_verify_finds_a_gap(written: Path, sequence: int) -> None:
    _change(written, f"DELETE FROM record WHERE seq = {sequence}")
    assert verify(written).at in (sequence, sequence + 1)
    assert not verify(written).ok


@pytest.mark.parametrize(("one", "other"), [(1, 2), (5, 30), (39, 40)])
def test_verify_finds_two_records_that_changed_places(written: Path, one: int, other: int) -> None:
    _change(
        written,
        f"UPDATE record SET seq = -1 WHERE seq = {one}",
        f"UPDATE record SET seq = {one} WHERE seq = {other}",
        f"UPDATE record SET seq = {other} WHERE seq = -1",
    )
    assert verify(written).at == one


@pytest.mark.parametrize("kept", [0, 1, 20, 39])
def test_verify_finds_a_shorter_history(written: Path, kept: int) -> None:
    _change(written, f"DELETE FROM record WHERE seq > {kept}")
    found = verify(written)
    assert (found.ok, found.at) == (False, kept + 1)
    told = _run(journal_verify, "--out", written.parent)
    assert f"the journal ends at record {kept}" in told.output
