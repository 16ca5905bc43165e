"""Reading the journal: what it tells of orders, for people and reports."""

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
from alluse_core.model import Execution, Order, OrderState, SecurityType
from alluse_core.orders.records import Kind, Row, execution_from, microseconds, order_from, when
from alluse_core.state import where_the_journal_is

# The second term is what lets SQLite use the partial index.
_OF_KEY = "WHERE key = ? AND key <> ''"
COLUMNS = "seq, time, kind, key, ref, state, body, hash"


def anchor_path(journal: Path) -> Path:
    """Return where the anchor of a journal lies."""
    return journal.with_name(journal.name + ".anchor")


def corrupt(path: Path, error: Exception) -> JournalCorrupt:
    """Return what to raise where a journal cannot be read."""
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


def entry(sequence: int, row: Row) -> Entry:
    """Return a record as a reader is given it. Raises ValueError and its like where it is none."""
    return Entry(
        sequence, when(row.time), row.kind, row.key, row.ref, row.state, json.loads(row.body)
    )


def _damaged(sequence: int, error: Exception) -> JournalCorrupt:
    return JournalCorrupt(
        f"record {sequence} cannot be read: {error}", hint="see 'alluse journal verify'"
    )


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
    group: str


@attrs.frozen
class Fill:
    """One execution as it was learnt; ``key`` is empty where it is of no order of ours.

    ``base`` names the execution whatever its revision: the newest of one base holds.
    ``fills_order``: it fills the order; that of a combo's leg does not, the combo's own does.
    """

    key: str
    execution: Execution
    base: str
    fills_order: bool

    @property
    def moves_position(self) -> bool:
        """Whether a position moved by it: nobody holds a combo, its legs are held."""
        return self.execution.instrument.security_type is not SecurityType.COMBO


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
            hint = where_the_journal_is(path.parent, "--out") or "name another --out"
            raise JournalError(f"there is no journal at {str(path)!r}", hint=hint)
        self.connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False
        )

    @property
    def last(self) -> int:
        """The number of the last record; 0 where there is none."""
        return next(int(last) for (last,) in self._rows("SELECT ifnull(max(seq), 0) FROM record"))

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
        first: int | None = None,
    ) -> Iterator[Entry]:
        """Yield records of one kind and key (empty: all) with start <= time < end, in order.

        ``first``: from this number on.
        """
        where, values = ["1" if first is None else f"seq >= {int(first)}"], []
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

    def newest(self, kind: str, first: int) -> Iterator[Entry]:
        """Yield records of one kind about no order from number ``first`` on, the newest first."""
        where = f"WHERE seq >= {int(first)} AND kind = ? AND key = ''"
        yield from self._entries(where, kind, order="DESC")

    def after(self, sequence: int, kind: str) -> Iterator[Entry]:
        """Yield the records of one kind that follow a sequence number, in order."""
        yield from self._entries(f"WHERE seq > {int(sequence)} AND kind = ?", kind)

    def keys_sent_after(self, sequence: int) -> int:
        """Return how many orders were let through after a sequence number."""
        sql = "SELECT count(DISTINCT key) FROM record WHERE seq > ? AND state = 'SUBMITTED'"
        return next(int(count) for (count,) in self._rows(sql, str(sequence)))

    def digest(self, sequence: int) -> bytes | None:
        """Return the hash that a record was stored with; None where there is no such record."""
        rows = self._rows("SELECT hash FROM record WHERE seq = ?", sequence)
        return next((bytes(digest) for (digest,) in rows), None)

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

    def holds_key_from(self, first: str, beyond: str) -> bool:
        """Return whether a record's key is ``first`` or after it, and before ``beyond``."""
        rows = self._rows("SELECT 1 FROM record WHERE key >= ? AND key < ? LIMIT 1", first, beyond)
        return any(True for _ in rows)

    def order(self, key: str) -> OrderSummary:
        """Return one order. Raises OrderNotFound."""
        story = self.story(key)
        try:
            return _summary(story)
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            raise _damaged(story[0].sequence, error) from None

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

    def fills(self, start: datetime | None = None, end: datetime | None = None) -> Iterator[Fill]:
        """Yield fills in the order they were learnt; corrections follow what they correct.

        A combo and its legs are told both: sum what :meth:`traded` returns.
        """
        for entry in self.entries(Kind.FILL, start, end):
            body = entry.body
            execution = execution_from(entry.ref, body)
            fills_order = bool(entry.key) and body["counts"]
            yield Fill(entry.key, execution, body["base"], fills_order)

    def traded(self, start: datetime | None = None, end: datetime | None = None) -> list[Fill]:
        """Return what moved positions, each execution once, in its newest revision of that time.

        The sum of their signed quantities is what positions moved by; of a combo these are the
        executions of its legs.
        """
        newest = {(fill.execution.broker, fill.base): fill for fill in self.fills(start, end)}
        return [fill for fill in newest.values() if fill.moves_position]

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
        return next(str(text) for (text,) in rows)

    def _state(self, key: str) -> str:
        rows = self._rows(
            f"SELECT state FROM record {_OF_KEY} AND state <> '' ORDER BY seq DESC LIMIT 1", key
        )
        return next(str(state) for (state,) in rows)

    def _entries(self, where: str, *values: str, order: str = "") -> Iterator[Entry]:
        columns = "seq, time, kind, key, ref, state, body"
        sql = f"SELECT {columns} FROM record {where} ORDER BY seq {order}"
        for sequence, *fields in self._rows(sql, *values):
            try:
                read = entry(sequence, Row(*fields))
            except (OverflowError, TypeError, ValueError) as error:
                raise _damaged(sequence, error) from None
            yield read

    def _rows(self, sql: str, *values: str | int) -> Iterator[tuple[Any, ...]]:
        try:
            with contextlib.closing(self.connection.execute(sql, values)) as cursor:
                yield from cursor
        except sqlite3.DatabaseError as error:
            raise corrupt(self.path, error) from None


def _summary(story: list[Entry]) -> OrderSummary:
    first = next((entry for entry in story if entry.kind == Kind.ORDER), None)
    if first is None:
        raise JournalCorrupt(f"the journal holds no order for key {story[0].key!r}")
    order = order_from(first.key, first.body)
    revisions: dict[str, tuple[Decimal, Decimal]] = {}
    for entry in story:
        if entry.kind == Kind.FILL and entry.body["counts"]:
            revisions[entry.body["base"]] = (
                Decimal(entry.body["quantity"]),
                Decimal(entry.body["price"]),
            )
        elif entry.kind == Kind.COMMAND and entry.body.get("event") in ("CONFIRM", "LATE_ECHO"):
            order = order_from(first.key, entry.body["order"]) if "order" in entry.body else order
        elif entry.kind in (Kind.REDUCTION, Kind.ECHO) and "order" in entry.body:
            order = order_from(first.key, entry.body["order"])
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
