"""Secrets are planted, and plugins quote them in all that they raise: they must appear nowhere."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import attrs
import pytest

import alluse_core
from alluse_core import Instrument, Order, Provider, Side, hookimpl
from alluse_core.errors import OrderDenied
from alluse_core.model import Alert, Reading, Sample, Severity
from alluse_core.ports import (
    AlertRule,
    Decision,
    MetricSource,
    MetricView,
    Notifier,
    OrderStage,
    OrderView,
    StagePhase,
)
from alluse_core.providers import Context

IN_SETTINGS = "canary-of-the-settings-7f3a"
IN_ENVIRONMENT = "canary-of-the-environment-91c2"


@attrs.frozen
class PagerSettings:
    api_token: str = ""


class Leak:
    """A stage, source, rule and notifier in one; each raises with both secrets in its text."""

    name = "leak"
    phase = StagePhase.RISK
    period = 0.1
    severity, unit, runbook = Severity.WARNING, "", "docs"
    for_seconds = keep_firing_for = 0.0

    def __init__(self) -> None:
        self.secrets = ""
        self.raised: set[str] = set()

    def _open(self, context: Context) -> Leak:
        self.secrets = f"{context.settings.api_token}&{context.secret('PAGER_TOKEN')}"
        return self

    def _raise(self, what: str) -> NoReturn:
        self.raised.add(what)
        raise ConnectionError(f"GET https://pager.example/send?token={self.secrets} failed")

    def check(self, order: Order, view: OrderView) -> Decision:
        self._raise("stage")

    def collect(self, now: float) -> Iterable[Sample]:
        self._raise("source")

    def read(self, view: MetricView) -> Iterable[Reading]:
        self._raise("rule")

    async def notify(self, alert: Alert) -> None:
        self._raise("notifier")

    def _refuse(self, context: Context) -> NoReturn:
        self._open(context)
        self._raise("opening")

    @hookimpl
    def alluse_order_stages(self) -> Iterator[Provider[OrderStage]]:
        yield Provider(self.name, lambda _: self, help="leaks")

    @hookimpl
    def alluse_metric_sources(self) -> Iterator[Provider[MetricSource]]:
        yield Provider(self.name, lambda _: self, help="leaks")

    @hookimpl
    def alluse_alert_rules(self) -> Iterator[Provider[AlertRule]]:
        yield Provider(self.name, lambda _: self, help="leaks")
        yield Provider("refusing", self._refuse, settings_type=PagerSettings, help="leaks")

    @hookimpl
    def alluse_notifiers(self) -> Iterator[Provider[Notifier]]:
        yield Provider(self.name, self._open, settings_type=PagerSettings, help="leaks")


def _settings() -> dict[str, Any]:
    return {
        "brokers": {
            "main": {"provider": "paper", "accounts": ["DU1000001"], "enforce_hours": False}
        },
        "orders": {"default_broker": "main", "stages": ["leak"]},
        "monitor": {"period": 0.1},
        "alerts": {"notify": ["leak"]},
        "notifiers": {"leak": {"api_token": IN_SETTINGS}},
        "rules": {"refusing": {"api_token": IN_SETTINGS}},
    }


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[io.StringIO, logging.Handler]]:
    monkeypatch.setenv("ALLUSE_SECRET_PAGER_TOKEN", IN_ENVIRONMENT)
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    logging.getLogger("alluse_core").addHandler(handler)
    yield written, handler
    logging.getLogger("alluse_core").removeHandler(handler)


def test_secrets_that_plugins_quote_in_their_errors_are_written_down_nowhere(
    tmp_path: Path, log: tuple[io.StringIO, logging.Handler]
) -> None:
    written, handler = log
    leak = Leak()
    said: list[object] = []

    async def session() -> None:
        runtime = alluse_core.open(_settings(), plugins=[leak], state=tmp_path / "state")
        handler.addFilter(runtime.redaction)
        async with runtime:
            with pytest.raises(OrderDenied) as denied:
                await runtime.orders.submit(
                    Order.limit(Instrument.stock("AAPL"), Side.BUY, 1, "100", key="one")
                )
            async with asyncio.timeout(30):
                while leak.raised < {"stage", "source", "rule", "notifier", "opening"}:
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.3)
            await runtime.report(tmp_path / "out")
            said.extend((denied.value, repr(denied.value), runtime.settings, runtime.node))
            said.extend(runtime.host.plugins)
            said.extend(runtime.alerts.active())
            said.append(runtime.orders.get("one").known)

    asyncio.run(session())
    told = written.getvalue()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"journal.db", "metrics.db", "report.json"} <= {path.name for path in files}
    assert "pager.example" in told
    assert any(b"pager.example" in path.read_bytes() for path in files)
    for secret in (IN_SETTINGS, IN_ENVIRONMENT):
        assert [path.name for path in files if secret.encode() in path.read_bytes()] == []
        assert secret not in told
        assert secret not in " ".join(map(str, said))
        assert secret not in " ".join(map(repr, said))
