"""``alluse orders halt|reduce|flatten|resume|...``: what a person decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from alluse_core.cli.numbers import FiniteRange
from alluse_core.cli.output import print_json
from alluse_core.errors import AllUseError, OrderError, StateError, StateLocked, UsageError
from alluse_core.model import OrderState
from alluse_core.orders.persons import is_one_line, one_line
from alluse_core.settings import Settings
from alluse_core.spool import Spool
from alluse_core.state import StateFolder, state_path

_config = click.option("--config", type=click.Path(dir_okay=False), help="Settings file.")
_state = click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help="State folder of the process, instead of the settings'.",
)
_patience = click.option(
    "--patience", type=FiniteRange(min=0.1), default=10.0, help="Seconds to wait."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class _OneLine(click.types.StringParamType):
    """Text that forges no line and no colour where it is shown."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text. Fails as click's types do."""
        text = str(super().convert(value, param, ctx))
        if not is_one_line(text):
            self.fail(f"{text!r} has control characters; write it on one line", param, ctx)
        return text


_by = click.option("--by", type=_OneLine(), required=True, metavar="NAME", help="Who decides it.")
_reason = click.option(
    "--reason", type=_OneLine(), required=True, help="Why; it goes into the journal."
)


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (_json, _patience, _state, _config):
        command = option(command)
    return command


@click.command()
@_reason
@_common
def halt(reason: str, **where: Any) -> None:
    """Stop new risk and cancel what increases it; protective orders stay.

    Without a running process the next one starts halted.
    """
    _ask("halt", {"reason": reason}, **where)


@click.command()
@_reason
@_common
def reduce(reason: str, **where: Any) -> None:
    """Allow only what reduces risk; working orders stay."""
    _ask("reduce", {"reason": reason}, **where)


@click.command()
@_common
def flatten(**where: Any) -> None:
    """Close all positions, then cancel what protects them.

    It goes on until it is done, also over a restart; 'alluse orders status' tells how far it is.
    """
    _ask("flatten", {}, **where)


@click.command()
@_by
@_common
def resume(by: str, **where: Any) -> None:
    """Allow new risk again, with your name."""
    _ask("resume", {"by": _named(by)}, **where)


@click.command()
@_by
@_common
def approve(by: str, **where: Any) -> None:
    """Approve what a start found to be otherwise than the journal says, with your name.

    'alluse orders status' shows it.
    """
    _ask("approve", {"by": _named(by)}, **where)


@click.command()
@_by
@_common
def lift(by: str, **where: Any) -> None:
    """Lift the caps of a new version ([orders.canary]), with your name."""
    _ask("lift", {"by": _named(by)}, **where)


@click.command()
@click.argument("key")
@click.option(
    "--as",
    "as_state",
    required=True,
    type=click.Choice(["FILLED", "CANCELED", "REJECTED", "EXPIRED"], case_sensitive=False),
    help="What became of it.",
)
@_by
@_common
def resolve(key: str, as_state: str, by: str, **where: Any) -> None:
    """Settle an UNKNOWN order by your word, where no evidence can any more."""
    _ask("resolve", {"key": key, "as": OrderState(as_state.upper()), "by": _named(by)}, **where)


@click.command()
@click.argument("broker")
@_by
@_common
def close_breaker(broker: str, by: str, **where: Any) -> None:
    """Let new orders to BROKER pass again, with your name, before a probe has shown that they may.

    A restart closes none: one that was open stays so for a whole pause again.
    """
    _ask("close-breaker", {"broker": broker, "by": _named(by)}, **where)


@click.command()
@_common
def status(**where: Any) -> None:
    """Tell whether a running process may trade, why not, and what is open."""
    _ask("status", {}, **where)


def _named(by: str) -> str:
    if not by.strip():
        raise UsageError("--by is empty", hint="name who decides it")
    return by


def _ask(
    verb: str,
    fields: Mapping[str, str],
    config: str | None,
    state: Path | None,
    patience: float,
    as_json: bool,
) -> None:
    folder = state or state_path(Settings.load(config))
    if not folder.is_dir():
        raise StateError(
            f"there is no state folder {str(folder)!r}",
            hint="name the process's own with --state, or its settings with --config",
        )
    try:
        with StateFolder(folder):
            from alluse_core.cli.offline import decide

            answer = asyncio.run(decide(folder, verb, fields))
    except StateLocked:
        answer = Spool(folder).ask(verb, fields, patience)
    if "error" in answer:
        raise _refused(answer)
    if as_json:
        print_json(answer)
        return
    _tell(verb, fields, answer)


def _refused(answer: Mapping[str, Any]) -> AllUseError:
    """Return the error of the process; its exit code is that process's, whatever its kind was."""
    code = int(answer.get("exit_code", OrderError.exit_code))
    kind = UsageError if code == UsageError.exit_code else OrderError
    error = kind(answer["error"], hint=answer.get("hint", ""))
    vars(error)["exit_code"] = code
    return error


def _tell(verb: str, fields: Mapping[str, str], answer: Mapping[str, Any]) -> None:
    if verb == "resolve":
        click.echo(f"{fields['key']} is {fields['as']}, by the word of {fields['by']}")
    if verb == "approve" and not answer.get("approved"):
        click.echo("nothing waited for approval")
    for difference in answer.get("approved", ()):
        click.echo(f"approved by {fields['by']}: {one_line(difference)}")
    running = "" if answer.get("running", True) else "no process runs; the next one starts so: "
    reason = one_line(answer["reason"])
    click.echo(f"{running}{answer['state']}" + f": {reason}" * bool(reason))
    if answer["flattening"]:
        click.echo("positions are being closed")
    for broker, breaker in answer.get("breakers", {}).items():
        if breaker != "closed":
            click.echo(f"the breaker of {broker} is {breaker}: new orders wait")
    for difference in answer.get("differences", ()):
        click.echo(f"waits for approval: {one_line(difference)}")
    for order in answer.get("working", ()):
        click.echo(f"working: {order['key']} is {order['state']}")
    for row in answer.get("positions", ()):
        click.echo(f"position: {row['quantity']} {row['instrument']} ({row['account']})")
