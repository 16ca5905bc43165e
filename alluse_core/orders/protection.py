"""Which open quantity lacks the protection that the agent asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal

from alluse_core.model import GroupKind, Instrument, OrderState, OrderType
from alluse_core.orders.book import Book
from alluse_core.orders.live import ZERO, LiveOrder
from alluse_core.orders.meters import COMPONENT
from alluse_core.telemetry import Registry

METRIC = "unprotected_quantity"

_WORKS = frozenset({OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED})
_STOPS = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})

Place = tuple[str, str, Instrument]
"""(broker, account, instrument)"""


def unprotected(
    orders: Iterable[LiveOrder],
    positions: Mapping[Place, Decimal],
    entry_of: Callable[[str], LiveOrder | None],
) -> dict[Instrument, Decimal]:
    """Return by instrument how much is open of brackets whose protection does not work.

    Protection is the bracket's stops, or all its exits where it has no stop. Only an exit that
    the broker has said to work covers anything: one that is on its way, held or UNKNOWN does not.
    What was closed in another way needs none, so nothing exceeds the position that is held.
    Instruments of which everything is covered are left out. ``entry_of`` finds an order by key.
    """
    exits: dict[str, list[LiveOrder]] = defaultdict(list)
    for live in orders:
        if live.entry and live.group_kind is GroupKind.BRACKET:
            exits[live.entry].append(live)
    open_at: dict[Place, Decimal] = defaultdict(lambda: ZERO)
    for key, siblings in exits.items():
        entry = entry_of(key)
        if entry is not None:
            order = entry.order
            place = (order.broker, order.account, order.instrument)
            open_at[place] += order.side.sign * _uncovered(entry, siblings)
    found: dict[Instrument, Decimal] = defaultdict(lambda: ZERO)
    for place, quantity in open_at.items():
        held = positions.get(place, ZERO)
        if quantity * held > 0:
            found[place[2]] += min(abs(quantity), abs(held))
    return dict(found)


def _uncovered(entry: LiveOrder, exits: Sequence[LiveOrder]) -> Decimal:
    left = entry.filled - sum((each.filled for each in exits), ZERO)
    stops = [each for each in exits if each.order.order_type in _STOPS]
    works = [each for each in stops or exits if each.state in _WORKS]
    # One fill of an exit takes as much off its siblings: the largest covers, not their sum.
    covered = max((each.order.quantity - each.filled for each in works), default=ZERO)
    return max(left - covered, ZERO)


class Protection:
    """Keeps ``trading_system.unprotected_quantity{instrument=}`` at what is unprotected now."""

    def __init__(
        self, book: Book, entry_of: Callable[[str], LiveOrder | None], registry: Registry
    ) -> None:
        self._book = book
        self._entry_of = entry_of
        self._registry = registry
        self._told: set[Instrument] = set()

    def look(self) -> dict[Instrument, Decimal]:
        """Return what is unprotected by instrument, and publish it; what was once stays at 0."""
        found = unprotected(self._book, self._book.positions, self._entry_of)
        for instrument in self._told | set(found):
            gauge = self._registry.gauge(COMPONENT, METRIC, "", instrument=instrument.id)
            gauge.value = float(found.get(instrument, ZERO))
        self._told |= set(found)
        total = self._registry.gauge(COMPONENT, METRIC)
        total.value = float(sum(found.values(), ZERO))
        return found
