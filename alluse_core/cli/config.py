"""``alluse config init|show|check``."""

from __future__ import annotations

from pathlib import Path

import attrs
import click

from alluse_core.cli.output import print_json, print_table
from alluse_core.errors import UsageError
from alluse_core.installation import check_names, load_host, settings_types
from alluse_core.orders.user_rules import table_with
from alluse_core.settings import Settings

_TEMPLATE = """\
# ALL-USE settings. Every key is optional: 'alluse config show' prints all of them.

[alluse]
agent = "agent"

# One table for each broker; the name is yours. Paper unless [orders] live_account repeats the id.
[brokers.main]
provider = "ibkr"
host = "127.0.0.1"
port = 4002          # IB Gateway paper; TWS paper 7497
client_id = 17       # fixed: only this id may change or cancel its orders
account = ""         # empty: the login's only account

[orders]
default_broker = "main"

[stages.max_quantity]
limit = 10000
"""


@click.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), default="alluse.toml")
def config_init(path: Path) -> None:
    """Write a settings file to start from."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_TEMPLATE)
    except FileExistsError:
        raise UsageError(
            f"{str(path)!r} is there already", hint="name another file, or move this one away"
        ) from None
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be written: {error.strerror}") from None
    click.echo(f"wrote {path}; next: alluse config check --config {path}", err=True)


@click.command()
@click.option("--config", type=click.Path(dir_okay=False), help="Settings file.")
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def config_show(config: str | None, origin: bool, as_json: bool) -> None:
    """Print the effective settings, secrets hidden."""
    settings = Settings.load(config)
    rows = settings.effective(settings_types(settings, load_host(settings)))
    if as_json:
        print_json({path: {"value": value, "origin": came} for path, value, came in rows})
        return
    header = ("setting", "value", "origin") if origin else ("setting", "value")
    print_table(header, [row if origin else row[:2] for row in rows])


@click.command()
@click.option("--config", type=click.Path(dir_okay=False), help="Settings file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def config_check(config: str | None, as_json: bool) -> None:
    """Read the settings as a run would, and say whether they hold."""
    settings = Settings.load(config)
    host = load_host(settings)
    types = settings_types(settings, host)
    check_names(settings, host)
    table_with(settings.orders.errors)
    given = len(settings.effective(types))
    plugins = [attrs.asdict(info) for info in host.plugins]
    if as_json:
        print_json({"ok": True, "settings": given, "plugins": plugins})
    else:
        click.echo(
            f"ok: {given} settings, {len(plugins)} plugins, brokers: "
            f"{', '.join(settings.brokers) or 'none'}"
        )
