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
    help="The folder to write into.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder with metrics.db and journal.db; --out where it is not given.",
)
@click.option("--json", "as_json", is_flag=True, help="Print summary.json.")
def report(out: Path, state: Path | None, as_json: bool) -> None:
    """Write dashboard.png, report.json, summary.json and summary.md of the newest session."""
    from alluse_report.reporter import SessionReport

    held = state or out
    written = SessionReport().write(ReportRequest(out, held / METRICS, held / JOURNAL, {}))
    if as_json:
        click.echo((out / "summary.json").read_text(encoding="utf-8"), nl=False)
        return
    told = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    for sentence in told["sentences"]:
        click.echo(sentence["text"])
    for path in written:
        click.echo(str(path), err=True)
