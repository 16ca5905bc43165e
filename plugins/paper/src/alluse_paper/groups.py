"""How orders of one bracket or one OCA group act on each other.

An exit of a bracket works at most what the entry has filled less what the exits have filled
together, so that protection never exceeds what there is to protect.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

from alluse_paper.orders import ZERO, OcaRule
from alluse_paper.working import Working


class Groups:
    """Remembers which orders belong together. It changes allowances, and decides the rest."""

    def __init__(self) -> None:
        self._children: dict[int, list[Working]] = defaultdict(list)
        self._parents: dict[int, Working] = {}
        self._oca: dict[tuple[str, str], list[Working]] = defaultdict(list)

    def join(self, order: Working, parent: Working | None) -> None:
        """Enter an order that the exchange has taken."""
        if parent is not None:
            self._children[parent.number].append(order)
            self._parents[order.number] = parent
            self._allow(parent)
        name, _ = self._group(order)
        if name:
            self._oca[order.request.account, name].append(order)

    def forget(self, order: Working) -> None:
        """Drop an order that ended before today."""
        self._children.pop(order.number, None)
        self._parents.pop(order.number, None)
        name, _ = self._group(order)
        members = self._oca.get((order.request.account, name))
        if members and order in members:
            members.remove(order)
            if not members:
                del self._oca[order.request.account, name]

    def parent_of(self, order: Working) -> Working | None:
        """Return the entry that an exit belongs to."""
        return self._parents.get(order.number)

    def children_of(self, order: Working) -> tuple[Working, ...]:
        """Return the exits of an entry, open and ended."""
        return tuple(self._children.get(order.number, ()))

    def transmitted_by(self, order: Working) -> tuple[Working, ...]:
        """Return what an order with ``transmit`` transmits beside itself: its bracket."""
        parent = self.parent_of(order)
        family = (parent, *self.children_of(parent)) if parent else self.children_of(order)
        return tuple(member for member in family if member is not order and member.is_open)

    def after_fill(
        self, order: Working, quantity: Decimal
    ) -> tuple[list[Working], list[tuple[Working, Decimal]]]:
        """Return (orders to cancel, orders to reduce with their new quantity) after a fill."""
        self._allow(order)
        parent = self.parent_of(order)
        if parent is not None:
            self._allow(parent)
        if self.has_no_block(order):
            return [], []
        return self.siblings_after_fill(order, quantity)

    def has_no_block(self, order: Working) -> bool:
        """Whether others of its OCA group hear of a fill only after it."""
        name, rule = self._group(order)
        return bool(name) and rule is OcaRule.REDUCE_WITHOUT_BLOCK

    def siblings_after_fill(
        self, order: Working, quantity: Decimal
    ) -> tuple[list[Working], list[tuple[Working, Decimal]]]:
        """Return what :meth:`after_fill` does, of the OCA group as it now stands."""
        name, rule = self._group(order)
        siblings = [
            member
            for member in self._oca.get((order.request.account, name), ())
            if member is not order and member.is_open
        ]
        if rule is OcaRule.CANCEL:
            return siblings, []
        done = order.remaining == 0
        cancel, reduce = [], []
        for member in siblings:
            left = member.request.quantity - quantity
            if done or left <= member.filled:
                cancel.append(member)
            else:
                reduce.append((member, left))
        return cancel, reduce

    def is_spent(self, order: Working) -> bool:
        """Whether another member has filled, so that one that arrives now comes too late."""
        name, rule = self._group(order)
        members = self._oca.get((order.request.account, name), ())
        return rule is OcaRule.CANCEL and any(
            member.filled > 0 for member in members if member is not order
        )

    def after_end(self, order: Working) -> tuple[list[Working], list[tuple[Working, Decimal]]]:
        """Return (exits to cancel, exits to reduce) after an entry ended before it was filled."""
        cancel, reduce = [], []
        if order.remaining > 0:
            exposed = order.filled - self._exited(order)
            for child in self.children_of(order):
                if not child.is_open:
                    continue
                left = child.filled + exposed
                if exposed <= 0:
                    cancel.append(child)
                elif left < child.request.quantity:
                    reduce.append((child, left))
        return cancel, reduce

    def _group(self, order: Working) -> tuple[str, OcaRule]:
        request = order.request
        if request.oca_group:
            return request.oca_group, request.oca_rule
        if request.parent is not None:
            return f"bracket of {request.parent}", OcaRule.REDUCE
        return "", request.oca_rule

    def _exited(self, parent: Working) -> Decimal:
        return sum((child.filled for child in self.children_of(parent)), ZERO)

    def _allow(self, parent: Working) -> None:
        children = self.children_of(parent)
        if children:
            allowance = max(ZERO, parent.filled - self._exited(parent))
            for child in children:
                child.allowance = allowance
