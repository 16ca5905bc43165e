"""The state folder: one process at a time, and no lock outlives its holder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from alluse_core.errors import StateError, StateLocked
from alluse_core.settings import Settings
from alluse_core.state import StateFolder, default_state_dir, state_path

HOLDER = """
import sys
from pathlib import Path
from alluse_core.state import StateFolder
with StateFolder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """Start a process that holds the folder until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
    process.communicate(timeout=30)


def test_a_second_process_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    process = holder(tmp_path)
    try:
        with pytest.raises(StateLocked, match=rf"process {process.pid}\b") as caught:
            StateFolder(tmp_path).__enter__()
        assert "stop that process" in caught.value.hint
    finally:
        end(process)


def test_a_killed_holder_leaves_no_lock_behind(tmp_path: Path) -> None:
    process = holder(tmp_path)
    try:
        process.send_signal(signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
        with StateFolder(tmp_path):
            assert (tmp_path / "lock").read_text("ascii") == str(os.getpid())
    finally:
        end(process)


def test_the_folder_is_free_again_after_the_block_and_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), StateFolder(tmp_path):
        raise ZeroDivisionError
    with StateFolder(tmp_path):
        pass


def test_one_process_cannot_hold_a_folder_twice(tmp_path: Path) -> None:
    with StateFolder(tmp_path):
        with pytest.raises(StateLocked):
            StateFolder(tmp_path).__enter__()
        with pytest.raises(StateLocked):  # the refused attempt did not free it
            StateFolder(tmp_path).__enter__()


def test_a_refused_attempt_leaves_the_holders_name_in_place(tmp_path: Path) -> None:
    process = holder(tmp_path)
    try:
        for _ in range(2):
            with pytest.raises(StateLocked, match=str(process.pid)):
                StateFolder(tmp_path).__enter__()
    finally:
        end(process)


def test_a_lock_file_full_of_nonsense_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "lock").write_bytes(b"\xff\xfe\x00 garbage")
    with StateFolder(tmp_path), pytest.raises(StateLocked):
        StateFolder(tmp_path).__enter__()


def test_a_path_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", "ascii")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StateError, match="cannot be used") as caught:
            StateFolder(path).__enter__()
        assert caught.value.hint


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to("/dev/full")
    with pytest.raises(StateError, match="cannot be used"):
        StateFolder(tmp_path).__enter__()


def test_others_may_not_read_a_folder_that_was_made_here(tmp_path: Path) -> None:
    with StateFolder(tmp_path / "new") as folder:
        assert folder.path.stat().st_mode & 0o077 == 0


def test_each_object_gets_a_folder_of_its_own_below(tmp_path: Path) -> None:
    with StateFolder(tmp_path) as folder:
        assert folder.of("brokers", "main") == tmp_path / "brokers" / "main"
        assert folder.of("brokers", "main").is_dir()


@pytest.mark.parametrize("name", ["..", "", ".", "a/b", "/etc", "a\0b"])
def test_a_name_cannot_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with StateFolder(tmp_path) as folder, pytest.raises(StateError):
        folder.of("brokers", name)


def test_a_folder_below_that_is_a_file_is_a_state_error(tmp_path: Path) -> None:
    with StateFolder(tmp_path) as folder:
        (tmp_path / "brokers").write_text("x", "ascii")
        with pytest.raises(StateError, match="cannot be used"):
            folder.of("brokers", "main")


def test_state_lies_by_tenant_and_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_state_dir() == tmp_path / "alluse"
    one = {"alluse": {"tenant": "acme"}, "orders": {"default_account": "DU1"}}
    assert state_path(Settings.load(one)) == tmp_path / "alluse" / "acme" / "DU1"
    elsewhere = {"alluse": {"state_dir": str(tmp_path / "x")}}
    assert state_path(Settings.load(elsewhere)).is_relative_to(tmp_path / "x" / "default")
