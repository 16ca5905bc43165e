"""One broker under examination: opened beside any running agent, and closed again."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alluse_core.clock import SystemClock
from alluse_core.errors import AllUseError
from alluse_core.host import Host
from alluse_core.model import Evidence
from alluse_core.orders.pacing import SlidingWindowPacer
from alluse_core.orders.reader import JournalReader
from alluse_core.orders.user_rules import classifier
from alluse_core.ports import Broker, Check, Examinable, Inquiry, Verdict
from alluse_core.providers import Context
from alluse_core.settings import Settings
from alluse_core.state import JOURNAL, state_path
from alluse_core.telemetry import Registry

if TYPE_CHECKING:
    from alluse_core.cli.doctor import Wishes


async def examine(
    settings: Settings, host: Host, name: str, wishes: Wishes, folder: Path
) -> list[Check]:
    """Return what was found out about a broker within the limit; never raises for the broker."""
    checks: list[Check] = []
    try:
        async with asyncio.timeout(wishes.limit):
            broker = _open(settings, host, name, folder)
            async for check in _examined(broker, _inquiry(settings, name, wishes)):
                checks.append(_named(name, check))
    except TimeoutError:
        detail = f"not finished within {wishes.limit:g} s; what follows was not asked"
        checks.append(Check(f"{name} examination", Verdict.UNKNOWN, detail, "raise --limit"))
    except AllUseError as error:
        checks.append(Check(f"{name} connection", Verdict.FAIL, str(error), error.hint))
    return checks


def _named(name: str, check: Check) -> Check:
    return Check(f"{name} {check.name}", check.verdict, check.detail, check.hint)


def _open(settings: Settings, host: Host, name: str, folder: Path) -> Broker:
    provider = settings.brokers[name]
    settings_type: Any = host.provider("broker", provider).settings_type
    clock = SystemClock()
    pacer = SlidingWindowPacer(clock, 0.0)
    context = Context(
        name=name,
        clock=clock,
        telemetry=Registry(),
        settings=settings.table(f"brokers.{name}", settings_type),
        state_dir=folder,
        secret=host.redaction.secret,
        evidence=_unheard,
        pacer=pacer,
        classify=classifier(settings.orders.errors),
    )
    broker: Broker = host.open("broker", provider, context)
    pacer.limit(broker.capabilities.messages_per_second)
    return broker


def _unheard(_: Evidence) -> None:
    """What a broker says while it is examined is no evidence on an agent's orders."""


def _inquiry(settings: Settings, name: str, wishes: Wishes) -> Inquiry:
    return Inquiry(
        wishes.instruments,
        _used_order_ids(state_path(settings) / JOURNAL, name),
        settings.orders.live_account,
    )


def _used_order_ids(path: Path, name: str) -> dict[int, int] | None:
    if not path.exists():
        return {}
    try:
        with JournalReader(path) as reader:
            return reader.highest_order_ids(name)
    except (AllUseError, sqlite3.Error):
        # What is wrong with the journal is a check of its own.
        return None


async def _examined(broker: Broker, inquiry: Inquiry) -> AsyncIterator[Check]:
    if isinstance(broker, Examinable):
        async for check in broker.examine(inquiry):
            yield check
        return
    try:
        await broker.connect()
        yield await _life(broker)
    finally:
        await broker.close()


async def _life(broker: Broker) -> Check:
    seconds = await broker.probe()
    modes = ", ".join(
        f"{account} ({broker.account_mode(account).value})" for account in broker.accounts
    )
    found = f"{broker.link.value}, answered in {seconds * 1000:.1f} ms, accounts: {modes}"
    return Check("connection", Verdict.OK, found)
