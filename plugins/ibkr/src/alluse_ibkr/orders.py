"""Orders as they are sent, and what the broker says of them as evidence."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import attrs

from alluse_core.model import (
    BrokerStatus,
    Commission,
    Execution,
    Instrument,
    OrderIdentity,
    OrderReport,
    OrderTerms,
    Side,
    TimeInForce,
)
from alluse_core.ports import OrderMessage
from alluse_ibkr.client import Library
from alluse_ibkr.wireformat import exact, exact_or_zero, plain, wire, wire_time

OCA_CANCEL_WITH_BLOCK = 1
"""One fill cancels the rest, one order at a time at the venue: the group cannot overfill."""

OCA_REDUCE_WITH_BLOCK = 2
"""One fill takes as much off the rest, one order at a time at the venue."""

_STATUS = {
    "ApiPending": BrokerStatus.PENDING,
    "PendingSubmit": BrokerStatus.PENDING,
    "PreSubmitted": BrokerStatus.WORKING,
    "Submitted": BrokerStatus.WORKING,
    "PendingCancel": BrokerStatus.PENDING_CANCEL,
    "ApiCancelled": BrokerStatus.CANCELED,
    "Cancelled": BrokerStatus.CANCELED,
    "Filled": BrokerStatus.FILLED,
    "Inactive": BrokerStatus.HELD,
}
_HELD_BY = ("locate", "unfunded")


def status_of(text: str, why_held: str = "") -> BrokerStatus:
    """Reduce IBKR's status. Inactive is HELD: it may come alive again, so it counts.

    A word that is not known is PENDING, which also counts.
    """
    status = _STATUS.get(text, BrokerStatus.PENDING)
    if status is BrokerStatus.WORKING and any(word in why_held for word in _HELD_BY):
        return BrokerStatus.HELD
    return status


def to_wire(library: Library, message: OrderMessage, client_id: int, order_id: int = 0) -> Any:
    """Return the order to send, with everything explicit that a preset could fill in.

    Numbers go as text, so that a Decimal leaves as it is written. Raises NotSent for text that
    would break the message apart.
    """
    order = message.order
    made = copy.copy(library.blank_order)
    made.orderId = order_id or message.order_id
    made.clientId = client_id
    made.action = order.side.value
    made.totalQuantity = wire(order.quantity)
    made.orderType = order.order_type.value
    made.tif = order.time_in_force.value
    made.account = plain(order.account)
    made.outsideRth = order.outside_rth
    made.orderRef = plain(message.order_ref)
    made.transmit = message.transmit
    made.parentId = message.parent_order_id
    if order.limit_price is not None:
        made.lmtPrice = wire(order.limit_price)
    if order.stop_price is not None:
        made.auxPrice = wire(order.stop_price)
    if message.oca_group:
        made.ocaGroup = plain(message.oca_group)
        made.ocaType = OCA_REDUCE_WITH_BLOCK if message.oca_reduces else OCA_CANCEL_WITH_BLOCK
    if order.time_in_force is TimeInForce.GTD and order.good_till is not None:
        made.goodTillDate = wire_time(order.good_till)
    return made


def identity_of(order: Any) -> OrderIdentity:
    """Return the names that an openOrder or completedOrder carries."""
    return OrderIdentity(order.orderRef, order.permId, order.orderId, order.clientId)


def _terms(instrument: Instrument | None, order: Any) -> OrderTerms:
    kind = order.orderType
    limit = exact(order.lmtPrice) if "LMT" in kind else None
    stop = exact(order.auxPrice) if kind.startswith("STP") else None
    return OrderTerms(
        instrument=instrument,
        side=Side.BUY if order.action == "BUY" else Side.SELL,
        quantity=exact_or_zero(order.totalQuantity),
        order_type=kind,
        limit_price=limit,
        stop_price=stop,
        time_in_force=order.tif,
        account=order.account,
        outside_rth=bool(order.outsideRth),
    )


def open_order(broker: str, instrument: Instrument | None, order: Any, state: Any) -> OrderReport:
    """Read an openOrder: identity and terms; it does not say how much is filled."""
    return OrderReport(
        broker=broker,
        identity=identity_of(order),
        status=status_of(state.status),
        terms=_terms(instrument, order),
        reason=state.warningText or "",
        raw_status=state.status,
    )


def completed_order(
    broker: str, instrument: Instrument | None, order: Any, state: Any
) -> OrderReport:
    """Read a completedOrder. It bears no order id and no client id.

    Inactive among the completed ones is an order that was refused. A filled order may come with
    a total quantity of 0, its fills beside it.
    """
    status = status_of(state.status)
    if status is BrokerStatus.HELD:
        status = BrokerStatus.REJECTED
    filled = exact(order.filledQuantity)
    total = exact_or_zero(order.totalQuantity)
    remaining = total - filled if filled is not None and total >= filled else None
    if status is BrokerStatus.FILLED:
        remaining = Decimal(0)
    return OrderReport(
        broker=broker,
        identity=OrderIdentity(order.orderRef, order.permId),
        status=status,
        filled=filled,
        remaining=remaining,
        terms=_terms(instrument, order),
        reason=state.completedStatus,
        raw_status=state.status,
    )


def order_status(
    broker: str,
    identity: OrderIdentity,
    status: str,
    filled: float,
    remaining: float,
    average: float,
    why_held: str,
    reject: str | None,
) -> OrderReport:
    """Read an orderStatus. ``reject``: the text of the reject that came before, if one did.

    The message carries no orderRef: ``identity`` has the one that its permId was seen with.
    """
    reduced = status_of(status, why_held)
    if status == "Inactive" and reject is not None:
        reduced = BrokerStatus.REJECTED
    return OrderReport(
        broker=broker,
        identity=identity,
        status=reduced,
        filled=exact(filled),
        remaining=exact(remaining),
        average_price=exact(average) if filled else None,
        reason=reject or why_held,
        raw_status=status,
    )


def merged(row: OrderReport, status: OrderReport) -> OrderReport:
    """Return an openOrder's report with the quantities and the status that came after it."""
    return attrs.evolve(
        row,
        status=status.status,
        filled=status.filled,
        remaining=status.remaining,
        average_price=status.average_price,
        reason=status.reason or row.reason,
        raw_status=status.raw_status,
    )


def execution(broker: str, instrument: Instrument, fill: Any) -> Execution:
    """Read an execDetails."""
    return Execution(
        broker=broker,
        identity=OrderIdentity(fill.orderRef, fill.permId, fill.orderId, fill.clientId),
        execution_id=fill.execId,
        account=fill.acctNumber,
        instrument=instrument,
        side=Side.BUY if fill.side in ("BOT", "BUY") else Side.SELL,
        quantity=exact_or_zero(fill.shares),
        price=exact_or_zero(fill.price),
        time=_utc(fill.time),
        liquidation=bool(fill.liquidation),
    )


def commission(broker: str, report: Any) -> Commission:
    """Read a commissionReport. The decoders turn an absent realized figure into 1.79e308."""
    return Commission(
        broker=broker,
        execution_id=report.execId,
        amount=exact_or_zero(report.commission),
        currency=report.currency,
        realized=exact(report.realizedPNL),
    )


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
