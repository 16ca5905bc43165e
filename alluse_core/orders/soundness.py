"""A check of the journal's indexes beside trading: a start from a checkpoint does without it."""

from __future__ import annotations

import threading
from pathlib import Path

from alluse_core.orders.reader import JournalReader
from alluse_core.orders.verification import UNREADABLE, unsoundness

_AGAIN = 0.05


class IndexCheck:
    """Has SQLite compare the indexes with the records, in a thread of its own.

    It reads the whole file, and does so without the interpreter's lock. ``finding`` is None until
    it is done, then what is wrong, '' for nothing.
    """

    def __init__(self, path: Path) -> None:
        self.finding: str | None = None
        self._interrupted = False
        self._reader = JournalReader(path)
        self._thread = threading.Thread(target=self._run, name="alluse-journal-check", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.finding = unsoundness(self._reader.connection)
        except UNREADABLE as error:
            # An interruption says nothing of the file.
            self.finding = None if self._interrupted else str(error)

    def close(self) -> None:
        """End it, done or not. Safe to call twice."""
        self._interrupted = True
        while self._thread.is_alive():
            # One that comes before the check begins interrupts nothing.
            self._reader.connection.interrupt()
            self._thread.join(_AGAIN)
        self._reader.close()
