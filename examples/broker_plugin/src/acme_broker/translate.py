"""From the venue's terms to ALL-USE's. ``source`` is the broker's name in the settings."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from acme_broker.venue import ACCOUNT, BOOK, Resting
from alluse_core.model import (
    BrokerStatus,
    Commission,
    DataType,
    Execution,
    Instrument,
    OrderIdentity,
    OrderReport,
    OrderTerms,
    Position,
    Quote,
    Side,
)


class Line:
    """A subscription. This venue's quotes stand still, so one quote is all there is."""

    def __init__(self, quote: Quote) -> None:
        self.instrument = quote.instrument
        self.alive_at = quote.confirmed_at

    def close(self) -> None:
        """End the stream."""


def quote(source: str, instrument: Instrument, now: float) -> Quote:
    """Return the venue's quote as of ``now``, monotonic seconds."""
    bid, ask = BOOK[instrument.symbol]
    return Quote(
        instrument,
        bid,
        ask,
        changed_at=now,
        confirmed_at=now,
        data_type=DataType.LIVE,
        source=source,
    )


def refusal(source: str, reference: str, reason: str) -> OrderReport:
    """Return what is said of an order that the venue does not take."""
    identity = OrderIdentity(order_ref=reference)
    return OrderReport(source, identity, BrokerStatus.REJECTED, reason=reason)


def status(source: str, order: Resting) -> OrderReport:
    """Return where an order stands, with the terms it stands at."""
    filled = order.quantity if order.status == "filled" else Decimal(0)
    terms = OrderTerms(
        Instrument.stock(order.symbol),
        _side(order),
        order.quantity,
        "LMT",
        Decimal(str(order.price)),
        None,
        "DAY",
        ACCOUNT,
        False,
    )
    remaining = order.quantity - filled
    state = BrokerStatus(order.status)
    return OrderReport(source, _identity(order), state, filled, remaining, terms=terms)


def execution(source: str, order: Resting, at: datetime) -> Execution:
    """Return the one fill of a filled order."""
    return Execution(
        source,
        _identity(order),
        f"{order.number}.1",
        ACCOUNT,
        Instrument.stock(order.symbol),
        _side(order),
        order.quantity,
        Decimal(str(order.price)),
        at,
    )


def commission(source: str, fill: Execution) -> Commission:
    """Return what the venue takes for a fill."""
    return Commission(source, fill.execution_id, Decimal("0.35"), "USD")


def position(source: str, symbol: str, held: int) -> Position:
    """Return a holding; this venue keeps no cost of it."""
    return Position(source, ACCOUNT, Instrument.stock(symbol), Decimal(held), Decimal(0))


def _identity(order: Resting) -> OrderIdentity:
    return OrderIdentity(order.reference, perm_id=order.number)


def _side(order: Resting) -> Side:
    return Side.BUY if order.sign > 0 else Side.SELL
