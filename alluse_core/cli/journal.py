"""``alluse journal verify|export``: whether the journal is whole, and all that it holds."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TextIO

import click

from alluse_core.cli.output import print_json
from alluse_core.errors import JournalCorrupt, UsageError
from alluse_core.orders.export import FIELDS, compact, fields_of
from alluse_core.orders.reader import Entry, JournalReader
from alluse_core.orders.records import Kind
from alluse_core.orders.verification import TOLD_EVERY, Verification, verify
from alluse_core.state import JOURNAL

FINDINGS = 6

_out = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of journal.db: a demo's --out, or the state folder.",
)


class _Writer(Protocol):
    def writerow(self, row: Iterable[object], /) -> object: ...


def _progress(done: int, last: int) -> None:
    """Say how far it is, where a person watches."""
    if sys.stderr.isatty():
        click.echo(f"\r{done:,} of {last:,} records ", nl=False, err=True)


def _progress_ended(records: int) -> None:
    if sys.stderr.isatty() and records >= TOLD_EVERY:
        click.echo("\r\033[K", nl=False, err=True)


# --- verify ---------------------------------------------------------------------------------------


@click.command()
@_out
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def journal_verify(out: Path, as_json: bool) -> int:
    """Check that the journal is what was written: chain, order, length, anchor and indexes.

    Reads all of it, also while a process writes. Ends with 0 where it is whole, 6 where it is not,
    1 where there is none.
    """
    path = out / JOURNAL
    try:
        found = verify(path, _progress)
    except JournalCorrupt as error:
        if not as_json:
            click.echo(f"NOT WHOLE: {error}")
            click.echo(f"  way out: {error.hint}")
        else:
            print_json({"ok": False, "problem": str(error), "way_out": error.hint})
        return FINDINGS
    _progress_ended(found.records)
    if as_json:
        print_json(_facts(found))
    elif found.ok:
        head = f"the last is {found.head.sequence}, hash {found.head.hash.hex()[:16]}"
        click.echo(f"ok: {found.records} records; chain, anchor and indexes agree; {head}")
    else:
        _tell_damage(path, found)
    return 0 if found.ok else FINDINGS


def _facts(found: Verification) -> dict[str, object]:
    return {
        "ok": found.ok,
        "records": found.records,
        "sequence": found.head.sequence,
        "head": found.head.hash.hex(),
        "problem": found.problem,
        "damage": found.damage,
        "at": found.at,
        "accepted": found.accepted,
        "way_out": found.way_out,
    }


def _tell_damage(path: Path, found: Verification) -> None:
    click.echo(f"NOT WHOLE at record {found.at}: {found.problem}")
    around = _standing_at(path, found.at)
    if around is not None:
        what = f"a record of kind {around.kind!r}" + f" of order {around.key!r}" * bool(around.key)
        place = "there stands" if around.sequence == found.at else "after it stands"
        click.echo(f"  {place}, of {around.time:%Y-%m-%d %H:%M:%S} UTC, {what}")
    if found.accepted:
        click.echo("  a person accepted this and resumed; new risk is not stopped by it")
    click.echo(f"  way out: {found.way_out}")


def _standing_at(path: Path, sequence: int) -> Entry | None:
    try:
        with JournalReader(path) as reader:
            return next(iter(reader.entries(first=sequence)), None)
    except JournalCorrupt:
        return None


# --- export ---------------------------------------------------------------------------------------


@click.command()
@_out
@click.option("--since", metavar="TIME", help="From then on: ISO 8601; UTC where it has no zone.")
@click.option("--until", metavar="TIME", help="Before then.")
@click.option("--key", default="", help="Only the records of this order.")
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Only of this kind.")
@click.option("--hashes", is_flag=True, help="With each record's hash, to check the chain by.")
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl")
@click.option("--to", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
def journal_export(
    out: Path,
    since: str | None,
    until: str | None,
    key: str,
    kind: str | None,
    hashes: bool,
    form: str,
    to: Path | None,
) -> None:
    """Write the journal's records to stdout or a file, in their order.

    docs/reference/journal-record.schema.json says what a line holds.
    """
    start, end = (None if text is None else _moment(text) for text in (since, until))
    with ExitStack() as stack:
        reader = stack.enter_context(JournalReader(out / JOURNAL))
        try:
            file = sys.stdout if to is None else stack.enter_context(_opened(to))
        except OSError as error:
            raise UsageError(f"{str(to)!r} cannot be written: {error.strerror}") from None
        entries = _watched(reader.entries(kind or "", start, end, key), reader)
        written = (_csv if form == "csv" else _lines)(entries, reader if hashes else None, file)
    _progress_ended(written)
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


def _watched(entries: Iterable[Entry], reader: JournalReader) -> Iterator[Entry]:
    last = reader.last
    for entry in entries:
        if entry.sequence % TOLD_EVERY == 0:
            _progress(entry.sequence, last)
        yield entry


def _lines(entries: Iterable[Entry], digests: JournalReader | None, file: TextIO) -> int:
    count = 0
    for entry in entries:
        digest = None if digests is None else digests.digest(entry.sequence)
        file.write(compact(fields_of(entry, digest)) + "\n")
        count += 1
    return count


def _csv(entries: Iterable[Entry], digests: JournalReader | None, file: TextIO) -> int:
    writer: _Writer = csv.writer(file)
    writer.writerow(FIELDS if digests is None else (*FIELDS, "hash"))
    count = 0
    for entry in entries:
        digest = None if digests is None else digests.digest(entry.sequence)
        fields = fields_of(entry, digest) | {"body": compact(entry.body)}
        writer.writerow(fields.values())
        count += 1
    return count
