"""A venue in memory: it fills at a fixed quote. Replace it with yours."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import attrs

ACCOUNT = "ACME-PAPER"

BOOK = {"AAPL": (189.98, 190.02), "MSFT": (410.10, 410.20)}
"""The bid and ask of each symbol that the venue trades."""


@attrs.define
class Resting:
    """An order at the venue."""

    number: int
    reference: str
    symbol: str
    sign: int
    quantity: Decimal
    price: float
    status: str = "working"


class Venue:
    """Orders and holdings; what crosses the book fills at once, in full."""

    def __init__(self) -> None:
        self.orders: dict[str, Resting] = {}
        self.holdings: Counter[str] = Counter()

    def send(self, reference: str, symbol: str, sign: int, quantity: Decimal, price: float) -> None:
        """Take an order, or new terms for one that is known by its reference."""
        number = len(self.orders) + 1
        order = self.orders.setdefault(
            reference, Resting(number, reference, symbol, sign, quantity, price)
        )
        if order.status != "working":
            return
        order.quantity, order.price = quantity, price
        bid, ask = BOOK[symbol]
        if (price >= ask) if sign > 0 else (price <= bid):
            order.status = "filled"
            order.price = ask if sign > 0 else bid
            self.holdings[symbol] += sign * int(quantity)

    def cancel(self, reference: str) -> None:
        """End an order that still works."""
        order = self.orders.get(reference)
        if order is not None and order.status == "working":
            order.status = "canceled"
