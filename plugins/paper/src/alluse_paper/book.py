"""One instrument's book: the market's top of book, and our own orders by price and time.

What fills an order, in one table (a buy; a sell is its mirror image):

=====================================  =========================================================
the market shows                       the order
=====================================  =========================================================
ask within its limit when it comes     takes the displayed size at the ask; the rest walks along
ask comes down to its resting limit    fills at its limit, up to the ask's displayed size
a trade below its limit                fills at its limit, up to the trade's size
a trade at its limit                   fills with what the trade leaves after the size ahead of it
an absent or zero ask; crossed; halt   nothing
=====================================  =========================================================

Size that was displayed once is taken once: it is there again when the market shows another
price or size on that side. Orders of one account never trade with one another.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from decimal import Decimal
from itertools import takewhile

from alluse_core.model.instrument import Side
from alluse_paper.fill_model import FillModel
from alluse_paper.market import Listing, QuoteEvent, TopOfBook, TradeEvent, is_price
from alluse_paper.orders import ZERO
from alluse_paper.working import Working

Filled = Callable[[Working, Decimal, Decimal], None]
Triggered = Callable[[Working], None]


class Book:
    """See the module's docstring. ``filled`` and ``triggered`` are called as things happen."""

    def __init__(
        self, listing: Listing, model: FillModel, filled: Filled, triggered: Triggered
    ) -> None:
        self.listing = listing
        self.top = TopOfBook(close=listing.previous_close)
        self.day_end = -math.inf
        self.quiet = (math.inf, math.inf)
        self.waiting: list[Working] = []
        self._model = model
        self._filled = filled
        self._triggered = triggered
        self._orders: dict[Side, list[Working]] = {Side.BUY: [], Side.SELL: []}
        self._stops: list[Working] = []
        self._left = {Side.BUY: 0.0, Side.SELL: 0.0}

    # --- orders -------------------------------------------------------------------------------

    def enter(self, order: Working) -> None:
        """Match an order that has come, and let the rest of it stand in the book.

        An order whose stop has not been hit stands aside until it is.
        """
        if order.is_stop:
            self._stops.append(order)
            order.in_book = True
            self._check_stop(order, self.top.last, self.top.last)
            return
        order.aggressive = self.is_marketable(order)
        self.take(order)
        if order.is_open and order.remaining > 0:
            bisect.insort(self._orders[order.request.side], order, key=Working.rank)
            order.in_book = True
            order.ahead = self._ahead_of(order)

    def leave(self, order: Working) -> None:
        """Take an order out; nothing happens where it is not in."""
        if not order.in_book:
            return
        order.in_book = False
        side = self._orders[order.request.side]
        holder = self._stops if order in self._stops else side
        holder.remove(order)

    def is_marketable(self, order: Working) -> bool:
        """Whether the order could trade with the displayed quote now."""
        price = self._price_for(order.request.side)
        return order.limit is None or (self._is_price(price) and order.accepts(price))

    def available(self, order: Working) -> Decimal:
        """Return how much the order could fill at once (what FOK asks)."""
        side = order.request.side
        total = ZERO
        price = self._price_for(side)
        if self._is_price(price) and order.accepts(price):
            total += self._size_for(side)
        for other in self._orders[side.opposite]:
            if self._may_meet(order, other):
                total += other.workable
        return total

    def take(self, order: Working) -> None:
        """Trade an order with the best that is there, own orders of other accounts included."""
        side = order.request.side
        if order.request.all_or_none and self.available(order) < order.workable:
            return
        while order.is_open and order.workable > 0 and not self.top.halted:
            price = self._price_for(side)
            size = self._size_for(side)
            market = self._is_price(price) and size > 0 and order.accepts(price)
            other = self._best_own(order)
            if other is not None and (
                not market or float(other.limit or 0) * side.sign < price * side.sign
            ):
                quantity = min(order.workable, other.workable)
                at = other.limit
                assert at is not None
                self._filled(other, quantity, at)
                self._filled(order, quantity, at)
            elif market:
                quantity = min(order.workable, size)
                self._consume(side, quantity)
                self._filled(order, quantity, exact(price))
            else:
                return

    def resting(self) -> tuple[Working, ...]:
        """Return every order in the book, stops included."""
        return (*self._orders[Side.BUY], *self._orders[Side.SELL], *self._stops)

    # --- the market ---------------------------------------------------------------------------

    def on_quote(self, event: QuoteEvent) -> None:
        """Take a new top of book, and match what stands in the book with it."""
        top = self.top
        # Left is what is still to be had by each side: buyers take the ask, sellers the bid.
        if not (event.ask == top.ask and event.ask_size == top.ask_size):
            self._left[Side.BUY] = self._displayed(event.ask_size)
        if not (event.bid == top.bid and event.bid_size == top.bid_size):
            self._left[Side.SELL] = self._displayed(event.bid_size)
        top.bid, top.bid_size = event.bid, event.bid_size
        top.ask, top.ask_size = event.ask, event.ask_size
        top.time = event.time
        top.sequence += 1
        if self._stops or self._orders[Side.BUY] or self._orders[Side.SELL]:
            self._queue_by_quote()
            if not top.halted:
                self._stops_by_quote()
                self.match()

    def on_trade(self, event: TradeEvent) -> None:
        """Take a trade: move the last price, trigger stops, fill what it traded through."""
        top = self.top
        top.time = event.time
        top.sequence += 1
        if event.suspicious or not is_price(event.price):
            return
        low = event.low if is_price(event.low) else event.price
        high = event.high if is_price(event.high) else event.price
        top.last, top.last_size = event.price, event.size
        if math.isfinite(event.size):
            top.volume = event.size + (top.volume if math.isfinite(top.volume) else 0.0)
        top.low = low if math.isnan(top.low) else min(low, top.low)
        top.high = high if math.isnan(top.high) else max(high, top.high)
        if math.isnan(top.open):
            top.open = event.price
        if top.halted or not (self._stops or self._orders[Side.BUY] or self._orders[Side.SELL]):
            return
        for order in tuple(self._stops):
            self._check_stop(order, low, high)
        self._fill_by_trade(Side.BUY, event.price, low, event.size)
        self._fill_by_trade(Side.SELL, event.price, high, event.size)

    def match(self) -> None:
        """Match every standing order with the displayed quote, in price-time priority."""
        for side in (Side.BUY, Side.SELL):
            for order in self._within(side, self._price_for(side)):
                if not order.in_book:
                    continue
                if order.aggressive:
                    self.take(order)
                else:
                    self._fill_resting(order, side)

    def start_day(self) -> None:
        """Begin a new day: the last price becomes the close, the day's figures start again."""
        top = self.top
        if is_price(top.last):
            top.close = top.last
        top.volume = top.high = top.low = top.open = math.nan

    # --- inside -------------------------------------------------------------------------------

    def _within(self, side: Side, price: float) -> tuple[Working, ...]:
        """Return the orders that accept ``price``, in priority; none where it is no price."""
        if not self._is_price(price):
            return ()
        return tuple(takewhile(lambda order: order.accepts(price), self._orders[side]))

    def _price_for(self, side: Side) -> float:
        """The price that ``side`` can trade at; NaN where the quote is crossed or one is absent."""
        top = self.top
        if top.halted or (
            self._is_price(top.bid) and self._is_price(top.ask) and top.bid > top.ask
        ):
            return math.nan
        return top.ask if side is Side.BUY else top.bid

    def _size_for(self, side: Side) -> Decimal:
        left = self._left[side]
        return Decimal(int(left)) if left >= 1 else ZERO

    def _is_price(self, value: float) -> bool:
        return is_price(value)

    def _consume(self, side: Side, quantity: Decimal) -> None:
        """Take what ``side`` trades out of what is displayed."""
        self._left[side] -= float(quantity)

    def _displayed(self, size: float) -> float:
        return float(self._model.undisclosed_size) if math.isnan(size) else size

    def _ahead_of(self, order: Working) -> float:
        top = self.top
        price, size = (
            (top.bid, top.bid_size) if order.request.side is Side.BUY else (top.ask, top.ask_size)
        )
        limit = order.limit
        if limit is None or not self._model.queue or not self._is_price(price):
            return 0.0
        better = (float(limit) - price) * order.request.side.sign
        if better > 0:
            return 0.0
        if better < 0:
            return math.nan
        return 0.0 if math.isnan(size) else size

    def _queue_by_quote(self) -> None:
        """Bring the places in the queue up to date with a new quote.

        Size that leaves the displayed queue without a trade was cancelled. Nobody can see where
        it stood; at most what is still displayed can be ahead. A quote that is absent or crossed
        says nothing of the queue.
        """
        for side in (Side.BUY, Side.SELL):
            opposite = self._price_for(side)
            if not (self._is_price(self._price_for(side.opposite)) and self._is_price(opposite)):
                continue
            for order in self._orders[side]:
                ahead = self._ahead_of(order)
                if math.isnan(ahead):
                    break
                order.ahead = ahead if math.isnan(order.ahead) else min(order.ahead, ahead)
                # The market has left it behind: from here on others come to its price.
                order.aggressive = order.aggressive and order.accepts(opposite)

    def _stops_by_quote(self) -> None:
        if self._is_price(self.top.last):
            return
        top = self.top
        if self._is_price(top.bid) and self._is_price(top.ask) and top.bid <= top.ask:
            for order in tuple(self._stops):
                self._check_stop(order, top.bid, top.ask)

    def _check_stop(self, order: Working, low: float, high: float) -> None:
        """Trigger a stop: the last trade where the instrument trades, else bid and ask."""
        if order.trails and order.in_book:
            best = low if order.request.side is Side.BUY else high
            if is_price(best):
                order.follow(exact(best))
        stop = order.stop
        if stop is None or not order.in_book or order.workable <= 0:
            return
        buy = order.request.side is Side.BUY
        if (buy and high >= float(stop)) or (not buy and low <= float(stop)):
            self.leave(order)
            order.triggered = True
            self._triggered(order)

    def _fill_by_trade(self, side: Side, price: float, reach: float, size: float) -> None:
        taken = 0.0
        traded = size if math.isfinite(size) else 0.0
        for order in self._within(side, reach):
            limit = order.limit
            if limit is None or order.aggressive or not order.in_book:
                continue
            through = (float(limit) - reach) * side.sign > 0
            if not through and price != float(limit):
                continue
            ahead = 0.0 if through or math.isnan(order.ahead) else order.ahead
            quantity = min(order.workable, _whole(traded - ahead - taken))
            order.ahead = max(0.0, ahead - traded)
            if quantity > 0 and not _too_little(order, quantity):
                taken += float(quantity)
                self._filled(order, quantity, limit)

    def _fill_resting(self, order: Working, side: Side) -> None:
        limit = order.limit
        quantity = min(order.workable, self._size_for(side))
        if limit is not None and quantity > 0 and not _too_little(order, quantity):
            self._consume(side, quantity)
            self._filled(order, quantity, limit)

    def _best_own(self, order: Working) -> Working | None:
        for other in self._orders[order.request.side.opposite]:
            if self._may_meet(order, other):
                return other
        return None

    def _may_meet(self, order: Working, other: Working) -> bool:
        return (
            other.limit is not None
            and other.workable > 0
            and not other.request.all_or_none
            and other.request.account != order.request.account
            and order.accepts(float(other.limit))
        )


def exact(price: float) -> Decimal:
    """Return a market price as the Decimal of its shortest text."""
    return Decimal(repr(price))


def _too_little(order: Working, quantity: Decimal) -> bool:
    """Whether an order that fills whole or not at all cannot take ``quantity``."""
    return order.request.all_or_none and quantity < order.workable


def _whole(size: float) -> Decimal:
    return Decimal(int(size)) if size >= 1 else ZERO
