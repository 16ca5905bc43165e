"""The command line as a test calls it: in this process, on a machine without settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alluse_core.cli.main import main


def bare_machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder, with no settings of the user and none of the environment."""
    monkeypatch.chdir(folder)
    for name in [name for name in os.environ if name.startswith("ALLUSE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    monkeypatch.setenv("ALLUSE_SAFE_MODE", "1")


def run(*args: str) -> int:
    """Run the command line here and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(args)
    assert isinstance(ended.value.code, int)
    return ended.value.code
