"""The README's promises to somebody who pastes from it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _python_block() -> str:
    found = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert found is not None
    return found.group(1)


def _run(code: str, home: Path) -> str:
    finished = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "XDG_STATE_HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_the_embed_example_runs_and_a_second_run_sends_no_second_order(tmp_path: Path) -> None:
    code = _python_block()
    assert len(code.strip().splitlines()) <= 12
    assert "FILLED" in _run(code, tmp_path)
    _run(code, tmp_path)
    listed = subprocess.run(
        [
            str(Path(sys.executable).with_name("alluse")),
            *("orders", "list", "--json"),
            *("--out", str(next(tmp_path.rglob("journal.db")).parent)),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert listed.count('"readme/1"') == 1


def test_every_file_that_the_readme_links_to_is_there() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / target).exists(), target
