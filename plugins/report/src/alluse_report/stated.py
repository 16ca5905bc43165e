"""Facts about latencies, messages and incidents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import attrs

from alluse_report.facts import JOURNAL, METRICS, Facts
from alluse_report.incidents import Incident, utc
from alluse_report.latency import at_most
from alluse_report.session import Session

_SHARES = (("p50", 0.50), ("p90", 0.90), ("p99", 0.99))
_TRADING = "trading_system"
DEFINED = "submit to the broker's first acknowledgement, the pacer's wait and held orders excluded"
_BOUND = "at most: each order at the next percentile of its second"


def state_latencies(facts: Facts, session: Session) -> None:
    """State latencies without the pacer's wait by the metrics, and with it by the journal."""
    taken = at_most(session, _TRADING, "latency_ms")
    source = f"{METRICS}: {_TRADING}.latency_ms, {DEFINED}"
    facts.state("orders.latency_count", None if taken is None else len(taken), "", source)
    for name, share in _SHARES:
        facts.state(
            f"orders.latency_{name}", ranked(taken or (), share), "ms", f"{source}; {_BOUND}"
        )
    facts.state("orders.latency_max", taken[-1] if taken else None, "ms", source)
    for timer in ("submit_to_wire", "wire_to_ack", "pacing_wait"):
        parts = at_most(session, _TRADING, f"{timer}_ms")
        source = f"{METRICS}: {_TRADING}.{timer}_ms"
        facts.state(f"orders.{timer}_p99", ranked(parts or (), 0.99), "ms", f"{source}; {_BOUND}")
        facts.state(f"orders.{timer}_max", parts[-1] if parts else None, "ms", source)
    waits = journaled(session)
    source = f"{JOURNAL}: SUBMITTED to first acknowledgement, the pacer's wait included"
    facts.state("orders.journaled_count", None if waits is None else len(waits), "", source)
    for name, share in _SHARES:
        facts.state(f"orders.journaled_{name}", percentile(waits or (), share), "ms", source)
    facts.state("orders.journaled_max", max(waits) if waits else None, "ms", source)


def journaled(session: Session) -> list[float] | None:
    """Return milliseconds from SUBMITTED to the first acknowledgement, rising."""
    if session.orders is None:
        return None
    taken = (order.acknowledged_after_ms for order in session.orders)
    return sorted(value for value in taken if value is not None)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return a percentile of rising values by linear interpolation; NaN of none."""
    if not ordered:
        return math.nan
    rank = (len(ordered) - 1) * share
    low = math.floor(rank)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (rank - low)


def ranked(ordered: Sequence[float], share: float) -> float:
    """Return the value that ``share`` of rising values do not exceed; NaN of none."""
    return ordered[max(0, math.ceil(len(ordered) * share - 1e-9) - 1)] if ordered else math.nan


def state_messages(facts: Facts, session: Session) -> None:
    """State the busiest tick of any connection, and the sliding second where it was measured."""
    busiest, seconds = 0.0, math.nan
    for times, counts in session.named("ibkr_integration", "messages_sent").values():
        ticks = zip(times, counts, strict=True)
        for (begin, before), (end, after) in pairwise(ticks):
            if after - before > busiest:
                busiest, seconds = after - before, end - begin
    known = not math.isnan(seconds)
    source = f"{METRICS}: largest increase of ibkr_integration.messages_sent of one connection"
    facts.state("broker.messages_busiest_tick", int(busiest) if known else None, "", source)
    facts.state("broker.messages_busiest_tick_seconds", seconds, "s", "length of that tick")
    sliding = [
        value
        for component in ("broker", "trading_system", "ibkr_integration")
        for _, values in session.named(component, SLIDING).values()
        for value in values
    ]
    facts.state(
        "broker.messages_sliding_second_max",
        max(sliding) if sliding else None,
        "",
        f"{METRICS}: highest {SLIDING}; not measured where no part counts it",
    )


SLIDING = "messages_sliding_second_max"


def state_incidents(facts: Facts, happened: Sequence[Incident]) -> None:
    """State each incident's span, what fired, and what orders and link did meanwhile."""
    facts.state("incidents.count", len(happened), "", f"{METRICS}: alerts, grouped in time")
    for number, incident in enumerate(happened, start=1):
        at = f"incident.{number}"
        source = f"{METRICS}: alerts"
        rules = ", ".join(dict.fromkeys(alert.rule for alert in incident.alerts))
        facts.state(f"{at}.rules", rules, "", source)
        facts.state(f"{at}.began", utc(incident.began), "", f"{source}: first pending")
        ended = None if incident.ongoing else utc(incident.ended)
        facts.state(f"{at}.ended", ended, "", f"{source}: last resolved")
        facts.state(f"{at}.seconds", incident.ended - incident.began, "s", "ended - began")
        counts = {} if incident.orders is None else attrs.asdict(incident.orders)
        for name in ("submitted", "acknowledged", "rejected", "denied", "unknown"):
            source = f"{JOURNAL}: orders that first got there within the span"
            facts.state(f"{at}.{name}", counts.get(name), "", source)
        source = f"{METRICS}: samples of broker.link_up within the span"
        samples = incident.link_samples
        facts.state(f"{at}.link_samples", samples or None, "", source)
        up = incident.link_up_samples if samples else None
        facts.state(f"{at}.link_up_samples", up, "", source)
