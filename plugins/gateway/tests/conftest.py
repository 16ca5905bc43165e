"""Makes the shared laboratory importable by name.

Both ends of each connection live in this process: time in which it stood still passes for neither.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from alluse_core.testing.steady import steady_time

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _steady() -> Iterator[None]:
    with steady_time():
        yield
