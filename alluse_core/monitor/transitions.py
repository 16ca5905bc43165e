"""What a reading makes of an alert: inactive -> pending -> firing -> resolved, as a function.

Nothing here reads a clock or keeps anything: the same readings give the same transitions.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256

import attrs

from alluse_core.model import Alert, AlertState, Condition, Reading, Severity
from alluse_core.model.metric import Labels

BLIND_SECONDS = 3_600.0
"""How long an alert without data is kept; a critical one that fires is kept for ever."""

_RANK = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


@attrs.frozen
class RuleTerms:
    """The terms of a rule that transitions depend on; durations in seconds."""

    name: str
    severity: Severity
    unit: str
    for_seconds: float
    keep_firing_for: float
    runbook: str


@attrs.frozen
class Episode:
    """One pending or firing alert, and the seconds it was seen tripped and seen clear.

    Both count only time between two readings that had data, on the monotonic clock.
    ``blind_since``: since when there has been no data; ``blind``: for how many seconds.
    """

    alert: Alert
    held: float = 0.0
    clear: float = 0.0
    blind: float = 0.0
    blind_since: datetime | None = None

    @property
    def text(self) -> str:
        """The alert's sentence; while there is no data, it says so."""
        if self.blind_since is None:
            return self.alert.text
        return f"{self.alert.text} (no data since {self.blind_since:%H:%M:%S} UTC; state kept)"


@attrs.frozen
class Step:
    """The episode after a reading (None: inactive).

    ``changes`` are what people hear of: new states, or a raised severity, in order. ``kept`` is
    what only the store must know for a restart.
    """

    episode: Episode | None
    changes: tuple[Alert, ...] = ()
    kept: Alert | None = None


def fingerprint(rule: str, labels: Labels) -> str:
    """Return the identity of a rule's subject: equal for equal rule and labels."""
    text = "\x1f".join((rule, *(f"{name}\x1e{value}" for name, value in labels)))
    return sha256(text.encode()).hexdigest()[:16]


def step(
    episode: Episode | None, reading: Reading, terms: RuleTerms, time: datetime, elapsed: float
) -> Step:
    """Return what ``reading``, taken at ``time``, makes of ``episode``.

    ``elapsed``: monotonic seconds since the reading before. HOLD keeps what is, and its time
    counts as held: a value that flutters about its threshold is one episode. Only TRIP begins or
    fires. NO_DATA keeps the state and stops both clocks; what is not a critical alert firing
    ends after BLIND_SECONDS of it, and says so.
    """
    if episode is None:
        return _inactive(reading, terms, time)
    if reading.condition is Condition.NO_DATA:
        return _blind(episode, time, elapsed)
    seen = 0.0 if episode.blind_since is not None else elapsed
    before = episode.alert
    alert = _updated(before, reading)
    episode = attrs.evolve(episode, blind=0.0, blind_since=None, alert=alert)
    if before.state is AlertState.PENDING:
        return _pending(episode, reading.condition, terms, time, seen)
    if reading.condition is Condition.CLEAR:
        return _clearing(episode, terms, time, seen)
    return _still_firing(episode, before)


def restored(alert: Alert, time: datetime) -> Episode | None:
    """Return the episode of an alert that an earlier process left at wall-clock ``time``.

    The time that the process was away counts, by the wall clock: what was firing fires on; what
    was pending fires at the next TRIP if its time has come, and ends at the next CLEAR. A wall
    clock that went back counts as no time.
    """
    if alert.state not in (AlertState.PENDING, AlertState.FIRING):
        return None
    held = max(0.0, (time - alert.pending_at).total_seconds())
    since = alert.clear_at
    clear = max(0.0, (time - since).total_seconds()) if since is not None else 0.0
    return Episode(alert, held=held, clear=clear)


def _inactive(reading: Reading, terms: RuleTerms, time: datetime) -> Step:
    if reading.condition is not Condition.TRIP:
        return Step(None)
    # Milliseconds tell two episodes of one subject apart: there is one reading a tick.
    serial = int(time.timestamp() * 1000)
    alert = Alert(
        id=f"{fingerprint(terms.name, reading.labels)}-{serial}",
        rule=terms.name,
        labels=reading.labels,
        severity=reading.severity or terms.severity,
        state=AlertState.PENDING,
        value=reading.value,
        threshold=reading.threshold,
        unit=terms.unit,
        text=reading.text,
        pending_at=time,
        runbook=terms.runbook,
    )
    fired = _pending(Episode(alert), reading.condition, terms, time, 0.0)
    return Step(fired.episode, (alert, *fired.changes))


def _blind(episode: Episode, time: datetime, elapsed: float) -> Step:
    blind = episode.blind + elapsed if episode.blind_since is not None else 0.0
    episode = attrs.evolve(episode, blind=blind, blind_since=episode.blind_since or time)
    alert = episode.alert
    firing = alert.state is AlertState.FIRING
    if blind < BLIND_SECONDS or (firing and alert.severity is Severity.CRITICAL):
        return Step(episode)
    ended = attrs.evolve(
        alert,
        state=AlertState.RESOLVED if firing else AlertState.INACTIVE,
        resolved_at=time if firing else None,
        text=f"{alert.text} (ended: no data for {BLIND_SECONDS / 60.0:g} minutes)",
    )
    return Step(None, (ended,))


def _pending(
    episode: Episode, condition: Condition, terms: RuleTerms, time: datetime, seen: float
) -> Step:
    if condition is Condition.CLEAR:
        return Step(None, (attrs.evolve(episode.alert, state=AlertState.INACTIVE),))
    episode = attrs.evolve(episode, held=episode.held + seen)
    if condition is Condition.TRIP and episode.held >= terms.for_seconds:
        alert = attrs.evolve(
            episode.alert,
            state=AlertState.FIRING,
            fired_at=time,
            fired_value=episode.alert.value,
            fired_threshold=episode.alert.threshold,
        )
        return Step(attrs.evolve(episode, alert=alert), (alert,))
    return Step(episode)


def _still_firing(episode: Episode, before: Alert) -> Step:
    alert = attrs.evolve(episode.alert, clear_at=None)
    episode = attrs.evolve(episode, alert=alert, clear=0.0)
    if alert.severity is not before.severity:
        return Step(episode, (alert,))
    return Step(episode, kept=alert if before.clear_at is not None else None)


def _clearing(episode: Episode, terms: RuleTerms, time: datetime, seen: float) -> Step:
    alert = episode.alert
    if alert.clear_at is None and terms.keep_firing_for > 0.0:
        alert = attrs.evolve(alert, clear_at=time)
        return Step(attrs.evolve(episode, alert=alert), kept=alert)
    clear = episode.clear + seen
    if clear >= terms.keep_firing_for:
        return Step(None, (attrs.evolve(alert, state=AlertState.RESOLVED, resolved_at=time),))
    return Step(attrs.evolve(episode, clear=clear))


def _updated(alert: Alert, reading: Reading) -> Alert:
    # The value of record of a firing alert is the last one that was bad, not the cure.
    if reading.condition is Condition.CLEAR:
        return alert
    severity = reading.severity or alert.severity
    return attrs.evolve(
        alert,
        value=reading.value,
        threshold=reading.threshold,
        text=reading.text,
        severity=max(alert.severity, severity, key=_RANK.__getitem__),
    )
