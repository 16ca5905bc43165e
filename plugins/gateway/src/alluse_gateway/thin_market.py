"""Partial fills on demand: for a while the market shows less than an order wants."""

from __future__ import annotations

import math
from decimal import ROUND_DOWN, Decimal

from alluse_paper.combos import moves
from alluse_paper.exchange import Exchange
from alluse_paper.market import QuoteEvent
from alluse_paper.orders import NewOrder

from alluse_core.clock import Clock
from alluse_core.model import Instrument, Side


class ThinMarket:
    """Shows only so much of an instrument's size that an order on its way fills in part.

    It is shown from when the order is sent until the exchange first says something of it, after
    every event of the market's; what the market shows next fills the rest.
    """

    def __init__(self, clock: Clock, exchange: Exchange) -> None:
        self._clock = clock
        self._exchange = exchange
        self._orders: dict[int, tuple[tuple[Instrument, Side, float], ...]] = {}
        self._showing = False

    def add(self, number: int, order: NewOrder, fraction: Decimal) -> None:
        """Let an order that has just been sent find ``fraction`` of its quantity, in whole units.

        An order too small to be split fills as it would. A combo is split by its legs.
        """
        size = (order.quantity * fraction).to_integral_value(ROUND_DOWN)
        if size >= 1:
            instrument = self._exchange.listing(order.instrument).instrument
            rows = moves(instrument, order.side, size)
            self._orders[number] = tuple((each, side, float(some)) for each, side, some in rows)
            for each, _, _ in rows:
                self.on_market(each)

    def forget(self, number: int) -> None:
        """The exchange has said something of an order."""
        self._orders.pop(number, None)

    def on_market(self, instrument: Instrument) -> None:
        """The market has shown something else: cover it."""
        if not self._orders or self._showing:
            return
        for wanted, side, size in [row for rows in self._orders.values() for row in rows]:
            if wanted is instrument:
                self._show(instrument, side, size)

    def _show(self, instrument: Instrument, side: Side, size: float) -> None:
        top = self._exchange.top(instrument)
        shown = math.nan if top is None else top.ask_size if side is Side.BUY else top.bid_size
        if top is None or shown == size:
            return
        buys = side is Side.BUY
        at = top.time if math.isfinite(top.time) else self._clock.now().timestamp()
        bid_size, ask_size = (top.bid_size, size) if buys else (size, top.ask_size)
        self._showing = True
        try:
            self._exchange.on_market(
                QuoteEvent(instrument, at, top.bid, bid_size, top.ask, ask_size)
            )
        finally:
            self._showing = False
