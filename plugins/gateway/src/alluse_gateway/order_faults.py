"""What is wrong with orders on purpose, and the precautions and presets of a TWS."""

from __future__ import annotations

from decimal import Decimal

import attrs
from alluse_paper.market import TopOfBook
from alluse_paper.orders import ZERO, NewOrder

from alluse_gateway import notices
from alluse_gateway import requests as r

_HUNDRED = Decimal(100)

READ_ONLY = frozenset(
    {
        r.PlaceOrder,
        r.CancelOrder,
        r.GlobalCancel,
        r.ExerciseOptions,
        r.OpenOrders,
        r.AutoOpenOrders,
        r.CompletedOrders,
    }
)
"""Requests that a TWS in read-only mode refuses with 321; the questions about orders are among
them, which is why the clients have a ``readonly`` connection.
"""


@attrs.define
class OrderFaults:
    """All off by default.

    ``read_only``: order requests are answered with 321. ``preset_tif``: the time in force that
    every order is changed to, told by 10349. ``size_limit`` and ``percent_limit``: precautions,
    0 for none; an order beyond them is refused with 383 or 109. ``silent_modifies`` and
    ``split_modifies``: how many changes to come are not echoed, or leave the old order alive
    beside the new one.
    """

    read_only: bool = False
    preset_tif: str = ""
    size_limit: Decimal = ZERO
    percent_limit: Decimal = ZERO
    silent_modifies: int = 0
    split_modifies: int = 0

    def take(self, name: str) -> bool:
        """Use up one of the counted faults, if any is left."""
        left: int = getattr(self, name)
        if left > 0:
            setattr(self, name, left - 1)
        return left > 0

    def precaution(self, order: NewOrder, top: TopOfBook | None) -> tuple[int, str] | None:
        """Return the code and text by which the precautions stop ``order``, None where not."""
        if self.size_limit and order.quantity > self.size_limit:
            return notices.SIZE_LIMIT, notices.size_limit(self.size_limit)
        mark = ZERO if top is None or top.mark != top.mark else Decimal(repr(top.mark))
        if not self.percent_limit or order.limit_price is None or not mark:
            return None
        worse = (order.limit_price - mark) * order.side.sign / abs(mark) * _HUNDRED
        if worse > self.percent_limit:
            return notices.PERCENT_LIMIT, notices.PERCENT_LIMIT_TEXT
        return None
