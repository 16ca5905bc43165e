"""Rules tested as data: a scripted timeline in, a sequence of transitions out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from alluse_core.model import Alert, Reading, Sample, SeriesId, labels
from alluse_core.monitor.alerts import AlertEngine
from alluse_core.monitor.history import History
from alluse_core.ports import AlertRule, MetricStore
from alluse_core.telemetry import Registry
from alluse_core.testing.clock import VirtualClock

_START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)


class Timeline:
    """Plays ticks of one second into a rule, and says what became of its alerts.

    Count into :attr:`registry` as running code would, or :meth:`hold` gauges; then :meth:`tick`.
    ``store`` keeps what a restart must find again; :meth:`restart` is a kill -9 and a new
    process with a rule made anew.
    """

    def __init__(self, rule: AlertRule, store: MetricStore) -> None:
        self._store = store
        self._held: dict[SeriesId, float] = {}
        self.clock = VirtualClock(_START)
        self.transitions: list[str] = []
        """``"12 firing"``, or ``"12 firing{symbol=A}"``, by seconds since the start."""
        self._begin(rule)

    def hold(self, component: str, metric: str, value: float | None, **labelled: object) -> None:
        """Give this series ``value`` at every tick from now on; None: measure it no more."""
        series = SeriesId(component, metric, labels(**labelled))
        if value is None:
            self._held.pop(series, None)
        else:
            self._held[series] = value

    async def tick(self, times: int = 1) -> None:
        """Let ``times`` seconds pass, and evaluate the rule after each."""
        for _ in range(times):
            await self.clock.advance(1.0)
            now = self.clock.monotonic()
            self.history.begin(now, self.clock.now())
            self.history.add(self.registry.collect(now))
            self.history.add(Sample(series, value) for series, value in self._held.items())
            seen = len(self.engine.events())
            self.engine.tick()
            self.transitions += [self._word(alert) for alert in self.engine.events()[seen:]]

    def restart(self, rule: AlertRule) -> None:
        """End the process without a word and begin another; counters begin at 0."""
        self._store.flush()
        self._held.clear()
        self._begin(rule)

    def readings(self) -> Mapping[str, Reading]:
        """Return what the rule reads at the newest tick, by labels (``symbol=A``)."""
        return {_text(reading): reading for reading in self._rule.read(self.history)}

    def _begin(self, rule: AlertRule) -> None:
        self._rule = rule
        self.registry = Registry()
        self.history = History(self.registry)
        self.engine = AlertEngine(
            rules=[rule],
            store=self._store,
            clock=self.clock,
            view=self.history,
            telemetry=self.registry,
        )

    def _word(self, alert: Alert) -> str:
        at = (self.clock.now() - _START) / timedelta(seconds=1)
        subject = ",".join(f"{name}={value}" for name, value in alert.labels)
        return f"{at:g} {alert.state.value}" + (f"{{{subject}}}" if subject else "")


def _text(reading: Reading) -> str:
    return ",".join(f"{name}={value}" for name, value in reading.labels)
