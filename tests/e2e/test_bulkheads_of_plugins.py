"""Sources, rules, notifiers and reporters that hang or are slow cost no order anything."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from alluse_sim.loop import LoopClock, VirtualLoop, run

import alluse_core
from alluse_core import Instrument, Order, OrderState, Provider, Side, hookimpl
from alluse_core.model import Alert, AlertState, Condition, Reading, Sample, Severity
from alluse_core.monitor.blame import LONGEST_STEP
from alluse_core.monitor.notify import Notifications
from alluse_core.ports import AlertRule, MetricSource, MetricView, Notifier, Reporter, ReportRequest
from alluse_core.telemetry import Registry

TOO_LONG = LONGEST_STEP + 0.01


class Sleeper:
    """A source, rule, notifier and reporter in one: each as bad as it can be."""

    name = "sleeper"
    period = 0.2
    severity, unit, runbook = Severity.WARNING, "", "docs"
    for_seconds = keep_firing_for = 0.0

    def __init__(self) -> None:
        self.release = threading.Event()
        self.notified, self.healed = asyncio.Event(), asyncio.Event()
        self.writing = threading.Event()

    def collect(self, now: float) -> Iterable[Sample]:
        time.sleep(TOO_LONG)
        return ()

    def read(self, view: MetricView) -> Iterable[Reading]:
        time.sleep(TOO_LONG)
        return [Reading(Condition.TRIP, 1.0, 0.5, "always")]

    async def notify(self, alert: Alert) -> None:
        time.sleep(TOO_LONG)
        self.notified.set()
        await self.healed.wait()

    def write(self, request: ReportRequest) -> Sequence[Path]:
        self.writing.set()
        assert self.release.wait(60)
        return ()

    @hookimpl
    def alluse_metric_sources(self) -> Iterator[Provider[MetricSource]]:
        yield Provider(self.name, lambda _: self, help="sleeps")

    @hookimpl
    def alluse_alert_rules(self) -> Iterator[Provider[AlertRule]]:
        yield Provider(self.name, lambda _: self, help="sleeps")

    @hookimpl
    def alluse_notifiers(self) -> Iterator[Provider[Notifier]]:
        yield Provider(self.name, lambda _: self, help="hangs")

    @hookimpl
    def alluse_reporters(self) -> Iterator[Provider[Reporter]]:
        yield Provider(self.name, lambda _: self, help="hangs")


def _settings() -> dict[str, Any]:
    paper = {"provider": "paper", "accounts": ["DU1000001"], "enforce_hours": False}
    return {
        "brokers": {"main": paper},
        "orders": {"default_broker": "main"},
        "monitor": {"period": 0.2},
        "alerts": {"notify": ["sleeper"]},
        "report": {"reporters": ["sleeper"]},
    }


async def _buy(runtime: alluse_core.Runtime, quantity: int) -> OrderState:
    aapl = Instrument.stock("AAPL")
    quote = await runtime.quotes.get(aapl)
    price = f"{quote.ask * 1.01:.2f}"
    order = Order.limit(aapl, Side.BUY, quantity, price, key=f"order/{quantity}")
    return (await (await runtime.orders.submit(order)).outcome(30)).state


def _held(registry: Registry, kind: str, name: str = "sleeper") -> float:
    return registry.counter("monitor", "loop_held", kind=kind, name=name).value


def test_orders_fill_while_plugins_hang_and_who_held_the_loop_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "alluse_core.monitor.blame")

    async def session() -> None:
        sleeper = Sleeper()
        async with alluse_core.open(_settings(), plugins=[sleeper], state=tmp_path) as runtime:
            async with asyncio.timeout(60):
                await sleeper.notified.wait()
                report = asyncio.create_task(runtime.report(tmp_path / "out"))
                while not sleeper.writing.is_set():
                    await asyncio.sleep(0.01)
                try:
                    for quantity in (1, 2, 3):
                        assert await _buy(runtime, quantity) is OrderState.FILLED
                    # The reporter and the notifier hang still: nothing waited for them.
                    assert not report.done()
                    delivered = runtime.registry.counter(
                        "alerts", "notifications", notifier="sleeper", outcome="delivered"
                    )
                    assert delivered.value == 0
                finally:
                    sleeper.release.set()
                    sleeper.healed.set()
                    await report
            assert min(_held(runtime.registry, each) for each in ("source", "rule", "notifier")) > 0

    asyncio.run(session())
    said = [record.getMessage() for record in caplog.records]
    for kind in ("source", "rule", "notifier"):
        assert len([text for text in said if text.startswith(f"{kind} 'sleeper' held")]) == 1


class Deaf:
    """A notifier whose first deliveries never end."""

    name = "deaf"

    def __init__(self, hangs: int) -> None:
        self.hangs = hangs
        self.got: list[str] = []

    async def notify(self, alert: Alert) -> None:
        if self.hangs:
            self.hangs -= 1
            await asyncio.Event().wait()
        self.got.append(alert.rule)


def _alert(rule: str, clock: LoopClock) -> Alert:
    warning, firing = Severity.WARNING, AlertState.FIRING
    return Alert("id", rule, (), warning, firing, 1.0, 0.5, "", "text", clock.now())


def test_a_delivery_without_an_end_is_given_up_and_tried_again() -> None:
    async def session(loop: VirtualLoop) -> None:
        clock, registry, deaf = LoopClock(loop), Registry(), Deaf(hangs=2)
        notifications = Notifications([deaf], clock, registry)
        notifications.start()
        for rule in ("one", "two"):
            notifications.offer(_alert(rule, clock))
        await asyncio.sleep(59)
        assert deaf.got == []
        await asyncio.sleep(10)
        assert deaf.got == ["one", "two"]
        await notifications.stop()
        samples = {str(each.series): each.value for each in registry.collect(0.0)}
        assert samples["alerts.notifications{notifier=deaf,outcome=retried}"] == 2.0
        assert samples["alerts.notifications{notifier=deaf,outcome=delivered}"] == 2.0

    run(session)


def test_a_notifier_that_waits_without_holding_the_loop_is_not_blamed() -> None:
    async def session(loop: VirtualLoop) -> None:
        clock, registry, deaf = LoopClock(loop), Registry(), Deaf(hangs=1)
        # The clock of the steps stands still: whatever passes, passes while it waits.
        notifications = Notifications([deaf], clock, registry, cpu_clock=lambda: 0.0)
        notifications.start()
        notifications.offer(_alert("one", clock))
        await asyncio.sleep(100)
        assert deaf.got == ["one"]
        assert _held(registry, "notifier", "deaf") == 0
        await notifications.stop()

    run(session)
