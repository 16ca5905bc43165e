"""The journal as lines of JSON, one a record, and those lines read again.

A line holds what ``docs/reference/journal-record.schema.json`` says. With its hash a record can be
checked by anybody: ``sha256(hash before + text)``, where text joins, with the character U+001F,
sequence, time in microseconds since 1970, kind, key, ref, state and the body as JSON without spaces
in ASCII; before the first stands ``sha256(b"alluse journal 1")``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from alluse_core.errors import JournalCorrupt
from alluse_core.orders.chain import GENESIS, link
from alluse_core.orders.reader import Entry
from alluse_core.orders.records import Row, microseconds

FIELDS = ("sequence", "time", "kind", "key", "ref", "state", "body")


def compact(value: Any) -> str:
    """Return a value as the journal writes JSON."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def fields_of(entry: Entry, digest: bytes | None = None) -> dict[str, Any]:
    """Return a record as it is exported; ``digest`` adds its hash."""
    fields: dict[str, Any] = {name: getattr(entry, name) for name in FIELDS}
    fields["time"] = entry.time.isoformat()
    if digest is not None:
        fields["hash"] = digest.hex()
    return fields


def read_export(lines: Iterable[str]) -> Iterator[Entry]:
    """Yield the records of an export, checking hashes where two lines in a row bear them.

    Raises JournalCorrupt for a line that is no record, or not the one that was written.
    """
    last, before = 0, GENESIS.hex()
    for number, line in enumerate(lines, 1):
        try:
            fields = json.loads(line)
            time = datetime.fromisoformat(fields["time"])
            names = fields["kind"], fields["key"], fields["ref"], fields["state"]
            entry = Entry(int(fields["sequence"]), time, *names, fields["body"])
            row = Row(microseconds(time), *names, compact(entry.body))
        except (KeyError, TypeError, ValueError) as error:
            raise JournalCorrupt(f"line {number} is no record of a journal: {error}") from None
        digest = fields.get("hash", "")
        follows = bool(before) and entry.sequence == last + 1
        if digest and follows and link(bytes.fromhex(before), entry.sequence, row).hex() != digest:
            raise JournalCorrupt(
                f"record {entry.sequence} in line {number} is not what was written"
            )
        last, before = entry.sequence, digest
        yield entry
