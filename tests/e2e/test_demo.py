"""The demo as a newcomer runs it: one command, and everything it promises to leave behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alluse_core.state import StateFolder

ALLUSE = str(Path(sys.executable).with_name("alluse"))
ARTEFACTS = (
    "journal.db",
    "metrics.db",
    "dashboard.png",
    "report.json",
    "summary.json",
    "summary.md",
)


def _alluse(*args: str, timeout: float = 110) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ALLUSE, *args], capture_output=True, text=True, check=False, timeout=timeout
    )


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "out"
    finished = _alluse("demo", "--seconds", "30", "--out", str(out), "--incident", "drop")
    assert finished.returncode == 0, finished.stderr[-4000:]
    return out


def _json(*args: str) -> object:
    finished = _alluse(*args)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


@pytest.mark.slow
def test_the_demo_leaves_all_its_artefacts(session: Path) -> None:
    assert [name for name in ARTEFACTS if not (session / name).stat().st_size] == []


@pytest.mark.slow
def test_the_journal_of_the_demo_verifies(session: Path) -> None:
    verdict = _json("journal", "verify", "--out", str(session), "--json")
    assert isinstance(verdict, dict)
    assert verdict["ok"] is True


@pytest.mark.slow
def test_no_order_of_the_demo_is_left_undetermined(session: Path) -> None:
    orders = _json("orders", "list", "--out", str(session), "--json")
    assert isinstance(orders, list)
    assert len(orders) >= 78
    assert not [order["key"] for order in orders if order["state"] in ("UNKNOWN", "INTENT")]
    assert len({order["order_ref"] for order in orders}) == len(orders)


@pytest.mark.slow
def test_the_incident_fires_an_alert_and_the_alert_resolves(session: Path) -> None:
    alerts = _json("alerts", "list", "--out", str(session), "--json")
    assert isinstance(alerts, list)
    assert [alert["rule"] for alert in alerts if alert["fired_at"] and alert["resolved_at"]]
    fired = {alert["rule"] for alert in alerts if alert["fired_at"]}
    assert not fired & {"exits_exceed_position", "unprotected_position"}, "its bracket is sound"


@pytest.mark.slow
def test_at_least_a_hundred_series_a_second_are_stored(session: Path) -> None:
    finished = _alluse("metrics", "export", "--out", str(session))
    assert finished.returncode == 0, finished.stderr
    header, *rows = finished.stdout.splitlines()
    assert header == "time,component,metric,labels,value,unit,tenant,node,agent,incarnation"
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.split(",", 1)[0]] = counts.get(row.split(",", 1)[0], 0) + 1
    middle = sorted(counts.values())[len(counts) // 2]
    assert middle >= 100
    assert len(counts) >= 20


@pytest.mark.slow
def test_the_databases_are_whole(session: Path) -> None:
    for name in ("journal.db", "metrics.db"):
        with contextlib.closing(sqlite3.connect(session / name)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.slow
def test_ctrl_c_ends_the_demo_with_the_same_artefacts(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(
        [ALLUSE, "demo", "--seconds", "100", "--out", str(out)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TERM": "dumb"},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "connected" in line:
            break
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=100)[1]
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert [name for name in ARTEFACTS if not (out / name).exists()] == []


def test_a_folder_that_is_not_the_demos_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine", "utf-8")
    finished = _alluse("demo", "--seconds", "1", "--out", str(tmp_path))
    assert finished.returncode == 2
    assert "was not made by the demo" in finished.stderr
    assert (tmp_path / "thesis.txt").read_text("utf-8") == "mine"


def test_a_second_demo_in_one_folder_leaves_the_first_alone(tmp_path: Path) -> None:
    (tmp_path / ".alluse-demo").touch()
    (tmp_path / "journal.db").write_text("somebody's orders", "utf-8")
    with StateFolder(tmp_path):
        finished = _alluse("demo", "--seconds", "1", "--out", str(tmp_path))
    assert finished.returncode == 1
    assert f"in use by process {os.getpid()}" in finished.stderr
    assert (tmp_path / "journal.db").read_text("utf-8") == "somebody's orders"


def test_a_missing_recording_is_a_usage_error(tmp_path: Path) -> None:
    finished = _alluse("demo", "--replay", str(tmp_path / "none.csv.gz"), "--out", str(tmp_path))
    assert finished.returncode == 2


def test_an_unreadable_recording_is_one_clear_error(tmp_path: Path) -> None:
    bad = tmp_path / "quotes_20260101.csv.gz"
    bad.write_bytes(b"this is not gzip")
    finished = _alluse("demo", "--replay", str(bad), "--out", str(tmp_path / "out"))
    assert finished.returncode != 0
    assert "Traceback" not in finished.stderr
    assert "quotes_20260101.csv.gz" in finished.stderr
