"""All orders in memory, by every name they go by, and what they may do to positions."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import overload

from alluse_core.model import (
    AccountValue,
    Execution,
    Instrument,
    Order,
    OrderIdentity,
    OrderState,
    Position,
)
from alluse_core.orders.live import ZERO, LiveOrder
from alluse_core.orders.unexplained import Unexplained

RECENT_SECONDS = 600.0
_RECENT_MAX = 100_000

Account = tuple[str, str]
"""(broker, account)"""


class Recent:
    """What was let through in the last ten minutes, at most 100,000 orders."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._orders: list[Order] = []

    def add(self, now: float, order: Order) -> None:
        """Note an order."""
        self._times.append(now)
        self._orders.append(order)
        if len(self._times) > 2 * _RECENT_MAX or self._times[0] < now - 2 * RECENT_SECONDS:
            # Cut rarely and much: each cut moves all that stays.
            first = bisect_right(self._times, now - RECENT_SECONDS)
            first = max(first, len(self._times) - _RECENT_MAX)
            del self._times[:first], self._orders[:first]

    def since(self, moment: float) -> RecentSlice:
        """Return what came after ``moment``."""
        return RecentSlice(self._times, self._orders, bisect_right(self._times, moment))


class RecentSlice(Sequence[tuple[float, Order]]):
    """A view that copies nothing, so that asking for a count costs no walk."""

    __slots__ = ("_first", "_orders", "_times")

    def __init__(self, times: list[float], orders: list[Order], first: int) -> None:
        self._times = times
        self._orders = orders
        self._first = first

    def __len__(self) -> int:
        return len(self._times) - self._first

    @overload
    def __getitem__(self, index: int) -> tuple[float, Order]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[float, Order]]: ...
    def __getitem__(
        self, index: int | slice
    ) -> tuple[float, Order] | Sequence[tuple[float, Order]]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        place = index % len(self) + self._first
        return self._times[place], self._orders[place]


