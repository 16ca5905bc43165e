"""``alluse metrics list`` and ``alluse metrics export``: samples, as they were stored."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from alluse_core.cli.output import print_json, print_table
from alluse_core.errors import UsageError, did_you_mean
from alluse_core.model import SeriesId
from alluse_core.monitor.reader import SqliteMetricReader
from alluse_core.state import METRICS

COLUMNS = (
    "time",
    "component",
    "metric",
    "labels",
    "value",
    "unit",
    "tenant",
    "node",
    "agent",
    "incarnation",
)

_out = click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="The folder that a demo or a run wrote to.",
)


def reader_of(out: Path) -> SqliteMetricReader:
    """Open the metric store in a folder. Raises StoreError where there is none."""
    return SqliteMetricReader(out / METRICS)


@click.command("list")
@_out
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def metrics_list(out: Path, as_json: bool) -> None:
    """List the series that were measured."""
    with reader_of(out) as reader:
        found = sorted(reader.series(), key=lambda series: (str(series), series.unit))
    if as_json:
        print_json(
            [
                {
                    "component": series.component,
                    "metric": series.metric,
                    "labels": dict(series.labels),
                    "unit": series.unit,
                }
                for series in found
            ]
        )
    else:
        print_table(("series", "unit"), [(str(series), series.unit or None) for series in found])
    click.echo(f"{len(found)} series", err=True)


@click.command("export")
@_out
@click.option(
    "--series", "names", multiple=True, help="component.metric, with {label=value} or without."
)
@click.option("--start", help="Take samples from this time on (ISO 8601; UTC where it says none).")
@click.option("--end", help="Take samples before this time.")
def metrics_export(out: Path, names: tuple[str, ...], start: str | None, end: str | None) -> None:
    """Write samples as CSV to standard output, in rising time."""
    first, last = _time("--start", start), _time("--end", end)
    with reader_of(out) as reader:
        wanted = _wanted(names, reader.series())
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(COLUMNS)
        count = 0
        for row in _rows(reader, wanted, first, last):
            writer.writerow(row)
            count += 1
    click.echo(f"{count} samples", err=True)


def _rows(
    reader: SqliteMetricReader,
    wanted: frozenset[SeriesId] | None,
    first: datetime | None,
    last: datetime | None,
) -> Iterator[tuple[str, ...]]:
    described: dict[SeriesId, tuple[str, str, str, str]] = {}
    for batch in reader.batches(first, last):
        time = batch.time.isoformat()
        owner = (batch.tenant, batch.node, batch.agent, batch.incarnation)
        for series, value in batch.samples.items():
            if wanted is not None and series not in wanted:
                continue
            if series not in described:
                described[series] = (*_named(series), series.unit)
            component, metric, labels, unit = described[series]
            yield (time, component, metric, labels, repr(value), unit, *owner)


def _named(series: SeriesId) -> tuple[str, str, str]:
    labels = ",".join(f"{name}={value}" for name, value in series.labels)
    return series.component, series.metric, labels


def _wanted(names: tuple[str, ...], known: Sequence[SeriesId]) -> frozenset[SeriesId] | None:
    if not names:
        return None
    by_name: dict[str, set[SeriesId]] = {}
    for series in known:
        by_name.setdefault(str(series), set()).add(series)
        by_name.setdefault(f"{series.component}.{series.metric}", set()).add(series)
    found: set[SeriesId] = set()
    for name in names:
        if name not in by_name:
            raise UsageError(
                f"no series {name!r} was measured{did_you_mean(name, by_name)}",
                hint="'alluse metrics list' names all",
            )
        found |= by_name[name]
    return frozenset(found)


def _time(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{option} {text!r} is not a time in ISO 8601", hint="for example 2026-01-05T14:30:00"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
