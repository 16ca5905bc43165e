"""``alluse alerts list``: what fired, and what became of it."""

from __future__ import annotations

from pathlib import Path

import click

from alluse_core.cli.output import print_json, print_table
from alluse_core.model import Alert, AlertState
from alluse_core.monitor.reader import SqliteMetricReader
from alluse_core.monitor.rows import alert_to_json
from alluse_core.state import METRICS


@click.command("list")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="The folder that a demo or a run wrote to.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--all", "everything", is_flag=True, help="Those that never fired, too.")
def alerts_list(out: Path, as_json: bool, everything: bool) -> None:
    """List alerts, oldest first."""
    with SqliteMetricReader(out / METRICS) as reader:
        found = [a for a in reader.alerts() if everything or a.state is not AlertState.INACTIVE]
    if as_json:
        print_json([alert_to_json(alert) for alert in found])
    else:
        header = ("fired", "resolved", "state", "severity", "rule", "text")
        print_table(header, [_row(alert) for alert in found])
    firing = sum(alert.state is AlertState.FIRING for alert in found)
    click.echo(f"{len(found)} alerts, {firing} firing", err=True)


def _row(alert: Alert) -> tuple[object, ...]:
    return (
        f"{alert.fired_at:%Y-%m-%d %H:%M:%S}" if alert.fired_at else None,
        f"{alert.resolved_at:%Y-%m-%d %H:%M:%S}" if alert.resolved_at else None,
        alert.state,
        alert.severity,
        alert.rule + (f" {dict(alert.labels)}" if alert.labels else ""),
        alert.text,
    )
