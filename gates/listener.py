"""A pytest plugin that tells the runner which tests broke, and why others were skipped."""

from __future__ import annotations

import os
from typing import Any

import pytest

from gates.told import tell

_PATH = os.environ.get("ALLUSE_RAN", os.devnull)
_TESTS_COUNT = "ALLUSE_RAN_TESTS" in os.environ


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Tell a test's end; where tests are what is counted, count it."""
    if report.failed:
        tell(_PATH, broken=f"{report.nodeid}: {_why(report)}")
    elif report.skipped:
        tell(_PATH, skipped=f"{report.nodeid}: {_why(report)}")
    elif report.when == "call" and _TESTS_COUNT:
        tell(_PATH, ran=1)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Tell what could not even be collected."""
    if report.failed:
        tell(_PATH, broken=f"{report.nodeid}: {_why(report)}")


def _why(report: Any) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        return str(crash.message)
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[-1])
    return str(report.longrepr)[-500:]
