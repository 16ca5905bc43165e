"""What became of every order, folded from ledger entries. Pure: no I/O, no clock.

A checker compares an agent's belief with the truth in three lines::

    for order in gateway.ledger.orders():
        believed = agent[order.order_ref]
        assert (believed.filled, believed.state) == (order.filled, order.state)

Entries may come from :class:`~alluse_gateway.ledger.Ledger` or from its file, where numbers are
text; both are read alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs

from alluse_core.errors import StateError

Entry = Mapping[str, Any]
ZERO = Decimal(0)

ENDED = frozenset({"FILLED", "CANCELED", "REJECTED", "EXPIRED"})


@attrs.frozen
class ExecutionTruth:
    """One execution, as it happened at the exchange and stands corrected.

    ``cause`` is empty, or why there was one without an order: a liquidation, an assignment.
    ``instrument`` is its id. A combo's begins with ``BAG:``; its legs have executions of their
    own, and only those move positions.
    """

    execution_id: str
    perm_id: int
    order_ref: str
    account: str
    symbol: str
    side: str
    quantity: Decimal
    price: Decimal
    commission: Decimal
    at: float
    cause: str = ""
    instrument: str = ""


@attrs.define
class OrderTruth:
    """One order, as it stands at the exchange.

    ``perm_id`` is 0 for an order that was refused before it had one. ``state`` is SENT (on its
    way), HELD, WORKING, PARTIALLY_FILLED, FILLED, CANCELED, REJECTED or EXPIRED. An order that
    came to the exchange past the gateway has client id 0 and no terms but its side.
    """

    client_id: int
    order_id: int
    perm_id: int
    order_ref: str
    symbol: str = ""
    side: str = ""
    quantity: Decimal | None = None
    order_type: str = ""
    limit_price: Decimal | None = None
    aux_price: Decimal | None = None
    time_in_force: str = ""
    account: str = ""
    state: str = "SENT"
    reason: str = ""
    cancel_asked: bool = False
    executions: tuple[ExecutionTruth, ...] = ()

    @property
    def filled(self) -> Decimal:
        """Quantity of its executions."""
        return sum((each.quantity for each in self.executions), ZERO)

    @property
    def average_price(self) -> Decimal | None:
        """Average price of its executions, None before the first."""
        if not self.filled:
            return None
        return sum((each.quantity * each.price for each in self.executions), ZERO) / self.filled

    @property
    def ended(self) -> bool:
        """Whether nothing more can become of it."""
        return self.state in ENDED


def orders(entries: Iterable[Entry]) -> tuple[OrderTruth, ...]:
    """Return every order, in the order in which the first word of it came."""
    fold = _Fold()
    for entry in entries:
        fold.take(entry)
    return tuple(fold.orders)


def executions(entries: Iterable[Entry]) -> tuple[ExecutionTruth, ...]:
    """Return every execution in order, as it stands corrected; one that was busted has size 0."""
    found: dict[str, ExecutionTruth] = {}
    current: dict[str, str] = {}
    for entry in entries:
        if entry["event"] in ("fill", "leg_fill"):
            found[entry["execution_id"]] = _execution(entry)
        elif entry["event"] == "correction":
            was: str = entry["was"]
            first = current.get(was, was)
            current[entry["execution_id"]] = first
            found[first] = _corrected(found[first], entry)
    return tuple(found.values())


def positions(entries: Iterable[Entry]) -> dict[tuple[str, str], Decimal]:
    """Return what executions made of each (account, symbol); flat ones are left out."""
    held: dict[tuple[str, str], Decimal] = {}
    for each in executions(entries):
        if each.instrument.startswith("BAG:"):
            continue
        key = (each.account, each.symbol)
        held[key] = held.get(key, ZERO) + (each.quantity if each.side == "BUY" else -each.quantity)
    return {key: quantity for key, quantity in held.items() if quantity}


def read(path: Path) -> tuple[dict[str, Any], ...]:
    """Read a ledger's file. A last line that was not written to its end is left out.

    Raises StateError for a file that is no ledger.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StateError(f"the ledger {path} cannot be read: {error}") from error
    found: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict) or "event" not in entry or entry.get("seq") != number:
            if number == len(lines) and entry is None:
                break
            raise StateError(
                f"line {number} of {path} is no entry of a ledger",
                hint="give the file that 'alluse gateway --ledger FILE' wrote, whole",
            )
        found.append(entry)
    return tuple(found)


