"""Makes the shared laboratory importable by name, and its folders pytest's to clean.

Both ends of each connection live in this process: time in which it stood still passes for neither.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from alluse_core.testing.steady import steady_time

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture(autouse=True)
def _steady() -> Iterator[None]:
    with steady_time():
        yield
