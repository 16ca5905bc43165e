"""Finds the sub-command that was asked for, runs it, and turns errors into exit codes.

Commands are records (name, help, "module:attribute") that plugins offer; the module is imported
when its command is called, so that ``alluse --help`` stays quick however much is installed.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from alluse_core import builtin
from alluse_core.errors import (
    AllUseError,
    BrokerUnavailable,
    DuplicateProvider,
    PluginError,
    SettingsError,
    did_you_mean,
)
from alluse_core.host import Host, safe_mode, switched_on
from alluse_core.providers import Command

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

INTERRUPTED = 130


class _CommandGroup(click.Group):
    """A group whose members are records; a member is imported when it is called."""

    def __init__(self, name: str | None, help_text: str, records: Sequence[Command]) -> None:
        super().__init__(name, help=help_text)
        self._records = {record.name: record for record in records}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return first words of all names, each once."""
        return sorted({name.split()[0] for name in self._records})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, or a group of those whose first word it is."""
        if cmd_name in self._records:
            return _imported(self._records[cmd_name])
        return self._group(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Refuse an unknown command with the nearest known one."""
        word = args[0]
        names = self.list_commands(ctx)
        if word not in names and not word.startswith("-"):
            ctx.fail(f"no command {word!r}{did_you_mean(word, names)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List commands by their records' help, importing none of them."""
        rows = [(name, self._help_of(name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete commands by their records, importing none of them."""
        from click.shell_completion import CompletionItem

        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        items = [CompletionItem(name, help=self._help_of(name)) for name in names]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]

    def _help_of(self, name: str) -> str:
        group = self._group(name)
        return self._records[name].help if group is None else group.help or ""

    def _group(self, name: str) -> _CommandGroup | None:
        members = [
            Command(record.name.split(None, 1)[1], record.help, record.target)
            for record in self._records.values()
            if record.name.startswith(f"{name} ")
        ]
        if not members:
            return None
        words = ", ".join(sorted(member.name for member in members))
        return _CommandGroup(name, f"{name.capitalize()}: {words}.", members)


def _imported(record: Command) -> click.Command:
    module, _, attribute = record.target.partition(":")
    try:
        command: Any = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"command {record.name!r} cannot be loaded from {record.target!r}:"
            f" {type(error).__name__}: {error}",
            hint="reinstall the plugin that offers it; see 'alluse plugins list'",
        ) from error
    if not isinstance(command, click.Command):
        raise PluginError(f"{record.target!r} is no click command")
    command.help = command.help or record.help
    return command


def build() -> click.Group:
    """Return the whole command, with what the enabled plugins offer."""
    group = _CommandGroup(
        "alluse",
        "ALL-USE stands between a trading agent and its broker.\n\n"
        "Exit codes: 0 ok, 1 failure, 2 usage, 3 settings, 4 broker or network, 5 refused by"
        " risk, 6 findings, 130 interrupted.",
        _commands(),
    )
    group.params.append(
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_print_version,
            help="Show the version and exit.",
        )
    )
    return group


def _commands() -> tuple[Command, ...]:
    try:
        return Host(built_in=(builtin,), safe_mode=safe_mode(), kinds=("command",)).commands()
    except DuplicateProvider as error:
        # The commands that show and mend this must work while it lasts.
        click.echo(f"warning: {error}; only built-in commands are offered", err=True)
        return Host(built_in=(builtin,), safe_mode=True, kinds=("command",)).commands()


def _print_version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"alluse {version('alluse-core')}")
        context.exit()


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    debug = switched_on("ALLUSE_DEBUG")
    try:
        result = build().main(args, prog_name="alluse", standalone_mode=False)
        code = result if isinstance(result, int) else 0
    except AllUseError as error:
        if debug:
            raise
        _explain(str(error), error.hint, _examination(error))
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (alluse ... | head): nothing is left to tell it, and
        # the interpreter must not try to flush again on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        # A full disk or a file that may not be read is nobody's fault in the program.
        if debug:
            raise
        _explain(str(error), "")
        code = 1
    except Exception as error:
        if debug:
            raise
        _explain(
            f"unexpected {type(error).__name__}: {error}",
            "this is a fault of the program: ALLUSE_DEBUG=1 shows where; please report it",
        )
        code = 1
    sys.exit(code)


def _explain(message: str, hint: str, more: str = "") -> None:
    click.echo(f"error: {message}", err=True)
    if hint:
        click.echo(f"  way out: {hint}", err=True)
    if more:
        click.echo(f"  {more}", err=True)


def _examination(error: AllUseError) -> str:
    """Return what to examine, where 'alluse doctor' looks at what the error is about."""
    if isinstance(error, SettingsError | PluginError):
        return "'alluse doctor' checks this installation"
    if isinstance(error, BrokerUnavailable):
        return "'alluse doctor --connect' checks the connection"
    return ""
