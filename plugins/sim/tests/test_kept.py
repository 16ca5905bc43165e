"""What a person gets of a session beyond its verdict, and of sessions that are interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from alluse_sim.checker import truth_of
from alluse_sim.cli import command
from alluse_sim.plan import Plan
from alluse_sim.session import LEDGER, simulate
from click.testing import CliRunner

from alluse_core.orders.journal import JournalReader


def test_a_kept_session_has_its_journal_and_the_brokers_ledger(tmp_path: Path) -> None:
    plan = Plan.draw(7)
    result = simulate(plan, tmp_path)
    assert json.loads((tmp_path / "plan.json").read_text())["seed"] == 7
    entries = [json.loads(line) for line in (tmp_path / LEDGER).read_text().splitlines()]
    assert sum(entry["event"] == "placed" for entry in entries) == result.sent
    with JournalReader(tmp_path / "journal.db") as reader:
        references = {summary.ref for summary in reader.orders()}
    assert set(truth_of(entries).orders) - {""} <= references
    assert result.digest == simulate(plan).digest


@pytest.mark.parametrize(
    "arguments",
    [
        ["--sessions", "2", "--keep", "x"],
        ["--sessions", "1", "--soak", "1", "--keep", "x"],
        ["--planted", "no-sync", "--client", "ib_insync"],
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: list[str]) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exception is not None
    assert "--keep" in str(result.exception) or "--client" in str(result.exception)


@pytest.mark.parametrize(
    ("option", "value", "bounds"),
    [("--sessions", "0", "x>=1"), ("--jobs", "-3", "x>=0"), ("--soak", "-1", "x>=0")],
)
def test_a_number_out_of_range_is_told_with_its_own_option_and_range(
    option: str, value: str, bounds: str
) -> None:
    result = CliRunner().invoke(command, [option, value])
    assert result.exit_code == 2
    assert f"'{option}': {value} is not in the range {bounds}" in result.output
    others = {"--sessions", "--jobs", "--soak"} - {option}
    assert not any(other in result.output for other in others)


@contextmanager
def _played_by_two() -> Iterator[subprocess.Popen[str]]:
    arguments = ["--sessions", "100000", "--jobs", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "alluse_core", "torture", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert "sessions" in process.stderr.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


def test_sessions_that_are_interrupted_say_what_was_played() -> None:
    with _played_by_two() as process:
        process.send_signal(signal.SIGINT)
        told, errors = process.communicate(timeout=100)
    assert process.returncode == 130, errors
    assert "interrupted after" in errors
    assert "0 sessions with an order lost" in told
    assert "Traceback" not in errors


def test_sessions_that_are_terminated_leave_no_process_behind() -> None:
    with _played_by_two() as process:
        players = psutil.Process(process.pid).children(recursive=True)
        assert len(players) >= 2
        process.terminate()
        process.communicate(timeout=100)
    assert process.returncode == 143
    assert psutil.wait_procs(players, timeout=20)[1] == []
