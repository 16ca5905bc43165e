"""The tutorial's first plugin, made by the commands of the page."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from own_environment import create, install_here, run

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorial" / "first-plugin.md"
INSTALL = "pip install -e ."


def block() -> str:
    found = re.search(r"## Copy, rename, pass\n.*?```sh\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    assert found is not None
    assert found[1].splitlines().count(INSTALL) == 1
    return found[1]


def with_commands(python: str) -> Path:
    """Put the commands of the page beside the interpreter, as an installation would."""
    folder = Path(python).parent
    for name, module in (("pytest", "pytest"), ("alluse", "alluse_core")):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(python)} -m {module} "$@"\n', "utf-8")
        script.chmod(0o755)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(find_spec("pip") is None, reason="this environment has no pip")
def test_the_commands_of_the_tutorial_make_a_plugin_that_passes_its_tests_and_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(
        ROOT / "plugins" / "cache",
        checkout / "plugins" / "cache",
        ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"),
    )
    python = create(tmp_path / "env")
    path = f"{with_commands(python)}:/usr/local/bin:/usr/bin:/bin"
    monkeypatch.setenv("PATH", path)
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    script = block().replace(INSTALL, shlex.join(install_here(python)))
    printed = run("sh", "-ec", script, cwd=checkout)
    passed = re.search(r"(\d+) passed", printed)
    assert passed is not None, printed
    assert int(passed[1]) >= 20
    assert "failed" not in printed
    assert "my-cache" in printed
    listed = json.loads(run("alluse", "plugins", "list", "--json", cwd=tmp_path))
    (mine,) = [each for each in listed if each["name"] == "my_cache"]
    assert (mine["state"], mine["error"]) == ("loaded", "")
    assert mine["distribution"] == "my-cache"
    assert ["cache", "mine"] in mine["offers"]
