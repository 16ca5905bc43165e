"""What the order path shows as it is at the moment it is looked at; counters are in meters.py."""

from __future__ import annotations

from functools import partial

from alluse_core.orders.breaker import Breaker, BreakerState
from alluse_core.orders.meters import COMPONENT
from alluse_core.orders.wiring import Parts
from alluse_core.ports import TradingState
from alluse_core.telemetry import Registry

_LEVELS = {
    BreakerState.CLOSED: 0.0,
    BreakerState.HALF_OPEN: 0.5,
    BreakerState.OPEN: 1.0,
    BreakerState.OFF: 1.0,
}


def observe(telemetry: Registry, parts: Parts) -> None:
    """Offer the figures of component ``trading_system``, and of ``journal``, to be read."""
    book, gate, journal = parts.book, parts.gate, parts.journal
    watch = partial(telemetry.observe, COMPONENT)
    watch("orders_in_flight", lambda: float(len(book.live())))
    watch("orders_unknown_now", lambda: float(len(book.unknown)))
    watch("queue_depth", lambda: float(parts.unfinished()))
    watch(
        "external_orders",
        lambda: float(sum(each.external for each in parts.reconcilers.values())),
    )
    watch(
        "new_risk_allowed",
        lambda: float(
            gate.state is TradingState.ACTIVE and not gate.reconciling and not parts.journal.problem
        ),
    )
    for broker, breaker in parts.desk.breakers.items():
        watch("breaker_open", partial(_level, breaker, parts), broker=broker)
    telemetry.observe("journal", "records", lambda: float(journal.committed))
    telemetry.observe("journal", "healthy", lambda: float(not (journal.problem or journal.trouble)))


def _level(breaker: Breaker, parts: Parts) -> float:
    return _LEVELS[breaker.state(parts.desk.clock.monotonic())]
