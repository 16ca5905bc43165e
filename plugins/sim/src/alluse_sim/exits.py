"""Judges by the gateway's ledger what became of a bracket's exits while they filled. Pure.

A part of a take-profit takes as much off its stop and leaves the rest of it at work; neither may be
for more than what can still be open.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal

from alluse_core.model import OrderGroup
from alluse_sim.truth import ZERO, Brokered, Entry, Reading, Truth, decimal

_CAUSE = re.compile(r"with order (\d+) of its group")


def taken_away(
    entries: Sequence[Entry], brackets: Sequence[OrderGroup], refs: Mapping[str, str]
) -> list[str]:
    """Return which exits the broker cancelled though a sibling had filled in part only."""
    families = {
        refs[order.key]: group.key
        for group in brackets
        for order in group.orders[1:]
        if order.key in refs
    }
    reading, last, found = Reading(), dict[int, Decimal](), []
    for entry in entries:
        reading.take(entry)
        if entry["event"] == "fill":
            last[entry["perm_id"]] = decimal(entry["quantity"])
        told = _CAUSE.fullmatch(entry.get("reason", "")) if entry["event"] == "canceled" else None
        if told is None:
            continue
        cause = reading.by_perm.get(int(told[1]))
        order = reading.by_perm.get(entry["perm_id"])
        if cause is None or order is None or cause.filled >= cause.quantity:
            continue
        family = families.get(order.ref)
        left = order.quantity - order.filled - last.get(cause.perm_id, ZERO)
        if family is not None and family == families.get(cause.ref) and left > 0:
            found.append(f"{order.ref} was to close {left} more, and {cause.ref} took it away")
    return found


def too_large(
    truth: Truth,
    brackets: Sequence[OrderGroup],
    refs: Mapping[str, str],
    judged: Collection[str],
) -> list[str]:
    """Return which exits work for more than can be open; those of ``judged`` keys are looked at."""
    found = []
    for group in brackets:
        entry, *exits = ([*_at(truth, refs, order.key)] for order in group.orders)
        most = sum((_may_fill(each) for each in entry), ZERO)
        closed = sum((each.filled for orders in exits for each in orders), ZERO)
        for order, orders in zip(group.orders[1:], exits, strict=True):
            if order.key not in judged or len(orders) != 1 or not entry:
                continue
            works = orders[0].working
            if works > max(most - closed, ZERO):
                found.append(f"{order.key} works for {works}, and {most - closed} can be open")
    return found


def reductions(truth: Truth) -> int:
    """Return how often the broker took something off an order by itself."""
    return sum(each.reductions for orders in truth.orders.values() for each in orders)


def _at(truth: Truth, refs: Mapping[str, str], key: str) -> Iterator[Brokered]:
    yield from truth.orders.get(refs.get(key, ""), ())


def _may_fill(order: Brokered) -> Decimal:
    alive = order.state in ("PLACED", "WORKING", "HELD")
    return order.quantity if alive else order.filled
