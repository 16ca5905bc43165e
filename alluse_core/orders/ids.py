"""Numeric order ids: never one twice, whatever the broker's own counter does."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from alluse_core.ports import Broker

BLOCK = 1_000


class IdSequence:
    """Gives out rising ids of one broker, from blocks that the journal knows as taken.

    The floor is the highest of what the journal reserved, what the broker demands and what was
    seen: a broker's next id can go back after a restart (Lean.IB #242). An id is taken at the
    moment its message leaves, since a broker refuses one below any it has seen and an exit
    overtakes orders that wait. Its block was reserved when the order was made durable, so the
    reservation is on disk no later than the order.
    """

    def __init__(self, broker: Broker, reserve: Callable[[Mapping[str, int | str]], None]) -> None:
        self._broker = broker
        self._reserve = reserve
        self._next = 1
        self._reserved = 0
        self._promised = 0

    def above(self, order_id: int) -> None:
        """Never give out ``order_id`` or a lower one."""
        self._next = max(self._next, order_id + 1)

    def promise(self, count: int) -> None:
        """Reserve what ``count`` more orders will take when they are sent."""
        self._promised += count
        self._cover(self._promised)

    def release(self, count: int) -> None:
        """Note that ``count`` promised orders were sent, or never will be."""
        self._promised -= count

    def take(self, count: int) -> int:
        """Return the first of ``count`` contiguous ids; 0 where the broker has none."""
        if not self._broker.capabilities.numeric_order_ids:
            return 0
        # The floor may have risen beyond the block since the promise.
        self._cover(count)
        first = max(self._next, self._broker.order_id_floor)
        self._next = first + count
        return first

    def _cover(self, count: int) -> None:
        if not self._broker.capabilities.numeric_order_ids:
            return
        first = max(self._next, self._broker.order_id_floor)
        if first + count - 1 > self._reserved:
            self._reserved = first + max(count, BLOCK) - 1
            self._reserve(
                {
                    "broker": self._broker.name,
                    "client_id": self._broker.client_id,
                    "from": first,
                    "up_to": self._reserved,
                }
            )
