"""How commands print: data to stdout, people to stderr; JSON or a plain table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import attrs
import click


def to_json(value: Any) -> Any:
    """Return ``value`` in JSON's own types; Decimal as text, so that no digit is lost."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal | Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_json(item) for item in value]
    if attrs.has(type(value)):
        return {
            field.name: to_json(getattr(value, field.name)) for field in attrs.fields(type(value))
        }
    if isinstance(value, float) and value != value:
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
    return str(value.value if isinstance(value, Enum) else value)
