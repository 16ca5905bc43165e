"""Session messages: ids, accounts, time, errors."""

from __future__ import annotations

from collections.abc import Iterable

from alluse_gateway.wire import escaped, frame, joined, message


def error(
    version: int, request_id: int, code: int, text: str, advanced: str = "", millis: int = 0
) -> bytes:
    """Message 4. ``request_id`` is an order's or request's number, or -1.

    ``millis`` is when it happened, since 1970 UTC; it is told from version 194 on.
    """
    fields = ["4", *(["2"] if version < 194 else []), str(request_id), str(code), escaped(text)]
    if version >= 166:
        fields.append(escaped(advanced))
    if version >= 194:
        fields.append(str(millis))
    return frame(joined(*fields))


def next_valid_id(order_id: int) -> bytes:
    """Message 9."""
    return message(9, 1, order_id)


def managed_accounts(accounts: Iterable[str]) -> bytes:
    """Message 15: a list in which every account is followed by a comma."""
    return message(15, 1, "".join([f"{account}," for account in accounts]))


def current_time(seconds: int) -> bytes:
    """Message 49: epoch seconds."""
    return message(49, 1, seconds)


def current_time_millis(millis: int) -> bytes:
    """Message 109: epoch milliseconds, from version 197 on."""
    return message(109, millis)
