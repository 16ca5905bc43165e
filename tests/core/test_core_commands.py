"""The commands of the core: what they print, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import bare_machine, run


@pytest.fixture(autouse=True)
def _bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare_machine(tmp_path, monkeypatch)


def test_plugins_list_shows_what_is_offered(capsys: pytest.CaptureFixture[str]) -> None:
    run("plugins", "list", "--json")
    rows = json.loads(capsys.readouterr().out)
    core = next(row for row in rows if row["name"] == "core")
    assert ["store", "sqlite"] in core["offers"]
    run("plugins", "list")
    assert "alluse-core" in capsys.readouterr().out


def test_config_init_writes_a_file_that_can_be_read_and_never_overwrites(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("config", "init") == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "alluse.toml" in printed.err
    before = (tmp_path / "alluse.toml").read_bytes()
    assert run("config", "init") == 2
    assert (tmp_path / "alluse.toml").read_bytes() == before


@pytest.mark.parametrize("path", ["no/such/folder/alluse.toml", "."])
def test_config_init_says_where_it_cannot_write(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("config", "init", path) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_config_show_names_the_origin_and_hides_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALLUSE_QUOTES__WORKERS", "4")
    assert run("config", "show", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows["quotes.workers"] == {
        "value": 4,
        "origin": "environment ALLUSE_QUOTES__WORKERS",
    }
    assert rows["quotes.ttl"]["origin"] == "default"
    assert run("config", "show", "--origin") == 0
    assert "environment ALLUSE_QUOTES__WORKERS" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[orders", "not valid TOML"),
        ("[ordres]\n", "did you mean 'orders'"),
        ("[orders]\npacing = 'yes'\n", "orders.pacing"),
        ("[brokers.main]\nhost = 'x'\n", "does not say its provider"),
        ("[brokers.main]\nprovider = 'ibrk'\n", "'ibrk' is not among"),
        ("[stores.sqlite]\npath = 'x'\n", "stores.sqlite.path is not a setting"),
        ("[stages.max_quantty]\n", "'max_quantty' is not among"),
        ("[orders]\nstages = ['no_such_stage']\n", "'no_such_stage' is not among"),
        ("[orders]\nstages = []\ndefault_broker = 'mian'\n", "'mian' is not among the brokers"),
    ],
)
def test_config_check_refuses_what_a_run_would_refuse(
    content: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "alluse.toml").write_text(content, "utf-8")
    assert run("config", "check") == 3
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""


def test_a_settings_file_that_is_not_there_is_a_settings_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("config", "show", "--config", "gone.toml") == 3
    assert "config init" in capsys.readouterr().err


def test_doctor_finds_what_a_run_would_refuse_and_still_ends_with_an_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "alluse.toml").write_text("[orders]\ndefault_broker = 'mian'\n", "utf-8")
    assert run("doctor", "--json") == 1
    checks = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert checks["settings"]["verdict"] == "fail"
    assert "'mian' is not among the brokers" in checks["settings"]["detail"]
    assert checks["python"]["verdict"] == "ok"


def test_doctor_tries_a_broker_that_cannot_examine_itself_by_connecting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "alluse.toml").write_text('[brokers.sim]\nprovider = "paper"\n', "utf-8")
    assert run("doctor", "--connect", "--json") == 0
    checks = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert checks["sim connection"]["verdict"] == "ok"
    assert "(paper)" in checks["sim connection"]["detail"]
    assert not (tmp_path / "state").exists(), "an examination leaves no state behind"


@pytest.mark.parametrize(
    "words", [("--ask", "AAPL"), ("--connect", "--ask", "X:Y"), ("--connect", "--limit", "0")]
)
def test_doctor_says_what_it_cannot_be_asked(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("doctor", *words) == 2
    assert capsys.readouterr().err
