"""Compares what a runtime says is unprotected with what the gateway's ledger knows. Pure.

Protection is a bracket's stops, or all its exits where it has none. What its entry filled beyond
what its exits filled is covered by the largest of them that works, or must be told of.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import attrs

from alluse_core.model import Order, OrderGroup
from alluse_sim.truth import ZERO, Brokered, Entry, Reading, Truth, truth_of

_STOPS = ("STP", "STP LMT")
_CHANGES_WHAT_IS_OPEN = frozenset({"fill", "canceled", "expired", "reject"})


def protection(
    entries: Sequence[Entry],
    asked: Sequence[OrderGroup],
    refs: Mapping[str, str],
    told: Mapping[str, Decimal],
) -> list[str]:
    """Return where a position lacks its protection and the runtime says another amount.

    ``asked`` are the brackets that the agent asked for, the oldest first, ``refs`` the orderRef of
    each key, and ``told`` is what the runtime says, by instrument.
    What was closed without a bracket's exits needs no protection, and what is opened later by
    other orders never had any. A runtime that looks now and then may miss that a position was
    flat in between, and then say up to as much as all brackets together lack.
    """
    brackets = [
        _Bracket(group, tuple(refs.get(order.key, "") for order in group.orders)) for group in asked
    ]
    truth = truth_of(entries)
    most = _bare(truth, brackets)
    if dict(told) == most:
        return []
    least = _bare(truth, _written_off(entries, brackets))
    found = []
    for name in sorted({*most, *told}):
        said, low, high = (each.get(name, ZERO) for each in (told, least, most))
        if not low <= said <= high:
            wanted = f"{low}" if low == high else f"{low} to {high}"
            found.append(f"{wanted} of {name} are open without protection, told are {said}")
    return found


@attrs.define
class _Bracket:
    """A bracket and the orderRefs of its orders; ``elsewhere`` was closed without its exits."""

    group: OrderGroup
    refs: tuple[str, ...]
    elsewhere: Decimal = ZERO

    @property
    def entry(self) -> Order:
        return self.group.orders[0]

    def ended(self, truth: Truth) -> bool:
        return all(
            order.state not in ("PLACED", "WORKING", "HELD") or order.filled >= order.quantity
            for ref in self.refs
            for order in truth.orders.get(ref, ())
        )

    def left(self, truth: Truth) -> Decimal:
        entry, *exits = (_filled(truth.orders.get(ref, ())) for ref in self.refs)
        return max(entry - sum(exits, ZERO) - self.elsewhere, ZERO)

    def covered(self, truth: Truth) -> Decimal:
        exits = list(zip(self.group.orders, self.refs, strict=True))[1:]
        stops = [(order, ref) for order, ref in exits if order.order_type.value in _STOPS]
        works = [
            brokered.working for _, ref in stops or exits for brokered in truth.orders.get(ref, ())
        ]
        return min(max(works, default=ZERO), self.left(truth))


def _filled(orders: Iterable[Brokered]) -> Decimal:
    return sum((order.filled for order in orders), ZERO)


def _bare(truth: Truth, brackets: Sequence[_Bracket]) -> dict[str, Decimal]:
    """Return by instrument what is open and not covered by anything that works."""
    found = {}
    for name, held in truth.positions.items():
        family = [
            each
            for each in brackets
            if each.entry.instrument.id == name and each.entry.side.sign * held > 0
        ]
        if family:
            covered = sum((each.covered(truth) for each in family), ZERO)
            bare = sum((each.left(truth) for each in family), ZERO) - covered
            covered += _lone_stops(truth, brackets, family[0].entry)
            amount = min(bare, abs(held) - covered)
            if amount > 0:
                found[name] = amount
    return found


def _lone_stops(truth: Truth, brackets: Sequence[_Bracket], entry: Order) -> Decimal:
    ours = {ref for bracket in brackets for ref in bracket.refs[1:]}
    return sum(
        (
            order.working
            for ref, orders in truth.orders.items()
            if ref and ref not in ours
            for order in orders
            if order.order_type in _STOPS
            and order.symbol == entry.instrument.symbol
            and order.side != entry.side.value
        ),
        ZERO,
    )


def _written_off(entries: Sequence[Entry], brackets: Sequence[_Bracket]) -> list[_Bracket]:
    """Return the brackets with what of each, at some moment, could be open no more.

    Of brackets that ended, no more can be open than is held; the oldest are closed first.
    """
    walked, reading = [attrs.evolve(each) for each in brackets], Reading()
    families: Mapping[tuple[str, int], list[_Bracket]] = defaultdict(list)
    for bracket in walked:
        families[bracket.entry.instrument.id, bracket.entry.side.sign].append(bracket)
    for entry in entries:
        reading.take(entry)
        if entry["event"] in _CHANGES_WHAT_IS_OPEN:
            for (name, sign), family in families.items():
                held = max(reading.truth.positions.get(name, ZERO) * sign, ZERO)
                _write_off(reading.truth, family, held)
    return walked


def _write_off(truth: Truth, family: Sequence[_Bracket], held: Decimal) -> None:
    ended = [each for each in family if each.ended(truth)]
    excess = sum((each.left(truth) for each in ended), ZERO) - held
    for bracket in ended:
        part = max(min(bracket.left(truth), excess), ZERO)
        bracket.elsewhere += part
        excess -= part
