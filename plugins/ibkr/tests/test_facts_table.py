"""The table of facts names tests that exist, and every test of a fact is in the table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "explanation" / "what-the-libraries-do.md"
_TEST = re.compile(r"^def (test_\w+)", re.MULTILINE)


def names_in(*names: str) -> set[str]:
    """Return the names of the tests that the given files hold."""
    return {
        name
        for pattern in names
        for path in HERE.glob(pattern)
        for name in _TEST.findall(path.read_text("utf-8"))
    }


def rows() -> list[list[str]]:
    """Return the cells of the table's rows."""
    if not PAGE.exists():
        pytest.skip(f"{PAGE.name} belongs to a checkout of the whole project")
    lines = PAGE.read_text("utf-8").splitlines()
    table = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    return table[2:]


def test_every_fact_has_a_test_of_the_library_and_one_of_the_adapter() -> None:
    existing = names_in("test_*.py")
    for row in rows():
        assert len(row) == 3, row
        for cell in row[1:]:
            named = set(re.findall(r"`(test_\w+)`", cell))
            assert named, f"no test is named for: {row[0]}"
            assert named <= existing, f"gone: {named - existing}"


def test_every_test_of_a_fact_is_in_the_table() -> None:
    listed = {name for row in rows() for cell in row[1:] for name in re.findall(r"test_\w+", cell)}
    assert names_in("test_facts_orders.py", "test_facts_link.py") - listed == set()
