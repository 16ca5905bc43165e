"""What the gateway saw and did, in order: the truth that a checker compares beliefs with."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from alluse_core.clock import Clock
from alluse_core.errors import StateError
from alluse_gateway import truth
from alluse_gateway.truth import ExecutionTruth, OrderTruth
from alluse_gateway.wire import decimal_text

Entry = dict[str, Any]


class Ledger:
    """Entries in order, in memory and optionally in a file of JSON lines.

    Every entry has ``seq`` (from 1), ``at`` (epoch seconds by the gateway's clock) and ``event``;
    the rest depends on the event. ``keep`` bounds what stays in memory (None: everything); the
    file holds all. The events are those of :data:`alluse_gateway.ledger_events.EVENTS`.
    """

    def __init__(self, clock: Clock, path: Path | None = None, keep: int | None = None) -> None:
        self._clock = clock
        self._entries: deque[Entry] = deque(maxlen=keep)
        self._count = 0
        self._listeners: tuple[Callable[[Entry], None], ...] = ()
        self._file: IO[str] | None = None
        self.broke: Callable[[StateError], None] = _raise
        """Called once when the file cannot be written any more; memory goes on."""
        if path is not None:
            self._file = _begun(path)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries))

    def note(self, event: str, **facts: Any) -> None:
        """Add an entry. Decimals are kept as Decimals and written as text."""
        self._count += 1
        entry = {"seq": self._count, "at": self._clock.now().timestamp(), "event": event, **facts}
        self._entries.append(entry)
        if self._file is not None:
            self._write(self._file, json.dumps(entry, default=_plain) + "\n")
        for listener in self._listeners:
            listener(entry)

    def _write(self, file: IO[str], line: str) -> None:
        try:
            file.write(line)
        except OSError as error:
            self._file = None
            with contextlib.suppress(OSError):
                file.close()
            self.broke(
                StateError(
                    f"the ledger cannot be written on: {error.strerror}",
                    hint="free some disk space; what came after its last line is not in it",
                )
            )

    def listen(self, listener: Callable[[Entry], None]) -> Callable[[], None]:
        """Hand every entry to come to ``listener``; return what ends it. It must not raise."""
        self._listeners = (*self._listeners, listener)

        def unlisten() -> None:
            self._listeners = tuple(each for each in self._listeners if each is not listener)

        return unlisten

    def orders(self) -> tuple[OrderTruth, ...]:
        """Return what became of every order that was asked for, in the order of asking.

        Raises StateError where entries were dropped that this needs.
        """
        return truth.orders(self._all())

    def executions(self) -> tuple[ExecutionTruth, ...]:
        """Return every execution, in order. Raises StateError as :meth:`orders`."""
        return truth.executions(self._all())

    def positions(self) -> Mapping[tuple[str, str], Decimal]:
        """Return what executions made of each (account, symbol); flat ones are left out."""
        return truth.positions(self._all())

    def _all(self) -> tuple[Entry, ...]:
        if len(self._entries) < self._count:
            raise StateError(
                f"the ledger kept {len(self._entries)} of {self._count} entries",
                hint="make the gateway without ledger_keep, or read the ledger's file",
            )
        return tuple(self._entries)

    def of(self, event: str) -> list[Entry]:
        """Return the kept entries of one event."""
        return [entry for entry in self._entries if entry["event"] == event]

    def since(self, seq: int, limit: int) -> list[Entry]:
        """Return at most ``limit`` kept entries after number ``seq``, JSON-ready."""
        found = [entry for entry in self._entries if entry["seq"] > seq][:limit]
        plain: list[Entry] = json.loads(json.dumps(found, default=_plain))
        return plain

    def close(self) -> None:
        """End the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _begun(path: Path) -> IO[str]:
    """Open the file anew, unless another gateway writes it. Raises StateError."""
    try:
        # By the line: a checker reads it after this process was killed.
        file = path.open("a", encoding="utf-8", buffering=1)
    except OSError as error:
        raise StateError(
            f"the ledger {path} cannot be written: {error.strerror}",
            hint="name a file in a folder that exists and is writable",
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_file():
            file.truncate(0)
    except OSError as error:
        file.close()
        raise StateError(
            f"the ledger {path} is written by another gateway: {error.strerror}",
            hint="stop that gateway, or name another file",
        ) from error
    return file


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return decimal_text(value)
    return str(value)


def _raise(error: StateError) -> None:
    raise error
