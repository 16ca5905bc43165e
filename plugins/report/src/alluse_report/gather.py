"""The facts of a session, each with where it came from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from alluse_core.analysis.grade import Grade, Measured, Measurements, Share, grade
from alluse_core.model import AlertState, OrderState, Severity
from alluse_report.facts import JOURNAL, METRICS, Facts
from alluse_report.incidents import Incident, incidents
from alluse_report.latency import at_most
from alluse_report.session import Session
from alluse_report.stated import state_incidents, state_latencies, state_messages

LATENCY_TARGET_MS = 250.0
MEMORY_LIMIT_PERCENT = 80.0
CPU_LIMIT_PERCENT = 90.0
MISMATCH_RULES = ("position_mismatch",)
BREACH_RULES = ("risk_breach",)


def gather(session: Session) -> tuple[Facts, Grade]:
    """Return all facts of a session and the grade that follows from them."""
    facts = Facts()
    _session(facts, session)
    _orders(facts, session)
    state_latencies(facts, session)
    _market_data(facts, session)
    _broker(facts, session)
    state_messages(facts, session)
    _resources(facts, session)
    happened = incidents(session)
    _alerts(facts, session, happened)
    state_incidents(facts, happened)
    _findings(facts, session)
    result = grade(_measurements(facts, session))
    _grade(facts, result)
    return facts, result


def _session(facts: Facts, session: Session) -> None:
    source = f"{METRICS}: ticks of the newest incarnation"
    begin, end = (
        datetime.fromtimestamp(session.times[i], UTC).isoformat(timespec="microseconds")
        if session.times
        else None
        for i in (0, -1)
    )
    facts.state("session.start", begin, "", source)
    facts.state("session.end", end, "", source)
    facts.state(
        "session.journal_records", session.journal_records, "", f"{JOURNAL}: records when read"
    )
    facts.state("session.seconds", session.seconds, "s", source)
    facts.state("session.ticks", len(session.times), "", source)
    facts.state(
        "session.ticks_expected", session.ticks_expected, "", f"{source}: length / median distance"
    )
    share = Share(len(session.times), session.ticks_expected).value
    facts.state("session.completeness", share * 100.0, "%", "session.ticks / ticks_expected")
    facts.state("session.series", len(session.lines), "", f"{METRICS}: series with a sample")


def _orders(facts: Facts, session: Session) -> None:
    orders = session.orders
    source = f"{JOURNAL}: newest state of each order"
    count = None if orders is None else Counter(order.state for order in orders)
    submitted = None if orders is None else sum(o.submitted_at is not None for o in orders)
    acknowledged = None if orders is None else sum(o.acknowledged_at is not None for o in orders)
    facts.state("orders.total", None if orders is None else len(orders), "", f"{JOURNAL}: orders")
    facts.state("orders.submitted", submitted, "", f"{JOURNAL}: orders that reached SUBMITTED")
    facts.state(
        "orders.acknowledged", acknowledged, "", f"{JOURNAL}: orders the broker confirmed to have"
    )
    for state in (
        OrderState.FILLED,
        OrderState.CANCELED,
        OrderState.REJECTED,
        OrderState.DENIED,
        OrderState.EXPIRED,
        OrderState.UNKNOWN,
    ):
        facts.state(
            f"orders.{state.value.lower()}", None if count is None else count[state], "", source
        )
    working = None if orders is None else sum(not o.state.is_terminal for o in orders)
    facts.state("orders.not_ended", working, "", source)
    errors = None if count is None else count[OrderState.REJECTED] + count[OrderState.UNKNOWN]
    facts.state("orders.errors", errors, "", "orders.rejected + orders.unknown")
    rate = 100.0 * errors / submitted if errors is not None and submitted else None
    facts.state("orders.error_rate", rate, "%", "orders.errors / orders.submitted")


def _market_data(facts: Facts, session: Session) -> None:
    component = "market_data_system"
    for name, metric in (
        ("reads_served", "reads_served"),
        ("reads_requested", "reads_requested"),
        ("quotes_unavailable", "quotes_unavailable"),
        ("cache_hits", "cache_hits"),
        ("cache_misses", "cache_misses"),
        ("ticks_in", "ticks_in"),
    ):
        value = session.counted(component, metric)
        source = f"{METRICS}: last {component}.{metric}"
        facts.state(f"market_data.{name}", None if value is None else int(value), "", source)
    hits, misses = (facts.number(f"market_data.cache_{name}") for name in ("hits", "misses"))
    rate = 100.0 * hits / (hits + misses) if hits + misses > 0 else math.nan
    facts.state("market_data.hit_rate", rate, "%", "cache_hits / (cache_hits + cache_misses)")
    per_second = facts.number("market_data.reads_served") / max(session.seconds, 1e-9)
    facts.state("market_data.reads_per_second", per_second, "1/s", "reads_served / session.seconds")


def _broker(facts: Facts, session: Session) -> None:
    source = f"{METRICS}: samples of broker.link_up, over all brokers"
    samples = [v for _, values in session.named("broker", "link_up").values() for v in values]
    up = sum(value >= 1.0 for value in samples)
    facts.state("broker.link_samples", len(samples) or None, "", source)
    facts.state("broker.link_up_samples", up if samples else None, "", source)
    share = 100.0 * up / len(samples) if samples else None
    facts.state("broker.availability", share, "%", "link_up_samples / link_samples")
    left = [
        value
        for _, values in session.named("broker", "pacing_headroom_percent").values()
        for value in values
    ]
    facts.state(
        "broker.pacing_headroom_min",
        min(left) if left else None,
        "%",
        f"{METRICS}: lowest broker.pacing_headroom_percent of any broker",
    )


def _resources(facts: Facts, session: Session) -> None:
    component = "system_resources"
    for metric, unit in (
        ("memory_usage_mb", "MB"),
        ("cpu_percent", "%"),
        ("disk_usage_percent", "%"),
    ):
        values = session.line(component, metric)[1]
        source = f"{METRICS}: {component}.{metric}"
        facts.state(f"resources.{metric}_max", max(values) if values else None, unit, source)
        mean = math.fsum(values) / len(values) if values else None
        facts.state(f"resources.{metric}_mean", mean, unit, source)
    good, total = resource_seconds(session)
    source = f"memory <= {MEMORY_LIMIT_PERCENT:g} % and cpu <= {CPU_LIMIT_PERCENT:g} %"
    facts.state("resources.samples", total or None, "", f"{METRICS}: ticks with cpu_percent")
    facts.state("resources.samples_within", good if total else None, "", source)


def resource_seconds(session: Session) -> tuple[int, int]:
    """Return (ticks within the limits, ticks observed).

    Limits are those of the processor and, where one is known, of the nearest memory limit.
    """
    cpu = dict(zip(*session.line("system_resources", "cpu_percent"), strict=True))
    memory: dict[float, float] = {}
    limits = {
        series.labels: dict(zip(*line, strict=True))
        for series, line in session.named("system_resources", "memory_limit_mb").items()
    }
    for series, line in session.named("system_resources", "memory_used_mb").items():
        for at, used in zip(*line, strict=True):
            limit = limits.get(series.labels, {}).get(at)
            if limit:
                memory[at] = max(memory.get(at, 0.0), 100.0 * used / limit)
    good = sum(
        value <= CPU_LIMIT_PERCENT and memory.get(at, 0.0) <= MEMORY_LIMIT_PERCENT
        for at, value in cpu.items()
    )
    return good, len(cpu)


def _alerts(facts: Facts, session: Session, happened: Sequence[Incident]) -> None:
    fired = [alert for alert in session.alerts if alert.fired_at is not None]
    source = f"{METRICS}: alerts"
    facts.state("alerts.fired", len(fired), "", source)
    resolved = sum(alert.state is AlertState.RESOLVED for alert in fired)
    facts.state("alerts.resolved", resolved, "", source)
    facts.state("alerts.firing", len(fired) - resolved, "", source)
    critical = sum(alert.severity is Severity.CRITICAL for alert in fired)
    facts.state("alerts.critical", critical, "", source)
    for name, rules in (("mismatches", MISMATCH_RULES), ("breaches", BREACH_RULES)):
        count = sum(alert.rule.startswith(rules) for alert in fired)
        facts.state(f"alerts.{name}", count, "", f"{source} of rules {', '.join(rules)}")
    peaks = {
        alert.id: peak
        for incident in happened
        for alert, peak in zip(incident.alerts, incident.peaks, strict=True)
    }
    for number, alert in enumerate(fired, start=1):
        end = alert.resolved_at
        taken = None
        if end is not None and alert.fired_at is not None:
            taken = (end - alert.fired_at).total_seconds()
        at = alert.fired_at.isoformat(timespec="seconds") if alert.fired_at else None
        facts.state(f"alert.{number}.rule", alert.rule, "", source)
        facts.state(f"alert.{number}.severity", alert.severity.value, "", source)
        facts.state(f"alert.{number}.fired_at", at, "", source)
        facts.state(f"alert.{number}.seconds", taken, "s", "resolved_at - fired_at")
        for name, value in (("value", alert.fired_value), ("threshold", alert.fired_threshold)):
            told = f"{source}, of the reading that made it fire"
            facts.state(f"alert.{number}.fired_{name}", value, alert.unit, told)
        for name, value in (("value", alert.value), ("threshold", alert.threshold)):
            facts.state(f"alert.{number}.{name}", value, alert.unit, f"{source}, last bad reading")
        peak = peaks.get(alert.id)
        watched = None if peak is None else peak.metric
        facts.state(
            f"alert.{number}.peak_metric", watched, "", f"{METRICS}: the series nearest to the rule"
        )
        facts.state(
            f"alert.{number}.peak",
            None if peak is None else peak.value,
            "" if peak is None else peak.unit,
            f"{METRICS}: worst sample of "
            f"{'no series of the rule' if peak is None else peak.metric}, pending to resolved",
        )


def _findings(facts: Facts, session: Session) -> None:
    source = f"{METRICS}: findings of the newest cycle"
    kinds: Mapping[str, Sequence[str]] = {
        "trend": ("rising", "falling", "no trend", "too short to tell"),
        "forecast": ("forecast", "too short to tell"),
    }
    for kind, verdicts in kinds.items():
        count = Counter(f.facts.get("verdict") for f in session.findings if f.kind == kind)
        for verdict in verdicts:
            facts.state(f"{kind}s.{verdict.replace(' ', '_')}", count[verdict], "", source)
    calibrated = sum(
        f.kind == "forecast" and f.facts.get("confidence") == "calibrated" for f in session.findings
    )
    facts.state("forecasts.calibrated", calibrated, "", source)
    node = next((f for f in session.findings if f.kind == "node_anomaly_rate"), None)
    judged = node is not None and node.facts.get("verdict") == "judged"
    for name, unit in (("anomalous_metrics", ""), ("metrics", ""), ("rate_max", "%")):
        value = node.facts.get(name) if node is not None and judged else None
        facts.state(f"anomalies.{name}", value, unit, source)
    profile = next((f.facts["profile"] for f in session.findings if "profile" in f.facts), None)
    facts.state("analysis.profile", profile, "", source)
    facts.state("analysis.findings", len(session.findings), "", source)


def _measurements(facts: Facts, session: Session) -> Measurements:
    def count(name: str) -> int | None:
        return int(facts.number(name)) if facts.known(name) else None

    taken = at_most(session, "trading_system", "latency_ms")
    samples = count("broker.link_samples")
    good, total = resource_seconds(session)
    served, failed = count("market_data.reads_served"), count("market_data.quotes_unavailable")
    # A peek at the cache that finds nothing asked for no fresh quote: only reads that waited for
    # one and got none have failed.
    reads = None if served is None or failed is None else served + failed
    return Measurements(
        link_up=Share(count("broker.link_up_samples") or 0, samples) if samples else None,
        orders=count("orders.submitted"),
        errors=count("orders.errors"),
        satisfied=sum(value <= LATENCY_TARGET_MS for value in taken or ()),
        tolerating=sum(LATENCY_TARGET_MS < value <= 4 * LATENCY_TARGET_MS for value in taken or ()),
        latencies=None if taken is None else len(taken),
        latency_target_ms=LATENCY_TARGET_MS,
        fresh_reads=served,
        reads=reads,
        resources_ok=Share(good, total) if total else None,
        ticks=len(session.times),
        ticks_expected=session.ticks_expected,
        critical_alerts=count("alerts.critical") or 0,
        risk_breaches=count("alerts.breaches") or 0,
        unknown_orders=count("orders.unknown") or 0,
        position_mismatches=count("alerts.mismatches") or 0,
    )


def _grade(facts: Facts, result: Grade) -> None:
    source = f"alluse_core.analysis.grade, weights version {result.version}"
    facts.state("grade.letter", result.letter or None, "", source)
    facts.state("grade.points", result.points, "", source)
    facts.state("grade.weights_version", result.version, "", source)
    facts.state("grade.redistributed", result.redistributed, "", source)
    for part in result.parts:
        at = f"grade.{part.name}"
        facts.state(f"{at}.raw", part.raw, part.unit, source)
        facts.state(f"{at}.target", part.target, part.unit, source)
        facts.state(f"{at}.low", part.low, part.unit, f"{source}, 95 % interval")
        facts.state(f"{at}.high", part.high, part.unit, f"{source}, 95 % interval")
        facts.state(f"{at}.weight", part.weight, "", source)
        facts.state(f"{at}.lost", part.lost, "", source)
        facts.state(f"{at}.measured", part.measured.value, "", source)
        too_quiet = part.measured is Measured.TOO_QUIET
        facts.state(f"{at}.samples", None if too_quiet else part.samples, "", source)
