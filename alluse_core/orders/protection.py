"""Which open quantity lacks the protection that the agent asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from decimal import Decimal

import attrs

from alluse_core.model import GroupKind, Instrument, OrderState, OrderType, SecurityType, Side
from alluse_core.orders.book import Book
from alluse_core.orders.live import ZERO, LiveOrder
from alluse_core.orders.meters import COMPONENT
from alluse_core.orders.room import Opened
from alluse_core.telemetry import Registry

METRIC = "unprotected_quantity"
SURPLUS = "exits_surplus"

_WORKS = frozenset({OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED})
_STOPS = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})

Place = tuple[str, str, Instrument]
"""(broker, account, instrument)"""

Note = Callable[[LiveOrder, Mapping[str, object]], None]
"""Writes down what is told of a bracket, by its entry."""


@attrs.frozen
class Bracket:
    """An entry and the exits that were asked for with it.

    Protection is the bracket's stops, or all its exits where it has no stop. Only an exit that
    the broker has said to work covers anything: one that is on its way, held or UNKNOWN does not.
    """

    entry: LiveOrder
    exits: Sequence[LiveOrder]

    @property
    def place(self) -> Place:
        """Where its position is."""
        order = self.entry.order
        return order.broker, order.account, order.instrument

    @property
    def left(self) -> Decimal:
        """What its entry opened, less what its exits closed and what was closed without them."""
        closed = sum((each.filled for each in self.exits), ZERO) + self.entry.closed_elsewhere
        return max(self.entry.filled - closed, ZERO)

    @property
    def covered(self) -> Decimal:
        """How much of that its working exits would close."""
        stops = [each for each in self.exits if each.order.order_type in _STOPS]
        # One fill of an exit takes as much off its siblings: the largest covers, not their sum.
        largest = max((at_work(each) for each in stops or self.exits), default=ZERO)
        return min(largest, self.left)

    @property
    def surplus(self) -> Decimal:
        """How much more its working exits would close than is open, or is opened yet.

        What an entry that ended may have filled unheard is not known to be open.
        """
        open_ = Opened.by(self.entry).at_least - sum((each.filled for each in self.exits), ZERO)
        return max(self._works - max(open_, ZERO), ZERO)

    @property
    def closes(self) -> Decimal:
        """How much of what is held now its working exits would close.

        What its entry opens yet, or filled without an execution in hand, is not held now.
        """
        opened = Opened.by(self.entry).at_least + self.entry.closed_elsewhere
        return max(self._works - (opened - self.entry.executed), ZERO)

    @property
    def _works(self) -> Decimal:
        # One fill of an exit takes as much off its siblings.
        return max(map(told_at_work, self.exits), default=ZERO)

    @property
    def ended(self) -> bool:
        """Whether nothing of it can fill any more."""
        return self.entry.settled and all(each.settled for each in self.exits)


def told_at_work(live: LiveOrder) -> Decimal:
    """Return how much of an order works at the broker, by the broker's word.

    A broker may count a trade as filled that was busted: what it does not work on covers nothing.
    """
    if live.state not in _WORKS:
        return ZERO
    told = live.told_quantity
    left = max((live.order.quantity if told is None else told) - live.filled, ZERO)
    rest = live.told_remaining
    return left if rest is None else min(left, rest)


def at_work(live: LiveOrder) -> Decimal:
    """Return how much of that covers anything: no more than is meant to work."""
    return min(told_at_work(live), max(live.order.quantity - live.filled, ZERO))


def brackets(
    orders: Iterable[LiveOrder], entry_of: Callable[[str], LiveOrder | None]
) -> list[Bracket]:
    """Return the brackets among ``orders``, the oldest first; ``entry_of`` finds an entry."""
    exits: dict[str, list[LiveOrder]] = defaultdict(list)
    for live in orders:
        if live.entry and live.group_kind is GroupKind.BRACKET:
            exits[live.entry].append(live)
    found = ((entry_of(key), siblings) for key, siblings in exits.items())
    return [Bracket(entry, siblings) for entry, siblings in found if entry is not None]


def unprotected(
    family: Iterable[Bracket],
    positions: Mapping[Place, Decimal],
    lone_stops: Mapping[tuple[Place, Side], Decimal] | None = None,
) -> dict[Instrument, Decimal]:
    """Return by instrument how much is open of brackets whose protection does not work.

    ``lone_stops`` is what working stops of no bracket would buy or sell. What was closed in
    another way needs no protection: nothing exceeds what is held beyond all that works.
    Instruments of which everything is covered are left out.
    """
    bare: dict[Place, Decimal] = defaultdict(lambda: ZERO)
    covered: dict[Place, Decimal] = defaultdict(lambda: ZERO)
    for bracket in family:
        if bracket.entry.order.side.sign * positions.get(bracket.place, ZERO) > 0:
            covered[bracket.place] += bracket.covered
            bare[bracket.place] += bracket.left - bracket.covered
    found: dict[Instrument, Decimal] = defaultdict(lambda: ZERO)
    for place, quantity in bare.items():
        held = positions[place]
        closing = Side.SELL if held > 0 else Side.BUY
        works = covered[place] + (lone_stops or {}).get((place, closing), ZERO)
        amount = min(quantity, abs(held) - works)
        if amount > 0:
            found[place[2]] += amount
    return dict(found)


def lone_stops(orders: Iterable[LiveOrder]) -> dict[tuple[Place, Side], Decimal]:
    """Return what working stops of no bracket would buy or sell; of an OCA group, its largest."""
    largest: dict[tuple[Place, Side, str], Decimal] = {}
    for live in orders:
        order = live.order
        if order.order_type in _STOPS and not live.entry and live.state in _WORKS:
            place = (order.broker, order.account, order.instrument)
            one = (place, order.side, live.oca_group or live.ref)
            largest[one] = max(largest.get(one, ZERO), at_work(live))
    found: dict[tuple[Place, Side], Decimal] = defaultdict(lambda: ZERO)
    for (place, side, _), quantity in largest.items():
        found[place, side] += quantity
    return found


def surplus(
    family: Iterable[Bracket], positions: Mapping[Place, Decimal], told: Container[str]
) -> dict[str, Decimal]:
    """Return by account how much more working exits would close than is open.

    That is what they exceed their own brackets by, or, where that is more, all that is held:
    something else may have closed a part. What brackets of the other side hold does not lessen
    it. ``told`` names the brokers whose positions are known; nobody holds a combo itself.
    """
    own: dict[tuple[Place, Side], Decimal] = defaultdict(lambda: ZERO)
    closes: dict[tuple[Place, Side], Decimal] = defaultdict(lambda: ZERO)
    left: dict[tuple[Place, Side], Decimal] = defaultdict(lambda: ZERO)
    for bracket in family:
        one = bracket.place, bracket.entry.order.side
        own[one] += bracket.surplus
        closes[one] += bracket.closes
        left[one] += bracket.left
    found: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for (place, side), more in own.items():
        broker, account, instrument = place
        if broker in told and instrument.security_type is not SecurityType.COMBO:
            other = Side.SELL if side is Side.BUY else Side.BUY
            held = side.sign * positions.get(place, ZERO) + left.get((place, other), ZERO)
            more = max(more, closes[place, side] - max(held, ZERO))
        found[account] += more
    return found


class Protection:
    """Keeps ``trading_system.unprotected_quantity{instrument=}`` at what is unprotected now.

    ``trading_system.exits_surplus{account=}`` is the other way round: how much more the exits at
    work would close than is open, from an account's first bracket on.
    A bracket stays in memory, and in what a start reads back, until it is over: nothing of it can
    fill any more and nothing of what it opened is held. ``note`` writes that down.
    """

    def __init__(
        self,
        book: Book,
        entry_of: Callable[[str], LiveOrder | None],
        note: Note,
        registry: Registry,
    ) -> None:
        self._book = book
        self._entry_of = entry_of
        self._note = note
        self._registry = registry
        self._told: set[Instrument] = set()
        self._accounts: set[str] = set()
        self._excess: dict[tuple[Place, Side], Decimal] = {}

    def tend(self) -> None:
        """Hold brackets in memory until they are over, and write down which are."""
        for bracket in self._brackets():
            self._keep(bracket)

    def look(self) -> dict[Instrument, Decimal]:
        """Return what is unprotected by instrument, and publish it; what was once stays at 0."""
        stops, family = lone_stops(self._book.live()), self._brackets()
        found = unprotected(family, self._book.positions, stops)
        for instrument in self._told | set(found):
            gauge = self._registry.gauge(COMPONENT, METRIC, "", instrument=instrument.id)
            gauge.value = float(found.get(instrument, ZERO))
        self._told |= set(found)
        total = self._registry.gauge(COMPONENT, METRIC)
        total.value = float(sum(found.values(), ZERO))
        self._publish_surplus(family)
        return found

    def _publish_surplus(self, family: Iterable[Bracket]) -> None:
        found = dict.fromkeys(self._accounts, ZERO)
        found |= surplus(family, self._book.positions, self._book.told)
        self._accounts = set(found)
        for account, quantity in found.items():
            gauge = self._registry.gauge(COMPONENT, SURPLUS, account=account)
            gauge.value = float(quantity)

    def compared(self, broker: str) -> None:
        """The positions of a broker are as it told them: more than is held is open no more.

        What brackets that ended opened beyond that was closed without their exits, the oldest
        first. It must have been so twice running: one list of positions may leave some out.
        """
        ended: dict[tuple[Place, Side], list[Bracket]] = defaultdict(list)
        for bracket in self._brackets():
            if bracket.place[0] == broker and bracket.ended and bracket.left:
                ended[bracket.place, bracket.entry.order.side].append(bracket)
        before = self._excess
        self._excess = {one: more for one, more in before.items() if one[0][0] != broker}
        for (place, side), family in ended.items():
            held = max(self._book.positions.get(place, ZERO) * side.sign, ZERO)
            excess = sum((bracket.left for bracket in family), ZERO) - held
            if excess > 0:
                self._excess[place, side] = excess
                self._write_off(family, min(excess, before.get((place, side), ZERO)))

    def _write_off(self, family: Sequence[Bracket], excess: Decimal) -> None:
        for bracket in family:
            part = min(bracket.left, excess)
            if part > 0:
                excess -= part
                bracket.entry.closed_elsewhere += part
                self._tell(bracket, over=False)

    def _brackets(self) -> list[Bracket]:
        return brackets(self._book, self._entry_of)

    def _keep(self, bracket: Bracket) -> None:
        over = bracket.ended and not bracket.left
        members = (bracket.entry, *bracket.exits)
        if over:
            self._book.let_go(members)
        else:
            self._book.keep(members)
        if over is not bracket.entry.bracket_over:
            self._tell(bracket, over=over)

    def _tell(self, bracket: Bracket, *, over: bool) -> None:
        bracket.entry.bracket_over = over
        self._note(
            bracket.entry,
            {
                "exits": [each.key for each in bracket.exits],
                "closed_elsewhere": str(bracket.entry.closed_elsewhere),
                "over": over,
            },
        )
