"""Every order that the exchange took down, and the fills of the day."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from alluse_core.clock import Clock
from alluse_paper.orders import ExchangeOrder, Fill, NewOrder
from alluse_paper.working import Working

_EPOCH_NUMBERS = 1_000_000
_NUMBERS_PER_SECOND = 2_000


class Register:
    """Gives orders their numbers, and holds them until the UTC day after they ended.

    Numbers start from the clock's wall time, so that two exchanges started at different seconds do
    not give out the same ones. ``forget`` is called with each order that is let go.
    """

    def __init__(self, clock: Clock, forget: Callable[[Working], None]) -> None:
        self.orders: dict[int, Working] = {}
        self._clock = clock
        self._forget = forget
        self._open: dict[int, Working] = {}
        self._ended: deque[Working] = deque()
        self._fills: deque[Fill] = deque()
        self._day = clock.now().date()
        self._number = int(clock.now().timestamp()) % _EPOCH_NUMBERS * _NUMBERS_PER_SECOND

    def take_down(self, request: NewOrder) -> Working:
        """Give an order that is being sent its number."""
        if self._clock.now().date() != self._day:
            self._forget_yesterday()
        self._number += 1
        order = Working(self._number, request, self._clock.now(), transmitted=request.transmit)
        self.orders[order.number] = self._open[order.number] = order
        return order

    def take_back(self, shown: Iterable[ExchangeOrder]) -> tuple[list[Working], list[Fill]]:
        """Take orders of an earlier exchange; return them and their fills.

        Orders are in the order of their numbers, fills in that of time. Numbers go on above them.
        """
        orders = [
            Working.of(each, self._clock.now()) for each in sorted(shown, key=lambda o: o.number)
        ]
        for order in orders:
            self.orders[order.number] = order
            self._number = max(self._number, order.number)
            if order.is_open:
                self._open[order.number] = order
        ended = [order for order in orders if not order.is_open]
        self._ended.extend(sorted(ended, key=lambda each: each.changed_at or each.placed_at))
        fills = sorted((fill for o in orders for fill in o.executions), key=lambda each: each.time)
        self._fills.extend(fills)
        return orders, fills

    def end(self, order: Working) -> None:
        """Note that an order has ended."""
        self._open.pop(order.number, None)
        self._ended.append(order)

    def add_fill(self, fill: Fill) -> None:
        """Note a fill."""
        self._fills.append(fill)

    def replace_fill(self, was: Fill, fill: Fill) -> None:
        """Put a fill in the place of another one of this day."""
        self._fills[self._fills.index(was)] = fill

    def fill(self, execution_id: str) -> Fill | None:
        """Return the fill of this day with this execution id."""
        return next((fill for fill in self._fills if fill.execution_id == execution_id), None)

    def still_open(self, number: int) -> Working | None:
        """Return the order of this number if it has not ended."""
        return self._open.get(number)

    def open_orders(self) -> tuple[Working, ...]:
        """Return the orders that have not ended."""
        return tuple(self._open.values())

    def ended_today(self) -> tuple[Working, ...]:
        """Return the orders that ended on this UTC day."""
        self._forget_yesterday()
        return tuple(self._ended)

    def executions_today(self) -> tuple[Fill, ...]:
        """Return the fills of this UTC day."""
        self._forget_yesterday()
        return tuple(each for fill in self._fills for each in fill.all)

    def _forget_yesterday(self) -> None:
        self._day = self._clock.now().date()
        while self._ended and (ended := self._ended[0].changed_at) and ended.date() < self._day:
            old = self._ended.popleft()
            self.orders.pop(old.number, None)
            self._forget(old)
        while self._fills and self._fills[0].time.date() < self._day:
            self._fills.popleft()
