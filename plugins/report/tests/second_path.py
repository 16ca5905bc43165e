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


def columns(metrics: Path, until: int = 2**62) -> tuple[list[int], Columns]:
    """Return ticks in microseconds and samples of the newest incarnation, up to ``until``."""
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
    query = "SELECT time, layout, samples FROM ticks WHERE incarnation = ? AND time <= ?"
    for time, layout, blob in base.execute(f"{query} ORDER BY time", (newest, until)):
        ticks.append(time)
        members = layouts[layout]
        for series, value in zip(members, struct.unpack(f"<{len(members)}d", blob), strict=True):
            if not math.isnan(value):
                found.setdefault(names[series], []).append((time, value))
    base.close()
    return ticks, found


def of(found: Columns, component: str, metric: str) -> list[list[tuple[int, float]]]:
    return [line for (c, m, _), line in found.items() if (c, m) == (component, metric)]


def stories(journal: Path, since: float, records: int = 2**62) -> list[list[tuple[float, str]]]:
    """Return for each order the (seconds, state) it went through, of those changed lately."""
    base = sqlite3.connect(journal)
    told: dict[str, list[tuple[float, str]]] = {}
    query = "SELECT time, key, state FROM record WHERE key <> '' AND state <> '' AND seq <= ?"
    for time, key, state in base.execute(f"{query} ORDER BY seq", (records,)):
        told.setdefault(key, []).append((time / 1e6, state))
    base.close()
    return [story for story in told.values() if story[-1][0] >= since - 2]


def quantile(ordered: list[float], share: float) -> float | None:
    if not ordered:
        return None
    low, part = divmod((len(ordered) - 1) * share, 1)
    high = min(int(low) + 1, len(ordered) - 1)
    return ordered[int(low)] * (1 - part) + ordered[high] * part


ALIVE = ("ACCEPTED", "PARTIALLY_FILLED", "FILLED", "CANCELED", "HELD")


def orders(journal: Path, since: float, records: int = 2**62) -> dict[str, Any]:
    told = stories(journal, since, records)
    last = [story[-1][1] for story in told]
    sent = [[t for t, state in story if state == "SUBMITTED"] for story in told]
    known = [[t for t, state in story if state in ALIVE] for story in told]
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
        "orders.journaled_count": len(waits),
        "orders.journaled_p50": quantile(waits, 0.5),
        "orders.journaled_p90": quantile(waits, 0.9),
        "orders.journaled_p99": quantile(waits, 0.99),
        "orders.journaled_max": waits[-1] if waits else None,
    }


def bounds(found: Columns, timer: str) -> list[float]:
    """Return for each record of a timer the next percentile of its tick, rising."""
    stored = {
        part: dict(line)
        for part in ("count", "p50", "p90", "p99", "max")
        for line in of(found, "trading_system", f"{timer}.{part}")
    }
    seen, result = 0, []
    for at in sorted(stored["count"]):
        n = int(stored["count"][at]) - seen
        seen += n
        for rank in range(1, n + 1):
            # In hundredths, so that no float decides which rank a percentile has.
            part = next(
                (
                    p
                    for p, q in (("p50", 50), ("p90", 90), ("p99", 99))
                    if rank * 100 <= ceil100(q * n)
                ),
                "max",
            )
            result.append(stored[part].get(at, math.inf))
    return sorted(result)


