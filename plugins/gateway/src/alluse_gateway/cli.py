"""``alluse gateway``: serve until interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import signal
import sys
from pathlib import Path

import click
from alluse_paper.market import Market

from alluse_core.clock import SystemClock
from alluse_core.errors import UsageError
from alluse_gateway.progress import Progress
from alluse_gateway.random_faults import RATE, random_scenario
from alluse_gateway.scenario import Scenario, find, shipped
from alluse_gateway.scenario_text import toml_of
from alluse_gateway.server import RATE_LIMIT, SimulatedGateway

MOST_FAULTS = 6000.0
"""Random faults a minute: the script of an hour is made, and printed, before anything is served."""


class _Gateway(click.Group):
    """``alluse gateway`` serves; ``alluse gateway ledger`` is imported where it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the sub-commands."""
        return ["ledger"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a sub-command."""
        if cmd_name != "ledger":
            return None
        from alluse_gateway.ledger_cli import command as ledger_command

        return ledger_command


@click.group(cls=_Gateway, invoke_without_command=True, subcommand_metavar="[ledger FILE]")
@click.pass_context
@click.option("--port", default=4002, show_default=True, help="Loopback port; 0 takes a free one.")
@click.option("--replay", type=click.Path(path_type=Path), help="A recording: a file or a folder.")
@click.option("--speed", default=1.0, show_default=True, help="Market seconds per second.")
@click.option("--seed", default=0, show_default=True, help="Seed of everything random.")
@click.option("--symbols", default=20, show_default=True, help="Symbols of the synthetic market.")
@click.option("--chain", multiple=True, help="A stock with an option chain; may be repeated.")
@click.option("--months", default=1, show_default=True, help="Contract months of the future.")
@click.option("--control-port", type=int, help="Loopback port of the control interface.")
@click.option(
    "--rate-limit", default=RATE_LIMIT, show_default=True, help="Messages a second; 0: unlimited."
)
@click.option("--sampling", type=float, help="Seconds between ticks of a line; 0: every change.")
@click.option("--lines", default=100, show_default=True, help="Market data lines.")
@click.option("--ledger", type=click.Path(path_type=Path), help="Write the ledger, JSON lines.")
@click.option("--scenario", metavar="NAME|FILE", help="Play a scenario of faults.")
@click.option("--scenarios", "list_them", is_flag=True, help="List the scenarios that are shipped.")
@click.option("--faults", type=int, metavar="SEED", help="Play random faults, printed as TOML.")
@click.option("--faults-rate", default=RATE, show_default=True, help="Random faults a minute.")
@click.option("--time-scale", default=1.0, show_default=True, help="Stretches a scenario's times.")
@click.option("--account", "accounts", multiple=True, help="An account; may be given again.")
@click.option("--state", type=click.Path(path_type=Path), help="Folder that outlives restarts.")
@click.option("--json", "as_json", is_flag=True, help="Print the ports as one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="Do not tell of clients, orders and faults.")
@click.option("--until-stdin-closes", is_flag=True, help="End with the process that started it.")
def command(
    context: click.Context,
    port: int,
    replay: Path | None,
    speed: float,
    seed: int,
    symbols: int,
    chain: tuple[str, ...],
    months: int,
    control_port: int | None,
    rate_limit: int,
    sampling: float | None,
    lines: int,
    ledger: Path | None,
    scenario: str | None,
    list_them: bool,
    faults: int | None,
    faults_rate: float,
    time_scale: float,
    accounts: tuple[str, ...],
    state: Path | None,
    as_json: bool,
    quiet: bool,
    until_stdin_closes: bool,
) -> None:
    """Serve a simulated IB Gateway on the loopback interface until interrupted.

    Clients, orders and faults are told on standard error as they come, unless --quiet or --json.
    'alluse gateway ledger FILE' prints what became of every order.
    """
    if context.invoked_subcommand is not None:
        return
    if list_them:
        _list_scenarios()
        return
    for name, value in (("--port", port), ("--control-port", control_port)):
        if value is not None and not 0 <= value <= 65535:
            raise UsageError(f"{name} is 0 to 65535, not {value}")
    _check_numbers(speed, rate_limit, sampling, lines)
    if not (0 < time_scale < math.inf and 0 < faults_rate <= MOST_FAULTS):
        raise UsageError(f"--time-scale is positive; --faults-rate is above 0, to {MOST_FAULTS:g}")
    if len(set(accounts)) < len(accounts) or not all(accounts):
        raise UsageError(f"each --account has a name of its own, unlike {list(accounts)}")
    gateway = SimulatedGateway(
        market=_market(replay, seed, symbols, chain, months),
        port=port,
        control_port=control_port,
        speed=speed,
        seed=seed,
        rate_limit=rate_limit,
        sampling=sampling,
        lines=lines,
        ledger_path=ledger,
        accounts=accounts or ("DU1000001",),
        state=state,
        # Without a file nobody reads the ledger of this process but the control interface.
        ledger_keep=10_000,
        scenario=_script(scenario, faults, faults_rate),
        time_scale=time_scale,
    )
    if not (quiet or as_json):
        progress = Progress(lambda line: click.echo(line, err=True))
        gateway.ledger.listen(progress.take)
    asyncio.run(_serve(gateway, as_json, until_stdin_closes))


def _check_numbers(speed: float, rate_limit: int, sampling: float | None, lines: int) -> None:
    if not 0 < speed < math.inf:
        raise UsageError(f"--speed is a positive number, not {speed}")
    if rate_limit < 0 or lines < 0:
        raise UsageError("--rate-limit and --lines are not negative")
    if sampling is not None and not 0 <= sampling < math.inf:
        raise UsageError(f"--sampling is a number of seconds, not {sampling}")


def _list_scenarios() -> None:
    found = shipped()
    width = max(len(each.name) for each in found)
    for each in found:
        click.echo(f"{each.name:{width}}  {each.about}")


def _script(scenario: str | None, seed: int | None, rate: float) -> Scenario | None:
    if scenario is not None and seed is not None:
        raise UsageError("--scenario and --faults exclude each other")
    if scenario is not None:
        return find(scenario)
    if seed is None:
        return None
    script = random_scenario(seed, rate)
    # To be kept: saved to a file it is played again by --scenario FILE.
    click.echo(toml_of(script), err=True)
    return script


def _market(
    replay: Path | None, seed: int, symbols: int, chains: tuple[str, ...], months: int
) -> Market:
    if replay is not None:
        from alluse_paper.recording import Recording

        return Recording(replay)
    from alluse_paper.synthetic import SyntheticMarket

    # The session of today, so that what expires does so in the future.
    try:
        return SyntheticMarket(seed, symbols, SystemClock().now(), chains=chains, months=months)
    except ValueError as error:
        raise UsageError(f"there is no such synthetic market: {error}") from error


async def _serve(gateway: SimulatedGateway, as_json: bool, until_stdin_closes: bool) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with gateway:
        for number in (signal.SIGINT, signal.SIGTERM):
            # Where the loop cannot take signals, Ctrl-C arrives as KeyboardInterrupt.
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(number, ended.set)
        if until_stdin_closes:
            # A pipe ends when its other side does, kill -9 included: none outlives its demo.
            loop.add_reader(sys.stdin.fileno(), _drain, ended)
        ports = {"port": gateway.port, "control_port": gateway.control_port}
        if as_json:
            click.echo(json.dumps(ports))
        else:
            click.echo(f"TWS API on 127.0.0.1:{gateway.port}")
            if gateway.control_port is not None:
                click.echo(f"control on 127.0.0.1:{gateway.control_port}")
        await _until(ended, gateway)


async def _until(ended: asyncio.Event, gateway: SimulatedGateway) -> None:
    """Wait for the end; a market that is played out goes on being served, a broken one raises.

    So does a ledger or a state that cannot be written any more.
    """
    stop = asyncio.create_task(ended.wait())
    market = asyncio.create_task(gateway.wait_for_market())
    failure = asyncio.create_task(gateway.wait_for_failure())
    waited = {stop, market, failure}
    try:
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if market.done():
            market.result()
            await asyncio.wait({stop, failure}, return_when=asyncio.FIRST_COMPLETED)
        if failure.done():
            failure.result()
    finally:
        for task in waited:
            task.cancel()
        await asyncio.gather(*waited, return_exceptions=True)


def _drain(ended: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        ended.set()
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
