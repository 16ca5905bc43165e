"""How the metric database is laid out, and how values become rows and back.

One row a tick: ``samples`` holds little-endian float64, one for each series of the row's layout,
NaN = absent. A layout is an ordered list of series ids that only grows while a process lives, so
a new layout is written when a series is first seen and not when one is missing. ``time`` is Unix
microseconds. ``meta.format`` names this layout of tables; another number is refused.
"""

from __future__ import annotations

import json
import math
import sqlite3
import sys
from array import array
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from alluse_core.errors import StoreError
from alluse_core.model import Alert, AlertState, Finding, SeriesId, Severity

FORMAT = "1"

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS nodes (
    id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, node TEXT NOT NULL, UNIQUE (tenant, node));
CREATE TABLE IF NOT EXISTS incarnations (
    id INTEGER PRIMARY KEY, node INTEGER NOT NULL, agent TEXT NOT NULL,
    incarnation TEXT NOT NULL, UNIQUE (node, agent, incarnation));
CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY, component TEXT NOT NULL, metric TEXT NOT NULL,
    labels TEXT NOT NULL, unit TEXT NOT NULL, UNIQUE (component, metric, labels, unit));
CREATE TABLE IF NOT EXISTS layouts (id INTEGER PRIMARY KEY, series BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS ticks (
    time INTEGER NOT NULL, node INTEGER NOT NULL, incarnation INTEGER NOT NULL,
    layout INTEGER NOT NULL, samples BLOB NOT NULL, UNIQUE (time, node));
CREATE TABLE IF NOT EXISTS alerts (
    serial INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS findings (
    cycle INTEGER NOT NULL, position INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (cycle, position)) WITHOUT ROWID;
"""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SWAP = sys.byteorder == "big"


def to_micros(time: datetime) -> int:
    """Return Unix microseconds of an aware time, exactly."""
    return (time - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the aware UTC time of Unix microseconds, exactly."""
    return _EPOCH + timedelta(microseconds=micros)


def pack(numbers: array[Any]) -> bytes:
    """Return an array's items as little-endian bytes."""
    if _SWAP:
        numbers = array(numbers.typecode, numbers)
        numbers.byteswap()
    return numbers.tobytes()


def unpack(typecode: str, blob: bytes) -> array[Any]:
    """Return what :func:`pack` packed."""
    numbers: array[Any] = array(typecode)
    numbers.frombytes(blob)
    if _SWAP:
        numbers.byteswap()
    return numbers


def series_row(series: SeriesId) -> tuple[str, str, str, str]:
    """Return the columns of a series."""
    return series.component, series.metric, json.dumps(series.labels), series.unit


def series_of(component: str, metric: str, labels: str, unit: str) -> SeriesId:
    """Return the series of columns."""
    pairs = tuple((str(name), str(value)) for name, value in json.loads(labels))
    return SeriesId(component, metric, pairs, unit)


def alert_to_json(alert: Alert) -> dict[str, Any]:
    """Return an alert as JSON values; times in ISO 8601, a NaN value as None."""
    return {
        "id": alert.id,
        "rule": alert.rule,
        "labels": dict(alert.labels),
        "severity": alert.severity.value,
        "state": alert.state.value,
        "value": number(alert.value),
        "threshold": number(alert.threshold),
        "fired_value": number(alert.fired_value),
        "fired_threshold": number(alert.fired_threshold),
        "unit": alert.unit,
        "text": alert.text,
        "pending_at": alert.pending_at.isoformat(),
        "fired_at": _iso(alert.fired_at),
        "clear_at": _iso(alert.clear_at),
        "resolved_at": _iso(alert.resolved_at),
        "runbook": alert.runbook,
    }


def alert_from_json(body: Mapping[str, Any]) -> Alert:
    """Return the alert that :func:`alert_to_json` wrote."""
    return Alert(
        id=body["id"],
        rule=body["rule"],
        labels=tuple(sorted((str(k), str(v)) for k, v in body["labels"].items())),
        severity=Severity(body["severity"]),
        state=AlertState(body["state"]),
        value=_nan(body["value"]),
        threshold=_nan(body["threshold"]),
        unit=body["unit"],
        text=body["text"],
        pending_at=datetime.fromisoformat(body["pending_at"]),
        fired_at=_time(body["fired_at"]),
        resolved_at=_time(body["resolved_at"]),
        runbook=body["runbook"],
        clear_at=_time(body["clear_at"]),
        fired_value=_nan(body.get("fired_value")),
        fired_threshold=_nan(body.get("fired_threshold")),
    )


def finding_to_json(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON values; NaN and infinity as None."""
    return {
        "analyzer": finding.analyzer,
        "kind": finding.kind,
        "series": series_row(finding.series) if finding.series is not None else None,
        "facts": {
            name: number(fact) if isinstance(fact, float) else fact
            for name, fact in finding.facts.items()
        },
        "text": finding.text,
        "points": {name: [number(p) for p in line] for name, line in finding.points.items()},
    }


def finding_from_json(body: Mapping[str, Any]) -> Finding:
    """Return the finding that :func:`finding_to_json` wrote; absent points are NaN again."""
    return Finding(
        analyzer=body["analyzer"],
        kind=body["kind"],
        series=series_of(*body["series"]) if body["series"] is not None else None,
        facts=body["facts"],
        text=body["text"],
        points={name: tuple(_nan(p) for p in line) for name, line in body["points"].items()},
    )


def number(value: float) -> float | None:
    """Return ``value`` where JSON can say it, otherwise None."""
    return value if math.isfinite(value) else None


def store_error(path: Path, error: sqlite3.Error) -> StoreError:
    """Return the typed error for what SQLite said of the database at ``path``."""
    name = getattr(error, "sqlite_errorname", None) or ""
    for prefixes, fact, hint in _CAUSES:
        if name.startswith(prefixes):
            return StoreError(f"metric store {path} {fact} ({error})", hint=hint)
    return StoreError(f"metric store {path} cannot be used: {error}")


_CAUSES: Iterable[tuple[tuple[str, ...], str, str]] = (
    (
        ("SQLITE_FULL",),
        "has no room left to write",
        "free disk space: samples wait in memory meanwhile, for an hour",
    ),
    (
        ("SQLITE_BUSY", "SQLITE_LOCKED"),
        "is locked by another process",
        "end the other process that writes to it",
    ),
    (
        ("SQLITE_CORRUPT", "SQLITE_NOTADB"),
        "is damaged or is not a metric database",
        "move the file away: a new one is made at the next start",
    ),
    (
        ("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_CANTOPEN"),
        "cannot be opened",
        "check that the path exists and its permissions allow it",
    ),
    (("SQLITE_IOERR",), "failed to read or write the disk", "check the disk"),
)


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _nan(value: float | None) -> float:
    return math.nan if value is None else float(value)
