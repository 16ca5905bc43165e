"""``--json``: valid JSON on stdout and nothing else there, people on stderr."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

READERS = (
    "orders list",
    "journal verify",
    "alerts list",
    "alerts list --all",
    "metrics list",
    "report",
)
ANYWHERE = ("plugins list", "config show", "config check", "doctor")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory, alluse_command) -> tuple[Path, str]:
    """A short demo, and what it printed."""
    out = tmp_path_factory.mktemp("json") / "out"
    finished = alluse_command("demo", "--seconds", "3", "--out", str(out), "--json")
    assert finished.returncode == 0, finished.stderr
    return out, finished.stdout


def _document(text: str) -> object:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.slow
def test_the_demo_prints_its_summary_as_json(session) -> None:
    assert _document(session[1])


@pytest.mark.slow
@pytest.mark.parametrize("command", READERS)
def test_readers_print_json(session, alluse_command, command) -> None:
    finished = alluse_command(*command.split(), "--out", str(session[0]), "--json")
    assert finished.returncode == 0, finished.stderr
    assert _document(finished.stdout) is not None


@pytest.mark.slow
def test_one_order_is_shown_as_json(session, alluse_command) -> None:
    out = str(session[0])
    orders = json.loads(alluse_command("orders", "list", "--out", out, "--json").stdout)
    key = orders[0]["key"]
    finished = alluse_command("orders", "show", key, "--out", out, "--json")
    assert finished.returncode == 0, finished.stderr
    assert key in json.dumps(_document(finished.stdout))


@pytest.mark.parametrize("command", ANYWHERE)
def test_commands_that_need_no_session_print_json(tmp_path, alluse_command, command) -> None:
    home = {"XDG_STATE_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    finished = alluse_command(*command.split(), "--json", cwd=tmp_path, env=home)
    assert finished.returncode in (0, 1), finished.stderr
    assert _document(finished.stdout)


def test_the_analyzers_print_json(tmp_path, alluse_command) -> None:
    series = tmp_path / "series.csv"
    rows = "".join(f"2026-01-01T00:{i // 60:02d}:{i % 60:02d}Z,{i % 7}\n" for i in range(300))
    series.write_text("time,value\n" + rows, "utf-8")
    finished = alluse_command("analyze", str(series), "--json")
    assert finished.returncode == 0, finished.stderr
    assert _document(finished.stdout)


def test_an_error_leaves_stdout_empty(tmp_path, alluse_command) -> None:
    finished = alluse_command("orders", "list", "--out", str(tmp_path), "--json")
    assert finished.returncode == 1
    assert finished.stdout == ""