class _Fold:
    def __init__(self) -> None:
        self.orders: list[OrderTruth] = []
        self._asked: dict[tuple[int, int], Entry] = {}
        self._by_perm: dict[int, OrderTruth] = {}
        self._by_client: dict[tuple[int, int], OrderTruth] = {}

    def take(self, entry: Entry) -> None:
        event = entry["event"]
        if event == "place":
            self._asked[entry["client_id"], entry["order_id"]] = entry
        elif event in ("placed", "split") or (event == "reject" and not entry["perm_id"]):
            self._new(entry, event)
        elif event in _CHANGES and entry.get("perm_id"):
            order = self._by_perm.get(entry["perm_id"])
            if order is None:
                order = self._add(_blank(entry))
            _CHANGES[event](order, entry)

    def _new(self, entry: Entry, event: str) -> None:
        place = (entry["client_id"], entry["order_id"])
        asked, living = self._asked[place], self._by_client.get(place)
        if event == "reject" and living is not None and living.order_ref == entry["order_ref"]:
            # What was refused is a change; the order itself stays as it is.
            return
        order = attrs.evolve(
            _blank(entry),
            symbol=str(asked["symbol"]),
            side=asked["side"],
            quantity=_decimal(asked["quantity"]),
            order_type=asked["order_type"],
            limit_price=_decimal(asked["limit_price"]),
            aux_price=_decimal(asked["aux_price"]),
            time_in_force=asked["time_in_force"],
            account=asked["account"],
        )
        if event == "reject":
            order.state, order.reason = "REJECTED", entry["reason"]
        self._add(order)

    def _add(self, order: OrderTruth) -> OrderTruth:
        self.orders.append(order)
        if order.perm_id:
            self._by_perm[order.perm_id] = order
            self._by_client[order.client_id, order.order_id] = order
        return order


def _blank(entry: Entry) -> OrderTruth:
    return OrderTruth(entry["client_id"], entry["order_id"], entry["perm_id"], entry["order_ref"])


def _ack(order: OrderTruth, entry: Entry) -> None:
    if not order.ended:
        order.state = "PARTIALLY_FILLED" if order.executions else "WORKING"


def _held(order: OrderTruth, entry: Entry) -> None:
    if not order.ended and not order.executions:
        order.state, order.reason = "HELD", entry["reason"]


def _fill(order: OrderTruth, entry: Entry) -> None:
    execution = _execution(entry)
    order.executions = (*order.executions, execution)
    order.symbol, order.side, order.account = execution.symbol, execution.side, execution.account
    if order.quantity is not None and order.filled >= order.quantity:
        order.state = "FILLED"
    elif not order.ended:
        order.state = "PARTIALLY_FILLED"


def _correction(order: OrderTruth, entry: Entry) -> None:
    order.executions = tuple(
        _corrected(each, entry) if each.execution_id == entry["was"] else each
        for each in order.executions
    )


def _replaced(order: OrderTruth, entry: Entry) -> None:
    order.quantity = _decimal(entry.get("quantity")) or order.quantity
    order.limit_price = _decimal(entry.get("limit_price"))
    order.aux_price = _decimal(entry.get("aux_price"))


def _asked_to_cancel(order: OrderTruth, entry: Entry) -> None:
    order.cancel_asked = True


def _ends_as(state: str) -> Any:
    def end(order: OrderTruth, entry: Entry) -> None:
        if order.state != "FILLED":
            order.state, order.reason = state, entry["reason"]

    return end


_CHANGES: Mapping[str, Any] = {
    "ack": _ack,
    "held": _held,
    "fill": _fill,
    "correction": _correction,
    "replaced": _replaced,
    "cancel": _asked_to_cancel,
    "canceled": _ends_as("CANCELED"),
    "expired": _ends_as("EXPIRED"),
    "reject": _ends_as("REJECTED"),
}


def _execution(entry: Entry) -> ExecutionTruth:
    return ExecutionTruth(
        execution_id=entry["execution_id"],
        perm_id=entry["perm_id"],
        order_ref=entry["order_ref"],
        account=entry["account"],
        symbol=entry["symbol"],
        side=entry["side"],
        quantity=Decimal(entry["quantity"]),
        price=Decimal(entry["price"]),
        commission=Decimal(entry["commission"]),
        at=entry["at"],
        cause=entry.get("cause", ""),
        instrument=entry.get("instrument", ""),
    )


def _corrected(execution: ExecutionTruth, entry: Entry) -> ExecutionTruth:
    return attrs.evolve(
        execution,
        execution_id=entry["execution_id"],
        quantity=Decimal(entry["quantity"]),
        price=Decimal(entry["price"]),
    )


def _decimal(value: Any) -> Decimal | None:
    return None if value in (None, "") else Decimal(value)
