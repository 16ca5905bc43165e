"""Every benchmark runs, with tiny counts; what it measures is not judged here."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

"""Modules without which a benchmark has nothing to measure."""


@pytest.fixture(autouse=True)
def from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def modules() -> list[str]:
    sys.path.insert(0, str(ROOT))
    try:
        return list(importlib.import_module("benchmarks.__main__").MODULES)
    finally:
        sys.path.remove(str(ROOT))


@pytest.mark.parametrize("name", modules())
def test_a_benchmark_runs_and_writes_what_it_measured(name: str, tmp_path: Path) -> None:
    bench = importlib.import_module("benchmarks.__main__")
    out = tmp_path / "bench.json"
    assert bench.main([name, "--quick", "--out", str(out)]) == 0
    document = json.loads(out.read_text("utf-8"))
    assert document["quick"] is True
    assert document["not_measured"] == {}
    for row in document["results"]:
        # What is added is a difference of two medians: of one short round each it may be negative.
        assert row["value"] > 0.0 or row["id"] == "P7 added"
        assert row["rounds"] > 0
        assert row["met"] == (
            row["value"] >= row["goal"] if row["at_least"] else row["value"] <= row["goal"]
        )


def test_a_benchmark_that_cannot_run_is_named_and_ends_with_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = importlib.import_module("benchmarks.__main__")
    quotes = importlib.import_module("benchmarks.quotes")

    def broken(**_: object) -> None:
        raise RuntimeError("no socket")

    monkeypatch.setattr(quotes, "run", broken)
    out = tmp_path / "bench.json"
    assert bench.main(["quotes", "--out", str(out)]) == 1
    assert "no socket" in capsys.readouterr().err
    assert json.loads(out.read_text("utf-8"))["not_measured"] == {
        "quotes": "RuntimeError: no socket"
    }


def test_both_sides_take_their_turn_in_changing_order() -> None:
    measure = importlib.import_module("benchmarks.measure")
    turns: list[str] = []
    measure.in_turn(
        lambda: turns.append("ours"), lambda: turns.append("peer"), operations=1, rounds=2
    )
    assert turns == ["ours", "peer", "ours", "peer", "peer", "ours"]
