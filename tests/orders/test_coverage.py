"""What decides about orders is tested whole: each branch of it is taken by a test of behaviour."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("coverage.ini")
# The tests that are fast; each has its subject beside the modules that the configuration names.
TESTS = ("tests/orders", "tests/core/test_outcomes.py", "plugins/risk/tests")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_branch_of_what_decides_about_orders_is_taken(tmp_path: Path) -> None:
    coverage = (sys.executable, "-m", "coverage")
    environment = {**os.environ, "COVERAGE_FILE": str(tmp_path / "data")}

    def called(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*coverage, *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    config = f"--rcfile={CONFIG}"
    # The same outcome each time: chance may widen what is tested, not decide what is covered.
    steady = ("-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", f"--basetemp={tmp_path / 't'}")
    left_out = ("test_coverage.py", "test_crash.py", "test_model.py", "test_power_loss.py")
    ignored = [f"--ignore=tests/orders/{name}" for name in left_out]
    ran = called("run", config, "-m", "pytest", *steady, *ignored, *TESTS)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-1000:]
    called("combine", config, "-q")
    report = called("report", config)
    assert report.returncode == 0, f"not covered:\n{report.stdout}{report.stderr}"
    assert "TOTAL" in report.stdout


def test_every_module_that_must_be_covered_exists() -> None:
    named = [
        line.strip().removeprefix("*/")
        for line in CONFIG.read_text().splitlines()
        if line.strip().startswith("*/")
    ]
    for path in named:
        assert list(ROOT.glob(path)) or list(ROOT.glob(f"plugins/*/src/{path}")), path
    assert len(named) >= 13
