"""What people and machines get wrong: one clear error each, the right exit code, nothing lost."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ALLUSE = str(Path(sys.executable).with_name("alluse"))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("[orders]\ndefault_brokre = 'main'", ["default_brokre", "did you mean"]),
        ("[monitor]\nperiod = 'often'", ["monitor.period", "often"]),
        ("[quotes]\nworkers = 0", ["quotes.workers"]),
        ("[quotes]\nworkers = 3.9", ["quotes.workers", "3.9"]),
        ("[stages.max_quantity]\nlimit = -1", ["max_quantity", "limit must be positive", "-1"]),
        ("[brokers.second]\nprovider = 'ibrk'", ["ibrk", "did you mean 'ibkr'"]),
        ("[orders\n", ["alluse.toml"]),
    ],
)
@pytest.mark.parametrize("command", [("config", "check"), ("run", "--seconds", "1")])
def test_a_wrong_setting_is_named(
    settings_file, alluse_command, one_clear_error, lines, words, command
) -> None:
    config = settings_file(4002, lines)
    finished = alluse_command(*command, "--config", str(config))
    one_clear_error(finished, 3, words)


def test_a_settings_file_that_is_not_there_is_named(
    tmp_path, alluse_command, one_clear_error
) -> None:
    finished = alluse_command("run", "--config", str(tmp_path / "none.toml"))
    one_clear_error(finished, 3, ["none.toml"])


def _truncated(path: Path) -> None:
    rows = "".join(
        f"2013-10-07T13:30:{second:02d}.000Z,SPY,167.{second:02d},100,167.9,100,0,0\n"
        for second in range(60)
    )
    text = "time,symbol,bid,bid_size,ask,ask_size,bid_low,ask_high\n" + rows * 50
    path.write_bytes(gzip.compress(text.encode())[:-60])


def _strange_header(path: Path) -> None:
    path.write_bytes(gzip.compress(b"when,what\n1,2\n"))


def _bad_row(path: Path) -> None:
    text = "time,symbol,bid,bid_size,ask,ask_size,bid_low,ask_high\nyesterday,SPY,a,b,c,d,e,f\n"
    path.write_bytes(gzip.compress(text.encode()))


@pytest.mark.parametrize("make", [_truncated, _strange_header, _bad_row])
def test_an_unreadable_recording_is_named(tmp_path, alluse_command, one_clear_error, make) -> None:
    recording = tmp_path / "quotes_20131007.csv.gz"
    make(recording)
    finished = alluse_command("gateway", "--port", "0", "--replay", str(recording))
    one_clear_error(finished, 1, ["quotes_20131007.csv.gz", "way out"])


def test_a_busy_port_is_named(alluse_command, one_clear_error) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finished = alluse_command("gateway", "--port", str(port))
    one_clear_error(finished, 4, [str(port)])


@pytest.mark.slow
@pytest.mark.parametrize("step", ["accept", "version", "start", "ready"])
def test_a_gateway_that_closes_in_the_handshake_is_one_clear_error(
    gateway, settings_file, alluse_command, one_clear_error, step, tmp_path
) -> None:
    gateway.control(do="close_at", step=step)
    try:
        config = settings_file(gateway.port, broker="connect_timeout = 5.0")
        bounds = ("--seconds", "5", "--out", str(tmp_path / "out"))
        finished = alluse_command("run", "--config", str(config), *bounds)
    finally:
        gateway.control(do="close_at", step="")
    if step == "ready" and "main is down for" in finished.stderr:
        # It had begun before the close was read: then it goes on, says so, and connects again.
        assert finished.returncode == 0
        assert "Traceback" not in finished.stderr
    else:
        one_clear_error(finished, 4, [str(gateway.port), "way out"])


@pytest.mark.slow
def test_a_second_process_on_the_same_state_folder_is_refused(
    gateway, settings_file, alluse_command, one_clear_error
) -> None:
    config = settings_file(gateway.port)
    first = subprocess.Popen(
        [ALLUSE, "run", "--config", str(config)], stderr=subprocess.PIPE, text=True
    )
    assert first.stderr is not None
    try:
        assert "PAPER" in first.stderr.readline()
        second = alluse_command("run", "--config", str(config))
        one_clear_error(second, 1, [str(first.pid), "state_dir"])
    finally:
        first.send_signal(signal.SIGTERM)
        _, errors = first.communicate(timeout=100)
    assert first.returncode == 0, errors


def test_an_unknown_command_is_answered_with_the_nearest(alluse_command, one_clear_error) -> None:
    finished = alluse_command("dmeo")
    one_clear_error(finished, 2, ["dmeo", "did you mean 'demo'"])


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path, alluse_command, one_clear_error
) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")
    finished = alluse_command("demo", "--seconds", "1", "--out", str(tmp_path / "file" / "out"))
    one_clear_error(finished, 2, ["out"])


def _small_files() -> None:
    # A write beyond the limit fails with EFBIG, as it would with ENOSPC, once the signal that
    # goes with it is ignored.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))


def test_too_little_room_for_a_journal_is_told_before_anything_is_sent(
    tmp_path, alluse_command, one_clear_error
) -> None:
    out = tmp_path / "out"
    finished = alluse_command(*("demo", "--seconds", "1", "--out", str(out)), before=_small_files)
    one_clear_error(finished, 1, ["no space for the journal", "free some disk space"])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MB, where this user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(["mount", *options], capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up_stops_new_risk_and_loses_nothing(small_disk, alluse_command) -> None:
    out = small_disk / "out"
    demo = subprocess.Popen(
        [ALLUSE, "demo", "--seconds", "9", "--incident", "latency", "--out", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert demo.stderr is not None
    for line in demo.stderr:
        if "INCIDENT" in line:
            break
    before = _references(alluse_command, out)
    with (small_disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(bytes(1024)):
            pass
    errors = " ".join(demo.communicate(timeout=100)[1].split())
    assert demo.returncode == 1, errors
    assert "Traceback" not in errors
    assert "new risk is stopped" in errors
    assert "nothing that increases risk is sent" in errors
    assert "no room left to write" in errors
    # What the journal holds is whole, and no order it tells of went out twice.
    verified = alluse_command("journal", "verify", "--out", str(out), "--json")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    after = _references(alluse_command, out)
    assert len(before) >= 10
    assert set(before) <= set(after)
    assert len(set(after)) == len(after)


def _references(alluse_command, out: Path) -> list[str]:
    listed = alluse_command("orders", "list", "--out", str(out), "--json")
    assert listed.returncode == 0, listed.stderr
    return [order["order_ref"] for order in json.loads(listed.stdout)]


_BROKEN = """
raise RuntimeError("this plugin is broken")
"""


@pytest.fixture
def broken_plugin(tmp_path: Path) -> dict[str, str]:
    """An installed distribution whose module cannot be imported, for one process."""
    site = tmp_path / "site"
    info = site / "acme_broken-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_broken.py").write_text(_BROKEN, "utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[alluse]\nacme = acme_broken\n")
    return {"PYTHONPATH": str(site)}


@pytest.mark.slow
def test_a_broken_plugin_is_named_and_the_rest_starts(
    gateway, settings_file, alluse_command, broken_plugin
) -> None:
    listed = alluse_command("plugins", "list", "--json", env=broken_plugin)
    found = {row["name"]: row for row in json.loads(listed.stdout)}
    assert found["acme"]["state"] == "failed"
    assert "this plugin is broken" in found["acme"]["error"]
    assert found["ibkr"]["state"] == "loaded"
    config = settings_file(gateway.port)
    finished = alluse_command("run", "--config", str(config), "--seconds", "1", env=broken_plugin)
    assert finished.returncode == 0, finished.stderr
    assert "PAPER" in finished.stderr


def test_safe_mode_starts_with_built_in_plugins_only(alluse_command, broken_plugin) -> None:
    safe = {**broken_plugin, "ALLUSE_SAFE_MODE": "1"}
    listed = alluse_command("plugins", "list", "--json", env=safe)
    assert listed.returncode == 0, listed.stderr
    states = {row["name"]: row["state"] for row in json.loads(listed.stdout)}
    assert states.pop("acme") == "blocked"
    assert set(states.values()) == {"loaded"}


@pytest.mark.parametrize(
    ("command", "database"),
    [
        ("orders list", "journal"),
        ("journal verify", "journal"),
        ("alerts list", "metrics.db"),
        ("metrics export", "metrics.db"),
        ("report", "metrics.db"),
    ],
)
def test_a_readers_folder_without_databases_is_named(
    tmp_path, alluse_command, one_clear_error, command, database
) -> None:
    finished = alluse_command(*command.split(), "--out", str(tmp_path))
    one_clear_error(finished, 1, [database])
    assert os.listdir(tmp_path) == []
