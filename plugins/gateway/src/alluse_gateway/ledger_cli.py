"""``alluse gateway ledger``: the truth of every order, from a ledger's file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import click

from alluse_gateway import truth
from alluse_gateway.truth import OrderTruth
from alluse_gateway.wire import decimal_text

_HEAD = ("client", "order", "permId", "orderRef", "terms", "filled", "average", "state", "reason")


@click.command("ledger")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(file: Path, as_json: bool) -> None:
    """Print what became of every order, from the file that --ledger wrote."""
    entries = truth.read(file)
    orders = truth.orders(entries)
    if as_json:
        click.echo(json.dumps(_document(entries, orders)))
        return
    for line in _table([_HEAD, *map(_row, orders)]):
        click.echo(line)
    fills = len(truth.executions(entries))
    click.echo(f"{len(entries)} entries, {len(orders)} orders, {fills} executions")
    for (account, symbol), quantity in sorted(truth.positions(entries).items()):
        click.echo(f"{account} {symbol} {decimal_text(quantity)}")


def _document(entries: Sequence[truth.Entry], orders: Sequence[OrderTruth]) -> dict[str, object]:
    return {
        "entries": len(entries),
        "orders": [_order(each) for each in orders],
        "positions": [
            {"account": account, "symbol": symbol, "quantity": decimal_text(quantity)}
            for (account, symbol), quantity in sorted(truth.positions(entries).items())
        ],
    }


def _order(order: OrderTruth) -> dict[str, object]:
    return {
        "client_id": order.client_id,
        "order_id": order.order_id,
        "perm_id": order.perm_id,
        "order_ref": order.order_ref,
        "account": order.account,
        "symbol": order.symbol,
        "side": order.side,
        "quantity": _text(order.quantity),
        "order_type": order.order_type,
        "limit_price": _text(order.limit_price),
        "aux_price": _text(order.aux_price),
        "time_in_force": order.time_in_force,
        "state": order.state,
        "reason": order.reason,
        "cancel_asked": order.cancel_asked,
        "filled": decimal_text(order.filled),
        "average_price": _text(order.average_price),
        "executions": [
            {
                "execution_id": each.execution_id,
                "quantity": decimal_text(each.quantity),
                "price": decimal_text(each.price),
                "commission": decimal_text(each.commission),
                "at": each.at,
            }
            for each in order.executions
        ],
    }


def _row(order: OrderTruth) -> tuple[str, ...]:
    prices = [each for each in (order.limit_price, order.aux_price) if each is not None]
    terms = [order.side, _text(order.quantity), order.symbol, order.order_type]
    return (
        str(order.client_id),
        str(order.order_id),
        str(order.perm_id or ""),
        order.order_ref,
        " ".join(each for each in (*terms, *map(decimal_text, prices)) if each),
        decimal_text(order.filled),
        _text(order.average_price) or "",
        order.state,
        order.reason,
    )


def _text(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
