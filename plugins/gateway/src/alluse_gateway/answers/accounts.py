"""Positions, account values and profit and loss."""

from __future__ import annotations

from decimal import Decimal

from alluse_gateway.answers.contracts import ContractText
from alluse_gateway.wire import decimal_text, double, frame, joined, message


def account_value(key: str, value: str, currency: str, account: str) -> bytes:
    """Message 6."""
    return message(6, 2, key, value, currency, account)


def account_time(clock: str) -> bytes:
    """Message 8: "HH:MM"."""
    return message(8, 1, clock)


def account_download_end(account: str) -> bytes:
    """Message 54."""
    return message(54, 1, account)


def portfolio_value(
    contract: ContractText,
    account: str,
    quantity: Decimal,
    price: float,
    average_cost: Decimal,
    unrealized: float,
    realized: Decimal,
) -> bytes:
    """Message 7. ``average_cost`` is per unit held, times the multiplier, as TWS gives it."""
    multiplier = float(contract.listing.instrument.multiplier)
    value = float(quantity) * price * multiplier
    return frame(
        "7\0"
        + "8\0"
        + contract.held
        + joined(
            decimal_text(quantity),
            repr(price),
            repr(value),
            decimal_text(average_cost),
            repr(unrealized),
            decimal_text(realized),
            account,
        )
    )


def position(contract: ContractText, account: str, quantity: Decimal, cost: Decimal) -> bytes:
    """Message 61."""
    head = joined("61", "3", account)
    return frame(head + contract.traded + joined(decimal_text(quantity), decimal_text(cost)))


def position_end() -> bytes:
    """Message 62."""
    return message(62, 1)


def position_multi(
    request_id: int, contract: ContractText, account: str, quantity: Decimal, cost: Decimal
) -> bytes:
    """Message 71."""
    head = joined("71", "1", str(request_id), account)
    return frame(head + contract.traded + joined(decimal_text(quantity), decimal_text(cost), ""))


def position_multi_end(request_id: int) -> bytes:
    """Message 72."""
    return message(72, 1, request_id)


def account_summary(request_id: int, account: str, tag: str, value: str, currency: str) -> bytes:
    """Message 63."""
    return message(63, 1, request_id, account, tag, value, currency)


def account_summary_end(request_id: int) -> bytes:
    """Message 64."""
    return message(64, 1, request_id)


def account_update_multi(
    request_id: int, account: str, key: str, value: str, currency: str
) -> bytes:
    """Message 73."""
    return message(73, 1, request_id, account, "", key, value, currency)


def account_update_multi_end(request_id: int) -> bytes:
    """Message 74."""
    return message(74, 1, request_id)


def profit_and_loss(request_id: int, daily: float, unrealized: float, realized: float) -> bytes:
    """Message 94."""
    return message(94, request_id, double(daily), double(unrealized), double(realized))


def profit_and_loss_single(
    request_id: int,
    quantity: Decimal,
    daily: float,
    unrealized: float,
    realized: float,
    value: float,
) -> bytes:
    """Message 95."""
    return message(
        95, request_id, quantity, double(daily), double(unrealized), double(realized), double(value)
    )
