"""Market depth."""

from __future__ import annotations

from alluse_gateway.wire import message

INSERT, UPDATE, DELETE = 0, 1, 2


def level_one(
    request_id: int, position: int, operation: int, side: int, price: float, size: float
) -> bytes:
    """Message 12. ``side`` is 0 for asks, 1 for bids."""
    return message(12, 1, request_id, position, operation, side, price, size)


def level_two(
    request_id: int,
    position: int,
    maker: str,
    operation: int,
    side: int,
    price: float,
    size: float,
    smart: bool,
) -> bytes:
    """Message 13: a row of a named exchange or market maker."""
    return message(13, 1, request_id, position, maker, operation, side, price, size, smart)
