"""Which contract number belongs to which instrument, kept on disk from run to run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs

from alluse_core.model import Instrument

VERSION = 2
KEPT = timedelta(days=400)
"""An entry that was not confirmed for so long is asked for anew."""
KEPT_AFTER_EXPIRY = timedelta(days=30)
"""Fills and settlements of an expired contract are still told for some days."""


@attrs.frozen
class Entry:
    """One number's instrument, the day on which the broker last confirmed it, and the multiplier
    that it told; None where it told none yet."""

    instrument: Instrument
    confirmed: date
    multiplier: Decimal | None = None


@attrs.frozen
class Listing:
    """The numbers of all options of one class and expiry, and the day on which they were told."""

    confirmed: date
    numbers: tuple[int, ...]


def read_listings(path: Path, today: date) -> dict[str, Listing]:
    """Return the listings that were told ``today``: new strikes are listed over night."""
    rows = _document(path).get("listings")
    listings = {}
    for name, row in rows.items() if isinstance(rows, dict) else ():
        try:
            listing = Listing(date.fromisoformat(row["confirmed"]), tuple(map(int, row["numbers"])))
        except (ValueError, TypeError, KeyError):
            continue
        if listing.confirmed == today:
            listings[name] = listing
    return listings


def read(path: Path, today: date) -> dict[int, Entry]:
    """Return what is kept and still holds.

    A file that cannot be used counts as empty: it is a cache. An entry that cannot be used is left
    out alone. Files of version 1 had no days; their entries count from today.
    """
    document = _document(path)
    rows = document.get("contracts") if document.get("version") == VERSION else document
    entries = {}
    for number, row in rows.items() if isinstance(rows, dict) else ():
        entry = _entry(row, today)
        if entry is not None and number.isdigit() and _holds(entry, today):
            entries[int(number)] = entry
    return entries


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def write(
    path: Path, entries: Mapping[int, Entry], listings: Mapping[str, Listing] | None = None
) -> None:
    """Replace the file in one step; a full disk must not stop an order."""
    rows = {
        str(number): {
            "instrument": entry.instrument.id,
            "confirmed": entry.confirmed.isoformat(),
            **({} if entry.multiplier is None else {"multiplier": str(entry.multiplier)}),
        }
        for number, entry in entries.items()
        if not entry.instrument.legs
    }
    listed = {
        name: {"confirmed": listing.confirmed.isoformat(), "numbers": listing.numbers}
        for name, listing in (listings or {}).items()
    }
    document = {"version": VERSION, "contracts": rows, "listings": listed}
    fresh = path.with_suffix(".new")
    try:
        # Not synced to the device: that would hold up the loop, and what is lost is asked for.
        fresh.write_text(json.dumps(document, indent=0), encoding="utf-8")
        fresh.replace(path)
    except OSError:
        # The numbers are asked for again next time.
        return


def _entry(row: Any, today: date) -> Entry | None:
    try:
        if isinstance(row, str):
            return Entry(Instrument.parse(row), today)
        told = row.get("multiplier")
        return Entry(
            Instrument.parse(row["instrument"]),
            date.fromisoformat(row["confirmed"]),
            Decimal(told) if told is not None else None,
        )
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
        return None


def _holds(entry: Entry, today: date) -> bool:
    expiry = entry.instrument.expiry
    expired = expiry is not None and today > expiry + KEPT_AFTER_EXPIRY
    return not expired and today <= entry.confirmed + KEPT
