"""What working orders hold back of an account's funds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal

from alluse_core.model.instrument import Instrument
from alluse_paper.accounts import Accounts
from alluse_paper.book import exact
from alluse_paper.checks import unopened
from alluse_paper.combos import moves
from alluse_paper.market import is_price
from alluse_paper.orders import ZERO
from alluse_paper.working import Working


class Reservations:
    """Initial margin of orders that may still fill, in the accounts' base currency.

    An order that only reduces a position ties up nothing, nor do the exits of a bracket. Where
    neither the market nor the order has a price, or an exchange rate is not known, an order is
    let through: there is nothing to judge it by.
    """

    def __init__(self, accounts: Accounts, mark: Callable[[Instrument], float]) -> None:
        self._accounts = accounts
        self._mark = mark
        self._amounts: dict[int, tuple[str, Decimal]] = {}
        self._totals: dict[str, Decimal] = defaultdict(Decimal)

    def shortage(self, order: Working) -> str:
        """Return why the account cannot carry an order, or an empty text."""
        account = order.request.account
        needed = self._needed(order)
        if not needed:
            return ""
        funds = self._accounts.figures(account).available_funds
        if funds is None:
            return ""
        free = funds - self._totals[account]
        if needed <= free:
            return ""
        return f"insufficient margin: the order needs {needed:.2f}, {free:.2f} are available"

    def hold(self, order: Working) -> None:
        """Hold back what the rest of an order needs, in place of what it held before."""
        self.release(order)
        needed = self._needed(order)
        if needed:
            account = order.request.account
            self._amounts[order.number] = (account, needed)
            self._totals[account] += needed

    def release(self, order: Working) -> None:
        """Hold back nothing for an order any more."""
        account, amount = self._amounts.pop(order.number, ("", ZERO))
        if amount:
            self._totals[account] -= amount

    def _needed(self, order: Working) -> Decimal | None:
        request = order.request
        if request.parent is not None:
            return ZERO
        needed = ZERO
        for instrument, side, quantity in moves(request.instrument, request.side, order.remaining):
            held = self._accounts.position(request.account, instrument)
            opens = unopened(held, quantity * side.sign)
            if opens == 0:
                continue
            price = self._price(order, instrument)
            rate = self._accounts.rate(instrument.currency)
            if price is None or rate is None:
                return None
            needed += self._accounts.margin.initial(instrument, opens, price) * rate
        return needed

    def _price(self, order: Working, instrument: Instrument) -> Decimal | None:
        mark = self._mark(instrument)
        if is_price(mark):
            return exact(mark)
        request = order.request
        # A combo's own price says nothing of one leg's.
        return None if request.instrument.legs else request.limit_price or request.stop_price
