"""``alluse run`` against a gateway in another process: what it shows, and how it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ALLUSE = str(Path(sys.executable).with_name("alluse"))
REPORTS = {"dashboard.png", "report.json", "summary.json", "summary.md"}


def _started(config: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [ALLUSE, "run", "--config", str(config), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_run_shows_paper_and_a_signal_ends_it_with_its_reports(
    gateway, settings_file, tmp_path, number, code
) -> None:
    out = tmp_path / "reports"
    process = _started(settings_file(gateway.port), "--out", str(out))
    assert process.stderr is not None
    first = process.stderr.readline()
    assert first.startswith("PAPER  broker main: up, DU1000001")
    assert "Ctrl-C ends" in process.stderr.readline()
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=100)
    assert process.returncode == code, stderr
    assert stdout == ""
    assert "Traceback" not in stderr
    assert {path.name for path in out.iterdir()} == REPORTS
    state = tmp_path / "state" / "default" / "default-account"
    assert {"journal.db", "metrics.db"} <= {path.name for path in state.iterdir()}


@pytest.mark.slow
def test_run_prints_what_it_wrote_as_json_on_stdout_only(
    gateway, settings_file, tmp_path, alluse_command
) -> None:
    config = settings_file(gateway.port)
    out = tmp_path / "reports"
    finished = alluse_command(
        "run", "--config", str(config), "--out", str(out), "--seconds", "1", "--json"
    )
    assert finished.returncode == 0, finished.stderr
    assert {Path(path).name for path in json.loads(finished.stdout)["written"]} == REPORTS


def test_a_closed_port_ends_run_with_one_clear_error(
    settings_file, alluse_command, one_clear_error
) -> None:
    with socket.socket() as held:
        # Bound, so that nobody else takes the port meanwhile, and not listened at.
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        finished = alluse_command("run", "--config", str(settings_file(port)))
    one_clear_error(finished, 4, [str(port), "way out"])


def test_a_live_account_without_the_flag_is_refused(
    settings_file, alluse_command, one_clear_error
) -> None:
    config = settings_file(4002, '[orders]\nlive_account = "U1234567"')
    finished = alluse_command("run", "--config", str(config))
    one_clear_error(finished, 3, ["--live U1234567"])


@pytest.mark.parametrize("typed", ["U7654321", "DU1000001"])
def test_a_flag_that_names_another_account_is_refused(
    settings_file, alluse_command, one_clear_error, typed
) -> None:
    config = settings_file(4002, '[orders]\nlive_account = "U1234567"')
    finished = alluse_command("run", "--config", str(config), "--live", typed)
    one_clear_error(finished, 3, [typed, "U1234567"])


def test_the_flag_alone_is_refused(settings_file, alluse_command, one_clear_error) -> None:
    finished = alluse_command("run", "--config", str(settings_file(4002)), "--live", "U1234567")
    one_clear_error(finished, 3, ["nothing"])


@pytest.mark.slow
def test_ctrl_c_while_it_still_connects_ends_it_at_once(settings_file) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        long = "connect_timeout = 250.0"
        process = _started(settings_file(silent.getsockname()[1], broker=long))
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(4) == b"API\0"
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=100)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
