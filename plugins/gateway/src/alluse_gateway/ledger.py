"""What the gateway saw and did, in order: the truth that a checker compares beliefs with."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from alluse_core.clock import Clock
from alluse_core.errors import StateError
from alluse_gateway.wire import decimal_text

Entry = dict[str, Any]


class Ledger:
    """Entries in order, in memory and optionally in a file of JSON lines.

    Every entry has ``seq`` (from 1), ``at`` (epoch seconds by the gateway's clock) and ``event``;
    the rest depends on the event. ``keep`` bounds what stays in memory (None: everything); the
    file holds all. Events: listen, connect, version, start, refuse, disconnect, place, reject,
    placed, replace, cancel, held, ack, fill, replaced, canceled, expired, command_refused,
    unreadable, rate, inject, muted, deferred.
    """

    def __init__(self, clock: Clock, path: Path | None = None, keep: int | None = None) -> None:
        self._clock = clock
        self._entries: deque[Entry] = deque(maxlen=keep)
        self._count = 0
        self._file: IO[str] | None = None
        if path is not None:
            try:
                # By the line: a checker reads it after this process was killed.
                self._file = path.open("w", encoding="utf-8", buffering=1)
            except OSError as error:
                raise StateError(
                    f"the ledger {path} cannot be written: {error.strerror}",
                    hint="name a file in a folder that exists and is writable",
                ) from error

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
            self._file.write(json.dumps(entry, default=_plain) + "\n")

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


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return decimal_text(value)
    return str(value)
