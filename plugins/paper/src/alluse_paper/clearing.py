"""What a fill leaves behind: an execution with its number, and what the account was charged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

import attrs

from alluse_core.model.instrument import Instrument, Side
from alluse_paper.accounts import Accounts
from alluse_paper.combos import moves
from alluse_paper.commissions import CommissionSchedule
from alluse_paper.orders import ZERO, Cause, Fill
from alluse_paper.working import Working


class Clearing:
    """Books fills to the accounts and writes their executions.

    Execution ids are ``prefix.number.part.revision``, as IBKR's: part 01 is the order's own, the
    legs of a combo are 02 and on.
    """

    def __init__(self, accounts: Accounts, commissions: CommissionSchedule, prefix: str) -> None:
        self._accounts, self._commissions, self._prefix = accounts, commissions, prefix
        self._number = 0

    def resume(self, fills: Iterable[Fill]) -> None:
        """Go on above the numbers of earlier executions."""
        numbers = (int(fill.execution_id.split(".")[1], 16) for fill in fills)
        self._number = max([self._number, *numbers])

    def fill(
        self,
        order: Working,
        quantity: Decimal,
        price: Decimal,
        leg_prices: Sequence[Decimal],
        now: datetime,
    ) -> Fill:
        """Fill ``quantity`` of an order; ``leg_prices`` are those of a combo, one a leg."""
        request = order.request
        order.filled += quantity
        order.cost += quantity * price
        self._number += 1
        legs = tuple(
            self._leg(order, place, *move, leg_price, now)
            for place, (move, leg_price) in enumerate(
                zip(moves(request.instrument, request.side, quantity), leg_prices, strict=True)
                if leg_prices
                else ()
            )
        )
        commission = realized = ZERO
        if not legs:
            total = self._commission(order, request.instrument, order.filled, order.cost)
            commission, order.commission = total - order.commission, total
            realized = self._accounts.trade(
                request.account, request.instrument, request.side, quantity, price, commission
            )
        average = order.cost / order.filled
        return self._execution(
            order,
            1,
            (request.instrument, request.side, quantity, price),
            (order.filled, average),
            (commission, realized),
            now,
            legs,
        )

    def correct(
        self, order: Working, was: Fill, quantity: Decimal, price: Decimal, now: datetime
    ) -> Fill:
        """Put another fill in the place of ``was``: a trade back, and one at the new terms."""
        accounts, terms = self._accounts, (was.account, was.instrument)
        accounts.trade(*terms, was.side.opposite, was.quantity, was.price, ZERO)
        realized = ZERO
        if quantity:
            realized = accounts.trade(*terms, was.side, quantity, price, ZERO)
        order.filled += quantity - was.quantity
        order.cost += quantity * price - was.quantity * was.price
        head, _, revision = was.execution_id.rpartition(".")
        return attrs.evolve(
            was,
            execution_id=f"{head}.{int(revision) + 1:02d}",
            quantity=quantity,
            price=price,
            time=now,
            cumulative=order.filled,
            average_price=order.cost / order.filled if order.filled else ZERO,
            realized=realized,
        )

    def _leg(
        self,
        order: Working,
        place: int,
        instrument: Instrument,
        side: Side,
        quantity: Decimal,
        price: Decimal,
        now: datetime,
    ) -> Fill:
        earlier = [fill.legs[place] for fill in order.executions]
        before = sum((fill.quantity for fill in earlier), ZERO)
        spent = sum((fill.quantity * fill.price for fill in earlier), ZERO)
        filled, cost = before + quantity, spent + quantity * price
        total = self._commission(order, instrument, filled, cost)
        commission = total - sum((fill.commission for fill in earlier), ZERO)
        realized = self._accounts.trade(
            order.request.account, instrument, side, quantity, price, commission
        )
        order.commission += commission
        return self._execution(
            order,
            place + 2,
            (instrument, side, quantity, price),
            (filled, cost / filled),
            (commission, realized),
            now,
        )

    def _commission(
        self, order: Working, instrument: Instrument, filled: Decimal, cost: Decimal
    ) -> Decimal:
        if order.request.cause.is_settlement:
            return ZERO
        return self._commissions.total(instrument, filled, cost)

    def _execution(
        self,
        order: Working,
        part: int,
        trade: tuple[Instrument, Side, Decimal, Decimal],
        so_far: tuple[Decimal, Decimal],
        booked: tuple[Decimal, Decimal],
        now: datetime,
        legs: tuple[Fill, ...] = (),
    ) -> Fill:
        instrument, side, quantity, price = trade
        return Fill(
            execution_id=f"{self._prefix}.{self._number:08x}.{part:02d}.01",
            number=order.number,
            account=order.request.account,
            instrument=instrument,
            side=side,
            quantity=quantity,
            price=price,
            time=now,
            cumulative=so_far[0],
            average_price=so_far[1],
            commission=booked[0],
            currency=instrument.currency,
            realized=booked[1],
            liquidation=order.request.cause is Cause.LIQUIDATION,
            legs=legs,
        )
