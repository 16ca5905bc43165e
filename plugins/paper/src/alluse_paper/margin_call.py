"""What a broker does with an account that can no longer carry its positions."""

from __future__ import annotations

from decimal import Decimal

from alluse_paper.exchange import Exchange
from alluse_paper.orders import ZERO, Cause, ExchangeOrder


def margin_calls(exchange: Exchange) -> list[ExchangeOrder]:
    """Liquidate positions of accounts whose excess liquidity is below zero.

    The position that ties up most goes first, as much of it as the deficit needs, one at a time:
    an account is left alone while a liquidation of its own is under way. An account with a
    position that has no price is left alone too. Returns the orders sent.
    """
    sent = []
    for account in exchange.accounts.names:
        excess = exchange.accounts.figures(account).excess_liquidity
        if excess is not None and excess < 0 and not _under_way(exchange, account):
            order = _reduce(exchange, account, -excess)
            if order is not None:
                sent.append(order)
    return sent


def _under_way(exchange: Exchange, account: str) -> bool:
    return any(
        (order.request.account, order.request.cause) == (account, Cause.LIQUIDATION)
        for order in exchange.open_orders()
    )


def _reduce(exchange: Exchange, account: str, deficit: Decimal) -> ExchangeOrder | None:
    accounts = exchange.accounts
    tied = []
    for holding in accounts.positions(account):
        top = exchange.top(holding.instrument)
        if top is None or top.mark != top.mark:
            continue
        price = Decimal(repr(top.mark))
        amount = accounts.margin.maintenance(holding.instrument, holding.quantity, price)
        tied.append((amount * (accounts.rate(holding.instrument.currency) or ZERO), holding))
    if not tied:
        return None
    amount, largest = max(tied, key=lambda pair: pair[0])
    if amount <= 0:
        return None
    held = abs(largest.quantity)
    share = min(Decimal(1), deficit / amount)
    return exchange.liquidate(
        account, largest.instrument, min(held, (held * share).to_integral_value("ROUND_CEILING"))
    )
