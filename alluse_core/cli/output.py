"""How commands print: data to stdout, people to stderr; JSON or a plain table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import attrs
import click


def to_json(value: Any) -> Any:
    """Return ``value`` in JSON's own types.

    Decimal becomes text, so that no digit is lost; NaN and infinity, which JSON has not, null.
    """
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal | Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_json(item) for item in value]
    if attrs.has(type(value)):
        return {
            field.name: to_json(getattr(value, field.name)) for field in attrs.fields(type(value))
        }
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def print_json(value: Any) -> None:
    """Print ``value`` as JSON to stdout."""
    click.echo(json.dumps(to_json(value), indent=2, allow_nan=False))


def print_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows under a header, columns as wide as their widest cell."""
    texts = [[_cell(cell) for cell in row] for row in rows]
    widths = [
        max([len(title), *(len(row[index]) for row in texts)]) for index, title in enumerate(header)
    ]
    for row in [list(header), *texts]:
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value.value if isinstance(value, Enum) else value)
    # A broker's text must not move the cursor or break the table.
    return "".join(sign if sign.isprintable() else " " for sign in text)
