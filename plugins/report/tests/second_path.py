"""Recomputes a report's facts by SQL and plain Python, sharing no code with what it checks."""

from __future__ import annotations

import json
import math
import sqlite3
import struct
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

Columns = dict[tuple[str, str, str], list[tuple[int, float]]]


def columns(metrics: Path) -> tuple[list[int], Columns]:
    """Return ticks in microseconds and samples of the newest incarnation."""
    base = sqlite3.connect(metrics)
    newest = base.execute("SELECT incarnation FROM ticks ORDER BY time DESC LIMIT 1").fetchone()[0]
    names = {
        row[0]: (row[1], row[2], row[3])
        for row in base.execute("SELECT id, component, metric, labels FROM series")
    }
    layouts = {
        layout: struct.unpack(f"<{len(blob) // 8}q", blob)
        for layout, blob in base.execute("SELECT id, series FROM layouts")
    }
    ticks: list[int] = []
    found: Columns = {}
    query = "SELECT time, layout, samples FROM ticks WHERE incarnation = ? ORDER BY time"
    for time, layout, blob in base.execute(query, (newest,)):
        ticks.append(time)
        members = layouts[layout]
        for series, value in zip(members, struct.unpack(f"<{len(members)}d", blob), strict=True):
            if not math.isnan(value):
                found.setdefault(names[series], []).append((time, value))
    base.close()
    return ticks, found


def of(found: Columns, component: str, metric: str) -> list[list[tuple[int, float]]]:
    return [line for (c, m, _), line in found.items() if (c, m) == (component, metric)]


def stories(journal: Path, since: float) -> list[list[tuple[float, str]]]:
    """Return for each order the (seconds, state) it went through, of those changed lately."""
    base = sqlite3.connect(journal)
    told: dict[str, list[tuple[float, str]]] = {}
    query = "SELECT time, key, state FROM record WHERE key <> '' AND state <> '' ORDER BY seq"
    for time, key, state in base.execute(query):
        told.setdefault(key, []).append((time / 1e6, state))
    base.close()
    return [story for story in told.values() if story[-1][0] >= since - 2]


def quantile(ordered: list[float], share: float) -> float | None:
    if not ordered:
        return None
    low, part = divmod((len(ordered) - 1) * share, 1)
    high = min(int(low) + 1, len(ordered) - 1)
    return ordered[int(low)] * (1 - part) + ordered[high] * part


def orders(journal: Path, since: float) -> dict[str, Any]:
    told = stories(journal, since)
    last = [story[-1][1] for story in told]
    alive = ("ACCEPTED", "PARTIALLY_FILLED", "FILLED", "CANCELED", "HELD")
    sent = [[t for t, state in story if state == "SUBMITTED"] for story in told]
    known = [[t for t, state in story if state in alive] for story in told]
    waits = sorted((b[0] - a[0]) * 1e3 for a, b in zip(sent, known, strict=True) if a and b)
    submitted = sum(map(bool, sent))
    errors = last.count("REJECTED") + last.count("UNKNOWN")
    states = ("FILLED", "CANCELED", "REJECTED", "DENIED", "EXPIRED", "UNKNOWN")
    ended = sum(last.count(state) for state in states[:-1])
    return {
        "orders.total": len(told),
        "orders.submitted": submitted,
        "orders.acknowledged": sum(map(bool, known)),
        **{f"orders.{state.lower()}": last.count(state) for state in states},
        "orders.not_ended": len(told) - ended,
        "orders.errors": errors,
        "orders.error_rate": 100 * errors / submitted if submitted else None,
        "orders.latency_count": len(waits),
        "orders.latency_p50": quantile(waits, 0.5),
        "orders.latency_p90": quantile(waits, 0.9),
        "orders.latency_p99": quantile(waits, 0.99),
        "orders.latency_max": waits[-1] if waits else None,
        "_waits": waits,
    }


def session(ticks: list[int], found: Columns) -> dict[str, Any]:
    gaps = [b - a for a, b in pairwise(ticks)]
    seconds = (ticks[-1] - ticks[0]) / 1e6
    expected = max(len(ticks), round(seconds / round(median(gaps) / 1e6, 1)) + 1)
    served = of(found, "market_data_system", "reads_served")[0][-1][1]
    hits = of(found, "market_data_system", "cache_hits")[0][-1][1]
    misses = of(found, "market_data_system", "cache_misses")[0][-1][1]
    links = [value for line in of(found, "broker", "link_up") for _, value in line]
    facts: dict[str, Any] = {
        "session.start": datetime.fromtimestamp(ticks[0] / 1e6, UTC).isoformat(timespec="seconds"),
        "session.end": datetime.fromtimestamp(ticks[-1] / 1e6, UTC).isoformat(timespec="seconds"),
        "session.seconds": seconds,
        "session.ticks": len(ticks),
        "session.ticks_expected": expected,
        "session.completeness": 100 * len(ticks) / expected,
        "session.series": len(found),
        "market_data.reads_served": served,
        "market_data.cache_hits": hits,
        "market_data.cache_misses": misses,
        "market_data.hit_rate": 100 * hits / (hits + misses),
        "market_data.reads_per_second": served / seconds,
        "broker.link_samples": len(links),
        "broker.link_up_samples": links.count(1.0),
        "broker.availability": 100 * links.count(1.0) / len(links),
        "broker.pacing_headroom_min": min(
            value for line in of(found, "broker", "pacing_headroom_percent") for _, value in line
        ),
    }
    for name, metric in (
        ("submit_to_wire_p99_worst", "submit_to_wire_ms.p99"),
        ("pacing_wait_max", "pacing_wait_ms.max"),
    ):
        line = of(found, "trading_system", metric)[0]
        facts[f"orders.{name}"] = sorted(value for _, value in line)[-1]
    for name in ("reads_requested", "ticks_in", "quotes_unavailable"):
        facts[f"market_data.{name}"] = of(found, "market_data_system", name)[0][-1][1]
    for name in ("memory_usage_mb", "cpu_percent", "disk_usage_percent"):
        values = [value for _, value in of(found, "system_resources", name)[0]]
        facts[f"resources.{name}_max"] = max(values)
        facts[f"resources.{name}_mean"] = sum(values) / len(values)
    cpu = of(found, "system_resources", "cpu_percent")[0]
    used = dict(of(found, "system_resources", "memory_used_mb")[0])
    limit = dict(of(found, "system_resources", "memory_limit_mb")[0])
    facts["resources.samples"] = len(cpu)
    facts["resources.samples_within"] = sum(
        value <= 90 and used[at] / limit[at] <= 0.8 for at, value in cpu
    )
    return facts


