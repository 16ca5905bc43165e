"""``alluse plugins list``."""

from __future__ import annotations

import click

from alluse_core.cli.output import print_json, print_table
from alluse_core.host import Host, PluginState
from alluse_core.installation import load_host
from alluse_core.settings import Settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--config", type=click.Path(dir_okay=False), help="Settings file.")
def plugins_list(as_json: bool, config: str | None) -> int:
    """List plugins with version, state, load time and what they offer."""
    host: Host = load_host(Settings.load(config))
    if as_json:
        print_json(host.plugins)
    else:
        print_table(
            ("plugin", "distribution", "version", "state", "load ms", "offers"),
            [
                (
                    info.name,
                    info.distribution,
                    info.version,
                    info.state,
                    round(info.load_ms, 1),
                    info.error or ", ".join(f"{kind} {name}" for kind, name in info.offers) or "-",
                )
                for info in host.plugins
            ],
        )
    failed = any(info.state is PluginState.FAILED for info in host.plugins)
    return 1 if failed else 0
