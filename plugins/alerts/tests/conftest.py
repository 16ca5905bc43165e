from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from alluse_core.monitor.store import SqliteMetricStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteMetricStore]:
    made = SqliteMetricStore(tmp_path / "metrics.db")
    yield made
    made.close()
