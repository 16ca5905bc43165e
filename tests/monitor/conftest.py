from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from alluse_core.model import NodeIdentity
from alluse_core.monitor.store import SqliteMetricStore


@pytest.fixture
def node() -> NodeIdentity:
    return NodeIdentity("t", "n", "a", "1")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteMetricStore]:
    made = SqliteMetricStore(tmp_path / "metrics.db")
    yield made
    made.close()
