"""Reads placeOrder, whose layout depends on the version and on what the order itself says."""

from __future__ import annotations

from decimal import Decimal

import attrs

from alluse_gateway.requests import Contract, Leg, PlaceOrder
from alluse_gateway.wire import FieldError, to_decimal, to_flag, to_int

_CONDITION_FIELDS = {1: 6, 3: 3, 4: 3, 5: 4, 6: 5, 7: 5}
"""Fields of a condition after its type: price, time, margin, execution, volume, percent change."""

_LONGEST_LIST = 200


class Cursor:
    """Reads fields one after the other. Raises FieldError past the end."""

    __slots__ = ("at", "fields")

    def __init__(self, fields: list[str], at: int) -> None:
        self.fields = fields
        self.at = at

    def take(self) -> str:
        """Return the next field."""
        if self.at >= len(self.fields):
            raise FieldError(f"the message ends at field {self.at}")
        self.at += 1
        return self.fields[self.at - 1]

    def skip(self, count: int) -> None:
        """Pass over ``count`` fields."""
        self.at += count
        if self.at > len(self.fields):
            raise FieldError(f"the message ends before field {self.at}")

    def count(self) -> int:
        """Read the length of a list."""
        length = to_int(self.take(), 0)
        if not 0 <= length <= _LONGEST_LIST:
            raise FieldError(f"a list of {length} entries")
        return length


def contract_of(fields: list[str], at: int) -> Contract:
    """Read the twelve contract fields that start at ``at``."""
    if len(fields) < at + 12:
        raise FieldError(f"the message ends inside the contract, at field {len(fields)}")
    strike = fields[at + 4]
    return Contract(
        to_int(fields[at], 0),
        fields[at + 1],
        fields[at + 2],
        fields[at + 3],
        to_decimal(strike) if strike not in ("", "0", "0.0") else None,
        fields[at + 5],
        fields[at + 6],
        fields[at + 7],
        fields[at + 8],
        fields[at + 9],
        fields[at + 10],
        fields[at + 11],
    )


def legs_of(cursor: Cursor, extra: int = 0) -> tuple[Leg, ...]:
    """Read a counted list of legs, each with ``extra`` further fields that are passed over."""
    legs = []
    for _ in range(cursor.count()):
        legs.append(
            Leg(to_int(cursor.take(), 0), to_int(cursor.take(), 1), cursor.take(), cursor.take())
        )
        cursor.skip(extra)
    return tuple(legs)


def place_order(fields: list[str], version: int) -> PlaceOrder:
    """Read message 3. Raises FieldError where it is too short, too long or not of its types."""
    if len(fields) < 36:
        raise FieldError(f"an order has more than {len(fields)} fields")
    cursor = Cursor(fields, 35)
    contract = contract_of(fields, 2)
    asks: list[str] = []
    if contract.security_type == "BAG":
        legs = legs_of(cursor, extra=4)
        cursor.skip(cursor.count())
        cursor.skip(2 * cursor.count())
        contract = attrs.evolve(contract, legs=legs)
    cursor.skip(2)
    good_after, good_till = cursor.take(), cursor.take()
    cursor.skip(8 if version < 177 else 7)
    oca_type = to_int(cursor.take(), 0)
    cursor.skip(2)
    all_or_none = to_flag(cursor.take())
    cursor.skip(14)
    _volatility_and_scale(cursor, asks)
    what_if = _strategy(cursor, asks, fields[18])
    _conditions(cursor, asks)
    _tail(cursor, fields, version)
    quantity = to_decimal(fields[17])
    return PlaceOrder(
        request_id=to_int(fields[1]),
        contract=contract,
        action=fields[16],
        quantity=Decimal(0) if quantity is None else quantity,
        order_type=fields[18],
        limit_price=to_decimal(fields[19]),
        aux_price=to_decimal(fields[20]),
        time_in_force=fields[21] or "DAY",
        oca_group=fields[22],
        account=fields[23],
        order_ref=fields[26],
        transmit=to_flag(fields[27]),
        parent_id=to_int(fields[28], 0),
        trigger_method=to_int(fields[32], 0),
        outside_rth=to_flag(fields[33]),
        good_after=good_after,
        good_till=good_till,
        oca_type=oca_type,
        all_or_none=all_or_none,
        what_if=what_if,
        unsupported=", ".join(asks),
    )


def _volatility_and_scale(cursor: Cursor, asks: list[str]) -> None:
    """From volatilityType's successor to the end of the scale fields."""
    if cursor.take():  # deltaNeutralOrderType; its aux price follows
        asks.append("a delta-neutral order")
        cursor.skip(9)
    else:
        cursor.skip(1)
    cursor.skip(2)
    cursor.skip(4)  # trail stop, trailing percent, two scale sizes
    increment = to_decimal(cursor.take())
    if increment is not None and increment > 0:
        asks.append("a scale order")
        cursor.skip(7)
    cursor.skip(3)
    if cursor.take():
        asks.append("a hedge order")
        cursor.skip(1)


def _strategy(cursor: Cursor, asks: list[str], order_type: str) -> bool:
    """From optOutSmartRouting to the pegged fields; returns whatIf."""
    cursor.skip(4)
    if to_flag(cursor.take()):
        cursor.skip(3)
    if cursor.take():
        asks.append("an algorithm")
        cursor.skip(2 * cursor.count())
    cursor.skip(1)
    what_if = to_flag(cursor.take())
    cursor.skip(4)
    if order_type in ("PEG BENCH", "PEGBENCH"):
        cursor.skip(5)
    return what_if


def _conditions(cursor: Cursor, asks: list[str]) -> None:
    count = cursor.count()
    if not count:
        return
    asks.append("conditions")
    for _ in range(count):
        kind = to_int(cursor.take(), 0)
        if kind not in _CONDITION_FIELDS:
            raise FieldError(f"a condition of type {kind}")
        cursor.skip(_CONDITION_FIELDS[kind])
    cursor.skip(2)


def _tail(cursor: Cursor, fields: list[str], version: int) -> None:
    """The adjusted-order fields and what later versions put after them."""
    cursor.skip(19)
    for since in (158, 160, 162, 166, 169):
        if version >= since:
            cursor.skip(1)
    if version >= 170:
        if fields[9] == "IBKRATS":
            cursor.skip(1)
        kind = fields[18].replace(" ", "")
        if kind == "PEGBEST":
            cursor.skip(1)
            cursor.skip(2 if cursor.take() in ("Infinite", "inf") else 0)
        elif kind == "PEGMID":
            cursor.skip(2)
    if cursor.at != len(fields):
        raise FieldError(f"an order of {len(fields)} fields, {cursor.at} of which have a meaning")
