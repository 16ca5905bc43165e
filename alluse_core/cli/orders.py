"""``alluse orders list|show``: what the journal knows of orders."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from alluse_core.cli.output import print_json, print_table
from alluse_core.cli.story import tell
from alluse_core.model import OrderState
from alluse_core.orders.reader import Entry, JournalReader, OrderSummary
from alluse_core.state import JOURNAL

_out = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of journal.db: a demo's --out, or the state folder.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@_out
@click.option(
    "--state",
    type=click.Choice([state.value for state in OrderState], case_sensitive=False),
    help="Only orders that are in this state now.",
)
@click.option("--limit", type=click.IntRange(min=1), help="At most so many, the newest first.")
@_json
def orders_list(out: Path, state: str | None, limit: int | None, as_json: bool) -> None:
    """List orders, the newest first, and what is known of each."""
    with JournalReader(out / JOURNAL) as reader:
        chosen = OrderState(state.upper()) if state else None
        orders = list(reader.orders(chosen, limit))
    if as_json:
        print_json([_order_facts(order) for order in orders])
        return
    header = ("submitted (UTC)", "key", "order", "state", "filled", "price")
    print_table(
        header,
        [
            (
                f"{order.submitted_at:%H:%M:%S.%f}"[:-3],
                order.key,
                _terms(order),
                order.state,
                order.filled,
                "-" if order.average_price is None else f"{order.average_price:.4f}",
            )
            for order in orders
        ],
    )


@click.command()
@click.argument("key")
@_out
@_json
def orders_show(key: str, out: Path, as_json: bool) -> None:
    """Tell the whole story of one order: the journal's records, and which of them proved a state.

    'alluse journal export --key KEY' writes the records themselves.
    """
    with JournalReader(out / JOURNAL) as reader:
        order = reader.order(key)
        story = reader.story(key)
        members = list(reader.members(order.group)) if order.group else []
    if as_json:
        print_json(
            {
                **_order_facts(order),
                "evidence": _evidence(story),
                "members": {member.key: member.state for member in members},
                "story": [_entry_facts(entry) for entry in story],
            }
        )
        return
    proof = _evidence(story)[-1]
    click.echo(f"{order.key}: {_terms(order)} is {order.state.value}, by record {proof}")
    click.echo(f"broker {order.order.broker}, account {order.order.account}, ref {order.ref}")
    for member in members:
        if member.key != order.key:
            click.echo(f"group {order.group}: {member.key} ({_terms(member)}) is {member.state}")
    rows = [
        (
            entry.sequence,
            f"{entry.time:%Y-%m-%d %H:%M:%S.%f}"[:-3],
            *tell(entry),
            entry.state or "",
        )
        for entry in story
    ]
    print_table(("record", "time (UTC)", "who", "what they said or did", "state then"), rows)


def _evidence(story: Sequence[Entry]) -> list[int]:
    """Return the sequence numbers of the records at which the order's state changed."""
    stated = [entry for entry in story if entry.state]
    return [
        entry.sequence
        for before, entry in pairwise((None, *stated))
        if entry is not None and (before is None or entry.state != before.state)
    ]


def _order_facts(order: OrderSummary) -> dict[str, Any]:
    terms = order.order
    return {
        "key": order.key,
        "order_ref": order.ref,
        "state": order.state,
        "group": order.group,
        "broker": terms.broker,
        "account": terms.account,
        "instrument": terms.instrument.id,
        "side": terms.side,
        "quantity": terms.quantity,
        "order_type": terms.order_type,
        "limit_price": terms.limit_price,
        "stop_price": terms.stop_price,
        "time_in_force": terms.time_in_force,
        "submitted_at": order.submitted_at,
        "filled": order.filled,
        "average_price": order.average_price,
    }


def _entry_facts(entry: Entry) -> dict[str, Any]:
    return {
        "sequence": entry.sequence,
        "time": entry.time,
        "kind": entry.kind,
        "who": tell(entry)[0],
        "what": tell(entry)[1],
        "state": entry.state or None,
        "body": entry.body,
    }


def _terms(order: OrderSummary) -> str:
    terms = order.order
    prices = [f"{price}" for price in (terms.limit_price, terms.stop_price) if price is not None]
    words = [terms.side.value, str(terms.quantity), str(terms.instrument), terms.order_type.value]
    return " ".join([*words, *prices, terms.time_in_force.value])
