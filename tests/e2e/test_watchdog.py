"""A real trader is killed; the watchdog cancels its entries at the gateway and keeps its stops."""

from __future__ import annotations

import json
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alluse_sim.checker import truth_of

from alluse_core.cli.main import main
from alluse_core.heartbeat import Beat
from alluse_core.orders.reader import JournalReader

HERE = Path(__file__).parent
ALLUSE = str(Path(sys.executable).with_name("alluse"))


@contextmanager
def watchdog(config: Path, state: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [
            ALLUSE,
            "watchdog",
            "--config",
            str(config),
            "--state",
            str(state),
            "--after",
            "4",
            "--json",
            *options,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)


@contextmanager
def trader(port: int, state: Path, symbol: str, heart: int = 0) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [
            *(sys.executable, str(HERE / "watched_trader.py")),
            *(str(port), str(state), symbol, str(heart)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            assert process.stdout.readline() == "trading\n"
            yield process
        finally:
            process.kill()
            process.wait(10)


def until(process: subprocess.Popen[str], event: str) -> dict[str, Any]:
    """Return the next record of this event."""
    assert process.stdout is not None
    for line in process.stdout:
        body: dict[str, Any] = json.loads(line)
        if body["event"] == event:
            return body
    raise AssertionError(f"it ended before {event!r}")


def symbol_of(gateway: Any) -> str:
    listed = gateway.control(do="status")["instruments"]
    return str(next(each for each in listed if each.startswith("STK")).split(":")[1])


def config(folder: Path, port: int) -> Path:
    path = folder / "alluse.toml"
    path.write_text(
        '[alluse]\nplugins = ["alluse-ibkr", "alluse-cache"]\n'
        f'[brokers.main]\nprovider = "ibkr"\nport = {port}\nheartbeat = 1.0\n'
        "[orders]\nstages = []\nsettle_seconds = 0.2\nacknowledge_within = 2.0\n",
        "utf-8",
    )
    return path


@pytest.mark.slow
def test_the_watchdog_cancels_a_killed_traders_entries_and_leaves_its_stops(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    """Before it is killed the trader hangs for a while: only a person may end what hangs."""
    ledger, state = tmp_path / "ledger.jsonl", tmp_path / "state"
    code = f"import sys; open('{tmp_path}/paged', 'a').write(sys.stdin.read() + chr(10))"
    page = shlex.join([sys.executable, "-c", code])
    with serve("--ledger", str(ledger), "--seed", "1") as gateway:
        settings = config(tmp_path, gateway.port)
        with trader(gateway.port, state, symbol_of(gateway)) as trading:
            with watchdog(settings, state, "--do", "cancel", "--page", page) as watching:
                until(watching, "watches")
                trading.send_signal(signal.SIGSTOP)
                waits = until(watching, "waits")
                assert str(trading.pid) in waits["problem"]
                trading.send_signal(signal.SIGCONT)
                until(watching, "beats again")
                trading.send_signal(signal.SIGKILL)
                trading.wait(10)
                until(watching, "heart stopped")
                done = until(watching, "done")
                assert watching.wait(60) == 6
            with watchdog(settings, state, "--do", "cancel") as watching:
                assert until(watching, "acted before")["incarnation"], "it acts once"
    assert (done["cancelled"], done["kept"], done["left"]) == (["entry"], ["stop"], [])
    paged = [json.loads(line) for line in (tmp_path / "paged").read_text().splitlines()]
    assert [each["event"] for each in paged][:2] == ["heart stopped", "waits"]
    assert paged[-1]["event"] == "heart stopped"
    recorded = (state / "watchdog.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["event"] for line in recorded].count("acts") == 1
    with JournalReader(state / "journal.db") as reader:
        names = {reader.order(key).ref: key for key in ("position", "stop", "entry")}
    entries = [json.loads(line) for line in ledger.read_text("utf-8").splitlines()]
    states = {names[ref]: each[0].state for ref, each in truth_of(entries).orders.items()}
    assert (states["entry"], states["stop"]) == ("CANCELED", "WORKING")


@pytest.mark.slow
def test_a_watchdog_of_another_host_flattens_what_a_killed_trader_held(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    """It has a copy of the token and no journal: orders are known by their names at the broker."""
    ledger, state, elsewhere = tmp_path / "ledger.jsonl", tmp_path / "state", tmp_path / "there"
    with socket.create_server(("127.0.0.1", 0)) as free:
        heart = free.getsockname()[1]
    with serve("--ledger", str(ledger), "--seed", "1") as gateway:
        settings = config(tmp_path, gateway.port)
        with trader(gateway.port, state, symbol_of(gateway), heart) as trading:
            token = tmp_path / "token"
            token.write_bytes((state / "heartbeat.token").read_bytes())
            tunnel = ("--connect", f"127.0.0.1:{heart}", "--token-file", str(token))
            with watchdog(settings, elsewhere, "--do", "flatten", *tunnel) as watching:
                until(watching, "watches")
                time.sleep(1.5)
                trading.kill()
                assert until(watching, "heart stopped")["pid"] == trading.pid
                done = until(watching, "done")
                assert watching.wait(60) == 6
    assert (done["left"], done["positions"]) == ([], [])
    with JournalReader(state / "journal.db") as reader:
        names = {reader.order(key).ref: key for key in ("position", "stop", "entry")}
    truth = truth_of([json.loads(line) for line in ledger.read_text("utf-8").splitlines()])
    assert not any(truth.positions.values())
    states = {names[ref]: each[0].state for ref, each in truth.orders.items() if ref in names}
    assert (states["entry"], states["stop"]) == ("CANCELED", "CANCELED")


def test_a_watchdog_that_has_nothing_to_watch_says_so(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    tunnel = ("--connect", f"127.0.0.1:{port}", "--token-file", str(tmp_path / "token"))
    with watchdog(config(tmp_path, 1), tmp_path / "state", "--after", "1", *tunnel) as watching:
        alone = until(watching, "no heart")
    assert f"127.0.0.1:{port}" in alone["problem"]
    assert "--connect" in alone["hint"]


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--connect", "nowhere"), 2, "HOST:PORT"),
        (("--connect", "here:99999"), 2, "HOST:PORT"),
        (("--connect", "here:1"), 2, "--token-file"),
        (("--page", "/no/such/pager now"), 2, "there is no program '/no/such/pager'"),
        (("--page", "'"), 2, "--page cannot be read"),
        (("--do", "flatten", "--config", "{empty}"), 3, "no broker is configured"),
        (("--do", "cancel", "--config", "{wrong}"), 3, "'ibrk'"),
    ],
)
def test_a_watchdog_that_could_not_act_does_not_begin_to_watch(
    options: tuple[str, ...],
    code: int,
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = {"empty": tmp_path / "empty.toml", "wrong": tmp_path / "wrong.toml"}
    names["empty"].write_text("")
    names["wrong"].write_text('[brokers.main]\nprovider = "ibrk"\n')
    given = [each.format(**names) for each in options]
    with pytest.raises(SystemExit) as ended:
        main(["watchdog", "--config", str(names["empty"]), "--state", str(tmp_path / "s"), *given])
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (code, "")
    assert says in told.err
    assert "way out" in told.err or code == 2


def test_a_watchdog_that_fails_to_act_pages_says_so_and_ends_with_its_error(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "heartbeat.json").write_bytes(Beat("one", 7, 1, "ACTIVE").encode())
    (state / "journal.db").write_bytes(b"no database, but longer than its header " * 400)
    with watchdog(config(tmp_path, 1), state, "--do", "cancel", "--after", "1") as watching:
        assert until(watching, "failed")["problem"]
        assert watching.wait(30) == 1


def test_a_dry_run_says_what_it_would_do_and_does_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "heartbeat.json").write_bytes(Beat("one", 7, 1, "ACTIVE").encode())
    settings = config(tmp_path, 1)
    with watchdog(settings, state, "--do", "flatten", "--after", "1", "--dry-run") as watching:
        until(watching, "heart stopped")
        assert until(watching, "dry run")["would"] == "flatten"
        assert watching.wait(30) == 6
    assert sorted(path.name for path in state.iterdir()) == ["heartbeat.json", "watchdog.jsonl"]
