from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from alluse_core.cli.alerts import alerts_list
from alluse_core.cli.metrics import metrics_export, metrics_list
from alluse_core.errors import StoreError, UsageError
from alluse_core.model import Alert, AlertState, SeriesId, Severity, labels
from alluse_core.monitor.store import SqliteMetricStore
from alluse_core.ports import Batch

START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
CPU = SeriesId("host", "cpu_percent", labels(core=0), "%")
AGE = SeriesId("quotes", "age", labels(symbol='A,"B'), "s")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    store = SqliteMetricStore(tmp_path / "metrics.db")
    for second in range(3):
        samples = {CPU: 0.1 + second, AGE: 2.0}
        store.append(Batch("t", "n", "a", "1", START + timedelta(seconds=second), samples))
    for state in (AlertState.RESOLVED, AlertState.INACTIVE):
        store.save_alert(
            Alert(
                id=state.value,
                rule="cpu_usage_high",
                labels=labels(scope="host"),
                severity=Severity.WARNING,
                state=state,
                value=95.0,
                threshold=90.0,
                unit="%",
                text="the host uses 95 %",
                pending_at=START,
            )
        )
    store.close()
    return tmp_path


def exported(*args: str) -> list[dict[str, str]]:
    result = CliRunner().invoke(metrics_export, args, catch_exceptions=False)
    assert result.exit_code == 0
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_an_export_gives_every_sample_with_its_identity(out: Path) -> None:
    rows = exported("--out", str(out))
    assert len(rows) == 6
    assert rows[0] == {
        "time": "2026-01-05T14:30:00+00:00",
        "component": "host",
        "metric": "cpu_percent",
        "labels": "core=0",
        "value": "0.1",
        "unit": "%",
        "tenant": "t",
        "node": "n",
        "agent": "a",
        "incarnation": "1",
    }
    assert rows[1]["labels"] == 'symbol=A,"B'


def test_an_export_may_be_narrowed_by_series_and_time(out: Path) -> None:
    rows = exported(
        "--out", str(out), "--series", "host.cpu_percent", "--start", "2026-01-05T14:30:01"
    )
    assert [row["value"] for row in rows] == ["1.1", "2.1"]
    ended = exported("--out", str(out), "--end", "2026-01-05T14:30:01+00:00")
    assert len(ended) == 2


def test_a_misspelt_series_or_time_is_refused_with_a_way_out(out: Path) -> None:
    with pytest.raises(UsageError, match=r"did you mean 'host\.cpu_percent'"):
        exported("--out", str(out), "--series", "host.cpu_percnt")
    with pytest.raises(UsageError, match="ISO 8601"):
        exported("--out", str(out), "--start", "yesterday")


def test_series_are_listed_as_json_and_as_a_table(out: Path) -> None:
    result = CliRunner().invoke(metrics_list, ["--out", str(out), "--json"])
    assert [row["metric"] for row in json.loads(result.stdout)] == ["cpu_percent", "age"]
    assert result.stderr == "2 series\n"
    table = CliRunner().invoke(metrics_list, ["--out", str(out)])
    assert "host.cpu_percent{core=0}" in table.stdout


def test_alerts_that_never_fired_are_listed_only_when_asked(out: Path) -> None:
    result = CliRunner().invoke(alerts_list, ["--out", str(out), "--json"])
    (row,) = json.loads(result.stdout)
    assert (row["state"], row["labels"]) == ("resolved", {"scope": "host"})
    everything = CliRunner().invoke(alerts_list, ["--out", str(out), "--json", "--all"])
    assert len(json.loads(everything.stdout)) == 2
    table = CliRunner().invoke(alerts_list, ["--out", str(out)])
    assert "the host uses 95 %" in table.stdout


@pytest.mark.parametrize("command", [alerts_list, metrics_list, metrics_export])
def test_a_folder_without_a_store_is_a_typed_error(tmp_path: Path, command: object) -> None:
    with pytest.raises(StoreError, match="no metric store"):
        CliRunner().invoke(command, ["--out", str(tmp_path)], catch_exceptions=False)  # type: ignore[arg-type]
