"""What the how-to pages tell a reader to run, run against a simulated gateway."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from alluse_gateway.control import COMMANDS
from alluse_gateway.scenario import parse
from alluse_gateway.step_arguments import problem_with
from alluse_paper.rows import SHAPES

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to"
PORT, CONTROL_PORT = "4002", "4003"


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


SNIPPETS = [
    pytest.param(code, id=f"{page.stem}-{number}")
    for page in sorted(HOW_TO.glob("*.md"))
    for number, code in enumerate(_blocks(page, "python"), 1)
    if PORT in code or CONTROL_PORT in code
]
OURS = HOW_TO / "test-your-own-bot.md"


def _python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    finished = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stderr.count("Traceback") == 0, finished.stderr
    return finished


@pytest.mark.parametrize("code", SNIPPETS)
def test_a_snippet_of_a_how_to_page_runs_against_the_gateway(code, gateway, tmp_path) -> None:
    here = code.replace(PORT, str(gateway.port)).replace(CONTROL_PORT, str(gateway.control_port))
    before = gateway.control(do="status")["ledger"]
    finished = _python("-c", here, cwd=tmp_path)
    entries = gateway.control(do="ledger", since=before)["entries"]
    kinds = [entry["event"] for entry in entries]
    if "LimitOrder" in code:
        assert finished.stdout.split() == ["Submitted"]
        assert "canceled" in kinds
    elif "MarketOrder" in code or '"MKT"' in code:
        assert finished.stdout.split() == ["Filled", "10.0"]
        assert "fill" in kinds
    else:
        assert str(gateway.port) in finished.stdout


def test_the_test_suite_that_the_page_shows_passes(tmp_path) -> None:
    (code,) = [each for each in _blocks(OURS, "python") if "import pytest" in each]
    (tmp_path / "test_bot.py").write_text(code, "utf-8")
    finished = _python("-m", "pytest", "-q", "-p", "no:cacheprovider", ".", cwd=tmp_path)
    assert "1 passed" in finished.stdout


def test_the_scenario_that_the_page_shows_is_read() -> None:
    (text,) = _blocks(OURS, "toml")
    assert len(parse(text, "mine.toml").steps) == 3


def test_the_ledger_is_read_as_the_page_shows(serve, tmp_path) -> None:
    (code,) = [each for each in _blocks(OURS, "python") if "truth.orders" in each]
    path = tmp_path / "ledger.jsonl"
    with serve("--ledger", str(path)) as gateway:
        buy = next(each.values[0] for each in SNIPPETS if "MarketOrder" in str(each.values[0]))
        _python("-c", str(buy).replace(PORT, str(gateway.port)), cwd=tmp_path)
    assert _python("-c", code, cwd=tmp_path).stdout.split() == ["FILLED", "10"]


def test_every_client_library_is_shown() -> None:
    shown = "".join(_blocks(OURS, "python"))
    for name in ("ib_insync", "ib_async", "ibapi.client"):
        assert f"from {name} import" in shown


def test_each_control_command_is_shown_once_and_is_carried_out(serve) -> None:
    at_any_time, needing = (
        [json.loads(line) for line in block.splitlines()] for block in _blocks(OURS, "json")
    )
    shown = [each["do"] for each in (*at_any_time, *needing)]
    assert sorted(shown) == sorted(COMMANDS)
    for each in needing:
        arguments = {key: value for key, value in each.items() if key != "do"}
        assert not problem_with(each["do"], [arguments])
    with serve("--scenario", "split-frames") as gateway:
        for each in at_any_time:
            gateway.control(**each)  # fails on an error


def test_the_formats_of_a_recording_are_those_that_are_read() -> None:
    page = (HOW_TO / "record-and-replay.md").read_text("utf-8")
    assert sorted(re.findall(r"^\| `(time,[^`]+)`", page, re.MULTILINE)) == sorted(SHAPES)


def test_the_option_chain_that_the_page_reads_is_quoted(tmp_path) -> None:
    (code,) = _blocks(HOW_TO / "option-chains.md", "python")
    lines = _python("-c", code, cwd=tmp_path).stdout.splitlines()
    assert lines[0] == "24 contracts, 24 lines, 48 messages"
    assert len(lines) == 25
    assert all(" x " in line for line in lines[1:])


def test_the_chain_command_says_the_cost_and_prints_a_table_or_json(tmp_path) -> None:
    (tmp_path / "alluse.toml").write_text(
        '[brokers.main]\nprovider = "paper"\nchains = ["AAPL"]\nenforce_hours = false\n'
        f'[alluse]\nstate_dir = "{tmp_path / "state"}"\n',
        "utf-8",
    )
    command = ("-m", "alluse_core", "chain", "AAPL", "--expiries", "1", "--strikes", "3")
    table = _python(*command, "--yes", cwd=tmp_path)
    assert "6 contracts through 6 free lines" in table.stderr
    assert "6 of 6 quoted" in table.stderr
    assert len(table.stdout.splitlines()) == 7
    document = json.loads(_python(*command, "--json", cwd=tmp_path).stdout)
    assert document["plan"]["cost"]["contracts"] == 6
    assert all(row["quote"]["bid"] < row["quote"]["ask"] for row in document["rows"])
