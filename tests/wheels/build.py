"""Build a wheel of every distribution, install them in an empty environment, and use them there.

Run by ``make wheels``. The smoke test runs in another directory, so that what it imports is the
wheel and not the checkout.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main(out: Path) -> int:
    """Build into ``out``, install, and run ``smoke.py``; return the smoke test's exit code."""
    folders = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.whl"):
        old.unlink()
    for folder in folders:
        command = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(folder)]
        _run(sys.executable, *command, cwd=ROOT)
    wheels = sorted(str(path) for path in out.glob("*.whl"))
    if len(wheels) != len(folders):
        sys.exit(f"{len(folders)} distributions gave {len(wheels)} wheels")
    with tempfile.TemporaryDirectory() as place:
        environment = Path(place) / "env"
        venv.create(environment, with_pip=True)
        python = str(environment / "bin" / "python")
        _run(python, "-m", "pip", "install", "--quiet", *wheels, cwd=Path(place))
        smoke = Path(place) / "smoke.py"
        smoke.write_text((ROOT / "tests" / "wheels" / "smoke.py").read_text("utf-8"), "utf-8")
        _run(python, "-W", "error", str(smoke), cwd=Path(place))
    print(f"wheels: {len(wheels)} built, installed and used")
    return 0


def _run(*command: str, cwd: Path) -> None:
    finished = subprocess.run(command, cwd=cwd, text=True, capture_output=True, check=False)
    if finished.returncode:
        sys.exit(f"{' '.join(command)}\n{finished.stdout}\n{finished.stderr}")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
