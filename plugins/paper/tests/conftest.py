"""Fixtures of the simulated exchange's tests; makes the shared floor importable by name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recordings, or a skip where the checkout has none beside it."""
    folder = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "market"
    if not folder.is_dir():
        pytest.skip("the recordings in ../shared/data/market are not here")
    return folder
