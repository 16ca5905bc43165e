"""Every order this gateway knows, by each of its names, and what clients were last told of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

import attrs
from alluse_paper.orders import ZERO, ExchangeOrder, Fill

from alluse_gateway.answers import orders as answers
from alluse_gateway.faults import Rejection
from alluse_gateway.requests import PlaceOrder

EXTERNAL = 0
"""The client id and order id of an order that came to the exchange past this gateway.

Client 0 may have such orders bound: they then get negative order ids.
"""


@attrs.define(eq=False)
class Booked:
    """One order. ``status`` is TWS's word for what clients were last told, in full view of which
    ``order`` stands; ``silent`` until it is first told of (an order that is not transmitted).
    ``doomed`` is what it will be refused with after it was taken.
    ``silent_changes`` is how many changes to come will not be echoed;
    ``stale``: what clients were shown is not what the exchange has.
    """

    client_id: int
    order_id: int
    perm_id: int
    request: PlaceOrder | None
    echo: answers.OrderEcho
    order: ExchangeOrder
    status: str = "PendingSubmit"
    why_held: str = ""
    reason: str = ""
    silent: bool = True
    cancel_asked: bool = False
    silent_changes: int = 0
    stale: bool = False
    last_price: Decimal = ZERO
    ended_at: datetime | None = None
    doomed: Rejection | None = None
    fills: list[Fill] = attrs.field(factory=list)
    _parts: dict[int, answers.Parts] = attrs.field(factory=dict)

    @property
    def alive(self) -> bool:
        """Whether, as far as clients were told, it may still fill."""
        return self.ended_at is None

    @property
    def is_settlement(self) -> bool:
        """Whether it stands for an exercise, assignment or expiry, which nobody saw as an order."""
        return self.order.request.cause.is_settlement

    def change(self, echo: answers.OrderEcho) -> None:
        """Take over new terms."""
        self.echo = echo
        self._parts.clear()

    def commission(self) -> tuple[Decimal, str] | None:
        """What its fills have cost so far, None before the first."""
        if not self.fills:
            return None
        return sum((fill.paid for fill in self.fills), ZERO), self.fills[0].currency

    def open_order(self, version: int, *, with_commission: bool = False) -> bytes:
        """Return its openOrder message."""
        parts = self._parts.get(version)
        if parts is None:
            parts = self._parts[version] = answers.open_order_parts(self.echo, version)
        commission = self.commission() if with_commission else None
        return answers.open_order(parts, self.status, commission)

    def order_status(self, status: str = "") -> bytes:
        """Return its orderStatus message; ``status`` stands in for its own."""
        order = self.order
        return answers.order_status(
            self.echo,
            status or self.status,
            order.filled,
            order.remaining,
            order.average_price,
            self.last_price,
            self.why_held,
        )


class OrderBook:
    """Orders by (client, order id) and by permanent id, and each client's next order id.

    ``binding``: orders made by hand are given ids of client 0 from now on.
    """

    def __init__(self) -> None:
        self._by_perm: dict[int, Booked] = {}
        self._by_client: dict[tuple[int, int], Booked] = {}
        self._next_ids: dict[int, int] = {}
        self._bound = 0
        self.binding = False

    def __iter__(self) -> Iterator[Booked]:
        return iter(tuple(self._by_perm.values()))

    def __len__(self) -> int:
        return len(self._by_perm)

    def add(self, booked: Booked) -> None:
        """Enter a new order."""
        self._by_perm[booked.perm_id] = booked
        if booked.order_id != EXTERNAL:
            self._by_client[(booked.client_id, booked.order_id)] = booked

    def restore(self, booked: Booked) -> None:
        """Enter an order of an earlier gateway; of two with one id, the later one has it."""
        self.add(booked)
        if booked.order_id < 0:
            self._bound = max(self._bound, -booked.order_id)
        elif booked.order_id != EXTERNAL:
            self.use_id(booked.client_id, booked.order_id)

    def next_ids(self) -> dict[int, int]:
        """Return the next order id of every client that has used one."""
        return dict(self._next_ids)

    def bind(self, booked: Booked) -> None:
        """Give an order made by hand a negative id, by which client 0 can change and cancel it."""
        self._bound += 1
        booked.order_id = -self._bound
        booked.change(attrs.evolve(booked.echo, order_id=booked.order_id))
        self._by_client[(EXTERNAL, booked.order_id)] = booked

    def forget_before(self, moment: datetime) -> None:
        """Drop the orders that ended before ``moment``."""
        for booked in self:
            if booked.ended_at is not None and booked.ended_at < moment:
                del self._by_perm[booked.perm_id]
                self._by_client.pop((booked.client_id, booked.order_id), None)

    def by_perm(self, perm_id: int) -> Booked | None:
        """Find an order by its permanent id."""
        return self._by_perm.get(perm_id)

    def by_client(self, client_id: int, order_id: int) -> Booked | None:
        """Find an order by who placed it under which id."""
        return self._by_client.get((client_id, order_id))

    def next_id(self, client_id: int) -> int:
        """Return the lowest order id that ``client_id`` may use."""
        return self._next_ids.get(client_id, 1)

    def roll_back(self, ids: int) -> dict[int, int]:
        """Give every client out its last ``ids`` ids again; return the next id of each."""
        for client, next_id in self._next_ids.items():
            self._next_ids[client] = max(1, next_id - ids)
        return dict(self._next_ids)

    def use_id(self, client_id: int, order_id: int) -> None:
        """Mark an id as used."""
        self._next_ids[client_id] = max(self.next_id(client_id), order_id + 1)

    def set_next_id(self, client_id: int, order_id: int) -> None:
        """Give out ``order_id`` next, lower than before if so told (a restart's roll-back)."""
        self._next_ids[client_id] = order_id
