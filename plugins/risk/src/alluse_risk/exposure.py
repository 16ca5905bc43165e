"""How far a position could go if everything that works filled."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from alluse_core.model import Side
from alluse_core.ports import WorkingOrder

_ZERO = Decimal(0)


def reach(side: Side, position: Decimal, working: Iterable[WorkingOrder]) -> Decimal:
    """Return the signed position if all ``working`` orders of ``side`` filled.

    Of orders that cancel each other the largest counts. A bracket's exit counts with what it
    could do beyond closing what is still to fill of its entry.
    """
    orders = list(working)
    entries = {each.key: each.remaining for each in orders}
    total = _ZERO
    exclusive: dict[str, Decimal] = {}
    for each in orders:
        if each.side is not side:
            continue
        possible = max(each.remaining - entries.get(each.entry, _ZERO), _ZERO)
        if each.oca_group:
            exclusive[each.oca_group] = max(exclusive.get(each.oca_group, _ZERO), possible)
        else:
            total += possible
    return position + side.sign * (total + sum(exclusive.values(), _ZERO))
