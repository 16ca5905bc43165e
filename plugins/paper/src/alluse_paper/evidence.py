"""Turns what the exchange says, and its accounts, into the core's model."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from alluse_core.model.account import AccountValue
from alluse_core.model.order import (
    BrokerNotice,
    BrokerStatus,
    Commission,
    Evidence,
    Execution,
    OrderIdentity,
    OrderReport,
    OrderState,
    OrderTerms,
    Verb,
)
from alluse_paper.accounts import AccountFigures
from alluse_paper.orders import (
    CommandRefused,
    ExchangeEvent,
    ExchangeOrder,
    Fill,
    FillCorrected,
    OrderFilled,
)

_STATUS = {
    OrderState.SUBMITTED: BrokerStatus.PENDING,
    OrderState.HELD: BrokerStatus.HELD,
    OrderState.ACCEPTED: BrokerStatus.WORKING,
    OrderState.PARTIALLY_FILLED: BrokerStatus.WORKING,
    OrderState.FILLED: BrokerStatus.FILLED,
    OrderState.CANCELED: BrokerStatus.CANCELED,
    OrderState.REJECTED: BrokerStatus.REJECTED,
    OrderState.EXPIRED: BrokerStatus.EXPIRED,
}
# IBKR's own codes for the same refusals, so that one table classifies both brokers' notices.
NOT_FOUND_CODE = 10147
_NOT_CANCELLABLE_CODE = 10148
_NOT_MODIFIABLE_CODE = 104


_FIGURES = (
    ("NetLiquidation", "net_liquidation"),
    ("TotalCashValue", "cash"),
    ("GrossPositionValue", "gross_position_value"),
    ("InitMarginReq", "initial_margin"),
    ("MaintMarginReq", "maintenance_margin"),
    ("AvailableFunds", "available_funds"),
    ("ExcessLiquidity", "excess_liquidity"),
    ("BuyingPower", "buying_power"),
    ("RealizedPnL", "realized"),
    ("UnrealizedPnL", "unrealized"),
)
"""IBKR's name of each figure, and ours. A figure that is not known is left out."""


@attrs.frozen
class Tag:
    """What the broker remembers with an order that it sent."""

    order_ref: str
    order_id: int
    client_id: int


def identity_of(order: ExchangeOrder) -> OrderIdentity:
    """Return the names of an order; one that another user of the exchange sent has no tag."""
    tag = order.request.client_tag
    if isinstance(tag, Tag):
        return OrderIdentity(tag.order_ref, order.number, tag.order_id, tag.client_id)
    return OrderIdentity(perm_id=order.number)


def report_of(broker: str, order: ExchangeOrder) -> OrderReport:
    """Return an order as the broker's statement of it."""
    request = order.request
    return OrderReport(
        broker=broker,
        identity=identity_of(order),
        status=_STATUS[order.state],
        filled=order.filled,
        remaining=order.remaining,
        average_price=order.average_price if order.filled else None,
        terms=OrderTerms(
            instrument=request.instrument,
            side=request.side,
            quantity=request.quantity,
            order_type=request.order_type.value,
            limit_price=request.limit_price,
            stop_price=request.stop_price,
            time_in_force=request.time_in_force.value,
            account=request.account,
            outside_rth=request.outside_rth,
        ),
        reason=order.reason,
        raw_status=order.state.value,
    )


def execution_of(broker: str, fill: Fill, identity: OrderIdentity) -> Execution:
    """Return a fill as evidence."""
    return Execution(
        broker=broker,
        identity=identity,
        execution_id=fill.execution_id,
        account=fill.account,
        instrument=fill.instrument,
        side=fill.side,
        quantity=fill.quantity,
        price=fill.price,
        time=fill.time,
        liquidation=fill.liquidation,
    )


def commission_of(broker: str, fill: Fill) -> Commission:
    """Return what a fill cost."""
    return Commission(broker, fill.execution_id, fill.commission, fill.currency, fill.realized)


def evidence_of(broker: str, event: ExchangeEvent) -> Iterator[Evidence]:
    """Yield what one exchange event proves, executions before the status they lead to."""
    if isinstance(event, OrderFilled):
        for fill in event.execution.all:
            yield execution_of(broker, fill, identity_of(event.order))
        for fill in event.execution.legs or (event.execution,):
            yield commission_of(broker, fill)
    if isinstance(event, FillCorrected):
        yield execution_of(broker, event.execution, identity_of(event.order))
    if isinstance(event, CommandRefused):
        code = _NOT_CANCELLABLE_CODE if event.verb is Verb.CANCEL else _NOT_MODIFIABLE_CODE
        yield BrokerNotice(broker, code, event.reason, identity_of(event.order))
    yield report_of(broker, event.order)


def values_of(broker: str, account: str, figures: AccountFigures) -> list[AccountValue]:
    """Return an account's figures under IBKR's names."""
    rows = []
    for name, attribute in _FIGURES:
        value = getattr(figures, attribute)
        if value is not None:
            rows.append(AccountValue(broker, account, name, value, figures.currency))
    return rows
