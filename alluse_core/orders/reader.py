"""Reading the journal: its check, and what it tells of orders, for people and reports."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs

from alluse_core.errors import JournalCorrupt, JournalError, OrderNotFound
from alluse_core.model import Execution, Order, OrderState
from alluse_core.orders.chain import EMPTY, Head, link, read_anchor
from alluse_core.orders.records import Kind, Row, execution_from, microseconds, order_from, when

# The second term is what lets SQLite use the partial index.
_OF_KEY = "WHERE key = ? AND key <> ''"
COLUMNS = "seq, time, kind, key, ref, state, body, hash"


def anchor_path(journal: Path) -> Path:
    """Return where the anchor of a journal lies."""
    return journal.with_name(journal.name + ".anchor")


@attrs.frozen
class Verification:
    """What a check of the journal found. ``problem`` is empty where it is whole.

    ``at`` is the sequence number the (first) problem was found at. ``accepted``: a person was
    told of it and went on.
    """

    records: int
    head: Head
    problem: str = ""
    at: int = 0
    accepted: bool = False

    @property
    def ok(self) -> bool:
        """Whether chain and anchor agree from the first record to the last."""
        return not self.problem


class Walk:
    """Checks the chain record by record while they are read; see :func:`verify`."""

    def __init__(self) -> None:
        self.head = EMPTY
        self.records = 0
        self._found: tuple[int, str] | None = None
        self._accepted_at = 0

    def take(self, sequence: int, row: Row, stored: bytes) -> None:
        """Check the next record."""
        if sequence != self.head.sequence + 1:
            self._report(sequence, f"records {self.head.sequence + 1} to {sequence - 1} are gone")
        elif link(self.head.hash, sequence, row) != stored:
            self._report(sequence, f"record {sequence} is not what was written")
        if row.kind == Kind.ACCEPTED:
            self._accepted_at = sequence
        self.head = Head(sequence, stored)
        self.records += 1

    def passed_anchor(self, anchor: Head, sequence: int, stored: bytes) -> None:
        """Compare the record that the anchor names."""
        if sequence == anchor.sequence and stored != anchor.hash:
            self._report(sequence, f"record {sequence} is not the one the anchor names")

    def finish(self, anchor: Head | None) -> Verification:
        """Compare the end with the anchor and return the verdict."""
        if anchor is None:
            if self.records:
                self._report(self.head.sequence + 1, "the anchor is missing or unreadable")
        elif anchor.sequence > self.head.sequence:
            self._report(
                self.head.sequence + 1,
                f"the journal ends at record {self.head.sequence},"
                f" the anchor knows {anchor.sequence}",
            )
        at, problem = self._found or (0, "")
        return Verification(self.records, self.head, problem, at, self._accepted_at > at > 0)

    def _report(self, at: int, problem: str) -> None:
        # Later problems than one that was accepted matter; of several open ones, the first does.
        if self._found is None or self._accepted_at > self._found[0]:
            self._found = (at, problem)


def walk(
    connection: sqlite3.Connection, anchor: Head | None, checker: Walk
) -> Iterator[tuple[int, Row]]:
    """Yield all records, checking the chain on the way."""
    for sequence, *fields, stored in connection.execute(
        f"SELECT {COLUMNS} FROM record ORDER BY seq"
    ):
        row = Row(*fields)
        checker.take(sequence, row, stored)
        if anchor is not None:
            checker.passed_anchor(anchor, sequence, stored)
        yield sequence, row


def verify(path: Path) -> Verification:
    """Check chain, order and length of the journal at ``path`` against its anchor.

    Raises JournalError where there is no journal, JournalCorrupt where it is no database any more.
    """
    checker = Walk()
    with JournalReader(path) as reader:
        anchor = read_anchor(anchor_path(path))
        try:
            for _ in walk(reader.connection, anchor, checker):
                continue
        except (sqlite3.DatabaseError, TypeError, ValueError) as error:
            raise _corrupt(path, error) from None
    return checker.finish(anchor)


def _corrupt(path: Path, error: Exception) -> JournalCorrupt:
    return JournalCorrupt(
        f"{path.name} cannot be read as a journal: {error}",
        hint="keep the file, and restore it from a copy or start with another state folder",
    )


@attrs.frozen
class Entry:
    """One record, for a reader: ``body`` is its decoded content."""

    sequence: int
    time: datetime
    kind: str
    key: str
    ref: str
    state: str
    body: Mapping[str, Any]


@attrs.frozen
class OrderSummary:
    """An order as the journal knows it. ``average_price`` is None before the first fill."""

    key: str
    ref: str
    state: OrderState
    order: Order
    submitted_at: datetime
    filled: Decimal
    average_price: Decimal | None
    group: str = ""


@attrs.frozen
class UnclassifiedCode:
    """A code of the broker's that no rule knew, as often as it came; ``text`` is the last one."""

    code: int
    times: int
    about_orders: int
    first: datetime
    last: datetime
    text: str


