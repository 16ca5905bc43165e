"""``alluse watchdog``: a process of its own that acts when the trading one is dead."""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from alluse_core.cli.numbers import FiniteRange
from alluse_core.errors import UsageError
from alluse_core.heartbeat import Beat, read_file, read_port
from alluse_core.settings import Settings
from alluse_core.state import state_path
from alluse_core.watchdog import LOG, Deed, Plan, Record, Watchdog

_ACTED = 6


@click.command()
@click.option("--config", type=click.Path(dir_okay=False), help="Settings of the trading process.")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help="Its state folder, instead of the settings'.",
)
@click.option("--connect", metavar="HOST:PORT", help="Watch [heartbeat] port, as by a tunnel.")
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="A copy of its heartbeat.token, with --connect.",
)
@click.option(
    "--after",
    type=FiniteRange(min=1.0),
    default=30.0,
    show_default=True,
    help="Act when the heart stood still for so many seconds.",
)
@click.option(
    "--do",
    "deed",
    type=click.Choice([deed.value for deed in Deed]),
    default=Deed.PAGE.value,
    show_default=True,
    help="Only page; cancel what increases risk; or close all positions too.",
)
@click.option("--page", default="", metavar="COMMAND", help="Run it, JSON on its standard input.")
@click.option(
    "--patience",
    type=FiniteRange(min=1.0),
    default=120.0,
    show_default=True,
    help="Seconds to wait until what was asked for is so.",
)
@click.option("--dry-run", is_flag=True, help="Say what it would do, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print each event as one line of JSON.")
def watchdog(
    config: str | None,
    state: Path | None,
    connect: str | None,
    token_file: Path | None,
    after: float,
    deed: str,
    page: str,
    patience: float,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Watch a trading process's heart; when it stops, act once and end with code 6.

    It never acts while the heart beats nor after an orderly stop, and never cancels protective
    orders or those of people. What it sees and does goes into watchdog.jsonl of the state folder.

    Exit codes: 6 it acted (or would have, with --dry-run), 2 or 3 it could not have acted by these
    options or settings, another one it failed to act and said why.
    """
    settings = Settings.load(config)
    folder = state or state_path(settings)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    read = _reader(connect, token_file) if connect else partial(read_file, folder)
    _check_page(page)
    heart = connect or str(folder)
    plan = Plan(settings, folder, read, after, Deed(deed), page, patience, dry_run, heart)

    def tell(body: dict[str, Any]) -> None:
        words = ", ".join(f"{name} {value}" for name, value in body.items() if name != "time")
        click.echo(json.dumps(body) if as_json else f"{body['time'][:19]}  {words}")

    asyncio.run(Watchdog(plan, Record(folder / LOG, tell)).run())
    return _ACTED


def _check_page(page: str) -> None:
    """Refuse a page command that could not be run when it is needed."""
    try:
        words = shlex.split(page)
    except ValueError as error:
        raise UsageError(f"--page cannot be read: {error}") from None
    if words and shutil.which(words[0]) is None:
        raise UsageError(
            f"--page: there is no program {words[0]!r}",
            hint="name it with its whole path, and see that it may be run",
        )


def _reader(connect: str, token_file: Path | None) -> Callable[[], Beat | None]:
    host, _, port = connect.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise UsageError(f"--connect takes HOST:PORT, not {connect!r}")
    token = token_file.read_bytes().strip() if token_file is not None else b""
    if not token:
        raise UsageError(
            "--connect needs a --token-file that holds the token",
            hint="copy heartbeat.token from the state folder of the process",
        )
    return partial(read_port, host.strip("[]"), int(port), token)
