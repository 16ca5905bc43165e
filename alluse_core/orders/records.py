"""What the journal holds, as rows: how orders, fills and events are written and read back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from alluse_core.clock import Clock
from alluse_core.errors import InvalidValue
from alluse_core.model import (
    ComboLeg,
    Execution,
    Instrument,
    NodeIdentity,
    Order,
    OrderIdentity,
    OrderTerms,
    OrderType,
    SecurityType,
    Side,
    TimeInForce,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PRICES = ("limit_price", "stop_price")


def _compact() -> Callable[[Any], str]:
    """Return a function that writes a value as JSON without spaces, ASCII only.

    ``JSONEncoder.encode`` makes its C encoder anew for each value, which is half of its time.
    """
    encoder = json.JSONEncoder(separators=(",", ":"))
    make = json.encoder.c_make_encoder  # type: ignore[attr-defined]  # absent from the stubs
    if make is None:
        return encoder.encode
    options = (None, ":", ",", False, False, True)
    write = make(None, encoder.default, json.encoder.encode_basestring_ascii, *options)
    return lambda value: "".join(write(value, 0))


_dumps = _compact()


class Row(NamedTuple):
    """One record. ``time`` is Unix microseconds; ``state`` the order's state after it.

    ``key``, ``ref`` and ``state`` are empty where the record is about no order. ``body`` is one
    JSON object that names tenant, node, agent and incarnation.
    """

    time: int
    kind: str
    key: str
    ref: str
    state: str
    body: str


class Kind(StrEnum):
    """What a record says."""

    START = "start"
    IDS = "ids"
    ORDER = "order"
    EVENT = "event"
    FILL = "fill"
    COMMISSION = "commission"
    COMMAND = "command"
    ECHO = "echo"
    NOTICE = "notice"
    CONTROL = "control"
    POSITION = "position"
    ACCEPTED = "accepted"
    ADJUSTMENT = "adjustment"
    BRACKET = "bracket"
    REDUCTION = "reduction"


class Scribe:
    """Makes rows that carry the node's identity and the wall-clock time."""

    def __init__(self, node: NodeIdentity, clock: Clock) -> None:
        names = {
            "tenant": node.tenant,
            "node": node.node,
            "agent": node.agent,
            "incarnation": node.incarnation,
        }
        # The constant part is encoded once: a record is made for every order and event.
        self._prefix = _dumps(names)[:-1]
        self._clock = clock

    def row(
        self,
        kind: Kind,
        fields: Mapping[str, Any],
        key: str = "",
        ref: str = "",
        state: str = "",
        time: int | None = None,
    ) -> Row:
        """Return a record of ``fields``, which must be JSON-ready.

        ``time``: that of another record, so that what is one moment reads so; None: now.
        """
        body = _dumps(fields)
        inner = f",{body[1:]}" if len(body) > 2 else "}"
        return Row(
            microseconds(self._clock.now()) if time is None else time,
            kind.value,
            key,
            ref,
            state,
            self._prefix + inner,
        )


def microseconds(moment: datetime) -> int:
    """Return an aware time as a record holds it."""
    return (moment - _EPOCH) // _MICROSECOND


def when(written: int) -> datetime:
    """Read back what :func:`microseconds` wrote."""
    return _EPOCH + timedelta(microseconds=written)


def text(number: Decimal | None) -> str | None:
    """Return a number as it is written; None stays None."""
    return None if number is None else str(number)


def number(written: str | None) -> Decimal | None:
    """Read back what :func:`text` wrote."""
    return None if written is None else Decimal(written)


def instrument_fields(instrument: Instrument) -> Any:
    """Return an instrument's id, or its legs where an id cannot be parsed."""
    if instrument.security_type is not SecurityType.COMBO:
        return instrument.id
    legs = [[leg.instrument.id, leg.side.value, leg.ratio] for leg in instrument.legs]
    return [instrument.symbol, instrument.exchange, instrument.currency, legs]


def instrument_from(written: Any) -> Instrument:
    """Read back what :func:`instrument_fields` wrote."""
    if isinstance(written, str):
        return Instrument.parse(written)
    symbol, exchange, currency, legs = written
    made = tuple(ComboLeg(Instrument.parse(leg), Side(side), ratio) for leg, side, ratio in legs)
    return Instrument.combo(symbol, made, exchange, currency)


def order_fields(order: Order) -> dict[str, Any]:
    """Return an order without its key; fields at their default are left out."""
    fields: dict[str, Any] = {
        "broker": order.broker,
        "account": order.account,
        "instrument": instrument_fields(order.instrument),
        "side": order.side,
        "quantity": str(order.quantity),
        "type": order.order_type,
        "tif": order.time_in_force,
    }
    if order.limit_price is not None:
        fields["limit"] = str(order.limit_price)
    if order.stop_price is not None:
        fields["stop"] = str(order.stop_price)
    if order.good_till is not None:
        fields["good_till"] = order.good_till.isoformat()
    if order.outside_rth:
        fields["outside_rth"] = True
    if order.reduce_only:
        fields["reduce_only"] = True
    if order.send_within is not None:
        fields["send_within"] = order.send_within
    return fields


