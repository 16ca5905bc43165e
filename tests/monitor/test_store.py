from __future__ import annotations

import math
import os
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alluse_core.errors import StoreError
from alluse_core.model import Alert, AlertState, Finding, SeriesId, Severity, labels
from alluse_core.monitor.reader import SqliteMetricReader
from alluse_core.monitor.store import SqliteMetricStore
from alluse_core.ports import Batch
from alluse_core.telemetry import Registry

START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
CPU = SeriesId("host", "cpu", (), "%")
AGE = SeriesId("quotes", "age", labels(symbol="A,=é\n"), "s")


def batch(second: float, samples: dict[SeriesId, float], node: str = "n") -> Batch:
    return Batch("t", node, "a", "1", START + timedelta(seconds=second), samples)


def alert(serial: int, state: AlertState = AlertState.FIRING) -> Alert:
    return Alert(
        id=f"x-{serial}",
        rule="r",
        labels=labels(symbol="A"),
        severity=Severity.CRITICAL,
        state=state,
        value=math.nan,
        threshold=1.5,
        unit="%",
        text="it is",
        pending_at=START,
        fired_at=START + timedelta(seconds=1, microseconds=7),
        clear_at=START + timedelta(seconds=2),
    )


def test_what_was_appended_is_read_back_exactly(store: SqliteMetricStore) -> None:
    sent = [
        batch(0, {CPU: 0.1}),
        batch(1, {CPU: 12.0, AGE: -0.0}),
        batch(2.000001, {AGE: 1e-300}),
    ]
    for each in sent:
        store.append(each)
    store.flush()
    assert list(store.batches()) == sent
    assert list(store.series()) == [CPU, AGE]
    assert store.read(CPU) == [(START, 0.1), (START + timedelta(seconds=1), 12.0)]
    assert store.read(AGE, START + timedelta(seconds=2)) == [
        (START + timedelta(seconds=2, microseconds=1), 1e-300)
    ]
    assert store.read(AGE, None, START + timedelta(seconds=1)) == []
    assert store.read(SeriesId("no", "such")) == []


def test_a_series_keeps_one_history_over_layouts_and_restarts(tmp_path: Path) -> None:
    path = tmp_path / "metrics.db"
    for incarnation in range(3):
        store = SqliteMetricStore(path)
        first = {AGE: 1.0} if incarnation == 1 else {CPU: float(incarnation)}
        store.append(batch(2 * incarnation, first))
        store.append(batch(2 * incarnation + 1, {CPU: 10.0 + incarnation, AGE: 5.0}))
        store.close()
    with SqliteMetricReader(path) as reader:
        assert [value for _, value in reader.read(CPU)] == [0.0, 10.0, 11.0, 2.0, 12.0]
        assert [value for _, value in reader.read(AGE)] == [5.0, 1.0, 5.0, 5.0]
        assert [len(found.samples) for found in reader.batches()] == [1, 2, 1, 2, 1, 2]


def test_a_batch_stored_twice_is_stored_once(store: SqliteMetricStore) -> None:
    store.append(batch(0, {CPU: 1.0}))
    store.flush()
    store.append(batch(0, {CPU: 2.0}))
    store.append(batch(0, {CPU: 3.0}, node="other"))
    store.flush()
    assert [(b.node, b.samples[CPU]) for b in store.batches()] == [("n", 1.0), ("other", 3.0)]


def test_more_batches_than_a_page_come_whole_and_in_order(store: SqliteMetricStore) -> None:
    for second in range(1_203):
        store.append(batch(second, {CPU: float(second)}))
        store.append(batch(second, {CPU: -1.0}, node="m"))
    store.flush()
    found = list(store.batches(START + timedelta(seconds=1), START + timedelta(seconds=1_200)))
    assert len(found) == 2 * 1_199
    assert [b.samples[CPU] for b in found if b.node == "n"] == [float(s) for s in range(1, 1_200)]


def test_alerts_keep_their_newest_state_in_the_order_they_began(store: SqliteMetricStore) -> None:
    store.save_alert(alert(1))
    store.save_alert(alert(2))
    store.flush()
    store.save_alert(alert(1, AlertState.RESOLVED))
    assert [(a.id, a.state) for a in store.alerts()] == [
        ("x-1", AlertState.RESOLVED),
        ("x-2", AlertState.FIRING),
    ]
    store.flush()
    kept = store.alerts()[1]
    assert math.isnan(kept.value)
    assert (kept.labels, kept.fired_at, kept.clear_at) == (
        alert(2).labels,
        alert(2).fired_at,
        alert(2).clear_at,
    )


def test_findings_are_those_of_the_newest_cycle_unless_asked(store: SqliteMetricStore) -> None:
    old = Finding("stats", "statistics", CPU, {"mean": 1.5, "n": 3}, "one")
    new = Finding("iso", "anomaly", None, {"p": math.nan, "ok": True}, "", {"x": (1.0, math.nan)})
    store.save_findings(START, [old])
    store.save_findings(START + timedelta(seconds=60), [new])
    store.flush()
    assert list(store.findings(START)) == [old]
    (found,) = store.findings()
    assert found.facts == {"p": None, "ok": True}
    assert found.points["x"][0] == 1.0
    assert math.isnan(found.points["x"][1])


