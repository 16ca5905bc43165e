"""``alluse doctor``: what would keep a run from working, found before it starts."""

from __future__ import annotations

import asyncio
import platform
import shutil
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import attrs
import click

from alluse_core.cli.output import print_json, print_table
from alluse_core.errors import AllUseError
from alluse_core.host import PluginState
from alluse_core.installation import check_names, load_host, settings_types
from alluse_core.settings import Settings
from alluse_core.state import JOURNAL, StateFolder, state_path

_LOW_DISK_BYTES = 1 << 30


class Verdict(StrEnum):
    """What a check found."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    NOT_RUN = "not run"


@attrs.frozen
class Check:
    """One question, its answer, and what to do about it."""

    name: str
    verdict: Verdict
    detail: str
    hint: str = ""


@click.command()
@click.option("--config", type=click.Path(dir_okay=False), help="Settings file.")
@click.option("--connect", is_flag=True, help="Connect to the brokers as well.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(config: str | None, connect: bool, as_json: bool) -> int:
    """Check the installation, the settings, the state folder and, if asked, the brokers."""
    checks = list(_checks(config, connect))
    if as_json:
        print_json(checks)
    else:
        rows = [
            (item.verdict, item.name, item.detail + (f" -> {item.hint}" if item.hint else ""))
            for item in checks
        ]
        print_table(("", "check", "found"), rows)
    return 1 if any(item.verdict is Verdict.FAIL for item in checks) else 0


def _checks(config: str | None, connect: bool) -> Iterator[Check]:
    yield Check("python", Verdict.OK, f"{platform.python_version()} at {sys.executable}")
    try:
        settings = Settings.load(config)
        host = load_host(settings)
        types = settings_types(settings, host)
        count = len(settings.effective(types))
        check_names(settings, host)
    except AllUseError as error:
        yield Check("settings", Verdict.FAIL, str(error), error.hint)
        return
    yield Check("settings", Verdict.OK, f"{count} settings read")
    for info in host.plugins:
        if info.state is PluginState.FAILED:
            yield Check(f"plugin {info.name}", Verdict.FAIL, info.error, "reinstall or disable it")
    loaded = sum(info.state is PluginState.LOADED for info in host.plugins)
    yield Check("plugins", Verdict.OK, f"{loaded} of {len(host.plugins)} loaded")
    yield from _state_checks(settings)
    yield from _broker_checks(settings, connect)


def _state_checks(settings: Settings) -> Iterator[Check]:
    path = state_path(settings)
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    low = free < _LOW_DISK_BYTES
    yield Check(
        "disk",
        Verdict.WARN if low else Verdict.OK,
        f"{free / 1e9:.1f} GB free for {path}",
        "free some space: a full disk stops new orders" if low else "",
    )
    if not path.exists():
        yield Check("state folder", Verdict.OK, f"{path} will be made by the first run")
        return
    try:
        with StateFolder(path):
            yield Check("state folder", Verdict.OK, f"{path} is free to use")
            yield _journal_check(path / JOURNAL)
    except AllUseError as error:
        yield Check("state folder", Verdict.FAIL, str(error), error.hint)


def _journal_check(path: Path) -> Check:
    if not path.exists():
        return Check("journal", Verdict.OK, "none yet")
    from alluse_core.orders.reader import verify

    found = verify(path)
    if found.ok:
        return Check("journal", Verdict.OK, f"{found.records} records, chain and anchor agree")
    return Check("journal", Verdict.FAIL, found.problem, "see 'alluse journal verify'")


def _broker_checks(settings: Settings, connect: bool) -> Iterator[Check]:
    if not settings.brokers:
        yield Check("brokers", Verdict.WARN, "none configured", "run 'alluse config init'")
        return
    if not connect:
        names = ", ".join(settings.brokers)
        yield Check("brokers", Verdict.NOT_RUN, names, "add --connect to try them")
        return
    try:
        yield from asyncio.run(_connected(settings))
    except AllUseError as error:
        yield Check("brokers", Verdict.FAIL, str(error), error.hint)


async def _connected(settings: Settings) -> list[Check]:
    import alluse_core as alluse

    checks = []
    async with alluse.open(settings) as runtime:
        for name, broker in runtime.brokers.items():
            seconds = await broker.probe()
            modes = ", ".join(
                f"{account} ({broker.account_mode(account).value})" for account in broker.accounts
            )
            found = f"{broker.link.value}, answered in {seconds * 1000:.1f} ms, accounts: {modes}"
            checks.append(Check(f"broker {name}", Verdict.OK, found))
    return checks
