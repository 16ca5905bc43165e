"""``alluse report``: the reports of a session again, from its databases."""

from __future__ import annotations

import json
from pathlib import Path

import click

from alluse_core.ports import ReportRequest
from alluse_core.state import JOURNAL, METRICS


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The folder with metrics.db and journal.db; the reports are written there too.",
)
@click.option("--json", "as_json", is_flag=True, help="Print summary.json.")
def report(out: Path, as_json: bool) -> None:
    """Write dashboard.png, report.json, summary.json and summary.md into a session's folder."""
    from alluse_report.reporter import SessionReport

    written = SessionReport().write(ReportRequest(out, out / METRICS, out / JOURNAL, {}))
    if as_json:
        click.echo((out / "summary.json").read_text(encoding="utf-8"), nl=False)
        return
    told = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    for sentence in told["summary"]:
        click.echo(sentence["text"])
    for path in written:
        click.echo(str(path), err=True)
