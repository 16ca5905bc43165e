"""``alluse journal export``: the records, one after the other, whatever their number."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TextIO

import click

from alluse_core.cli.output import to_json
from alluse_core.errors import UsageError
from alluse_core.orders.reader import Entry, JournalReader
from alluse_core.state import JOURNAL

COLUMNS = ("sequence", "time", "kind", "key", "ref", "state", "body")


class _Writer(Protocol):
    def writerow(self, row: Iterable[object], /) -> object: ...


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of journal.db: a demo's --out, or the state folder.",
)
@click.option("--since", metavar="TIME", help="ISO 8601; UTC where it names no zone.")
@click.option("--key", default="", help="Only the records of this order.")
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl")
@click.option("--to", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
def journal_export(out: Path, since: str | None, key: str, form: str, to: Path | None) -> None:
    """Write the journal's records to stdout or a file, in their order."""
    start = None if since is None else _moment(since)
    with ExitStack() as stack:
        reader = stack.enter_context(JournalReader(out / JOURNAL))
        try:
            file = sys.stdout if to is None else stack.enter_context(_opened(to))
        except OSError as error:
            raise UsageError(f"{str(to)!r} cannot be written: {error.strerror}") from None
        written = (_csv if form == "csv" else _lines)(reader.entries(start=start, key=key), file)
    click.echo(f"{written} records", err=True)


def _opened(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8", newline="")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is no time", hint="write it like 2026-01-31T14:30:00+00:00"
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _lines(entries: Iterable[Entry], file: TextIO) -> int:
    return sum(_line(entry, file) for entry in entries)


def _line(entry: Entry, file: TextIO) -> int:
    file.write(_json(entry) + "\n")
    return 1


def _csv(entries: Iterable[Entry], file: TextIO) -> int:
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    return sum(_csv_row(entry, writer) for entry in entries)


def _csv_row(entry: Entry, writer: _Writer) -> int:
    names = (entry.kind, entry.key, entry.ref, entry.state)
    writer.writerow((entry.sequence, entry.time.isoformat(), *names, _json(entry.body)))
    return 1


def _json(value: object) -> str:
    return json.dumps(to_json(value), separators=(",", ":"), allow_nan=False)
