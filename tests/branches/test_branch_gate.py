"""A run that leaves a branch out of what decides about orders fails, and says which."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "tests/orders/coverage.ini"

CONFTEST = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
pytest_plugins = ["branch_gate"]
"""
DECIDES = """
def side(quantity):
    if quantity < 0:
        return "SELL"
    return "BUY"
"""
BUYS = """
from decides import side
def test_buys():
    assert side(1) == "BUY"
"""
SELLS = """
import pytest
from decides import side
{mark}
def test_sells():
    assert side(-1) == "SELL"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one module that decides, with a test of each of its branches."""
    files = {
        "conftest.py": CONFTEST,
        "decides.py": DECIDES,
        "counted/test_buys.py": BUYS,
        "counted/test_sells.py": SELLS.format(mark=""),
        "other/test_nothing.py": "def test_nothing():\n    pass\n",
        "coverage.ini": "[run]\nbranch = True\nparallel = True\ninclude = */decides.py\n"
        "[report]\nshow_missing = True\n",
        "pytest.ini": "[pytest]\npythonpath = .\ncovered_tests = counted\n"
        "covered_config = coverage.ini\nmarkers =\n    slow: x\n    hypothesis: x\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def ran(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the project's tests in a process without other plugins."""
    alone = {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
        "PYTHONPATH": str(project),
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=project,
        env={**os.environ, **alone},
        capture_output=True,
        text=True,
        check=False,
    )


def test_branches_that_two_processes_took_between_them_pass(project: Path) -> None:
    finished = ran(project, "-p", "xdist", "-n", "2", "--dist", "loadfile")
    assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.mark.parametrize("left_out", ["slow", "hypothesis", "elsewhere"])
def test_a_branch_that_no_counted_test_takes_fails_the_run_and_is_named(
    project: Path, left_out: str
) -> None:
    sells = project / "counted/test_sells.py"
    if left_out == "elsewhere":
        sells.rename(project / "other/test_sells.py")
    else:
        sells.write_text(SELLS.format(mark=f"@pytest.mark.{left_out}"))
    finished = ran(project)
    assert finished.returncode == 1
    assert "3 passed" in finished.stdout
    assert "branches that no test takes" in finished.stdout
    assert "decides.py" in finished.stdout
    assert " 4\n" in finished.stdout, "the line is named"


@pytest.mark.parametrize("some", [("-k", "buys"), ("other",), ("counted/test_buys.py",)])
def test_a_run_of_some_tests_is_not_judged(project: Path, some: tuple[str, ...]) -> None:
    finished = ran(project, *some)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_a_pattern_that_names_no_module_fails_the_run(project: Path) -> None:
    config = project / "coverage.ini"
    config.write_text(config.read_text().replace("*/decides.py", "*/decides.py\n    */gone.py"))
    finished = ran(project)
    assert finished.returncode == 1
    assert "no module is named gone.py" in finished.stdout


def test_what_decides_about_orders_is_named_by_the_configuration() -> None:
    named = [line.strip() for line in CONFIG.read_text().splitlines() if "*/" in line]
    assert len(named) >= 37
    assert {"*/alluse_core/orders/journal.py", "*/alluse_risk/*.py"} <= set(named)
