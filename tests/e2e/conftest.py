"""Running the command line and the simulated gateway as processes of their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
ALLUSE = str(Path(sys.executable).with_name("alluse"))
Run = Callable[..., subprocess.CompletedProcess[str]]


def _run(
    *args: str,
    timeout: float = 280,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    before: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ALLUSE, *args],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        preexec_fn=before,
    )


@pytest.fixture(scope="session")
def alluse_command() -> Run:
    """Run ``alluse`` with these arguments to its end."""
    return _run


class Gateway:
    """A running ``alluse gateway``: its ports and its control interface."""

    def __init__(self, process: subprocess.Popen[str], port: int, control_port: int) -> None:
        self.process = process
        self.port = port
        self.control_port = control_port

    def control(self, **command: Any) -> dict[str, Any]:
        with socket.create_connection(("127.0.0.1", self.control_port), timeout=10) as connection:
            connection.sendall(json.dumps(command).encode() + b"\n")
            line = connection.makefile("rb").readline()
        answer: dict[str, Any] = json.loads(line)
        assert "error" not in answer, answer
        return answer


@contextmanager
def _gateway(*options: str) -> Iterator[Gateway]:
    process = subprocess.Popen(
        [ALLUSE, "gateway", "--port", "0", "--control-port", "0", "--json", *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        started = json.loads(process.stdout.readline())
        yield Gateway(process, started["port"], started["control_port"])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        process.stdout.close()


@pytest.fixture(scope="session")
def serve() -> Callable[..., Any]:
    """Serve a simulated gateway with these options while the ``with`` lasts."""
    return _gateway


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    """One simulated gateway with its synthetic market, shared by a module."""
    with _gateway() as running:
        yield running


@pytest.fixture
def settings_file(tmp_path: Path) -> Callable[..., Path]:
    """Write settings for the gateway on ``port``; ``more`` are further lines."""

    def write(port: int, more: str = "", broker: str = "") -> Path:
        path = tmp_path / "alluse.toml"
        path.write_text(
            f'[alluse]\nstate_dir = "{tmp_path / "state"}"\n'
            f'[brokers.main]\nprovider = "ibkr"\nport = {port}\n{broker}\n{more}\n',
            "utf-8",
        )
        return path

    return write


@pytest.fixture(scope="session")
def one_clear_error() -> Callable[[subprocess.CompletedProcess[str], int, Sequence[str]], None]:
    """Assert that a command ended with this code and one error that says these words."""

    def check(
        finished: subprocess.CompletedProcess[str], code: int, words: Sequence[str] = ()
    ) -> None:
        assert finished.returncode == code, finished.stderr
        assert "Traceback" not in finished.stderr
        assert finished.stderr.lower().count("error: ") == 1, finished.stderr
        for word in words:
            assert word in finished.stderr, finished.stderr

    return check