class JournalReader:
    """Reads a journal that may be in use by another process; a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise JournalError(f"there is no journal at {str(path)!r}", hint="name another --out")
        self.connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End reading. Safe to call twice."""
        self.connection.close()

    def entries(
        self,
        kind: str = "",
        start: datetime | None = None,
        end: datetime | None = None,
        key: str = "",
    ) -> Iterator[Entry]:
        """Yield records of one kind and key (empty: all) with start <= time < end, in order."""
        where, values = ["1"], []
        if kind:
            where.append("kind = ?")
            values.append(kind)
        if key:
            # The second term is what lets SQLite use the partial index.
            where.append("key = ? AND key <> ''")
            values.append(key)
        for sign, moment in ((">=", start), ("<", end)):
            if moment is not None:
                where.append(f"time {sign} ?")
                values.append(str(microseconds(moment)))
        yield from self._entries(f"WHERE {' AND '.join(where)}", *values)

    def newest(self, kind: str) -> Iterator[Entry]:
        """Yield the records of one kind that are about no order, the newest first."""
        yield from self._entries("WHERE kind = ? AND key = ''", kind, order="DESC")

    def after(self, sequence: int, kind: str) -> Iterator[Entry]:
        """Yield the records of one kind that follow a sequence number, in order."""
        yield from self._entries(f"WHERE seq > {int(sequence)} AND kind = ?", kind)

    def keys_sent_after(self, sequence: int) -> int:
        """Return how many orders were let through after a sequence number."""
        sql = "SELECT count(DISTINCT key) FROM record WHERE seq > ? AND state = 'SUBMITTED'"
        return next(int(count) for (count,) in self._rows(sql, str(sequence)))

    def story(self, key: str) -> list[Entry]:
        """Return all that is recorded of one order, in order. Raises OrderNotFound."""
        found = list(self._entries(_OF_KEY, key))
        if not found:
            raise OrderNotFound(f"the journal knows no order with key {key!r}")
        return found

    def key_of(self, reference: str) -> str | None:
        """Return the key of an orderRef; None where no order has it."""
        rows = self._rows("SELECT key FROM record WHERE ref = ? AND kind = 'order'", reference)
        return next((str(key) for (key,) in rows), None)

    def order(self, key: str) -> OrderSummary:
        """Return one order. Raises OrderNotFound."""
        return _summary(self.story(key))

    def orders(
        self, state: OrderState | None = None, limit: int | None = None
    ) -> Iterator[OrderSummary]:
        """Yield orders, the newest first; ``state`` keeps those that are in it now."""
        given = 0
        keys = self._rows("SELECT key FROM record WHERE kind = 'order' ORDER BY seq DESC")
        for (key,) in keys:
            if limit is not None and given >= limit:
                return
            if state is None or self._state(key) == state:
                given += 1
                yield self.order(key)

    def members(self, group: str) -> Iterator[OrderSummary]:
        """Yield the orders of a group, in the order in which they were asked for."""
        keys = self._rows(
            "SELECT key FROM record WHERE kind = 'order' AND json_extract(body, '$.group') = ?"
            " ORDER BY seq",
            group,
        )
        for (key,) in list(keys):
            yield self.order(key)

    def counts(self) -> dict[OrderState, int]:
        """Return how many orders are in each state now; states without orders are missing."""
        # SQLite's bare columns come from the row that holds the maximum.
        rows = self._rows(
            "SELECT state, count(*) FROM"
            " (SELECT state, max(seq) FROM record WHERE key <> '' AND state <> '' GROUP BY key)"
            " GROUP BY state"
        )
        return {OrderState(state): count for state, count in rows}

    def fills(
        self, start: datetime | None = None, end: datetime | None = None
    ) -> Iterator[tuple[str, Execution]]:
        """Yield (key, fill) in the order they were learnt; corrections follow what they correct.

        The key is empty for a fill of no order of ours.
        """
        for entry in self.entries(Kind.FILL, start, end):
            yield entry.key, execution_from(entry.ref, entry.body)

    def highest_order_ids(self, broker: str) -> dict[int, int]:
        """Return the highest numeric order id that each client id of a broker's has used."""
        rows = self._rows(
            "SELECT json_extract(body, '$.client_id'), max(json_extract(body, '$.order_id'))"
            " FROM record WHERE json_extract(body, '$.order_id') > 0 AND key IN (SELECT key"
            " FROM record WHERE kind = 'order' AND json_extract(body, '$.broker') = ?)"
            " GROUP BY 1",
            broker,
        )
        return {int(client): int(highest) for client, highest in rows if client is not None}

    def unclassified(self) -> list[UnclassifiedCode]:
        """Return the codes that no rule knew when they came, the most frequent first."""
        rows = self._rows(
            "SELECT code, count(*), sum(key <> ''), min(time), max(time) FROM"
            " (SELECT time, key, json_extract(body, '$.code') AS code FROM record"
            " WHERE kind = 'notice' AND json_extract(body, '$.class') = 'unclassified')"
            " GROUP BY code ORDER BY count(*) DESC, code"
        )
        return [
            UnclassifiedCode(code, times, about, when(first), when(last), self._text(code, last))
            for code, times, about, first, last in rows
        ]

    def _text(self, code: int, time: int) -> str:
        rows = self._rows(
            "SELECT json_extract(body, '$.text') FROM record WHERE kind = 'notice' AND time = ?"
            " AND json_extract(body, '$.code') = ? ORDER BY seq DESC LIMIT 1",
            time,
            code,
        )
        return next((str(text) for (text,) in rows), "")

    def _state(self, key: str) -> str:
        rows = self._rows(
            f"SELECT state FROM record {_OF_KEY} AND state <> '' ORDER BY seq DESC LIMIT 1", key
        )
        return next((str(state) for (state,) in rows), "")

    def _entries(self, where: str, *values: str, order: str = "") -> Iterator[Entry]:
        columns = "seq, time, kind, key, ref, state, body"
        sql = f"SELECT {columns} FROM record {where} ORDER BY seq {order}"
        for sequence, time, kind, key, ref, state, body in self._rows(sql, *values):
            yield Entry(sequence, when(time), kind, key, ref, state, json.loads(body))

    def _rows(self, sql: str, *values: str | int) -> Iterator[tuple[Any, ...]]:
        try:
            with contextlib.closing(self.connection.execute(sql, values)) as cursor:
                yield from cursor
        except sqlite3.DatabaseError as error:
            raise _corrupt(self.path, error) from None


def _summary(story: list[Entry]) -> OrderSummary:
    first = next((entry for entry in story if entry.kind == Kind.ORDER), None)
    if first is None:
        raise JournalCorrupt(f"the journal holds no order for key {story[0].key!r}")
    order = order_from(first.key, first.body)
    revisions: dict[str, tuple[Decimal, Decimal]] = {}
    for entry in story:
        if entry.kind == Kind.FILL and entry.body.get("counts", True):
            revisions[entry.body["base"]] = (
                Decimal(entry.body["quantity"]),
                Decimal(entry.body["price"]),
            )
        elif entry.kind == Kind.COMMAND and entry.body.get("event") in ("CONFIRM", "LATE_ECHO"):
            order = order_from(first.key, entry.body["order"]) if "order" in entry.body else order
    filled = sum((quantity for quantity, _ in revisions.values()), Decimal(0))
    paid = sum((quantity * price for quantity, price in revisions.values()), Decimal(0))
    state = next(entry.state for entry in reversed(story) if entry.state)
    return OrderSummary(
        first.key,
        first.ref,
        OrderState(state),
        order,
        first.time,
        filled,
        paid / filled if filled else None,
        first.body.get("group", ""),
    )
