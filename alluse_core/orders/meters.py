"""What the order path counts and times, by the names that the monitor and reports read."""

from __future__ import annotations

from alluse_core.model import OrderState, Verb
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.outcomes import ErrorClass
from alluse_core.telemetry import Counter, Registry, Timer

COMPONENT = "trading_system"


class Meters:
    """Counters of component ``trading_system``; times in milliseconds.

    Each order counts once in ``orders_submitted`` (handed to the broker), and at most once in
    ``orders_acked``, ``orders_rejected`` (the venue's refusal), ``orders_denied`` (our own) and
    each time in ``orders_unknown`` that it becomes UNKNOWN.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        count = self.count
        self.submitted = count("orders_submitted")
        self.acked = count("orders_acked")
        self.rejected = count("orders_rejected")
        self.unknown = count("orders_unknown")
        self.denied = count("orders_denied")
        self.impossible = count("impossible_events")
        self.fills = count("fills")
        self.duplicate_fills = count("duplicate_fills")
        self.corrections = count("fill_corrections")
        self.overfills = count("overfills")
        self.differences = count("echo_differences")
        self.second_perm_ids = count("second_perm_ids")
        self.unasked_cancels = count("unasked_cancels")
        self.orphans = count("orphans_adopted")
        self.evidence_errors = count("evidence_errors")
        self.mismatches = count("position_mismatches")
        self.not_sent = count("messages_not_sent")
        self.sent = {verb: count(f"{verb.value}s_sent") for verb in (Verb.MODIFY, Verb.CANCEL)}
        self.submit_to_wire = self.timer("submit_to_wire_ms")
        self.wire_to_ack = self.timer("wire_to_ack_ms")
        self.latency = self.timer("latency_ms")
        self.pacing_wait = self.timer("pacing_wait_ms")
        self._states: dict[OrderState, Counter] = {}
        self._stages: dict[str, Timer] = {}

    def count(self, metric: str, **labels: object) -> Counter:
        """Return a counter."""
        return self._registry.counter(COMPONENT, metric, "", **labels)

    def compared(self, broker: str, differences: int) -> None:
        """Note a comparison of positions with a broker's list, and how many of them differed."""
        self.count("position_comparisons", broker=broker).value += 1
        gauge = self._registry.gauge(COMPONENT, "position_differences", "", broker=broker)
        gauge.value = float(differences)

    def timer(self, metric: str, **labels: object) -> Timer:
        """Return a timer in milliseconds."""
        return self._registry.timer(COMPONENT, metric, "ms", **labels)

    def stage(self, name: str) -> Timer:
        """Return the timer of one stage."""
        found = self._stages.get(name)
        if found is None:
            found = self._stages[name] = self.timer("stage_ms", stage=name)
        return found

    def moved(self, state: OrderState) -> None:
        """Count an order's entry into a state."""
        counter = self._states.get(state)
        if counter is None:
            counter = self._states[state] = self.count("orders_entered", state=state.value)
        counter.value += 1
        if state is OrderState.UNKNOWN:
            self.unknown.value += 1
        elif state is OrderState.REJECTED:
            self.rejected.value += 1

    def denial(self, stage: str) -> None:
        """Count a denial."""
        self.denied.value += 1
        self.count("denials", stage=stage).value += 1

    def retries(self, what: str, outcome: str = "made") -> Counter:
        """Return the counter of what repeats by itself; ``outcome``: made or held back."""
        return self.count("retries", what=what, outcome=outcome)

    def error(self, kind: ErrorClass) -> None:
        """Count a broker's coded message by its class."""
        self.count("errors", error_class=kind.value).value += 1

    def acknowledged(self, live: LiveOrder, now: float, *, held: bool) -> None:
        """Time the first answer; an order that was held first is not timed."""
        self.acked.value += 1
        if held or live.held or live.sent_at != live.sent_at:
            return
        self.wire_to_ack.record(max(0.0, now - live.sent_at) * 1e3)
        self.latency.record(max(0.0, now - live.submitted_at - live.paced) * 1e3)
