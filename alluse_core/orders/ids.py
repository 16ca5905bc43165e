"""Numeric order ids: never one twice, whatever the broker's own counter does."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from alluse_core.ports import Broker

BLOCK = 1_000


class IdSequence:
    """Gives out rising ids of one broker, from blocks that the journal knows as taken.

    The floor is the highest of what the journal reserved, what the broker demands and what was
    seen: a broker's next id can go back after a restart (Lean.IB #242). A block is appended to
    the journal before the first order that uses it, so it is on disk no later than that order.
    """

    def __init__(self, broker: Broker, reserve: Callable[[Mapping[str, int | str]], None]) -> None:
        self._broker = broker
        self._reserve = reserve
        self._next = 1
        self._reserved = 0

    def above(self, order_id: int) -> None:
        """Never give out ``order_id`` or a lower one."""
        self._next = max(self._next, order_id + 1)

    def take(self, count: int) -> int:
        """Return the first of ``count`` contiguous ids; 0 where the broker has none."""
        if not self._broker.capabilities.numeric_order_ids:
            return 0
        first = max(self._next, self._broker.order_id_floor)
        self._next = first + count
        if self._next - 1 > self._reserved:
            self._reserved = first + max(count, BLOCK) - 1
            self._reserve(
                {
                    "broker": self._broker.name,
                    "client_id": self._broker.client_id,
                    "from": first,
                    "up_to": self._reserved,
                }
            )
        return first
