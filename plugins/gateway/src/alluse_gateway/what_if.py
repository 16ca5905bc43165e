"""What an order would do to its account."""

from __future__ import annotations

from decimal import Decimal

from alluse_paper.commissions import CommissionSchedule
from alluse_paper.exchange import Exchange
from alluse_paper.orders import ZERO, NewOrder

from alluse_gateway.answers.orders import Margins

_CENT = Decimal("0.01")


def margins_of(exchange: Exchange, order: NewOrder) -> tuple[Margins | None, str]:
    """Return the margin figures of a whatIf order, and a warning.

    None where no price is known to value it by; the warning says so then. The commission is what
    the default schedule asks; figures are in the account's base currency.
    """
    accounts = exchange.accounts
    figures = accounts.figures(order.account)
    top = exchange.top(order.instrument)
    mark = float("nan") if top is None else top.mark
    price = order.limit_price or order.stop_price or (Decimal(repr(mark)) if mark == mark else None)
    rate = accounts.rate(order.instrument.currency)
    before = (figures.initial_margin, figures.maintenance_margin, figures.net_liquidation)
    if price is None or rate is None or None in before:
        return None, f"no price of {order.instrument} is known to compute margins with"
    held = accounts.position(order.account, order.instrument)
    total = held + order.quantity * order.side.sign
    rules = accounts.margin
    commission = CommissionSchedule().total(
        order.instrument, order.quantity, price * order.quantity
    )
    changes = [
        rate * (rule(order.instrument, total, price) - rule(order.instrument, held, price))
        for rule in (rules.initial, rules.maintenance)
    ]
    changes.append(-commission * rate)
    columns = [
        _column(value or ZERO, change) for value, change in zip(before, changes, strict=True)
    ]
    return Margins(columns[0], columns[1], columns[2], commission, order.instrument.currency), ""


def _column(before: Decimal, change: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    return before.quantize(_CENT), change.quantize(_CENT), (before + change).quantize(_CENT)
