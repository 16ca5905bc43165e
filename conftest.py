"""Fixtures that every suite may use, and the rule about recordings."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

SHARED_DATA = Path(__file__).resolve().parent.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings beside the checkout; skips the test where it is missing."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the recordings in ../shared/data are not on this machine")
    return SHARED_DATA


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, Any, Any]:
    """Fail a test that skips although the recordings it asks for are there."""
    report = yield
    asks = "shared_data" in getattr(item, "fixturenames", ())
    if asks and report.skipped and SHARED_DATA.is_dir() and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped although {SHARED_DATA.name} is there: {report.longrepr}"
    return report