def test_what_cannot_be_kept_is_refused_where_it_is_handed_in(store: SqliteMetricStore) -> None:
    with pytest.raises(TypeError):
        store.append(batch(0, {CPU: "many"}))  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        store.save_findings(START, [Finding("a", "b", None, {"x": object()})])  # type: ignore[dict-item]
    store.append(batch(1, {CPU: 1.0}))
    store.flush()
    assert len(list(store.batches())) == 1


def test_a_full_queue_drops_the_oldest_and_counts_it(tmp_path: Path) -> None:
    registry = Registry()
    path = tmp_path / "metrics.db"
    store = SqliteMetricStore(path, telemetry=registry, queue=10)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    for second in range(25):
        store.append(batch(second, {CPU: float(second)}))
    blocker.execute("ROLLBACK")
    blocker.close()
    store.flush()
    stored = [b.samples[CPU] for b in store.batches()]
    assert store.dropped > 0
    assert len(stored) + store.dropped == 25
    assert stored[-10:] == [float(second) for second in range(15, 25)]
    dropped = {s.series.metric: s.value for s in registry.collect(0.0)}["store_dropped"]
    assert dropped == store.dropped
    store.close()


def test_a_lock_that_is_held_too_long_is_a_typed_error_and_costs_no_data(tmp_path: Path) -> None:
    path = tmp_path / "metrics.db"
    store = SqliteMetricStore(path, busy_seconds=0.05)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    store.append(batch(0, {CPU: 1.0}))
    with pytest.raises(StoreError, match="locked by another process"):
        store.flush()
    blocker.execute("ROLLBACK")
    blocker.close()
    store.flush()
    assert len(list(store.batches())) == 1
    store.close()


def test_a_full_disk_is_a_typed_error_and_nothing_taken_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "metrics.db"
    store = SqliteMetricStore(path, max_mb=0.2)
    many = [SeriesId("c", f"metric_{index}") for index in range(300)]
    with pytest.raises(StoreError, match="no room left"):  # noqa: PT012 - fills until it is full
        for second in range(1_000):
            store.append(batch(second, dict.fromkeys(many, float(second))))
            store.flush()
    with pytest.raises(StoreError, match="no room left"):
        store.close()
    with SqliteMetricReader(path) as reader:
        found = list(reader.batches())
    assert found
    assert all(len(b.samples) == 300 and len(set(b.samples.values())) == 1 for b in found)


def test_a_store_goes_on_when_there_is_room_again(tmp_path: Path) -> None:
    store = SqliteMetricStore(tmp_path / "metrics.db", max_mb=0.1)
    blob = {SeriesId("c", f"metric_{index}"): 1.0 for index in range(20_000)}
    store.append(batch(0, blob))
    with pytest.raises(StoreError, match="no room left"):
        store.flush()
    store._writer._connection.execute("PRAGMA max_page_count = 100000")
    store.flush()
    assert len(next(store.batches()).samples) == 20_000
    store.close()


@pytest.mark.parametrize(
    "content", [b"not a database" * 100, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_damaged_file_is_a_typed_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "metrics.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"metrics\.db is damaged"):
        SqliteMetricStore(path)
    with pytest.raises(StoreError, match=r"metrics\.db is damaged"):
        SqliteMetricReader(path)


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metrics.db"
    SqliteMetricStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET value = '99'")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="format 99"):
        SqliteMetricReader(path)
    with pytest.raises(StoreError, match="format 99"):
        SqliteMetricStore(path)


def test_a_missing_file_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no metric store") as caught:
        SqliteMetricReader(tmp_path / "metrics.db")
    assert "--out" in caught.value.hint


def test_a_closed_store_refuses_and_closes_twice(tmp_path: Path) -> None:
    store = SqliteMetricStore(tmp_path / "metrics.db")
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.append(batch(0, {CPU: 1.0}))


def test_a_reader_sees_what_is_written_meanwhile(store: SqliteMetricStore, tmp_path: Path) -> None:
    with SqliteMetricReader(tmp_path / "metrics.db") as reader:
        assert list(reader.batches()) == []
        store.append(batch(0, {CPU: 1.0}))
        store.flush()
        assert len(list(reader.batches())) == 1


_ENDLESS = """
import sys
from datetime import UTC, datetime, timedelta
from alluse_core.model import SeriesId
from alluse_core.monitor.store import SqliteMetricStore
from alluse_core.ports import Batch

store = SqliteMetricStore(sys.argv[1])
series = [SeriesId("c", f"m{i}") for i in range(200)]
second = 0
while True:
    at = datetime(2026, 1, 5, tzinfo=UTC) + timedelta(seconds=second)
    store.append(Batch("t", "n", "a", "1", at, dict.fromkeys(series, float(second))))
    second += 1
    if second % 20 == 0:
        store.flush()
        print(second, flush=True)
"""


def test_a_killed_writer_leaves_every_flushed_tick_and_no_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "metrics.db"
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", _ENDLESS, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        flushed = 0
        while flushed < 100:
            flushed = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        with SqliteMetricReader(path) as reader:
            found = list(reader.batches())
        assert len(found) >= flushed
        for second, each in enumerate(found):
            assert set(each.samples.values()) == {float(second)}
            assert len(each.samples) == 200
