"""What the how-to pages tell a reader to run, run against a simulated gateway."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from alluse_gateway.control import COMMANDS
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
]


@pytest.mark.parametrize("code", SNIPPETS)
def test_a_snippet_of_a_how_to_page_runs_against_the_gateway(code, gateway, tmp_path) -> None:
    assert PORT in code or CONTROL_PORT in code
    here = code.replace(PORT, str(gateway.port)).replace(CONTROL_PORT, str(gateway.control_port))
    before = gateway.control(do="status")["ledger"]
    finished = subprocess.run(
        [sys.executable, "-c", here],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr.count("Traceback") == 0, finished.stderr
    entries = gateway.control(do="ledger", since=before)["entries"]
    kinds = [entry["event"] for entry in entries]
    if "LimitOrder" in code:
        assert finished.stdout.split() == ["Submitted"]
        assert "canceled" in kinds
    elif "MarketOrder" in code:
        assert finished.stdout.split() == ["Filled", "10.0"]
        assert "fill" in kinds
    else:
        assert str(gateway.port) in finished.stdout


def test_both_client_libraries_are_shown() -> None:
    shown = "".join(_blocks(HOW_TO / "test-your-bot.md", "python"))
    assert "from ib_insync import" in shown
    assert "from ib_async import" in shown


def test_each_control_command_is_shown_once_and_is_carried_out(serve) -> None:
    at_any_time, needing = (
        [json.loads(line) for line in block.splitlines()]
        for block in _blocks(HOW_TO / "test-your-bot.md", "json")
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
