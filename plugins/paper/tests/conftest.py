"""Fixtures of the simulated exchange's tests; makes the shared floor importable by name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def recordings(shared_data: Path) -> Path:
    """The folder of real market recordings."""
    return shared_data / "market"