class Book:
    """Live orders and the newest ended ones; positions and account figures as last told.

    At most ``keep_ended`` ended orders stay, beside those that are kept by :meth:`keep`; older
    ones are read from the journal. ``told`` names the brokers that have told their positions;
    ``absent`` is what of those their newest list left out, (account, instrument's id) by broker.
    ``adopted``: orders were taken in that bear our name and that the journal had lost.
    """

    def __init__(self, keep_ended: int = 5_000) -> None:
        self.keep_ended = keep_ended
        self.forgotten = 0
        self.adopted = False
        self.recent = Recent()
        self.unknown: dict[str, LiveOrder] = {}
        self.positions: dict[tuple[str, str, Instrument], Decimal] = {}
        self.told: set[str] = set()
        self.absent: dict[str, Collection[tuple[str, str]]] = {}
        self.unexplained = Unexplained()
        self.costs: dict[tuple[str, str, Instrument], Decimal] = {}
        self.values: dict[tuple[str, str, str], AccountValue] = {}
        self._keys: dict[str, LiveOrder] = {}
        self._references: dict[str, LiveOrder] = {}
        self._perm_ids: dict[tuple[str, int], LiveOrder] = {}
        self._numbers: dict[tuple[str, int, int], LiveOrder] = {}
        self._working: dict[Account, dict[Instrument, dict[str, LiveOrder]]] = {}
        self._exits: dict[str, dict[str, LiveOrder]] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._kept: set[str] = set()
        self._owed: dict[str, LiveOrder] = {}
        self._strays: OrderedDict[str, Execution] = OrderedDict()
        self._stray_references: OrderedDict[str, None] = OrderedDict()

    # --- finding --------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[LiveOrder]:
        return iter(list(self._keys.values()))

    def get(self, key: str) -> LiveOrder | None:
        """Return the order of a key if it is in memory."""
        return self._keys.get(key)

    def by_reference(self, reference: str) -> LiveOrder | None:
        """Return the order of an orderRef if it is in memory."""
        return self._references.get(reference)

    def find(self, broker: str, identity: OrderIdentity) -> LiveOrder | None:
        """Return the order that a message speaks of.

        An orderRef decides where the message carries one; an order id counts only together with
        the client id that used it, and not against an orderRef.
        """
        if identity.order_ref:
            return self._references.get(identity.order_ref)
        if identity.perm_id:
            found = self._perm_ids.get((broker, identity.perm_id))
            if found is not None:
                return found
        if identity.order_id:
            return self._numbers.get((broker, identity.client_id, identity.order_id))
        return None

    def exits_of(self, entry: str) -> list[LiveOrder]:
        """Return the exits of a bracket, by its entry's key, that are in memory."""
        return list(self._exits.get(entry, {}).values())

    def live(self, broker: str = "") -> list[LiveOrder]:
        """Return the orders that have not ended, of one broker or of all."""
        return [
            live
            for (name, _), instruments in self._working.items()
            if broker in ("", name)
            for orders in instruments.values()
            for live in orders.values()
        ]

    def working(self, account: Account, instrument: Instrument | None) -> list[LiveOrder]:
        """Return the orders of an account that may still move a position.

        They have not ended, or were said to be filled by executions that have not come yet.
        """
        instruments = self._working.get(account, {})
        if instrument is not None:
            found = list(instruments.get(instrument, {}).values())
        else:
            found = [live for orders in instruments.values() for live in orders.values()]
        for live in self._owed.values():
            order = live.order
            if (order.broker, order.account) == account and instrument in (None, order.instrument):
                found.append(live)
        return found

    def position(self, account: Account, instrument: Instrument) -> Decimal:
        """Return the signed position."""
        return self.positions.get((*account, instrument), ZERO)

    def reduces(self, order: Order, without: str = "") -> bool:
        """Return whether ``order`` is proven to reduce the position; see ports.OrderView."""
        account = (order.broker, order.account)
        position = self.position(account, order.instrument)
        if position * order.side.sign >= 0 or not self.certain(order):
            return False
        changed = self._keys.get(without) if without else None
        # What a change leaves to fill; what is filled is in the position already.
        possible = order.quantity
        if changed is not None and len(changed.perm_ids) < 2:
            possible -= changed.executed
        exclusive: dict[str, Decimal] = {}
        if changed is not None and changed.oca_group:
            exclusive[changed.oca_group] = possible
            possible = ZERO
        for live in self.working(account, order.instrument):
            if live.order.side is not order.side:
                continue
            replaced = live.key in (order.key, without)
            exposed = live.elder_exposed if replaced else live.exposed
            if live.oca_group:
                most = max(exclusive.get(live.oca_group, ZERO), exposed)
                exclusive[live.oca_group] = most
            else:
                possible += exposed
        return possible + sum(exclusive.values()) <= abs(position)

    def certain(self, order: Order) -> bool:
        """Return whether the broker told the position that an order is about."""
        if order.broker not in self.told:
            return False
        absent = self.absent.get(order.broker)
        return not absent or (order.account, order.instrument.id) not in absent

    # --- changing -------------------------------------------------------------------------------

    def add(self, live: LiveOrder) -> None:
        """Take an order in its present state."""
        self.adopted = self.adopted or live.adopted
        self._keys[live.key] = live
        self._references[live.ref] = live
        if live.entry:
            self._exits.setdefault(live.entry, {})[live.key] = live
        self.index(live)
        self._file(live)

    def index(self, live: LiveOrder) -> None:
        """Make the order known under the numbers it has now."""
        broker = live.order.broker
        if live.order_id:
            self._numbers[broker, live.client_id, live.order_id] = live
        for perm_id in live.perm_ids:
            self._perm_ids[broker, perm_id] = live

    def move(self, live: LiveOrder, state: OrderState) -> None:
        """Set an order's state."""
        live.state = state
        live.listing = None
        self._file(live)

    def touch(self, live: LiveOrder) -> None:
        """Note that fills or terms of an order changed."""
        live.listing = None
        if live.state.is_terminal:
            self._owe(live)

    def keep(self, lives: Iterable[LiveOrder]) -> None:
        """Hold orders in memory though they have ended."""
        for live in lives:
            self._kept.add(live.key)
            self._ended.pop(live.key, None)

    def let_go(self, lives: Iterable[LiveOrder]) -> None:
        """Undo :meth:`keep`."""
        for live in lives:
            if live.key in self._kept:
                self._kept.remove(live.key)
                if live.state.is_terminal:
                    self._ended[live.key] = None
        self._forget()

    def remove(self, live: LiveOrder) -> None:
        """Forget an order that was never journaled."""
        self._unfile(live)
        self._drop(live)

    def stray(self, execution: Execution, base: str) -> Execution | None:
        """Note a fill of no order of ours; return the one it replaces, or itself if known."""
        known = self._strays.get(base)
        self._strays[base] = execution
        if execution.identity.order_ref:
            self.bear(execution.identity.order_ref)
        if len(self._strays) > 50_000:
            self._strays.popitem(last=False)
        return known

    def bear(self, reference: str) -> None:
        """Note that an order which is not known bears an orderRef."""
        self._stray_references[reference] = None
        self._stray_references.move_to_end(reference)
        if len(self._stray_references) > 50_000:
            self._stray_references.popitem(last=False)

    def bears(self, reference: str) -> bool:
        """Return whether an order which is not known bears an orderRef, or a fill of one."""
        return reference in self._stray_references

    @property
    def has_strays(self) -> bool:
        """Whether any order, or fill of one, bears an orderRef and is not known."""
        return bool(self._stray_references)

    def strays_of(self, broker: str) -> dict[str, Execution]:
        """Return the fills of no order of ours that a broker told of, by what names them."""
        return {base: fill for base, fill in self._strays.items() if fill.broker == broker}

    def held(self) -> list[Position]:
        """Return the positions that are not zero."""
        return [
            Position(broker, account, instrument, quantity, self._cost(broker, account, instrument))
            for (broker, account, instrument), quantity in self.positions.items()
            if quantity
        ]

    def instruments_at_work(self) -> frozenset[Instrument]:
        """Return the instruments of live orders, and of positions that are not zero."""
        working = {
            instrument
            for instruments in self._working.values()
            for instrument, orders in instruments.items()
            if orders
        }
        held = {key[2] for key, quantity in self.positions.items() if quantity}
        return frozenset(working | held)

    def _cost(self, broker: str, account: str, instrument: Instrument) -> Decimal:
        return self.costs.get((broker, account, instrument), ZERO)

    def _file(self, live: LiveOrder) -> None:
        if live.state is OrderState.UNKNOWN:
            self.unknown[live.key] = live
        else:
            self.unknown.pop(live.key, None)
        if live.state.is_terminal:
            self._unfile(live)
            self._owe(live)
            if live.key not in self._kept:
                self._ended[live.key] = None
                self._ended.move_to_end(live.key)
            self._forget()
        else:
            self._ended.pop(live.key, None)
            self._owed.pop(live.key, None)
            account = (live.order.broker, live.order.account)
            instruments = self._working.setdefault(account, {})
            instruments.setdefault(live.order.instrument, {})[live.key] = live

    def _owe(self, live: LiveOrder) -> None:
        if live.exposed:
            self._owed[live.key] = live
        else:
            self._owed.pop(live.key, None)

    def _unfile(self, live: LiveOrder) -> None:
        instruments = self._working.get((live.order.broker, live.order.account))
        orders = instruments.get(live.order.instrument) if instruments else None
        if instruments is not None and orders is not None:
            orders.pop(live.key, None)
            if not orders:
                del instruments[live.order.instrument]

    def _forget(self) -> None:
        while len(self._ended) > self.keep_ended:
            key, _ = self._ended.popitem(last=False)
            self._drop(self._keys[key])
            self.forgotten += 1

    def _drop(self, live: LiveOrder) -> None:
        self.unknown.pop(live.key, None)
        self._ended.pop(live.key, None)
        self._kept.discard(live.key)
        self._owed.pop(live.key, None)
        self._keys.pop(live.key, None)
        self._references.pop(live.ref, None)
        exits = self._exits.get(live.entry, {})
        exits.pop(live.key, None)
        if not exits:
            self._exits.pop(live.entry, None)
        self._numbers.pop((live.order.broker, live.client_id, live.order_id), None)
        for perm_id in live.perm_ids:
            self._perm_ids.pop((live.order.broker, perm_id), None)
