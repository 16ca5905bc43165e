"""Session messages: ids, accounts, time, errors."""

from __future__ import annotations

from collections.abc import Iterable

from alluse_gateway.wire import escaped, frame, joined, message


def error(version: int, request_id: int, code: int, text: str, advanced: str = "") -> bytes:
    """Message 4. ``request_id`` is an order's or request's number, or -1."""
    fields = ["4", "2", str(request_id), str(code), escaped(text)]
    if version >= 166:
        fields.append(escaped(advanced))
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


def empty_list(kind: int, request_id: int) -> bytes:
    """Answer a request for a list with none: soft dollar tiers, family codes, exchanges, news."""
    return message(_LIST_ANSWER[kind], *([request_id] if kind == 79 else []), 0)


_LIST_ANSWER = {79: 77, 80: 78, 82: 80, 85: 85}
