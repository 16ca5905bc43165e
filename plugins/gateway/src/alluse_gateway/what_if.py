"""What an order would do to its account."""

from __future__ import annotations

from decimal import Decimal

from alluse_paper.combos import moves
from alluse_paper.commissions import CommissionSchedule
from alluse_paper.exchange import Exchange
from alluse_paper.orders import ZERO, NewOrder

from alluse_core.model import Instrument
from alluse_gateway.answers.orders import Margins

_CENT = Decimal("0.01")


def margins_of(exchange: Exchange, order: NewOrder) -> tuple[Margins | None, str]:
    """Return the margin figures of a whatIf order, and a warning.

    None where no price is known to value it by; the warning says so then. The commission is what
    the default schedule asks; figures are in the account's base currency.
    """
    accounts = exchange.accounts
    figures = accounts.figures(order.account)
    before = (figures.initial_margin, figures.maintenance_margin, figures.net_liquidation)
    if None in before:
        return None, f"no price of {order.instrument} is known to compute margins with"
    changes = [ZERO, ZERO, ZERO]
    commissions = ZERO
    for instrument, side, quantity in moves(order.instrument, order.side, order.quantity):
        price, rate = _price(exchange, order, instrument), accounts.rate(instrument.currency)
        if price is None or rate is None:
            return None, f"no price of {instrument} is known to compute margins with"
        held = accounts.position(order.account, instrument)
        total = held + quantity * side.sign
        for place, rule in enumerate((accounts.margin.initial, accounts.margin.maintenance)):
            change = rule(instrument, total, price) - rule(instrument, held, price)
            changes[place] += rate * change
        commission = CommissionSchedule().total(instrument, quantity, price * quantity)
        commissions += commission
        changes[2] -= commission * rate
    columns = [
        _column(value or ZERO, change) for value, change in zip(before, changes, strict=True)
    ]
    return Margins(columns[0], columns[1], columns[2], commissions, order.instrument.currency), ""


def _price(exchange: Exchange, order: NewOrder, instrument: Instrument) -> Decimal | None:
    """What a position is valued at: a single order's own price, a combo's legs at the market."""
    own = None if order.instrument.legs else order.limit_price or order.stop_price
    if own is not None:
        return own
    top = exchange.top(instrument)
    mark = float("nan") if top is None else top.mark
    return Decimal(repr(mark)) if mark == mark else None


def _column(before: Decimal, change: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    return before.quantize(_CENT), change.quantize(_CENT), (before + change).quantize(_CENT)
