"""Questions that wait for their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from alluse_core.errors import BrokerError
from alluse_core.model import Verb


class Question:
    """One request: rows gathered until the end mark, or an error instead.

    ``verb`` is what it asks for, by which the table reads an error that names it.
    """

    __slots__ = ("done", "rows", "verb")

    def __init__(self, verb: Verb | None = None) -> None:
        self.rows: list[Any] = []
        self.verb = verb
        self.done: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()

    def finish(self) -> None:
        """Answer with the rows gathered."""
        if not self.done.done():
            self.done.set_result(self.rows)

    def fail(self, error: BrokerError) -> None:
        """Answer with an error."""
        if not self.done.done():
            self.done.set_exception(error)
            # Whoever asked may have stopped waiting; asyncio would call that a lost exception.
            self.done.exception()


class Pending:
    """The open questions of one connection.

    Numbered ones are told apart by their request id. The API has also questions without a number
    (open orders, completed orders, positions, the time, market rules): those are kept by name,
    one at a time, and ``owed`` holds the names whose end mark of an abandoned question may still
    come and would end the next one too early.
    """

    def __init__(self) -> None:
        self.numbered: dict[int, Question] = {}
        self.named: dict[str, Question] = {}
        self.owed: set[str] = set()
        self.probes: list[asyncio.Future[int]] = []
        self.locks: dict[str, asyncio.Lock] = {}

    def add(self, name: str, row: Any) -> None:
        """Add a row to a named question, if it is being asked."""
        question = self.named.get(name)
        if question is not None:
            question.rows.append(row)

    def end(self, name: str) -> None:
        """Take the end mark of a named question."""
        question = self.named.get(name)
        if question is not None:
            question.finish()

    def fail_all(self, error: Callable[[], BrokerError]) -> None:
        """Answer everything with an error: the connection is gone."""
        for question in (*self.numbered.values(), *self.named.values()):
            question.fail(error())
        for probe in self.probes:
            if not probe.done():
                probe.set_exception(error())
                probe.exception()
        self.numbered.clear()
        self.named.clear()
        self.probes.clear()
        self.owed.clear()
