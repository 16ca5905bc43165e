"""How the journal reaches its disk: the one place where a test hands in a disk that forgets."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import attrs


class PlainFile(Protocol):
    """A file that is written in place and synced by hand."""

    def write(self, data: bytes, offset: int) -> None:
        """Write at ``offset`` bytes. Raises OSError."""

    def sync(self) -> None:
        """Return once everything written is on the disk. Raises OSError."""

    def close(self) -> None:
        """End without a sync."""


class SystemFile:
    """A file of the operating system's, made where it is missing."""

    def __init__(self, path: Path) -> None:
        made = not path.exists()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if made:
            sync_folder(path.parent)

    def write(self, data: bytes, offset: int) -> None:
        """Write at ``offset`` bytes. Raises OSError."""
        os.pwrite(self._file, data, offset)

    def sync(self) -> None:
        """Return once everything written is on the disk. Raises OSError."""
        os.fdatasync(self._file)

    def close(self) -> None:
        """End without a sync."""
        os.close(self._file)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable: syncing a new file need not sync its name."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection without implicit transactions. Raises sqlite3.Error."""
    # A batch of each size is a statement of its own, some of them large: few are kept.
    return sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=5.0, cached_statements=24
    )


def allocate(path: Path, size: int) -> None:
    """Make a file of ``size`` bytes that the disk has set aside. Raises OSError."""
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


@attrs.frozen
class Storage:
    """What the journal writes through. The default is the machine's disk."""

    connect: Callable[[Path], sqlite3.Connection] = connect
    open_file: Callable[[Path], PlainFile] = SystemFile
    allocate: Callable[[Path, int], None] = allocate


DISK = Storage()
