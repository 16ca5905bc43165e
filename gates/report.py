"""What the long gates came to: one table for people, one JSON document for machines."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from gates.part import Part
from gates.process import ROOT
from gates.run import ALL, Outcome

_FIRST_LINES = 4


def listing(parts: Sequence[Part]) -> str:
    """Return the parts, what each shows, and about how long all of it takes."""
    rows = [("gate", "wanted", "in make test", "about", "what it shows")]
    for part in parts:
        about = f"{part.cost * part.steps / 60:,.0f} min"
        rows.append((part.name, _wanted(part), f"{part.short:,}", about, part.shows))
    return _aligned(rows)


def table(outcomes: Sequence[Outcome]) -> str:
    """Return one line for each part, then what broke and how to see it again."""
    rows = [("gate", "wanted", "run", "broken", "minutes", "")]
    for each in outcomes:
        wanted, minutes = _wanted(each.part), f"{each.seconds / 60:.1f}"
        row = (each.part.name, wanted, f"{each.ran:,}", f"{len(each.broken)}", minutes, _why(each))
        rows.append(row)
    lines = [_aligned(rows)]
    for each in outcomes:
        for broken in each.broken:
            what = "\n  ".join(broken.what.splitlines()[:_FIRST_LINES])
            lines.append(f"BROKEN {each.part.name}: {what}\n  again: {broken.again}")
    return "\n".join(lines)


def progress(outcome: Outcome, to_go: float) -> str:
    """Return one line about a part that runs."""
    return (
        f"{outcome.part.name}: {outcome.ran:,} of {_wanted(outcome.part)}, "
        f"{len(outcome.broken)} broken, {outcome.seconds / 60:.1f} min; "
        f"about {max(to_go, 0.0) / 60:.0f} min to go in all"
    )


def _wanted(part: Part) -> str:
    return f"{part.wanted:,} {part.unit}" if part.wanted else f"all {part.unit}"


def _why(outcome: Outcome) -> str:
    if outcome.why == ALL:
        return ""
    sliced = outcome.part.slices > 1
    after = f", after {outcome.steps} of {outcome.part.slices} slices" if sliced else ""
    return outcome.why + after


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    wide = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  ".join(text.ljust(size) for text, size in zip(row, wide, strict=True)).rstrip()
        for row in rows
    )


def document(outcomes: Sequence[Outcome], minutes: float | None, skip: int) -> dict[str, Any]:
    """Return all of it as JSON-ready values. ``minutes``: the budget, None for full counts."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "python": platform.python_version(),
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "minutes": minutes,
        "skip": skip,
        "gates": [
            {
                "gate": each.part.name,
                "shows": each.part.shows,
                "unit": each.part.unit,
                "wanted": each.part.wanted or None,
                "run": each.ran,
                "slices": each.part.slices or None,
                "slices_run": each.steps if each.part.slices else None,
                "rounds": each.rounds,
                "minutes": round(each.seconds / 60, 2),
                "ended": each.why,
                "broken": [{"what": it.what, "again": it.again} for it in each.broken],
            }
            for each in outcomes
        ],
    }


def _commit() -> str | None:
    asked = ["git", "describe", "--always", "--dirty"]
    try:
        told = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return told.stdout.strip() or None
