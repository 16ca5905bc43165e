"""Reads a file of a time and a value column."""

from __future__ import annotations

import csv
import gzip
import math
from array import array
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import attrs

from alluse_core.analysis.windows import make_frame
from alluse_core.errors import UsageError
from alluse_core.model import SeriesId
from alluse_core.ports import Frame

_FEWEST_ROWS = 2


@attrs.frozen
class Column:
    """A file's rows: the time's text as written, Unix seconds, and the value (NaN = absent)."""

    texts: tuple[str, ...]
    times: array[float]
    values: array[float]

    @property
    def step(self) -> float:
        """The median distance between rows in seconds."""
        gaps = sorted(later - now for now, later in zip(self.times, self.times[1:], strict=False))
        return gaps[len(gaps) // 2]

    def frame(self, name: str) -> Frame:
        """Return the rows as a frame of one series; row i of the file is slot i."""
        series = SeriesId("file", name)
        return make_frame(self.times, [(series, self.values)], self.step)


def read_column(path: Path) -> Column:
    """Read a CSV file, plain or .gz, with or without a header; columns beyond two are ignored.

    A time is Unix seconds or ISO 8601 (UTC where it names no zone), never falling; an empty value
    is absent. Raises UsageError with the number of the first line that cannot be read so.
    """
    try:
        with _opened(path) as stream:
            rows = list(_rows(stream, path))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if len(rows) < _FEWEST_ROWS:
        raise UsageError(
            f"{path} has {len(rows)} rows with a time and a value", hint="at least two are needed"
        )
    texts, times, values = zip(*rows, strict=True)
    return Column(texts, array("d", times), array("d", values))


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _rows(stream: IO[str], path: Path) -> Iterator[tuple[str, float, float]]:
    last = -math.inf
    reader = csv.reader(stream)
    for cells in reader:
        number = reader.line_num
        if not any(cell.strip() for cell in cells):
            continue
        try:
            row = _row(cells)
        except ValueError as error:
            if last == -math.inf and number == 1:
                # Only a first line may say what the columns are instead of being one.
                continue
            raise UsageError(
                f"{path}, line {number}: {error}",
                hint="each line is a time (ISO 8601 or Unix seconds) and a number",
            ) from None
        if row[1] < last:
            raise UsageError(
                f"{path}, line {number}: time {row[0]!r} is before the line above",
                hint="sort the file by time",
            )
        last = row[1]
        yield row


def _row(cells: list[str]) -> tuple[str, float, float]:
    if len(cells) < 2:
        raise ValueError("there is no second column")
    text, value = cells[0].strip(), cells[1].strip()
    number = float(value) if value else math.nan
    if math.isinf(number):
        raise ValueError(f"{value!r} is not a finite number")
    return text, _time(text), number


def _time(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(seconds):
        raise ValueError(f"{text!r} is not a time")
    return seconds
