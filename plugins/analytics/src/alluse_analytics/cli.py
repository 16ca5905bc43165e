"""``alluse analyze``: the analyzers over any file of a time and a value column."""

from __future__ import annotations

import csv
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alluse_analytics.csv_input import Column, read_column
from alluse_analytics.settings import AnomalySettings, ForecastSettings, TrendSettings
from alluse_core.cli.numbers import FiniteRange
from alluse_core.cli.output import print_json
from alluse_core.errors import UsageError
from alluse_core.model import Finding
from alluse_core.ports import Analyzer

if TYPE_CHECKING:
    from alluse_analytics.anomaly import Detection

_HORIZON_PERIODS = 30
_SECOND_HORIZON_PERIODS = 120
_PRODUCTION_PERIOD = 60.0


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--scores",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write time, value, score (1 = threshold) and anomaly (0 or 1) of every row as CSV.",
)
@click.option(
    "--false-alarms",
    type=FiniteRange(min=0, min_open=True),
    default=AnomalySettings().false_alarms_per_day,
    show_default=True,
    help="Alarm budget, in false alarms a day.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def analyze(file: Path, scores: Path | None, false_alarms: float, as_json: bool) -> None:
    """Analyze FILE: a time and a value column, CSV or CSV.gz, with or without a header."""
    column = read_column(file)
    if column.step <= 0:
        raise UsageError(
            f"{file}: most rows have the time of the row before", hint="one row a time"
        )
    settings = AnomalySettings(false_alarms_per_day=false_alarms)
    findings = _findings(column, file.name, settings)
    if scores is not None:
        try:
            _write_scores(scores, column, _detection(column, settings))
        except OSError as error:
            raise UsageError(f"{scores} cannot be written: {error.strerror}") from None
    if as_json:
        print_json(_report(file, column, findings, scores))
        return
    click.echo(f"{file}: {len(column.values)} rows, one each {column.step:g} s")
    for finding in findings:
        click.echo(f"  {finding.kind:<18} {finding.text}")


def _findings(column: Column, name: str, settings: AnomalySettings) -> list[Finding]:
    from alluse_analytics.anomaly import Anomalies
    from alluse_analytics.forecast import Forecasts
    from alluse_analytics.statistics import Statistics
    from alluse_analytics.trend import Trend

    period = max(_PRODUCTION_PERIOD, column.step)
    forecast = ForecastSettings(
        period=period,
        horizon=period * _HORIZON_PERIODS,
        second_horizon=period * _SECOND_HORIZON_PERIODS,
        profile="production" if period == _PRODUCTION_PERIOD else f"file ({period:g} s)",
    )
    analyzers: tuple[Analyzer, ...] = (
        Statistics(),
        Trend(TrendSettings()),
        Anomalies(settings),
        Forecasts(forecast),
    )
    frame = column.frame(name)
    return [finding for analyzer in analyzers for finding in analyzer.analyze(frame)]


def _detection(column: Column, settings: AnomalySettings) -> Detection:
    import numpy as np

    from alluse_analytics.anomaly import detect
    from alluse_analytics.frames import table

    data = table(column.frame("scores"))
    with np.errstate(all="ignore"):
        return detect(data.values, data.step, settings)


def _write_scores(path: Path, column: Column, found: Detection) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("time", "value", "score", "anomaly"))
        for row, text in enumerate(column.texts):
            score = float(found.score[0, row])
            writer.writerow(
                (
                    text,
                    "" if math.isnan(column.values[row]) else repr(column.values[row]),
                    "0" if math.isnan(score) else f"{score:.6g}",
                    int(found.flags[0, row]),
                )
            )


def _report(
    file: Path, column: Column, findings: list[Finding], scores: Path | None
) -> dict[str, Any]:
    first, last = (datetime.fromtimestamp(column.times[i], UTC) for i in (0, -1))
    return {
        "file": str(file),
        "rows": len(column.values),
        "absent": sum(map(math.isnan, column.values)),
        "start": first,
        "end": last,
        "step_seconds": column.step,
        "scores": None if scores is None else str(scores),
        "findings": [
            {
                "analyzer": finding.analyzer,
                "kind": finding.kind,
                "text": finding.text,
                "facts": _finite(finding.facts),
                "points": {name: _listed(line) for name, line in finding.points.items()},
            }
            for finding in findings
        ],
    }


def _finite(facts: Any) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in facts.items()
    }


def _listed(line: tuple[float, ...]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in line]