def alerts(metrics: Path) -> dict[str, Any]:
    base = sqlite3.connect(metrics)
    rows = [json.loads(body) for (body,) in base.execute("SELECT body FROM alerts ORDER BY serial")]
    base.close()
    fired = [row for row in rows if row["fired_at"]]
    resolved = [row for row in fired if row["state"] == "resolved"]
    facts: dict[str, Any] = {
        "alerts.fired": len(fired),
        "alerts.resolved": len(resolved),
        "alerts.firing": len(fired) - len(resolved),
        "alerts.critical": sum(row["severity"] == "critical" for row in fired),
        "alerts.mismatches": sum(row["rule"].startswith("position_mismatch") for row in fired),
        "alerts.breaches": sum(row["rule"].startswith("risk_breach") for row in fired),
    }
    for number, row in enumerate(fired, start=1):
        began, ended = (datetime.fromisoformat(row[name]) for name in ("fired_at", "resolved_at"))
        facts |= {
            f"alert.{number}.rule": row["rule"],
            f"alert.{number}.severity": row["severity"],
            f"alert.{number}.fired_at": began.isoformat(timespec="seconds"),
            f"alert.{number}.seconds": (ended - began).total_seconds(),
            f"alert.{number}.value": row["value"],
            f"alert.{number}.threshold": row["threshold"],
        }
    return facts


def findings(metrics: Path) -> dict[str, Any]:
    base = sqlite3.connect(metrics)
    query = "SELECT body FROM findings WHERE cycle = (SELECT max(cycle) FROM findings)"
    rows = [json.loads(body) for (body,) in base.execute(query)]
    base.close()

    def count(kind: str, **wanted: str) -> int:
        return sum(
            row["kind"] == kind and all(row["facts"].get(k) == v for k, v in wanted.items())
            for row in rows
        )

    node = next(row["facts"] for row in rows if row["kind"] == "node_anomaly_rate")
    return {
        "trends.rising": count("trend", verdict="rising"),
        "trends.falling": count("trend", verdict="falling"),
        "trends.no_trend": count("trend", verdict="no trend"),
        "trends.too_short_to_tell": count("trend", verdict="too short to tell"),
        "forecasts.forecast": count("forecast", verdict="forecast"),
        "forecasts.too_short_to_tell": count("forecast", verdict="too short to tell"),
        "forecasts.calibrated": count("forecast", confidence="calibrated"),
        "anomalies.anomalous_metrics": node.get("anomalous_metrics"),
        "anomalies.metrics": node.get("metrics"),
        "anomalies.rate_max": node.get("rate_max"),
        "analysis.profile": next(
            (row["facts"]["profile"] for row in rows if "profile" in row["facts"]), None
        ),
        "analysis.findings": len(rows),
    }


def graded(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the grade's facts for a session in which no part was too quiet."""
    waits = facts["_waits"]
    good, some = sum(w <= 250 for w in waits), sum(250 < w <= 1000 for w in waits)
    raw = {
        "availability": (facts["broker.availability"], 99.5, 95.0, 25.0),
        "errors": (facts["orders.error_rate"], 0.0, 1.0, 25.0),
        "latency": ((good + some / 2) / len(waits), 0.94, 0.5, 20.0),
        "freshness_throughput": (
            100
            * facts["market_data.reads_served"]
            / (facts["market_data.reads_served"] + facts["market_data.quotes_unavailable"]),
            99.0,
            90.0,
            10.0,
        ),
        "resources": (
            100 * facts["resources.samples_within"] / facts["resources.samples"],
            100.0,
            90.0,
            10.0,
        ),
        "completeness": (facts["session.completeness"], 99.5, 95.0, 10.0),
    }
    result: dict[str, Any] = {}
    points = 0.0
    for name, (value, target, floor, weight) in raw.items():
        earned = weight * min(1.0, max(0.0, (value - floor) / (target - floor)))
        points += earned
        result[f"grade.{name}.raw"] = value
        result[f"grade.{name}.target"] = target
        result[f"grade.{name}.weight"] = weight
        result[f"grade.{name}.lost"] = weight - earned
        result[f"grade.{name}.measured"] = "measured"
    letter = next(
        name for name, least in zip("ABCDF", (90, 80, 70, 60, 0), strict=True) if points >= least
    )
    if facts["alerts.critical"]:
        letter = max(letter, "C")
    if facts["orders.unknown"]:
        letter = max(letter, "D")
    return {
        **result,
        "grade.points": points,
        "grade.letter": letter if facts["session.completeness"] >= 95 else None,
        "grade.redistributed": 0.0,
    }
