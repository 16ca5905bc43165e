"""Names of the messages that a client is sent, for those who write faults by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from alluse_core.errors import UsageError, did_you_mean

KINDS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "tickPrice": 1,
        "tickSize": 2,
        "orderStatus": 3,
        "error": 4,
        "openOrder": 5,
        "accountValue": 6,
        "portfolioValue": 7,
        "nextValidId": 9,
        "contractDetails": 10,
        "execDetails": 11,
        "marketDepth": 12,
        "managedAccounts": 15,
        "historicalData": 17,
        "tickGeneric": 45,
        "tickString": 46,
        "currentTime": 49,
        "realTimeBars": 50,
        "openOrderEnd": 53,
        "execDetailsEnd": 55,
        "commissionReport": 59,
        "position": 61,
        "positionEnd": 62,
        "tickByTick": 99,
        "completedOrder": 101,
        "completedOrdersEnd": 102,
    }
)


def kinds_of(names: Iterable[int | str]) -> frozenset[int]:
    """Return message ids for ids and names. Raises UsageError for a name that is none."""
    return frozenset(_kind(name) for name in names)


def _kind(name: int | str) -> int:
    if isinstance(name, int) and not isinstance(name, bool):
        return name
    if str(name).isdecimal():
        return int(name)
    if name not in KINDS:
        raise UsageError(
            f"{name!r} is no message{did_you_mean(str(name), KINDS)}",
            hint="give a message id, or one of " + ", ".join(KINDS),
        )
    return KINDS[str(name)]
