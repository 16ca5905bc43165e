"""A Python environment beside the one that runs the tests: it sees what is installed there.

Nothing is fetched, and a plugin does not stay behind in the environment that runs these tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path


def run(*command: str, cwd: Path, **environment: str) -> str:
    """Run to a good end; return what was printed."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env=os.environ | environment, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def create(place: Path) -> str:
    """Make the environment; return its interpreter."""
    venv.create(place, with_pip=False)
    python = str(place / "bin" / "python")
    packages = [path for path in sys.path if path.endswith("site-packages")]
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=place)
    lines = "".join(f"import site; site.addsitedir({path!r})\n" for path in packages)
    Path(site.strip(), "outer.pth").write_text(lines, "utf-8")
    return python


def install_here(python: str) -> tuple[str, ...]:
    """Return the command that installs the project of the working folder, without a network."""
    return (
        *(sys.executable, "-m", "pip", f"--python={python}", "install"),
        *("--no-deps", "--no-build-isolation", "--no-index", "-q", "."),
    )
