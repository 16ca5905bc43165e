"""``alluse run``: the runtime against the brokers that the settings name, until interrupted."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

import alluse_core as alluse
from alluse_core.cli.output import print_json
from alluse_core.errors import SettingsError
from alluse_core.model import AccountMode


@click.command()
@click.option("--config", type=click.Path(dir_okay=False), help="Settings file.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Where reports are written."
)
@click.option("--seconds", type=float, help="Stop by itself after so long.")
@click.option("--live", metavar="ACCOUNT", help="Allow live orders on this very account.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def run(
    config: str | None, out: Path | None, seconds: float | None, live: str | None, as_json: bool
) -> None:
    """Connect, collect metrics, keep orders reconciled, until interrupted.

    Paper by default, judged by the account's own name. A live account needs all three of
    [orders] live_account, --live ACCOUNT, and the two to be equal.
    """
    settings = alluse.Settings.load(config)
    _check_live(settings.orders.live_account, live)
    written = asyncio.run(_run(settings, out, seconds))
    if as_json:
        print_json({"written": written})


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


async def _run(settings: alluse.Settings, out: Path | None, seconds: float | None) -> list[Path]:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with alluse.open(settings) as runtime:
        mode = "LIVE" if runtime.mode is AccountMode.LIVE else runtime.mode.value.upper()
        for name, broker in runtime.brokers.items():
            accounts = ", ".join(broker.accounts) or "no account"
            click.echo(f"{mode}  broker {name}: {broker.link.value}, {accounts}", err=True)
        click.echo(f"state in {runtime.state}; Ctrl-C ends", err=True)
        try:
            await asyncio.wait_for(stop.wait(), seconds)
        except TimeoutError:
            click.echo(f"{seconds:g} s are over", err=True)
        written = await runtime.report(out) if out is not None else []
        for path in written:
            click.echo(f"wrote {path}", err=True)
        return written
