"""A recorded market: CSV.gz files, read as one stream in the order of time."""

from __future__ import annotations

import gzip
import heapq
import zlib
from collections.abc import Iterator
from pathlib import Path

import attrs

from alluse_core.errors import RecordingError
from alluse_core.model.instrument import Instrument
from alluse_paper.market import Listing, MarketEvent
from alluse_paper.rows import EpochReader, Shape, shape_of
from alluse_paper.writer import RecordingWriter

__all__ = ["Recording", "RecordingWriter"]

SUFFIX = ".csv.gz"


@attrs.define
class _Lines:
    """The rows of one file after its header, counted."""

    path: Path
    number: int = 1

    def __iter__(self) -> Iterator[str]:
        with gzip.open(self.path, "rt", encoding="utf-8", newline="\n") as stream:
            stream.readline()
            for self.number, line in enumerate(stream, 2):
                yield line


class Recording:
    """One file, or every ``*.csv.gz`` file below a folder, as a finite market.

    Raises RecordingError with the file (and line) for a path that does not exist, a folder
    without recordings, a file that is not gzip, a header of no known shape, or a row that is not
    as its header says. Strange *prices* are not errors: absent, zero and crossed sides pass
    through as they were recorded. Rows that go back in time keep their order in the file and
    are given the time of the row before; ``disordered`` counts them.

    A row of one-second data holds the state at the end of its second and carries the time of its
    beginning; it is played at the time it carries, so up to a second early.

    Memory is bounded: one row per file is held. Reading the symbols (``listings``) takes a pass
    of its own over the files, made once.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.disordered = 0
        self._files = {file: _open_header(file) for file in _files(self.path)}
        self._listings: tuple[Listing, ...] | None = None

    def listings(self) -> tuple[Listing, ...]:
        """Return the instruments that the rows name, ordered by their ids."""
        if self._listings is None:
            found: set[Instrument] = set()
            for file, shape in self._files.items():
                found |= _scan(file, shape)
            self._listings = tuple(
                Listing.of(instrument) for instrument in sorted(found, key=lambda each: each.id)
            )
        return self._listings

    def events(self) -> Iterator[MarketEvent]:
        """Yield every event, merged by time; rows of one time come in the order of the files."""
        self.disordered = 0
        epoch = EpochReader()
        heads: list[tuple[float, int, MarketEvent, Iterator[MarketEvent]]] = []
        for rank, (file, shape) in enumerate(self._files.items()):
            stream = _events(file, shape, epoch)
            for event in stream:
                heads.append((event.time, rank, event, stream))
                break
        heapq.heapify(heads)
        while heads:
            time, rank, event, stream = heads[0]
            yield event
            following = next(stream, None)
            if following is None:
                heapq.heappop(heads)
                continue
            if following.time < time:
                self.disordered += 1
                following.time = time
            heapq.heapreplace(heads, (following.time, rank, following, stream))


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(path.rglob("*" + SUFFIX))
        if not files:
            raise RecordingError(
                f"the folder {path} holds no {SUFFIX} file",
                hint="give a recording, or a folder that 'alluse record' wrote",
            )
        return files
    if not path.exists():
        raise RecordingError(
            f"there is no recording {path}", hint=f"give a {SUFFIX} file, or a folder of them"
        )
    return [path]


def _open_header(file: Path) -> Shape:
    try:
        with gzip.open(file, "rt", encoding="utf-8") as stream:
            header = stream.readline()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise _unreadable(file, error) from error
    return shape_of(header, str(file))


def _scan(file: Path, shape: Shape) -> set[Instrument]:
    lines = _Lines(file)
    start, end = shape.name_columns
    names: dict[tuple[str, ...], Instrument] = {}
    try:
        for line in lines:
            name = tuple(line.split(",", end)[start:end])
            if name not in names:
                names[name] = shape.name(*name)
    except (ValueError, TypeError) as error:
        raise _bad_row(file, lines.number, error) from error
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(file, error) from error
    return set(names.values())


def _events(file: Path, shape: Shape, epoch: EpochReader) -> Iterator[MarketEvent]:
    lines = _Lines(file)
    try:
        yield from shape.read(lines, epoch)
    except (ValueError, IndexError) as error:
        raise _bad_row(file, lines.number, error) from error
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(file, error) from error


def _bad_row(file: Path, line: int, error: Exception) -> RecordingError:
    return RecordingError(
        f"{file}, line {line}: {error}",
        hint="the row is not as its header says; remove or repair it",
    )


def _unreadable(file: Path, error: Exception) -> RecordingError:
    return RecordingError(
        f"{file} cannot be read as gzip: {error}",
        hint="the file must be a whole gzip file of UTF-8 text",
    )
