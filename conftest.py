"""Fixtures that every suite may use, the rules about recordings and temporary files, a gate."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent / "tests" / "branches"))
pytest_plugins = ["branch_gate"]

# How long an example takes, and how long it takes to make one up, is up to the machine, which may
# stop a process for longer than Hypothesis's 0.2 s. pytest-timeout ends what hangs.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

TEMP = pytest.StashKey[Path]()
LEFT = pytest.StashKey[list[str]]()
SHARED_DATA = Path(__file__).resolve().parent.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings beside the checkout; skips the test where it is missing."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the recordings in ../shared/data are not on this machine")
    return SHARED_DATA


@pytest.fixture(scope="session")
def ran() -> Callable[[int], None]:
    """Tell the long gates' runner (``gates``) of so many more that were run; else do nothing."""
    path = os.environ.get("ALLUSE_RAN", os.devnull)

    def tell(count: int) -> None:
        with Path(path).open("a", encoding="utf-8") as told:
            print(json.dumps({"ran": count}), file=told)

    return tell


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, Any, Any]:
    """Fail a test that skips although the recordings it asks for are there."""
    report = yield
    asks = "shared_data" in getattr(item, "fixturenames", ())
    if asks and report.skipped and SHARED_DATA.is_dir() and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped although {SHARED_DATA.name} is there: {report.longrepr}"
    return report


def pytest_configure(config: pytest.Config) -> None:
    """Give this session, and the processes it starts, a temporary folder of their own.

    A shell has what it starts in the background ignore SIGINT, and so would every process that a
    test interrupts: it is listened to again.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput"):
        return  # a worker shares the folder of the session that started it
    # pytest keeps and cleans its own folders, where a person looks for them.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix="alluse-pytest-"))
    config.stash[TEMP] = folder
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


def pytest_collection_finish() -> None:
    """Leave the tests themselves, and all that they import, out of each later collection."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a session that leaves something in the temporary folder."""
    if TEMP not in session.config.stash:
        return
    # A context's folder goes with its process: tests/core/test_testing_context.py holds that.
    left = sorted(
        path.name
        for path in session.config.stash[TEMP].iterdir()
        if not path.name.startswith("alluse-context-")
    )
    session.config.stash[LEFT] = left
    if left and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Name what was left."""
    if left := config.stash.get(LEFT, []):
        terminalreporter.section("left in the temporary folder", red=True)
        terminalreporter.line(", ".join(left[:20]) + (" ..." if len(left) > 20 else ""))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the session's temporary folder."""
    if TEMP in config.stash:
        tempfile.tempdir = None
        shutil.rmtree(config.stash[TEMP], ignore_errors=True)
