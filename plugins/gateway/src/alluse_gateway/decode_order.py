"""Reads placeOrder, whose layout depends on the version and on what the order itself says."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import attrs

from alluse_gateway import order_fields as f
from alluse_gateway.requests import Contract, Leg, OrderExtras, PlaceOrder
from alluse_gateway.wire import FieldError, decimal_text, to_decimal, to_flag, to_int

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

    def run(self, count: int) -> list[str]:
        """Return the next ``count`` fields."""
        end = self.at + count
        if end > len(self.fields):
            raise FieldError(f"the message ends before field {end}")
        found = self.fields[self.at : end]
        self.at = end
        return found

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Read a counted list of (tag, value)."""
        return tuple((self.take(), self.take()) for _ in range(self.count()))

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


def legs_of(cursor: Cursor, *, of_order: bool = False) -> tuple[Leg, ...]:
    """Read a counted list of legs, four fields each, of an order eight."""
    legs = []
    for _ in range(cursor.count()):
        con_id, ratio, action, exchange = cursor.run(4)
        leg = Leg(to_int(con_id, 0), to_int(ratio, 1), action, exchange)
        if of_order:
            opens, slot, location, exempt = cursor.run(4)
            leg = attrs.evolve(
                leg,
                open_close=to_int(opens, 0),
                short_sale_slot=to_int(slot, 0),
                designated_location=location,
                exempt_code=to_int(exempt, -1),
            )
        legs.append(leg)
    return tuple(legs)


def place_order(fields: list[str], version: int) -> PlaceOrder:
    """Read message 3. Raises FieldError where it is too short, too long or not of its types."""
    if len(fields) < 36:
        raise FieldError(f"an order has more than {len(fields)} fields")
    cursor = Cursor(fields, 35)
    contract = contract_of(fields, 2)
    if fields[14] or fields[15]:
        contract = attrs.evolve(contract, security_id_type=fields[14], security_id=fields[15])
    terms: dict[str, str] = {}
    rows: dict[str, tuple[Any, ...]] = {}
    f.read(fields[24:26], f.HEAD, terms)
    f.read(fields[29:32], f.DISPLAY, terms)
    f.read(fields[34:35], f.HIDDEN, terms)
    if contract.security_type == "BAG":
        rows["legs"] = legs_of(cursor, of_order=True)
        rows["leg_prices"] = tuple(_price(cursor.take()) for _ in range(cursor.count()))
        rows["routing"] = cursor.pairs()
        contract = attrs.evolve(contract, legs=rows["legs"])
    cursor.skip(1)  # sharesAllocation, deprecated
    f.read(cursor.run(1), f.AMOUNT, terms)
    good_after, good_till = cursor.run(2)
    f.read(cursor.run(3), f.ALLOCATION, terms)
    if version < 177:
        f.read(cursor.run(1), f.PROFILE, terms)
    f.read(cursor.run(4), f.MODEL, terms)
    oca_type = to_int(cursor.take(), 0)
    f.read(cursor.run(2), f.FIRM, terms)
    all_or_none = to_flag(cursor.take())
    _volatility_and_scale(cursor, terms)
    what_if = _strategy(cursor, terms, rows, fields[18])
    _conditions(cursor, terms, rows)
    _tail(cursor, terms, fields, version)
    quantity = to_decimal(fields[17])
    return PlaceOrder(
        request_id=to_int(fields[1]),
        contract=contract,
        action=fields[16],
        quantity=Decimal(0) if quantity is None else quantity,
        order_type=fields[18],
        limit_price=to_decimal(fields[19]),
        aux_price=to_decimal(fields[20]),
        time_in_force=fields[21],
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
        extras=OrderExtras(terms, **rows),
    )


def _price(field: str) -> str:
    value = to_decimal(field)
    return "" if value is None else decimal_text(value)


def _volatility_and_scale(cursor: Cursor, terms: dict[str, str]) -> None:
    """From minQty to the hedge."""
    box = cursor.run(len(f.BOX.rows))
    f.read(box, f.BOX, terms)
    if box[-2]:  # deltaNeutralOrderType, whose absence TWS itself writes as the word "None"
        f.read(cursor.run(len(f.DELTA_NEUTRAL.rows)), f.DELTA_NEUTRAL, terms)
    trail = cursor.run(len(f.TRAIL.rows))
    f.read(trail, f.TRAIL, terms)
    increment = to_decimal(trail[-1])
    if increment is not None and increment > 0:
        f.read(cursor.run(len(f.SCALE.rows)), f.SCALE, terms)
    active = cursor.run(len(f.ACTIVE.rows))
    f.read(active, f.ACTIVE, terms)
    if active[-1]:
        f.read(cursor.run(1), f.HEDGE, terms)


def _strategy(
    cursor: Cursor, terms: dict[str, str], rows: dict[str, tuple[Any, ...]], order_type: str
) -> bool:
    """From optOutSmartRouting to the pegged fields; returns whatIf."""
    f.read(cursor.run(len(f.CLEARING.rows)), f.CLEARING, terms)
    if to_flag(cursor.take()):
        con_id, delta, price = cursor.run(3)
        rows["delta_neutral"] = (str(to_int(con_id, 0)), _price(delta), _price(price))
    strategy = cursor.run(1)
    f.read(strategy, f.STRATEGY, terms)
    if strategy[0]:
        rows["algorithm"] = cursor.pairs()
    f.read(cursor.run(1), f.ALGORITHM, terms)
    what_if = to_flag(cursor.take())
    f.read(cursor.run(len(f.OPTIONS.rows)), f.OPTIONS, terms)
    if order_type in ("PEG BENCH", "PEGBENCH"):
        f.read(cursor.run(len(f.BENCHMARK.rows)), f.BENCHMARK, terms)
    return what_if


def _conditions(cursor: Cursor, terms: dict[str, str], rows: dict[str, tuple[Any, ...]]) -> None:
    count = cursor.count()
    if not count:
        return
    found = []
    for _ in range(count):
        kind = to_int(cursor.take(), 0)
        if kind not in f.CONDITIONS:
            raise FieldError(f"a condition of type {kind}")
        found.append(f.condition(kind, cursor.run(len(f.CONDITIONS[kind].rows))))
    rows["conditions"] = tuple(found)
    f.read(cursor.run(2), f.ON_CONDITION, terms)


def _tail(cursor: Cursor, terms: dict[str, str], fields: list[str], version: int) -> None:
    """The adjusted-order fields and what later versions put after them."""
    known = min(version, f.NEWEST)
    adjusted, last = f.ADJUSTED[known], f.LAST[known]
    f.read(cursor.run(len(adjusted.rows)), adjusted, terms)
    if version >= 170:
        _pegged(cursor, terms, fields)
    f.read(cursor.run(len(last.rows)), last, terms)
    if cursor.at != len(fields):
        raise FieldError(f"an order of {len(fields)} fields, {cursor.at} of which have a meaning")


def _pegged(cursor: Cursor, terms: dict[str, str], fields: list[str]) -> None:
    if fields[9] == "IBKRATS":
        f.read(cursor.run(1), f.MIN_TRADE, terms)
    kind = fields[18].replace(" ", "")
    if kind == "PEGBEST":
        f.read(cursor.run(2), f.COMPETE, terms)
    if kind == "PEGMID" or terms.get("competeAgainstBestOffset") == "Infinity":
        f.read(cursor.run(2), f.MIDPOINT, terms)