def ceil100(value: int) -> int:
    return -(-value // 100) * 100


def nearest(ordered: list[float], hundredths: int) -> float | None:
    if not ordered:
        return None
    value = ordered[max(1, -(-len(ordered) * hundredths // 100)) - 1]
    return value if math.isfinite(value) else None


def timings(found: Columns) -> dict[str, Any]:
    latency = bounds(found, "latency_ms")
    facts: dict[str, Any] = {"orders.latency_count": len(latency), "_latency": latency}
    for part, share in (("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)):
        facts[f"orders.latency_{part}"] = nearest(latency, share)
    for timer in ("submit_to_wire", "wire_to_ack", "pacing_wait"):
        times = bounds(found, f"{timer}_ms")
        facts[f"orders.{timer}_p99"] = nearest(times, 99)
        facts[f"orders.{timer}_max"] = nearest(times, 100)
    best, length = 0.0, None
    for line in of(found, "ibkr_integration", "messages_sent"):
        for (begin, low), (end, high) in pairwise(line):
            if high - low > best:
                best, length = high - low, (end - begin) / 1e6
    sliding = [
        value
        for part in ("broker", "trading_system", "ibkr_integration")
        for line in of(found, part, "messages_sliding_second_max")
        for _, value in line
    ]
    return {
        **facts,
        "broker.messages_busiest_tick": best if best else None,
        "broker.messages_busiest_tick_seconds": length,
        "broker.messages_sliding_second_max": max(sliding, default=None),
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
        "session.start": datetime.fromtimestamp(ticks[0] / 1e6, UTC).isoformat(
            timespec="microseconds"
        ),
        "session.end": datetime.fromtimestamp(ticks[-1] / 1e6, UTC).isoformat(
            timespec="microseconds"
        ),
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
            (v for line in of(found, "broker", "pacing_headroom_percent") for _, v in line),
            default=None,
        ),
    }
    for name in ("reads_requested", "ticks_in", "quotes_unavailable"):
        facts[f"market_data.{name}"] = of(found, "market_data_system", name)[0][-1][1]
    for name in ("memory_usage_mb", "cpu_percent", "disk_usage_percent"):
        values = [value for _, value in of(found, "system_resources", name)[0]]
        facts[f"resources.{name}_max"] = max(values)
        facts[f"resources.{name}_mean"] = sum(values) / len(values)
    cpu = of(found, "system_resources", "cpu_percent")[0]
    limits = {
        labels: dict(line)
        for (_, metric, labels), line in found.items()
        if metric == "memory_limit_mb"
    }
    full: set[int] = set()
    for (_, metric, labels), line in found.items():
        if metric == "memory_used_mb":
            limit = limits.get(labels, {})
            full |= {at for at, value in line if limit.get(at) and value / limit[at] > 0.8}
    facts["resources.samples"] = len(cpu)
    facts["resources.samples_within"] = sum(value <= 90 and at not in full for at, value in cpu)
    return facts


WATCHED = {
    "trading_error_rate_high": ("trading_system", "error_rate", max),
    "trading_latency_high": ("trading_system", "?_ms.max", max),
    "market_data_throughput_low": ("market_data_system", "throughput_ops_sec", min),
    "market_data_latency_high": ("market_data_system", "quote_age", max),
    "memory_usage_high": ("system_resources", "memory_usage_mb", max),
    "cpu_usage_high": ("system_resources", "cpu_percent", max),
    "event_loop_lag_high": ("event_loop", "lag_ms.max", max),
    "clock_skew_high": ("broker", "clock_skew_ms", max),
    "broker_link_down": ("broker", "link_up", min),
    "pacing_headroom_low": ("broker", "pacing_headroom_percent", min),
}


def micros(text: str | None, otherwise: int) -> int:
    if text is None:
        return otherwise
    return round(datetime.fromisoformat(text).timestamp() * 1e6)


def fired(metrics: Path, since: int) -> list[dict[str, Any]]:
    base = sqlite3.connect(metrics)
    rows = [json.loads(body) for (body,) in base.execute("SELECT body FROM alerts ORDER BY serial")]
    base.close()
    return [row for row in rows if row["fired_at"] and micros(row["resolved_at"], since) >= since]


def watched(row: dict[str, Any]) -> str:
    component, metric, _ = WATCHED.get(row["rule"], ("", "", max))
    return f"{component}.{metric.replace('?', dict(row['labels']).get('leg', 'latency'))}"


def worst(row: dict[str, Any], ticks: list[int], found: Columns) -> float | None:
    component, metric, pick = WATCHED.get(row["rule"], ("", "", max))
    labels = dict(row["labels"])
    metric = metric.replace("?", labels.get("leg", "latency"))
    begin, end = micros(row["pending_at"], 0), micros(row["resolved_at"], ticks[-1])
    samples = [
        value
        for (c, m, text), line in found.items()
        if (c, m) == (component, metric)
        and all(labels.get(key, value) == value for key, value in json.loads(text))
        for at, value in line
        if begin <= at <= end
    ]
    return pick(samples) if samples else None


def alerts(metrics: Path, ticks: list[int], found: Columns) -> dict[str, Any]:
    rows = fired(metrics, ticks[0])
    resolved = [row for row in rows if row["state"] == "resolved"]
    facts: dict[str, Any] = {
        "alerts.fired": len(rows),
        "alerts.resolved": len(resolved),
        "alerts.firing": len(rows) - len(resolved),
        "alerts.critical": sum(row["severity"] == "critical" for row in rows),
        "alerts.mismatches": sum(row["rule"].startswith("position_mismatch") for row in rows),
        "alerts.breaches": sum(row["rule"].startswith("risk_breach") for row in rows),
    }
    for number, row in enumerate(rows, start=1):
        began = datetime.fromisoformat(row["fired_at"])
        end = row["resolved_at"]
        took = (datetime.fromisoformat(end) - began).total_seconds() if end else None
        facts |= {
            f"alert.{number}.rule": row["rule"],
            f"alert.{number}.severity": row["severity"],
            f"alert.{number}.fired_at": began.isoformat(timespec="seconds"),
            f"alert.{number}.seconds": took,
            f"alert.{number}.fired_value": row["fired_value"],
            f"alert.{number}.fired_threshold": row["fired_threshold"],
            f"alert.{number}.value": row["value"],
            f"alert.{number}.threshold": row["threshold"],
            f"alert.{number}.peak": (peak := worst(row, ticks, found)),
            f"alert.{number}.peak_metric": None if peak is None else watched(row),
        }
    return facts


def incidents(
    metrics: Path, journal: Path, ticks: list[int], found: Columns, records: int = 2**62
) -> dict[str, Any]:
    """Group by a sweep over the moments at which conditions begin and end."""
    rows = sorted(fired(metrics, ticks[0]), key=lambda row: row["pending_at"])
    groups: list[list[dict[str, Any]]] = []
    for row in rows:
        begin = micros(row["pending_at"], 0)
        near = [
            group
            for group in groups[-1:]
            if any(
                begin
                <= micros(other.get("clear_at") or other["resolved_at"], ticks[-1]) + 2_000_000
                for other in group
            )
        ]
        if near:
            near[0].append(row)
        else:
            groups.append([row])
    facts: dict[str, Any] = {"incidents.count": len(groups)}
    told = stories(journal, ticks[0] / 1e6, records) if journal.exists() else None
    link = [sample for line in of(found, "broker", "link_up") for sample in line]
    for number, group in enumerate(groups, start=1):
        begin = min(micros(row["pending_at"], 0) for row in group)
        end = max(micros(row["resolved_at"], ticks[-1]) for row in group)
        over = all(row["resolved_at"] for row in group)

        def moment(at: int) -> str:
            return datetime.fromtimestamp(at / 1e6, UTC).isoformat(timespec="seconds")

        facts |= {
            f"incident.{number}.rules": ", ".join(dict.fromkeys(row["rule"] for row in group)),
            f"incident.{number}.began": moment(begin),
            f"incident.{number}.ended": moment(end) if over else None,
            f"incident.{number}.seconds": (end - begin) / 1e6,
        }
        for name, states in (
            ("submitted", ("SUBMITTED",)),
            ("acknowledged", ALIVE),
            ("rejected", ("REJECTED",)),
            ("denied", ("DENIED",)),
            ("unknown", ("UNKNOWN",)),
        ):
            count = None
            if told is not None:
                firsts = [[at for at, state in story if state in states][:1] for story in told]
                count = sum(begin <= round(at[0] * 1e6) <= end for at in firsts if at)
            facts[f"incident.{number}.{name}"] = count
        within = [value for at, value in link if begin <= at <= end]
        facts[f"incident.{number}.link_samples"] = len(within) or None
        facts[f"incident.{number}.link_up_samples"] = within.count(1.0) if within else None
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
    """Return the grade's facts for a session in which all parts were measured or too quiet."""
    waits = facts["_latency"]
    good, some = sum(w <= 250 for w in waits), sum(250 < w <= 1000 for w in waits)
    reads = facts["market_data.reads_served"] + facts["market_data.quotes_unavailable"]
    quiet = {
        "errors": facts["orders.submitted"] < 20,
        "latency": len(waits) < 20,
        "freshness_throughput": reads < 100,
    }
    raw = {
        "availability": (facts["broker.availability"], 99.5, 95.0, 25.0),
        "errors": (facts["orders.error_rate"], 0.0, 1.0, 25.0),
        "latency": ((good + some / 2) / len(waits) if waits else None, 0.94, 0.5, 20.0),
        "freshness_throughput": (
            100 * facts["market_data.reads_served"] / reads if reads else None,
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
    spread = 100.0 / sum(terms[3] for name, terms in raw.items() if not quiet.get(name))
    for name, (value, target, floor, base) in raw.items():
        result[f"grade.{name}.raw"] = value
        result[f"grade.{name}.target"] = target
        result[f"grade.{name}.measured"] = "too quiet" if quiet.get(name) else "measured"
        weight = 0.0 if quiet.get(name) else base * spread
        share = 0.0 if value is None else (value - floor) / (target - floor)
        earned = weight * min(1.0, max(0.0, share))
        points += earned
        result[f"grade.{name}.weight"] = weight
        result[f"grade.{name}.lost"] = weight - earned
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
        "grade.redistributed": sum(raw[name][3] for name, little in quiet.items() if little),
    }


def recomputed(
    folder: Path, until: int = 2**62, records: int | None = None
) -> tuple[dict[str, Any], Columns]:
    """Return all facts of the databases in ``folder`` as they were at ``until``, and samples."""
    metrics, journal = folder / "metrics.db", folder / "journal.db"
    ticks, found = columns(metrics, until)
    if records is None:
        base = sqlite3.connect(journal)
        records = base.execute("SELECT count(*) FROM record").fetchone()[0]
        base.close()
    facts = {
        **session(ticks, found),
        "session.journal_records": records,
        **timings(found),
        **orders(journal, ticks[0] / 1e6, records),
        **alerts(metrics, ticks, found),
        **incidents(metrics, journal, ticks, found, records),
        **findings(metrics),
    }
    return {**facts, **graded(facts)}, found
