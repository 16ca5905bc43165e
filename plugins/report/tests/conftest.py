"""A seeded generator of TEST DATA: two databases as a session would have left them."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest
from alluse_analytics.plugin import alluse_analyzers
from alluse_analytics.settings import ForecastSettings

from alluse_core.analysis.job import AnalyzerSpec, Job
from alluse_core.analysis.loader import specify
from alluse_core.analysis.windows import Window
from alluse_core.analysis.worker import run_job
from alluse_core.clock import SystemClock
from alluse_core.model import Alert, AlertState, NodeIdentity, SeriesId, Severity
from alluse_core.monitor.store import SqliteMetricStore
from alluse_core.orders.journal import Journal
from alluse_core.ports import Batch
from alluse_core.telemetry import Registry

START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
NODE = NodeIdentity("test-data", "test-node", "test-agent", "0123456789ab")


@attrs.frozen
class Made:
    """What the generator is asked for."""

    seconds: int = 420
    orders: int = 75
    seed: int = 7
    incident: bool = True
    gaps: int = 0
    analyse: bool = True
    journal: bool = True
    unknown: int = 0
    alerts: int = 1


Make = Callable[[Made], Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(wanted: Made) -> Path:
        generate(tmp_path, wanted)
        return tmp_path

    return made


def generate(folder: Path, wanted: Made) -> None:
    dice = random.Random(wanted.seed)
    store = SqliteMetricStore(folder / "metrics.db", telemetry=Registry())
    window = Window(wanted.seconds + 10)
    # A session before this one, which the report must not mix in.
    store.append(batch(-500, {SeriesId("trading_system", "latency_ms", (), "ms"): 9e9}, "before"))
    skipped = set(dice.sample(range(1, wanted.seconds), wanted.gaps))
    for second, samples in samples_of(dice, wanted):
        if second not in skipped:
            one = batch(second, samples, NODE.incarnation)
            store.append(one)
            window.extend([one])
    for number in range(wanted.alerts if wanted.incident else 0):
        store.save_alert(alert_of(wanted, number))
    if wanted.analyse:
        at = START + timedelta(seconds=wanted.seconds)
        outcome = run_job(Job(specs(), window.frame()))
        assert outcome.failures == ()
        store.save_findings(at, outcome.findings)
    store.close()
    if wanted.journal:
        write_journal(folder / "journal.db", dice, wanted)


def specs() -> tuple[AnalyzerSpec, ...]:
    demo = ForecastSettings(period=1.0, horizon=30.0, second_horizon=60.0, profile="demo")
    return tuple(
        specify(provider, demo if provider.name == "forecast" else None)
        for provider in alluse_analyzers()
    )


def batch(second: float, samples: dict[SeriesId, float], incarnation: str) -> Batch:
    at = START + timedelta(seconds=second, milliseconds=second * 37 % 11)
    return Batch(NODE.tenant, NODE.node, NODE.agent, incarnation, at, samples)


Samples = dict[tuple[str, str, str], float]


class Timers:
    """Timers as a registry stores them: the count goes on, percentiles are of the tick alone."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(
            ("latency_ms", "submit_to_wire_ms", "wire_to_ack_ms", "pacing_wait_ms"), 0
        )

    def __call__(self, dice: random.Random, records: int, bad: bool) -> Samples:
        samples: Samples = {}
        for name in self.counts:
            self.counts[name] += records
            samples["trading_system", f"{name}.count", ""] = self.counts[name]
            values = sorted(dice.lognormvariate(3, 1) * (20 if bad else 1) for _ in range(records))
            for part, share in (("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)):
                if values:
                    rank = -(-records * share // 100)
                    samples["trading_system", f"{name}.{part}", "ms"] = values[rank - 1]
        return samples


def samples_of(dice: random.Random, wanted: Made) -> Iterator[tuple[int, dict[SeriesId, float]]]:
    served = requested = hits = misses = ticks = 0
    level, sent, timers = 0.0, 0, Timers()
    for second in range(wanted.seconds):
        bad = wanted.incident and 0.5 < second / wanted.seconds < 0.6
        reads = dice.randint(900, 1100)
        requested += reads
        served += reads - (dice.randint(20, 60) if bad else 0)
        hit = int(reads * dice.uniform(0.90, 0.97))
        hits, misses = hits + hit, misses + reads - hit
        ticks += dice.randint(150, 250)
        level = 0.95 * level + dice.gauss(0, 1.5)
        acked = dice.choice([0, 0, 1, 2, 7, 40]) if wanted.orders >= 20 else 0
        latency = dice.lognormvariate(2.6, 0.3) * (6 if bad else 1)
        samples = {
            ("trading_system", "latency_ms", "ms"): latency,
            ("trading_system", "throughput_ops_sec", "1/s"): max(0.0, dice.gauss(4, 1)),
            **timers(dice, acked, bad),
            ("market_data_system", "throughput_ops_sec", "1/s"): float(reads),
            ("market_data_system", "latency_ms", "ms"): dice.lognormvariate(-6, 0.3),
            ("market_data_system", "cache_hit_rate", "%"): 100.0 * hit / reads,
            ("market_data_system", "reads_served", ""): float(served),
            ("market_data_system", "reads_requested", ""): float(requested),
            ("market_data_system", "quotes_unavailable", ""): float((requested - served) // 2),
            ("market_data_system", "cache_hits", ""): float(hits),
            ("market_data_system", "cache_misses", ""): float(misses),
            ("market_data_system", "ticks_in", ""): float(ticks),
            ("system_resources", "memory_usage_mb", "MB"): 140 + second / 12 + dice.gauss(0, 0.4),
            ("system_resources", "cpu_percent", "%"): max(1.0, 35 + 4 * level),
            ("system_resources", "disk_usage_percent", "%"): 41.5,
            ("event_loop", "lag_ms.p99", "ms"): dice.lognormvariate(0, 0.4) * (8 if bad else 1),
        }
        named = {SeriesId(c, m, (), unit): value for (c, m, unit), value in samples.items()}
        used = named[SeriesId("system_resources", "memory_usage_mb", (), "MB")]
        scope = (("scope", "host"),)
        named[SeriesId("system_resources", "memory_used_mb", scope, "MB")] = used + 1000
        named[SeriesId("system_resources", "memory_limit_mb", scope, "MB")] = 1425.0
        headroom = dice.uniform(20, 60)
        named[SeriesId("broker", "pacing_headroom_percent", (("broker", "main"),), "%")] = headroom
        sent += dice.randint(0, 50)
        for role in ("orders", "data"):
            where = (("broker", "main"), ("role", role))
            named[SeriesId("ibkr_integration", "messages_sent", where, "")] = float(sent)
        named[SeriesId("broker", "link_up", (("broker", "main"),), "")] = 0.0 if bad else 1.0
        for symbol in ("AAPL", "IBM", "BAC", "GOOG", "MSFT", "SPY"):
            age = dice.expovariate(2.0)
            named[SeriesId("market_data_system", "age_s", (("symbol", symbol),), "s")] = age
        yield second, named


def alert_of(wanted: Made, number: int) -> Alert:
    fired = START + timedelta(seconds=0.5 * wanted.seconds + 3 + number)
    return Alert(
        id=f"a{number}",
        rule="broker_link_down",
        labels=(("broker", "main"),),
        severity=Severity.CRITICAL,
        state=AlertState.RESOLVED,
        value=0.0,
        threshold=1.0,
        unit="",
        text="the order path to main does not work",
        pending_at=fired - timedelta(seconds=2),
        fired_at=fired,
        resolved_at=fired + timedelta(seconds=0.1 * wanted.seconds + 5),
    )


def write_journal(path: Path, dice: random.Random, wanted: Made) -> None:
    Journal(path, clock=SystemClock(), node=NODE).close()
    rows = []
    for number in range(wanted.orders):
        at = START.timestamp() + 1 + number * (wanted.seconds - 10) / max(wanted.orders, 1)
        body = {"account": "DU1234567"}
        end = dice.choices(["FILLED", "CANCELED", "REJECTED"], [0.8, 0.19, 0.01])[0]
        steps = [("order", 0.0, "SUBMITTED")]
        if number % 25 == 24:
            steps = [("order", 0.0, "DENIED")]
        elif number < wanted.unknown:
            steps.append(("event", 10.0, "UNKNOWN"))
        elif end == "REJECTED":
            steps.append(("event", dice.lognormvariate(-3, 0.5), end))
        else:
            taken = dice.lognormvariate(-3, 0.5)
            steps += [("event", taken, "ACCEPTED"), ("event", taken + 1, end)]
        for kind, after, state in steps:
            rows.append((at + after, kind, f"key-{number}", state, json.dumps(body)))
    rows.sort()
    connection = sqlite3.connect(path)
    first = connection.execute("SELECT coalesce(max(seq), 0) FROM record").fetchone()[0] + 1
    for sequence, (at, kind, key, state, body) in enumerate(rows, start=first):
        connection.execute(
            "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (sequence, int(at * 1e6), kind, key, f"AU-{key}", state, body, b""),
        )
    connection.commit()
    connection.close()


@pytest.fixture
def made() -> type[Made]:
    return Made