def order_from(key: str, fields: Mapping[str, Any]) -> Order:
    """Read back what :func:`order_fields` wrote.

    Orders once took numbers and keys that none is made of now: they are as they were written.
    """
    good_till = fields.get("good_till")
    terms: dict[str, Any] = {
        "instrument": instrument_from(fields["instrument"]),
        "side": Side(fields["side"]),
        "quantity": Decimal(fields["quantity"]),
        "order_type": OrderType(fields["type"]),
        "key": key,
        "limit_price": number(fields.get("limit")),
        "stop_price": number(fields.get("stop")),
        "time_in_force": TimeInForce(fields["tif"]),
        "good_till": datetime.fromisoformat(good_till) if good_till else None,
        "outside_rth": fields.get("outside_rth", False),
        "reduce_only": fields.get("reduce_only", False),
        "broker": fields["broker"],
        "account": fields["account"],
        "send_within": fields.get("send_within"),
    }
    try:
        return Order(**terms)
    except InvalidValue:
        return _as_written(terms)


def _as_written(terms: Mapping[str, Any]) -> Order:
    """Return an order that is not made any more. Raises InvalidValue for what never was one."""
    allowed = {**terms, "key": "any", "quantity": Decimal(1)}
    allowed |= {name: Decimal(1) for name in _PRICES if terms[name] is not None}
    order = Order(**allowed)
    numbers = [each for each in (terms["quantity"], *map(terms.get, _PRICES)) if each is not None]
    if not all(each.is_finite() for each in numbers) or terms["quantity"] <= 0:
        raise InvalidValue("an order has a quantity above zero, and finite numbers")
    for name in ("key", "quantity", *_PRICES):
        # It is frozen, and refuses these where they are set otherwise.
        object.__setattr__(order, name, terms[name])
    return order


def reduced_fields(reduced: Decimal, asked: Decimal) -> dict[str, str]:
    """Return what an exit's quantity leaves out, and the most that it may come back to, if any."""
    told = {"reduced": str(reduced)}
    return {**told, "asked": str(asked)} if asked else told


def digest_of(order: Order) -> str:
    """Return what two orders share that mean the same: the key and the written form are left out.

    So is the time in which it must leave, which a caller that asks again may count anew.
    ``Decimal("1.0")`` and ``Decimal("1")`` are the same quantity.
    """
    prices = (order.quantity, order.limit_price, order.stop_price)
    numbers = ["" if price is None else str(price.normalize()) for price in prices]
    good_till = "" if order.good_till is None else order.good_till.astimezone(UTC).isoformat()
    content = (
        f"{order.broker}|{order.account}|{order.instrument.id}|{order.side}"
        f"|{order.order_type}|{order.time_in_force}|{good_till}|{order.outside_rth}"
        f"|{order.reduce_only}|{numbers}"
    )
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def identity_fields(identity: OrderIdentity) -> dict[str, Any]:
    """Return the names an order goes by."""
    return {
        "perm_id": identity.perm_id,
        "order_id": identity.order_id,
        "client_id": identity.client_id,
    }


def execution_fields(execution: Execution) -> dict[str, Any]:
    """Return a fill."""
    return {
        "broker": execution.broker,
        "account": execution.account,
        "execution_id": execution.execution_id,
        "instrument": instrument_fields(execution.instrument),
        "side": execution.side.value,
        "quantity": str(execution.quantity),
        "price": str(execution.price),
        "executed_at": execution.time.isoformat(),
        "liquidation": execution.liquidation,
        **identity_fields(execution.identity),
    }


def execution_from(ref: str, fields: Mapping[str, Any]) -> Execution:
    """Read back what :func:`execution_fields` wrote."""
    return Execution(
        fields["broker"],
        OrderIdentity(ref, fields["perm_id"], fields["order_id"], fields["client_id"]),
        fields["execution_id"],
        fields["account"],
        instrument_from(fields["instrument"]),
        Side(fields["side"]),
        Decimal(fields["quantity"]),
        Decimal(fields["price"]),
        datetime.fromisoformat(fields["executed_at"]),
        fields["liquidation"],
    )


def terms_fields(terms: OrderTerms) -> dict[str, Any]:
    """Return an echo of the broker's."""
    return {
        "instrument": None if terms.instrument is None else instrument_fields(terms.instrument),
        "side": terms.side.value,
        "quantity": str(terms.quantity),
        "type": terms.order_type,
        "limit": text(terms.limit_price),
        "stop": text(terms.stop_price),
        "tif": terms.time_in_force,
        "account": terms.account,
        "outside_rth": terms.outside_rth,
    }
