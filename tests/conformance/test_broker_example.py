"""The example broker plugin, as a newcomer uses it: copied out, renamed, installed, tested."""

from __future__ import annotations

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from own_environment import create, install_here, run

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "broker_plugin"

RENAMED = (("acme", "globex"), ("Acme", "Globex"), ("ACME", "GLOBEX"))


def copy_and_rename(target: Path) -> None:
    for source in sorted(EXAMPLE.rglob("*")):
        if source.is_dir() or "__pycache__" in source.parts or source.name == "py.typed":
            continue
        text, name = source.read_text("utf-8"), str(source.relative_to(EXAMPLE))
        for old, new in RENAMED:
            text, name = text.replace(old, new), name.replace(old, new)
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def test_the_example_is_small_enough_to_read() -> None:
    lines = (EXAMPLE / "src" / "acme_broker" / "plugin.py").read_text("utf-8").splitlines()
    assert len(lines) <= 170


@pytest.mark.skipif(find_spec("pip") is None, reason="this environment has no pip")
def test_a_copied_and_renamed_broker_plugin_is_found_and_passes_the_standard_tests(
    tmp_path: Path,
) -> None:
    copy = tmp_path / "globex"
    copy_and_rename(copy)
    shutil.rmtree(copy / "src" / "__pycache__", ignore_errors=True)

    python = create(tmp_path / "env")
    run(*install_here(python), cwd=copy, PIP_DISABLE_PIP_VERSION_CHECK="1")
    found = run(
        python,
        "-c",
        "from alluse_core.host import Host; print(Host().provider('broker', 'globex').name)",
        cwd=tmp_path,
    )
    assert found.strip() == "globex"
    tested = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=copy)
    passed = re.search(r"(\d+) passed", tested)
    assert passed is not None
    assert int(passed[1]) >= 20
    assert "failed" not in tested
