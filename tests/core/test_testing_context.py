"""What a context made for tests leaves behind: nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MAKE = """
from alluse_core.testing import make_context
folders = [make_context().state_dir for _ in range(3)]
assert all(each.is_dir() for each in folders)
(folders[0] / "kept").write_text("x")
print(*folders)
"""


def test_the_folders_of_contexts_go_with_the_process_that_made_them(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", MAKE],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    made = [Path(each) for each in finished.stdout.split()]
    assert {each.parent for each in made} == {tmp_path}
    assert list(tmp_path.iterdir()) == []
