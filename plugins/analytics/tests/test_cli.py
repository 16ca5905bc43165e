"""``alluse analyze`` reads what people have and says where it cannot."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from alluse_analytics.cli import analyze
from alluse_analytics.csv_input import read_column
from click.testing import CliRunner

from alluse_core.errors import UsageError


def written(path: Path, rows: list[str], header: str | None = "time,value") -> Path:
    text = "\n".join([*([header] if header else []), *rows]) + "\n"
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def noise(n: int = 400) -> list[str]:
    values = np.random.default_rng(1).normal(size=n) + 10
    values[350:355] += 30
    return [f"{1_700_000_000 + 60 * i},{value}" for i, value in enumerate(values)]


def test_json_tells_facts_and_scores_hold_one_line_for_every_row(tmp_path: Path) -> None:
    scores = tmp_path / "scores.csv"
    file = written(tmp_path / "a.csv", noise())
    result = CliRunner().invoke(analyze, [str(file), "--scores", str(scores), "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["rows"] == 400
    assert told["step_seconds"] == 60
    assert {item["analyzer"] for item in told["findings"]} == {
        "statistics",
        "trend",
        "anomaly",
        "forecast",
    }
    with scores.open() as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["time", "value", "score", "anomaly"]
    assert len(rows) == 400
    assert rows[350]["anomaly"] == "1"
    assert float(rows[350]["score"]) >= 1
    assert sum(int(row["anomaly"]) for row in rows[:350]) == 0


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
@pytest.mark.parametrize("header", [None, "timestamp,value,label"])
def test_iso_times_with_and_without_header_plain_and_compressed(
    tmp_path: Path, suffix: str, header: str | None
) -> None:
    rows = ["2014-03-07 03:41:00,1.5", "2014-03-07T03:46:00Z,", "2014-03-07 03:51:00,2,0"]
    column = read_column(written(tmp_path / f"a{suffix}", rows, header))
    assert column.step == 300
    assert len(column.values) == 3
    assert column.values[1] != column.values[1]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("3,abc", "line 4"),
        ("soon,1", "line 4"),
        ("3", "line 4: there is no second column"),
        ("1,5", "before the line above"),
        ("3,inf", "not a finite number"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, row: str, said: str) -> None:
    file = written(tmp_path / "a.csv", ["1,1", "2,2", row])
    with pytest.raises(UsageError, match=said):
        read_column(file)


def test_a_file_that_is_not_gzip_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    fake = tmp_path / "a.csv.gz"
    fake.write_text("time,value\n1,2\n")
    with pytest.raises(UsageError, match="cannot be read"):
        read_column(fake)
    with pytest.raises(UsageError, match="0 rows"):
        read_column(written(tmp_path / "b.csv", []))


def test_scores_that_cannot_be_written_are_one_clear_error(tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", noise(60))
    result = CliRunner().invoke(analyze, [str(file), "--scores", str(tmp_path / "no" / "s.csv")])
    assert isinstance(result.exception, UsageError)
