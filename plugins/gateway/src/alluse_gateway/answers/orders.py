"""Orders, executions and commissions."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import attrs
from alluse_paper.orders import Fill

from alluse_core.model import Instrument
from alluse_gateway.answers import order_layout as layout
from alluse_gateway.answers.contracts import ContractText
from alluse_gateway.requests import NO_EXTRAS, OrderExtras
from alluse_gateway.wire import (
    UNSET_DOUBLE,
    decimal_text,
    double,
    escaped,
    frame,
    joined,
    message,
    text,
)


@attrs.frozen
class OrderEcho:
    """An order's terms as they are sent back; ``order_id`` and ``client_id`` name who placed it."""

    order_id: int
    client_id: int
    perm_id: int
    parent_id: int
    parent_perm_id: int
    contract: ContractText
    action: str
    quantity: Decimal
    order_type: str
    limit_price: Decimal | None
    aux_price: Decimal | None
    time_in_force: str
    oca_group: str
    oca_type: int
    account: str
    order_ref: str
    outside_rth: bool
    good_after: str
    good_till: str
    trigger_method: int
    what_if: bool = False
    all_or_none: bool = False
    extras: OrderExtras = NO_EXTRAS


@attrs.frozen
class Margins:
    """What a whatIf order would do to the account: before, change, after of the three figures."""

    initial: tuple[Decimal, Decimal, Decimal]
    maintenance: tuple[Decimal, Decimal, Decimal]
    equity: tuple[Decimal, Decimal, Decimal]
    commission: Decimal
    currency: str


def _price(value: Decimal | None) -> str:
    return "0.0" if value is None else decimal_text(value)


def _terms(echo: OrderEcho) -> str:
    """action ... origin, which openOrder and completedOrder share."""
    return joined(
        echo.action,
        decimal_text(echo.quantity),
        echo.order_type,
        _price(echo.limit_price),
        _price(echo.aux_price),
        echo.time_in_force,
        echo.oca_group,
        echo.account,
    ) + layout.OPENING.text(echo.extras.terms)


Parts = tuple[str, str, str]
"""An openOrder's fields before its status, of the preview (from 195 on), and after the warning."""


def open_order_parts(echo: OrderEcho, version: int) -> Parts:
    """Return what stands before an openOrder's status, in its preview, and after its warning.

    They change only with the order's terms, so a caller keeps them.
    """
    head = f"5\0{echo.order_id}\0{echo.contract.traded_order}{_terms(echo)}"
    head += layout.open_order_head(echo, version)
    preview = _NO_PREVIEW if version >= 195 else ""
    return head, preview, layout.open_order_tail(echo, version)


_NINE_UNSET = f"{UNSET_DOUBLE}\0" * 9
_NO_PREVIEW = f"{_NINE_UNSET}\0\0" + "0\0"
"""Margins outside regular hours, suggested size, reject reason and allocations: none known."""


def open_order(
    parts: Parts,
    status: str,
    commission: tuple[Decimal, str] | None = None,
    margins: Margins | None = None,
    warning: str = "",
) -> bytes:
    """Message 5. ``commission`` is an amount and its currency."""
    nine = _NINE_UNSET
    if margins is not None:
        columns = zip(margins.initial, margins.maintenance, margins.equity, strict=True)
        nine = joined(*[decimal_text(value) for column in columns for value in column])
        commission = (margins.commission, margins.currency)
    paid, currency = (None, "") if commission is None else commission
    money = joined(double(paid), UNSET_DOUBLE, UNSET_DOUBLE, currency)
    head, preview, tail = parts
    if preview:
        money += f"{margins.currency if margins is not None else ''}\0{preview}"
    return frame(f"{head}{status}\0{nine}{money}{escaped(warning)}\0{tail}")


def open_order_end() -> bytes:
    """Message 53."""
    return message(53, 1)


def order_status(
    echo: OrderEcho,
    status: str,
    filled: Decimal,
    remaining: Decimal,
    average: Decimal,
    last: Decimal,
    why_held: str = "",
) -> bytes:
    """Message 3. ``last`` is the price of the last fill, 0 before the first."""
    return frame(
        joined(
            "3",
            str(echo.order_id),
            status,
            decimal_text(filled),
            decimal_text(remaining),
            decimal_text(average),
            str(echo.perm_id),
            str(echo.parent_id),
            decimal_text(last),
            str(echo.client_id),
            why_held,
            "0",
        )
    )


def order_bound(perm_id: int, client_id: int, order_id: int) -> bytes:
    """Message 100."""
    return message(100, perm_id, client_id, order_id)


def completed_order(
    echo: OrderEcho, version: int, status: str, filled: Decimal, ended: str, why: str
) -> bytes:
    """Message 101: it names neither the order id nor the client. ``ended`` and ``why`` are text."""
    head = f"101\0{echo.contract.traded_order}{_terms(echo)}"
    head += layout.completed_order_head(echo, version)
    tail = layout.completed_order_tail(echo, version, decimal_text(filled), ended, escaped(why))
    return frame(f"{head}{status}\0{tail}")


def completed_orders_end() -> bytes:
    """Message 102."""
    return message(102)


def execution_details(echo: OrderEcho, fill: Fill, version: int, request_id: int = -1) -> bytes:
    """Message 11. Times are UTC; the zone is written where the version has it."""
    form = "%Y%m%d %H:%M:%S UTC" if version >= 174 else "%Y%m%d  %H:%M:%S"
    exchange = fill.instrument.exchange
    row = [
        f"11\0{request_id}\0{echo.order_id}\0{echo.contract.traded}{fill.execution_id}",
        fill.time.strftime(form),
        fill.account,
        echo.contract.listing.primary_exchange if exchange == "SMART" else exchange,
        "BOT" if fill.side.sign > 0 else "SLD",
        decimal_text(fill.quantity),
        decimal_text(fill.price),
        str(echo.perm_id),
        str(echo.client_id),
        text(fill.liquidation),
        decimal_text(fill.cumulative),
        decimal_text(fill.average_price),
        echo.order_ref,
        "",
        "",
        echo.extras.terms.get("modelCode", ""),
        "0",  # lastLiquidity: not told
    ]
    if version >= 178:
        row.append("0")  # pendingPriceRevision
    if version >= 198:
        row.append("")  # submitter
    return frame(joined(*row))


def executions_of(
    echo: OrderEcho,
    fill: Fill,
    version: int,
    written: Callable[[Instrument], ContractText],
    request_id: int = -1,
) -> list[bytes]:
    """Return message 11 of a fill, and of each leg where it is a combo's."""
    rows = [execution_details(echo, fill, version, request_id)]
    for leg in fill.legs:
        of_leg = attrs.evolve(echo, contract=written(leg.instrument))
        rows.append(execution_details(of_leg, leg, version, request_id))
    return rows


def commission_reports(fill: Fill) -> list[bytes]:
    """Return message 59 of what was paid for a fill: for a combo's, one for each leg."""
    return [
        commission_report(each, each.realized if each.realized else None)
        for each in fill.legs or (fill,)
    ]


def execution_details_end(request_id: int) -> bytes:
    """Message 55."""
    return message(55, 1, request_id)


def commission_report(fill: Fill, realized: Decimal | None) -> bytes:
    """Message 59. ``realized`` is None for a fill that closed nothing."""
    paid = decimal_text(fill.commission)
    return frame(
        joined(
            "59", "1", fill.execution_id, paid, fill.currency, double(realized), UNSET_DOUBLE, ""
        )
    )
