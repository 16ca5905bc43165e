"""The alert engine: evaluates all rules each tick, keeps and tells what changed."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import attrs

from alluse_core.clock import Clock
from alluse_core.errors import StoreError
from alluse_core.model import Alert, AlertState, Condition, Reading, Severity, labels
from alluse_core.monitor.blame import Blame
from alluse_core.monitor.notify import Notifications
from alluse_core.monitor.transitions import (
    Episode,
    RuleTerms,
    fingerprint,
    restored,
    step,
)
from alluse_core.ports import AlertRule, MetricStore, MetricView, Notifier
from alluse_core.redaction import told_of
from alluse_core.telemetry import Registry

_log = logging.getLogger(__name__)

RULE_FAILING = "alert_rule_failing"
"""The engine's own rule: one of the others raised. It cannot be switched off."""

_FAILING_TERMS = RuleTerms(
    RULE_FAILING, Severity.WARNING, "", 0.0, 0.0, "plugins/alerts/README.md#alert_rule_failing"
)
_EVENTS_KEPT = 1_000


class AlertEngine:
    """Turns readings into alerts, one tick at a time.

    Every change of state goes to the store; alerts that were pending or firing when an earlier
    process ended are taken up again. A rule that raises is counted, alarmed as
    ``alert_rule_failing`` and keeps its alerts as they are. Component ``alerts`` measures the
    engine: ``evaluation_ms`` and ``rule_errors`` by rule, ``count`` by state, ``transitions`` by
    new state, ``ticks``, ``ticks_missed``, ``notifications`` by outcome.
    """

    def __init__(
        self,
        *,
        rules: Sequence[AlertRule],
        store: MetricStore,
        clock: Clock,
        view: MetricView,
        telemetry: Registry,
        notifiers: Sequence[Notifier] = (),
        period: float = 1.0,
        cpu_clock: Callable[[], float] = time.perf_counter,
        told: Callable[[BaseException], str] = told_of,
    ) -> None:
        self._rules = [(rule, _terms(rule)) for rule in rules]
        self._store = store
        self._clock = clock
        self._view = view
        self._telemetry = telemetry
        self._period = period
        self._cpu_clock = cpu_clock
        self._told = told
        # What was restored has its time up to now; the rest comes from the ticks.
        self._last = clock.monotonic()
        self._logged: set[tuple[str, type[Exception]]] = set()
        self._events: deque[Alert] = deque(maxlen=_EVENTS_KEPT)
        self._blame = Blame(telemetry)
        self._notifications = Notifications(notifiers, clock, telemetry, cpu_clock, told)
        self._ticks = telemetry.counter("alerts", "ticks")
        self._missed = telemetry.counter("alerts", "ticks_missed")
        for state in (AlertState.PENDING, AlertState.FIRING):
            telemetry.observe("alerts", "count", self._counter_of(state), state=state.value)
        self._episodes: dict[str, Episode] = {}
        self._restore()

    async def start(self) -> None:
        """Begin to deliver to the notifiers."""
        self._notifications.start()

    async def stop(self) -> None:
        """Try once more to deliver what waits, briefly, and end. Safe to call twice."""
        await self._notifications.stop()

    def tick(self) -> None:
        """Evaluate all rules on the view's newest tick."""
        now, wall = self._view.now, self._view.time
        elapsed = self._elapsed(now)
        self._ticks.value += 1
        for rule, terms in self._rules:
            failing = labels(rule=terms.name)
            try:
                readings = self._read(rule, terms.name)
            except Exception as error:  # noqa: BLE001 - counted, logged and alarmed below
                self._count_error(terms.name, error)
                text = f"rule {terms.name} raised {self._told(error)}"
                raised = Reading(Condition.TRIP, 1.0, 1.0, text, failing)
                readings = []
            else:
                raised = Reading(Condition.CLEAR, 0.0, 1.0, "", failing)
            for reading in (*readings, *self._unread(terms.name, readings)):
                self._apply(terms, reading, wall, elapsed)
            self._apply(_FAILING_TERMS, raised, wall, elapsed)

    def active(self) -> Sequence[Alert]:
        """Return what is pending or firing, the worst first, then the oldest."""
        order = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}
        found = [attrs.evolve(e.alert, text=e.text) for e in self._episodes.values()]
        return sorted(
            found,
            key=lambda a: (a.state is not AlertState.FIRING, order[a.severity], a.pending_at),
        )

    def events(self) -> Sequence[Alert]:
        """Return the newest changes of state of this process, oldest first, at most 1,000."""
        return list(self._events)

    def history(self) -> Sequence[Alert]:
        """Return all alerts kept, of earlier processes too, oldest first.

        Raises StoreError where the store cannot be read.
        """
        return self._store.alerts()

    def _restore(self) -> None:
        now = self._clock.now()
        known = {terms.name for _, terms in self._rules} | {RULE_FAILING}
        for alert in self._store.alerts():
            episode = restored(alert, now)
            if episode is None:
                continue
            if alert.rule in known:
                self._episodes[fingerprint(alert.rule, alert.labels)] = episode
            else:
                # Nothing could ever end it: its rule is off or its plugin is gone.
                text = f"{alert.text} (ended: rule {alert.rule} no longer runs)"
                self._keep(
                    attrs.evolve(alert, state=AlertState.RESOLVED, resolved_at=now, text=text)
                )

    def _elapsed(self, now: float) -> float:
        elapsed = max(0.0, now - self._last)
        self._last = now
        if self._ticks.value:
            self._missed.value += max(0, round(elapsed / self._period) - 1)
        return elapsed

    def _read(self, rule: AlertRule, name: str) -> list[Reading]:
        began = self._cpu_clock()
        try:
            return list(rule.read(self._view))
        finally:
            took = max(0.0, self._cpu_clock() - began)
            self._telemetry.timer("alerts", "evaluation_ms", rule=name).record(took * 1000.0)
            self._blame.took("rule", name, took)

    def _unread(self, rule: str, readings: Sequence[Reading]) -> list[Reading]:
        """Return NO_DATA for every subject that the rule has an alert for and did not read."""
        read = {reading.labels for reading in readings}
        return [
            Reading(Condition.NO_DATA, math.nan, episode.alert.threshold, "", episode.alert.labels)
            for episode in self._episodes.values()
            if episode.alert.rule == rule and episode.alert.labels not in read
        ]

    def _apply(self, terms: RuleTerms, reading: Reading, wall: datetime, elapsed: float) -> None:
        key = fingerprint(terms.name, reading.labels)
        result = step(self._episodes.get(key), reading, terms, wall, elapsed)
        if result.episode is None:
            self._episodes.pop(key, None)
        else:
            self._episodes[key] = result.episode
        if result.kept is not None:
            self._keep(result.kept)
        for alert in result.changes:
            self._tell(alert)

    def _tell(self, alert: Alert) -> None:
        self._events.append(alert)
        self._telemetry.counter("alerts", "transitions", to=alert.state.value).value += 1
        self._keep(alert)
        if alert.state in (AlertState.FIRING, AlertState.RESOLVED):
            self._notifications.offer(alert)

    def _keep(self, alert: Alert) -> None:
        try:
            self._store.save_alert(alert)
        except StoreError as error:
            self._telemetry.counter("alerts", "not_kept").value += 1
            _log.error("alert %s %s is not kept: %s", alert.rule, alert.state.value, error)

    def _count_error(self, name: str, error: Exception) -> None:
        self._telemetry.counter("alerts", "rule_errors", rule=name).value += 1
        if (name, type(error)) not in self._logged:
            self._logged.add((name, type(error)))
            _log.error("alert rule %r failed; it is alarmed", name, exc_info=error)

    def _counter_of(self, state: AlertState) -> Callable[[], float]:
        def count() -> float:
            tally: Mapping[AlertState, int] = Tally(e.alert.state for e in self._episodes.values())
            return float(tally.get(state, 0))

        return count


def _terms(rule: AlertRule) -> RuleTerms:
    return RuleTerms(
        rule.name,
        rule.severity,
        rule.unit,
        rule.for_seconds,
        rule.keep_firing_for,
        rule.runbook,
    )
