"""Reads the gateway's ledger: what became of each order at the broker. Pure: no I/O, no clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import attrs
from alluse_paper.holds import LOCATE
from alluse_paper.working import UNTRANSMITTED

Entry = Mapping[str, Any]
ZERO = Decimal(0)


@attrs.define
class Brokered:
    """One order at the broker, as the ledger tells its life.

    ``twin``: it came to be by a change that left the old order alive; nobody sent it twice.
    ``asked`` are the quantities of changes that are on their way to the exchange; ``reductions`` is
    how often the broker took something off by itself, ``reduced``: it did so last of all.
    """

    ref: str
    perm_id: int
    quantity: Decimal
    symbol: str = ""
    side: str = ""
    order_type: str = ""
    state: str = "PLACED"
    reason: str = ""
    twin: bool = False
    fills: dict[str, tuple[Decimal, Decimal]] = attrs.field(factory=dict)
    asked: list[Decimal] = attrs.field(factory=list)
    reductions: int = 0
    reduced: bool = False

    @property
    def filled(self) -> Decimal:
        return sum((quantity for quantity, _ in self.fills.values()), ZERO)

    @property
    def working(self) -> Decimal:
        """What of it is at work; one that waits for its entry or for the open is."""
        held = self.state == "HELD" and self.reason not in (UNTRANSMITTED, LOCATE)
        return self.quantity - self.filled if self.state == "WORKING" or held else ZERO

    @property
    def allowed(self) -> frozenset[str]:
        """What a runtime that knows all of it may call it."""
        if self.filled >= self.quantity:
            return frozenset({"FILLED"})
        if self.state in ("CANCELED", "REJECTED"):
            return frozenset({"CANCELED"} if self.fills else {self.state})
        if self.state == "EXPIRED":
            return frozenset({"EXPIRED", "CANCELED"})
        return frozenset({"PARTIALLY_FILLED"} if self.fills else {"ACCEPTED", "HELD"})


@attrs.define
class Truth:
    """The whole ledger, by order."""

    orders: dict[str, list[Brokered]] = attrs.field(factory=lambda: defaultdict(list))
    sends: dict[str, int] = attrs.field(factory=lambda: defaultdict(int))
    refused: dict[str, Entry] = attrs.field(factory=dict)
    ids: dict[tuple[int, int], set[str]] = attrs.field(factory=lambda: defaultdict(set))
    positions: dict[str, Decimal] = attrs.field(factory=lambda: defaultdict(lambda: ZERO))
    rates: list[str] = attrs.field(factory=list)
    unreadable: list[str] = attrs.field(factory=list)


def truth_of(entries: Iterable[Entry]) -> Truth:
    """Read a ledger."""
    reading = Reading()
    for entry in entries:
        reading.take(entry)
    return reading.truth


class Reading:
    """Reads a ledger entry by entry; ``truth`` is what it came to so far, ``by_perm`` by permId."""

    def __init__(self) -> None:
        self.truth = Truth()
        self._asked: dict[tuple[int, int], Entry] = {}
        self.by_perm: dict[int, Brokered] = {}

    def take(self, entry: Entry) -> None:
        """Read one entry."""
        truth, event, ref = self.truth, entry["event"], entry.get("order_ref", "")
        if event == "place":
            place = (entry["client_id"], entry["order_id"])
            truth.sends[ref] += 1
            truth.ids[place].add(ref)
            self._asked[place] = entry
        elif event in ("placed", "split"):
            self._place(entry, ref, twin=event == "split")
        elif event == "reject" and not entry["perm_id"]:
            if ref not in truth.orders:
                truth.refused[ref] = entry
        elif event == "fill":
            _fill(truth, self.by_perm.get(entry["perm_id"]), entry)
        elif event == "rate":
            truth.rates.append(f"client {entry['client_id']} sent {entry['received']} in a second")
        elif event == "unreadable":
            truth.unreadable.append(str(entry["text"]))
        elif entry.get("perm_id") in self.by_perm:
            _happened(self.by_perm[entry["perm_id"]], entry)

    def _place(self, entry: Entry, ref: str, *, twin: bool) -> None:
        asked = self._asked[entry["client_id"], entry["order_id"]]
        order = Brokered(
            ref,
            entry["perm_id"],
            decimal(asked["quantity"]),
            asked["symbol"],
            asked["side"],
            asked["order_type"],
            twin=twin,
        )
        self.by_perm[entry["perm_id"]] = order
        self.truth.orders[ref].append(order)


def _fill(truth: Truth, order: Brokered | None, entry: Entry) -> None:
    quantity = decimal(entry["quantity"])
    sign = 1 if entry["side"] == "BUY" else -1
    truth.positions[entry["instrument"]] += sign * quantity
    if order is not None:
        order.fills[entry["execution_id"]] = (quantity, decimal(entry["price"]))


_STATES = {
    "ack": "WORKING",
    "held": "HELD",
    "canceled": "CANCELED",
    "expired": "EXPIRED",
    "reject": "REJECTED",
}


def _happened(order: Brokered, entry: Entry) -> None:
    event = entry["event"]
    if event in _STATES:
        order.state = _STATES[event]
        order.reason = entry.get("reason", "")
    elif event == "replace":
        order.asked.append(decimal(entry["quantity"]))
    elif event == "replaced":
        _replaced(order, decimal(entry["quantity"]))


def _replaced(order: Brokered, quantity: Decimal) -> None:
    """Take the terms that hold now: what nobody asked for is the broker's own doing."""
    order.reduced = quantity not in order.asked and quantity < order.quantity
    order.reductions += order.reduced
    if quantity in order.asked:
        del order.asked[: order.asked.index(quantity) + 1]
    order.quantity = quantity


def decimal(value: object) -> Decimal:
    """Read a number of the ledger's."""
    return Decimal(str(value))
