from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from alluse_core.model import (
    Alert,
    AlertState,
    Condition,
    NodeIdentity,
    Reading,
    Severity,
    labels,
)
from alluse_core.monitor.alerts import RULE_FAILING, AlertEngine
from alluse_core.monitor.collector import Collector
from alluse_core.monitor.store import SqliteMetricStore
from alluse_core.ports import MetricView
from alluse_core.telemetry import Registry
from alluse_core.testing import VirtualClock

TRIP, CLEAR, NO_DATA = Condition.TRIP, Condition.CLEAR, Condition.NO_DATA


class Scripted:
    """A rule that reads what the test wrote: subject to condition, or an exception."""

    severity = Severity.WARNING
    unit = "%"
    runbook = "docs"

    def __init__(self, name: str = "rule", for_seconds: float = 0.0, keep: float = 0.0) -> None:
        self.name = name
        self.for_seconds = for_seconds
        self.keep_firing_for = keep
        self.script: dict[str, Condition] | Exception = {}

    def read(self, view: MetricView) -> Iterable[Reading]:
        if isinstance(self.script, Exception):
            raise self.script
        for subject, condition in self.script.items():
            yield Reading(condition, 1.0, 0.5, f"{subject} is 1", labels(symbol=subject))


class World:
    """An engine on a virtual clock, with its collector."""

    def __init__(
        self,
        node: NodeIdentity,
        store: SqliteMetricStore,
        *rules: Scripted,
        clock: VirtualClock | None = None,
        notifiers: Sequence[Pager] = (),
    ) -> None:
        self.clock = clock or VirtualClock()
        self.registry = Registry()
        self.collector = Collector(
            registry=self.registry, sources=(), store=store, clock=self.clock, node=node
        )
        self.engine = AlertEngine(
            rules=rules,
            store=store,
            clock=self.clock,
            view=self.collector,
            telemetry=self.registry,
            notifiers=notifiers,
        )

    async def tick(self, times: int = 1) -> None:
        for _ in range(times):
            await self.clock.advance(1.0)
            self.collector.tick()
            self.engine.tick()

    def states(self) -> list[tuple[str, str]]:
        return [(dict(a.labels).get("symbol", ""), a.state.value) for a in self.engine.events()]


def test_each_subject_of_a_rule_has_an_alert_of_its_own(
    node: NodeIdentity, store: SqliteMetricStore
) -> None:
    rule = Scripted(for_seconds=2.0)
    world = World(node, store, rule)

    async def play() -> None:
        rule.script = {"A": TRIP, "B": CLEAR}
        await world.tick(2)
        rule.script = {"A": TRIP, "B": TRIP}
        await world.tick()
        rule.script = {"A": CLEAR, "B": TRIP}
        await world.tick(3)

    asyncio.run(play())
    assert world.states() == [
        ("A", "pending"),
        ("A", "firing"),
        ("B", "pending"),
        ("A", "resolved"),
        ("B", "firing"),
    ]
    assert [dict(a.labels)["symbol"] for a in world.engine.active()] == ["B"]


def test_a_subject_that_is_no_longer_read_keeps_its_state_and_says_so(
    node: NodeIdentity, store: SqliteMetricStore
) -> None:
    rule = Scripted()
    world = World(node, store, rule)

    async def play() -> None:
        rule.script = {"A": TRIP}
        await world.tick()
        rule.script = {}
        await world.tick(5)

    asyncio.run(play())
    (alert,) = world.engine.active()
    assert alert.state is AlertState.FIRING
    assert "no data since" in alert.text


def test_a_rule_that_raises_is_alarmed_and_counted_and_the_others_go_on(
    node: NodeIdentity, store: SqliteMetricStore
) -> None:
    bad, good = Scripted("bad"), Scripted("good")
    world = World(node, store, bad, good)

    async def play() -> None:
        bad.script = {"A": TRIP}
        await world.tick()
        bad.script = ZeroDivisionError("by zero")
        good.script = {"B": TRIP}
        await world.tick(2)
        firing = {alert.rule for alert in world.engine.active()}
        assert firing == {"bad", "good", RULE_FAILING}
        bad.script = {"A": CLEAR}
        await world.tick()

    asyncio.run(play())
    assert {alert.rule for alert in world.engine.active()} == {"good"}
    ended = [a for a in world.engine.events() if a.rule == RULE_FAILING]
    assert [a.state.value for a in ended] == ["pending", "firing", "resolved"]
    assert "ZeroDivisionError: by zero" in ended[0].text
    samples = {str(s.series): s.value for s in world.registry.collect(0.0)}
    assert samples["alerts.rule_errors{rule=bad}"] == 2.0


def test_an_engine_counts_what_it_does(node: NodeIdentity, store: SqliteMetricStore) -> None:
    rule = Scripted()
    world = World(node, store, rule)

    async def play() -> None:
        rule.script = {"A": TRIP}
        await world.tick(2)
        await world.clock.advance(4.0)
        await world.tick()

    asyncio.run(play())
    samples = {str(s.series): s.value for s in world.registry.collect(0.0)}
    assert samples["alerts.ticks"] == 3.0
    assert samples["alerts.ticks_missed"] == 4.0
    assert samples["alerts.count{state=firing}"] == 1.0
    assert samples["alerts.count{state=pending}"] == 0.0
    assert samples["alerts.transitions{to=firing}"] == 1.0
    assert samples["alerts.evaluation_ms.count{rule=rule}"] == 3.0


