"""``alluse run``: the runtime against the brokers that the settings name, until interrupted."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

import alluse_core as alluse
from alluse_core.cli.numbers import FiniteRange
from alluse_core.cli.output import print_json
from alluse_core.collector import startup_frozen
from alluse_core.errors import SettingsError, UsageError

_INTERRUPTED = 130


@click.command()
@click.option("--config", type=click.Path(dir_okay=False), help="Settings file.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Where reports are written."
)
@click.option(
    "--seconds", type=FiniteRange(min=0, min_open=True), help="Stop by itself after so long."
)
@click.option("--live", metavar="ACCOUNT", help="Allow live orders on this very account.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def run(
    config: str | None, out: Path | None, seconds: float | None, live: str | None, as_json: bool
) -> int:
    """Connect, collect metrics, keep orders reconciled, until interrupted.

    Paper by default, judged by the account's own name. A live account needs all three of
    [orders] live_account, --live ACCOUNT, and the two to be equal. Ctrl-C writes the reports and
    exits with 130; SIGTERM, as a service is stopped by, with 0.
    """
    settings = alluse.Settings.load(config)
    _check_live(settings.orders.live_account, live)
    written, interrupted = asyncio.run(_run(settings, out, seconds))
    if as_json:
        print_json({"written": written})
    return _INTERRUPTED if interrupted else 0


def _check_live(configured: str, typed: str | None) -> None:
    if typed is not None and typed != configured:
        raise SettingsError(
            f"--live {typed} is not what [orders] live_account says ({configured or 'nothing'})",
            hint="both must name the same account",
        )
    if configured and typed is None:
        raise SettingsError(
            f"[orders] live_account names {configured}, and --live was not given",
            hint=f"add --live {configured}, or leave live_account empty for paper",
        )


async def _run(
    settings: alluse.Settings, out: Path | None, seconds: float | None
) -> tuple[list[Path], bool]:
    """Run; return what was written, and whether Ctrl-C ended it.

    Until the brokers are connected there is nothing to report: Ctrl-C then just ends it.
    """
    if out is not None:
        _make(out)
    opened = alluse.open(settings)
    with _logged_without_secrets(opened.redaction):
        async with opened as runtime:
            with startup_frozen():
                return await _until_stopped(runtime, out, seconds)


async def _until_stopped(
    runtime: alluse.Runtime, out: Path | None, seconds: float | None
) -> tuple[list[Path], bool]:
    stop = _Stop()
    for name, broker in runtime.brokers.items():
        accounts = ", ".join(broker.accounts) or "no account"
        mode = runtime.mode.value.upper()
        click.echo(f"{mode}  broker {name}: {broker.link.value}, {accounts}", err=True)
    click.echo(f"state in {runtime.state}; Ctrl-C ends", err=True)
    try:
        await asyncio.wait_for(stop.event.wait(), seconds)
    except TimeoutError:
        click.echo(f"{seconds:g} s are over", err=True)
    written = await runtime.report(out) if out is not None else []
    for path in written:
        click.echo(f"wrote {path}", err=True)
    return written, stop.interrupted


@contextmanager
def _logged_without_secrets(redaction: logging.Filter) -> Iterator[None]:
    """Print what is logged from WARNING up, as Python does where nobody says how."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.addFilter(redaction)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def _make(out: Path) -> None:
    """Make the folder before anything is traded that could not be reported."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {str(out)!r} cannot be made: {error.strerror}") from None


class _Stop:
    """Set by Ctrl-C and by SIGTERM, which it tells apart."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.interrupted = False
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        loop.add_signal_handler(signal.SIGTERM, self.event.set)

    def _interrupt(self) -> None:
        self.interrupted = True
        self.event.set()
