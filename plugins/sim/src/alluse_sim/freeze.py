"""New risk that was let through while the link was lost, by the journal's own order of records."""

from __future__ import annotations

from alluse_core.model import LinkState
from alluse_core.orders.journal import Entry
from alluse_core.orders.records import Kind
from alluse_core.orders.states import Event


class Freeze:
    """Reads a journal record by record; ``broken`` are sentences, one for each such order.

    An order that is proven to reduce risk may pass. What a process knew of the link ends with it.
    """

    def __init__(self) -> None:
        self.broken: list[str] = []
        self._lost = ""

    def read(self, record: Entry) -> None:
        """Take the next record."""
        body = record.body
        if record.kind == Kind.START:
            self._lost = ""
        elif record.kind == Kind.NOTICE and "link" in body:
            self._lost = "" if body["link"] == LinkState.UP else body["link"]
        elif self._lost and body.get("event") == Event.SUBMIT and not body.get("reducing"):
            self.broken.append(f"{record.key} was let through while the link was {self._lost}")