@pytest.mark.parametrize("killed_after", range(12))
def test_a_restart_at_any_tick_changes_nothing_but_the_process(
    node: NodeIdentity, tmp_path: Path, killed_after: int
) -> None:
    """Pending from 1, firing from 4, clearing from 6, resolved at 9: whenever it is killed."""
    script = [CLEAR, TRIP, TRIP, TRIP, TRIP, TRIP, CLEAR, CLEAR, CLEAR, CLEAR, CLEAR, CLEAR]

    async def play() -> list[Alert]:
        clock = VirtualClock()
        rule = Scripted(for_seconds=3.0, keep=3.0)
        store = SqliteMetricStore(tmp_path / "metrics.db")
        world = World(node, store, rule, clock=clock)
        for tick, condition in enumerate(script):
            rule.script = {"A": condition}
            await world.tick()
            if tick == killed_after:
                # What a killed process had handed to the store stays; its memory is gone.
                store.close()
                store = SqliteMetricStore(tmp_path / "metrics.db")
                world = World(node, store, rule, clock=clock)
        found = list(store.alerts())
        store.close()
        return found

    (alert,) = asyncio.run(play())
    assert alert.state is AlertState.RESOLVED
    assert alert.fired_at is not None
    assert alert.resolved_at is not None
    assert (alert.fired_at - alert.pending_at).total_seconds() == 3.0
    assert (alert.resolved_at - alert.fired_at).total_seconds() == 5.0


def test_an_alert_whose_rule_is_gone_is_ended_and_says_why(
    node: NodeIdentity, store: SqliteMetricStore
) -> None:
    rule = Scripted()
    world = World(node, store, rule)

    async def play() -> None:
        rule.script = {"A": TRIP}
        await world.tick()

    asyncio.run(play())
    store.flush()
    again = World(node, store, Scripted("another"))
    assert again.engine.active() == []
    (alert,) = again.engine.history()
    assert alert.state is AlertState.RESOLVED
    assert "rule rule no longer runs" in alert.text


class Pager:
    name = "pager"

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.got: list[str] = []

    async def notify(self, alert: Alert) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("no network")
        self.got.append(alert.state.value)


def test_notifiers_hear_of_firing_and_resolved_and_are_tried_again(
    node: NodeIdentity, store: SqliteMetricStore
) -> None:
    rule, pager, broken = Scripted(), Pager(failures=2), Pager(failures=10**9)
    broken.name = "broken"
    world = World(node, store, rule, notifiers=[pager, broken])

    async def play() -> None:
        await world.engine.start()
        rule.script = {"A": TRIP}
        await world.tick()
        assert pager.got == []
        rule.script = {"A": CLEAR}
        await world.tick(5)
        assert pager.got == ["firing", "resolved"]
        await world.engine.stop()
        await world.engine.stop()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(play())
    samples = {str(s.series): s.value for s in world.registry.collect(0.0)}
    assert samples["alerts.notifications{notifier=pager,outcome=delivered}"] == 2.0
    assert samples["alerts.notifications{notifier=pager,outcome=retried}"] == 2.0
    assert samples["alerts.notifications{notifier=broken,outcome=failed}"] == 2.0


def test_an_alert_that_fires_at_the_very_end_is_still_delivered(
    node: NodeIdentity, store: SqliteMetricStore
) -> None:
    rule, pager = Scripted(), Pager(failures=0)
    world = World(node, store, rule, notifiers=[pager])

    async def play() -> None:
        await world.engine.start()
        rule.script = {"A": TRIP}
        world.collector.tick()
        world.engine.tick()
        await world.engine.stop()

    asyncio.run(play())
    assert pager.got == ["firing"]


_ENDLESS = """
import sys, time
from alluse_core.clock import SystemClock
from alluse_core.model import Condition, NodeIdentity, Reading, Severity
from alluse_core.monitor.alerts import AlertEngine
from alluse_core.monitor.collector import Collector
from alluse_core.monitor.store import SqliteMetricStore
from alluse_core.telemetry import Registry

class Rule:
    name, severity, unit, runbook = "rule", Severity.WARNING, "%", "docs"
    for_seconds, keep_firing_for = float(sys.argv[2]), 60.0
    def read(self, view):
        yield Reading(Condition.TRIP, 1.0, 0.5, "one")

store, registry, clock = SqliteMetricStore(sys.argv[1]), Registry(), SystemClock()
node = NodeIdentity("t", "n", "a", "1")
collector = Collector(registry=registry, sources=(), store=store, clock=clock, node=node)
engine = AlertEngine(
    rules=[Rule()], store=store, clock=clock, view=collector, telemetry=registry)
while True:
    collector.tick()
    engine.tick()
    store.flush()
    print(engine.active()[0].state.value, flush=True)
    time.sleep(0.01)
"""


@pytest.mark.parametrize(("state", "for_seconds"), [("pending", 3_600.0), ("firing", 0.0)])
def test_a_killed_process_leaves_its_alerts_to_the_next(
    node: NodeIdentity, tmp_path: Path, state: str, for_seconds: float
) -> None:
    path = tmp_path / "metrics.db"
    process = subprocess.Popen(
        [sys.executable, "-c", _ENDLESS, str(path), str(for_seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while process.stdout.readline().strip() != state:
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    store = SqliteMetricStore(path)
    rule = Scripted(for_seconds=for_seconds)
    world = World(node, store, rule)
    (alert,) = world.engine.active()
    assert alert.state.value == state
    assert world.engine.events() == [], "the next process tells of nothing that is not new"
    store.close()
