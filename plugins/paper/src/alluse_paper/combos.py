"""Combos: several instruments that trade as one, listed and priced by their legs.

A combo's price is the sum of its legs' prices, each times its ratio: a bought leg counts, a sold
leg takes away. Where the legs' multipliers differ, a leg counts by its share of the largest one,
so that a hundred shares against one option on a hundred are priced a share. A price may be
negative (who buys the combo is paid) and zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import ROUND_DOWN, Decimal

import attrs

from alluse_core.errors import InstrumentNotFound
from alluse_core.model.instrument import ComboLeg, Instrument, SecurityType, Side
from alluse_paper.book import Book, Filled, Triggered, exact
from alluse_paper.fill_model import FillModel
from alluse_paper.market import NAN, Listing, QuoteEvent, is_price
from alluse_paper.orders import ZERO
from alluse_paper.working import Working

CONTRACT_NUMBER = 28812380
"""The one contract number that TWS gives every combo in US dollars."""

_TRADES_ALONE = (SecurityType.COMBO, SecurityType.INDEX, SecurityType.FOREX)

Move = tuple[Instrument, Side, Decimal]
"""Instrument, side and positive quantity of a change of a position."""


def moves(instrument: Instrument, side: Side, quantity: Decimal) -> tuple[Move, ...]:
    """Return what filling an order does to positions: its legs' for a combo, else its own."""
    if not instrument.legs:
        return ((instrument, side, quantity),)
    return tuple(
        (leg.instrument, leg.side if side is Side.BUY else leg.side.opposite, quantity * leg.ratio)
        for leg in instrument.legs
    )


def touches(order: Instrument, instrument: Instrument) -> bool:
    """Whether an order for ``order`` moves a position in ``instrument``."""
    return any(each is instrument for each, _, _ in moves(order, Side.BUY, ZERO))


def combo_listing(combo: Instrument, resolve: Callable[[Instrument], Listing]) -> Listing:
    """Return the listing of a combo, its legs named as they are listed.

    Raises InstrumentNotFound where a leg is not listed or the legs are no combo.
    """
    listings = [resolve(leg.instrument) for leg in combo.legs]
    kinds = {each.instrument.security_type for each in listings}
    fault = ""
    if not listings:
        fault = "it has no legs"
    elif len({each.instrument for each in listings}) < len(listings):
        fault = "two legs are one instrument"
    elif any(leg.ratio < 1 for leg in combo.legs):
        fault = "a leg's ratio is a positive count"
    elif kinds.intersection(_TRADES_ALONE):
        fault = "a leg is a share, an option or a future"
    elif {each.instrument.currency for each in listings} != {combo.currency}:
        fault = f"not every leg is in {combo.currency}"
    if fault:
        raise InstrumentNotFound(f"{combo.id} cannot be traded as a combo: {fault}")
    legs = tuple(
        ComboLeg(listing.instrument, leg.side, leg.ratio)
        for listing, leg in zip(listings, combo.legs, strict=True)
    )
    made = Instrument.combo(combo.symbol, legs, combo.exchange, combo.currency)
    # Derivatives keep shorter hours than shares, and a combo trades when all its legs do.
    shortest = max(listings, key=lambda each: each.instrument.multiplier)
    return attrs.evolve(
        Listing.of(made, primary_exchange=combo.exchange),
        con_id=CONTRACT_NUMBER,
        local_symbol=str(CONTRACT_NUMBER),
        trading_class="COMB",
        hours=shortest.hours,
    )


@attrs.frozen
class _Part:
    """A leg with its book; ``weight`` is what one unit of its price adds to the combo's."""

    book: Book
    side: Side
    ratio: int
    weight: Decimal

    def side_for(self, side: Side) -> Side:
        return self.side if side is Side.BUY else self.side.opposite


class ComboBook(Book):
    """A combo's book. What it shows, and what can be had of it, comes from the books of its legs.

    What it trades is taken out of the legs' displayed sizes, in whole units of the combo: all
    legs fill or none does.
    """

    def __init__(
        self,
        listing: Listing,
        model: FillModel,
        filled: Filled,
        triggered: Triggered,
        books: Sequence[Book],
    ) -> None:
        super().__init__(listing, model, filled, triggered)
        legs = listing.instrument.legs
        most = max(leg.instrument.multiplier for leg in legs)
        self._parts = tuple(
            _Part(book, leg.side, leg.ratio, leg.ratio * leg.instrument.multiplier / most)
            for book, leg in zip(books, legs, strict=True)
        )

    @property
    def busy(self) -> bool:
        """Whether any order stands here or waits for the session."""
        return bool(self.waiting or self.resting())

    def on_legs(self) -> None:
        """A leg has moved, or was halted: show it, and match what stands in the book."""
        self.top.halted = any(part.book.top.halted for part in self._parts)
        self.on_quote(
            QuoteEvent(
                self.listing.instrument,
                max(part.book.top.time for part in self._parts),
                self._price_for(Side.SELL),
                float(self._size_for(Side.SELL)),
                self._price_for(Side.BUY),
                float(self._size_for(Side.BUY)),
            )
        )

    def refresh(self) -> None:
        """Show the legs' present prices where nobody has kept track of them."""
        if not self.resting():
            self.on_legs()

    def enter(self, order: Working) -> None:
        """Match an order that has come, and let the rest of it stand in the book."""
        self.refresh()
        super().enter(order)

    def leg_prices(self, side: Side, price: Decimal) -> tuple[Decimal, ...]:
        """Return a price for each leg, which together make ``price``.

        They are the quotes that ``side`` trades with. What a resting order pays beyond them is
        put on the leg with the smallest ratio.
        """
        prices = [self._leg_price(part, side) for part in self._parts]
        total = sum(
            (
                part.side.sign * part.weight * each
                for part, each in zip(self._parts, prices, strict=True)
            ),
            ZERO,
        )
        bearer = min(
            range(len(prices)), key=lambda place: (self._parts[place].weight, -prices[place])
        )
        part = self._parts[bearer]
        prices[bearer] += part.side.sign * (price - total) / part.weight
        return tuple(prices)

    def _is_price(self, value: float) -> bool:
        return math.isfinite(value)

    def _leg_price(self, part: _Part, side: Side) -> Decimal:
        price = part.book._price_for(part.side_for(side))
        if not is_price(price):
            price = part.book.top.mark
        return exact(price) if is_price(price) else ZERO

    def _price_for(self, side: Side) -> float:
        total = ZERO
        for part in self._parts:
            price = part.book._price_for(part.side_for(side))
            if not is_price(price):
                return NAN
            total += part.side.sign * part.weight * exact(price)
        return float(total)

    def _size_for(self, side: Side) -> Decimal:
        return min(
            (part.book._size_for(part.side_for(side)) / part.ratio).to_integral_value(ROUND_DOWN)
            for part in self._parts
        )

    def _consume(self, side: Side, quantity: Decimal) -> None:
        for part in self._parts:
            part.book._consume(part.side_for(side), quantity * part.ratio)
