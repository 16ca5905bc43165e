"""``alluse doctor``: what would keep a run from working, found before it starts."""

from __future__ import annotations

import asyncio
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import click

from alluse_core.cli.output import print_json, print_table
from alluse_core.errors import AllUseError, UsageError
from alluse_core.host import Host, PluginState
from alluse_core.installation import check_names, load_host, settings_types
from alluse_core.model import Instrument
from alluse_core.ports import Check, Verdict
from alluse_core.settings import Settings
from alluse_core.state import JOURNAL, StateFolder, state_path

_LOW_DISK_BYTES = 1 << 30


@attrs.frozen
class Wishes:
    """Whether and how the brokers are to be examined; ``limit`` is seconds for each."""

    connect: bool
    instruments: tuple[Instrument, ...]
    limit: float


@click.command()
@click.option("--config", type=click.Path(dir_okay=False), help="Settings file.")
@click.option("--connect", is_flag=True, help="Examine the brokers as well; places no order.")
@click.option(
    "--ask",
    multiple=True,
    metavar="INSTRUMENT",
    help="Try the data and the permissions of this one, such as AAPL or STK:SPY:ARCA:USD.",
)
@click.option(
    "--limit", default=60.0, show_default=True, help="Seconds that one broker may take at most."
)
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings and unknown answers too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(
    config: str | None,
    connect: bool,
    ask: tuple[str, ...],
    limit: float,
    strict: bool,
    as_json: bool,
) -> int:
    """Check the installation, the settings, the state folder and, if asked, the brokers."""
    checks = list(_checks(config, _wishes(connect, ask, limit)))
    if as_json:
        print_json(checks)
    else:
        rows = [
            (item.verdict, item.name, item.detail + (f" -> {item.hint}" if item.hint else ""))
            for item in checks
        ]
        print_table(("", "check", "found"), rows)
    bad = {Verdict.FAIL, Verdict.WARN, Verdict.UNKNOWN} if strict else {Verdict.FAIL}
    return 1 if any(item.verdict in bad for item in checks) else 0


def _wishes(connect: bool, ask: tuple[str, ...], limit: float) -> Wishes:
    if ask and not connect:
        raise UsageError("--ask examines a broker", hint="add --connect")
    if not 0 < limit < 3600:
        raise UsageError(f"--limit is seconds between 0 and 3600, not {limit:g}")
    try:
        return Wishes(connect, tuple(Instrument.parse(text) for text in ask), limit)
    except ValueError as error:
        raise UsageError(str(error), hint="write AAPL, or STK:SPY:ARCA:USD") from None


def _checks(config: str | None, wishes: Wishes) -> Iterator[Check]:
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
    yield from _broker_checks(settings, host, wishes)


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
    from alluse_core.orders.verification import verify

    found = verify(path)
    if found.ok:
        return Check("journal", Verdict.OK, f"{found.records} records, chain and anchor agree")
    return Check("journal", Verdict.FAIL, found.problem, "see 'alluse journal verify'")


def _broker_checks(settings: Settings, host: Host, wishes: Wishes) -> Iterator[Check]:
    if not settings.brokers:
        yield Check("brokers", Verdict.WARN, "none configured", "run 'alluse config init'")
        return
    if not wishes.connect:
        names = ", ".join(settings.brokers)
        yield Check("brokers", Verdict.NOT_RUN, names, "add --connect to try them")
        return
    from alluse_core.cli.examine import examine

    for name in settings.brokers:
        # A folder of its own that goes away: what is examined must leave nothing behind.
        with TemporaryDirectory(prefix="alluse-doctor-") as folder:
            yield from asyncio.run(examine(settings, host, name, wishes, Path(folder)))
