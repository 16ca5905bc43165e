"""One order as it stands: what was wanted, what the broker said, what is in flight."""

from __future__ import annotations

import asyncio
import math
from decimal import Decimal

import attrs

from alluse_core.model import (
    Execution,
    GroupKind,
    Order,
    OrderIdentity,
    OrderState,
    OrderTerms,
    OrderType,
    SecurityType,
    TimeInForce,
    Verb,
)
from alluse_core.orders.states import CommandState
from alluse_core.ports import Decision, WorkingOrder

ZERO = Decimal(0)
ORPHAN = "orphan/"
"""How the keys of orders begin that the broker knew and the journal had lost."""

_KEPT_WORDS = 16
_KEPT_DOUBTS = 8


@attrs.define(eq=False)
class Command:
    """A modify or cancel beside its order. ``order`` holds the terms a modify asks for.

    ``disproved``: the broker showed the terms from before it after it was called refused.
    ``reduced`` is what its quantity leaves out, as an order's, ``asked`` what may come back of it;
    ``listed``: it is a list that showed it to be made.
    ``sized``: whoever asked named the quantity; the fitting of exits, which knows no person's
    reasons, does not count.
    """

    number: int
    verb: Verb
    by: str
    order: Order | None = None
    state: CommandState = CommandState.QUEUED
    reason: str = ""
    sent_at: float = math.nan
    disproved: bool = False
    reduced: Decimal = ZERO
    asked: Decimal = ZERO
    sized: bool = True
    listed: bool = False
    observers: list[asyncio.Future[None]] = attrs.field(factory=list)


@attrs.frozen
class Made:
    """The terms of the newest change that was made, and what of its bracket they leave out.

    ``listed``: a list showed that, and the change's own echo was not heard since.
    """

    order: Order
    reduced: Decimal
    asked: Decimal
    listed: bool


@attrs.frozen
class Due:
    """What the broker was not heard to take off an exit; negative: what it is to put back.

    It is so much since monotonic ``since``. ``asked``: the broker was asked about it. ``proven``:
    a list that was asked for afterwards shows the exit without it.
    """

    quantity: Decimal = ZERO
    since: float = math.nan
    asked: bool = False
    proven: bool = False


NOTHING_DUE = Due()


@attrs.frozen
class Enlarged:
    """A person made an exit larger in TWS than it was asked for.

    ``beside``: what other exits had filled by then, as far as was known.
    """

    beside: Decimal


@attrs.define(eq=False)
class LiveOrder:
    """An order in memory; times are monotonic seconds, NaN: not yet.

    ``executed`` is the sum of its executions, ``reported`` the most that a status claimed,
    ``taken_back`` what newer revisions took off executions, by what names them; ``busted_untold``:
    a trade of it was busted that no execution had told. ``unsent`` holds
    from the reservation until the bytes are handed to the broker; ``waits``: it was rebuilt from a
    journal that never let it leave; ``shadow``: it was decided and journaled, and is never sent.
    ``entry`` is the order that must fill before this one works (a bracket's
    exits), ``oca_group`` the name of those of which one fill cancels the others, or takes as much
    off them (``oca_reduces``); ``reduced`` is what of their fills, and of what the entry will not
    open, the order's quantity leaves out, ``asked`` the most that it may come back to (room.py),
    ``due`` and ``enlarged`` in what the broker differs from that. ``largest`` is the most that it
    was for before a change, ``counted``: it ended, and the broker told what it filled with its end
    or after it; ``count_written``: the journal has that, for what is in hand.
    ``cancelled``: it ended because we asked for it; ``unasked``: its end, which nobody asked for,
    is counted.
    ``ended_perm_ids`` are those of ``perm_ids`` under which nothing works any more; an order that a
    broken link doubled has ended when all of them have. ``legs`` are executions of a combo's legs,
    which fill no part of the combo itself. ``doubted`` are the newest changes that count as
    refused because a list had the old terms, or a message seemed to say so: an echo may still come.
    ``made`` is the newest change that was made. ``told`` is the quantity that the broker last told
    of each permId, ``told_rest`` (permId, what of that it last said to be unfilled); None since it
    told another quantity. Of a bracket's entry,
    ``closed_elsewhere`` is what of its position was closed without its exits; ``bracket_over``:
    nothing of it is open any more.
    """

    order: Order
    digest: str
    ref: str
    state: OrderState = OrderState.INTENT
    group: str = ""
    group_kind: GroupKind | None = None
    order_id: int = 0
    client_id: int = 0
    parent_order_id: int = 0
    oca_group: str = ""
    oca_reduces: bool = False
    reduced: Decimal = ZERO
    asked: Decimal = ZERO
    enlarged: Enlarged | None = None
    due: Due = NOTHING_DUE
    largest: Decimal = ZERO
    counted: bool = False
    count_written: bool = False
    entry: str = ""
    denial: tuple[str, Decision] | None = None
    reason: str = ""
    durable: bool = False
    unsent: bool = False
    waits: bool = False
    reducing: bool = False
    adopted: bool = False
    cancelled: bool = False
    shadow: bool = False
    unasked: bool = False
    perm_ids: tuple[int, ...] = ()
    ended_perm_ids: frozenset[int] = frozenset()
    fills: dict[str, Execution] = attrs.field(factory=dict)
    legs: dict[str, Execution] = attrs.field(factory=dict)
    taken_back: dict[str, Decimal] = attrs.field(factory=dict)
    busted_untold: bool = False
    executed: Decimal = ZERO
    reported: Decimal = ZERO
    commands: tuple[Command, ...] = ()
    made: Made | None = None
    doubted: tuple[Command, ...] = ()
    submitted_at: float = math.nan
    sent_at: float = math.nan
    acked_at: float = math.nan
    evidence_at: float = math.nan
    ended_at: float = math.nan
    paced: float = 0.0
    held: bool = False
    differences: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    waiters: tuple[asyncio.Future[None], ...] = ()
    observers: tuple[asyncio.Future[None], ...] = ()
    listing: WorkingOrder | None = None
    told: dict[int, Decimal] = attrs.field(factory=dict)
    told_rest: tuple[int, Decimal] | None = None
    closed_elsewhere: Decimal = ZERO
    bracket_over: bool = False
    key: str = attrs.field(init=False)

    @key.default
    def _key_of_order(self) -> str:
        return self.order.key

    @property
    def filled(self) -> Decimal:
        """The most that is known to be filled, by executions or by status."""
        return max(self.executed, self._claimed)

    @property
    def was_whole(self) -> bool:
        """Whether executions told of all of it, some of which may be taken back since."""
        return self.executed + sum(self.taken_back.values(), ZERO) >= self.quantity

    @property
    def _claimed(self) -> Decimal:
        """What statuses said to be filled, without what revisions took back of told executions.

        How much of it a bust took of which the trade was never told is not known: from then on
        executions alone count.
        """
        if self.busted_untold:
            return self.executed
        return self.reported - sum(self.taken_back.values(), ZERO)

    @property
    def quantity(self) -> Decimal:
        """The most that may fill: a change that may have been made, by us or by a person in TWS,
        counts with the larger quantity.

        A message that seems to refuse one may speak of something else; terms that the broker
        shows afterwards do not.
        """
        quantity = max(self.order.quantity, self.told_quantity or ZERO)
        for command in self.commands:
            if command.order is not None and command.state in _UNDECIDED:
                quantity = max(quantity, command.order.quantity)
        for command in self.doubted:
            if command.order is not None and not command.disproved:
                quantity = max(quantity, command.order.quantity)
        return quantity

    @property
    def remaining(self) -> Decimal:
        """What may still fill."""
        return max(self.quantity - self.filled, ZERO)

    @property
    def exposed(self) -> Decimal:
        """What may still move the position as executions tell it.

        A status may say "filled" before, or without, the execution that the position is made of:
        until that is in hand the quantity counts here, or it would count nowhere. An order that a
        broken link doubled counts with each of its permIds.
        """
        if len(self.perm_ids) > 1:
            return max(sum(map(self.left_of, self.perm_ids), ZERO), self._awaited)
        if not self.state.is_terminal:
            return max(self.quantity - self.executed, ZERO)
        return self._awaited

    @property
    def _awaited(self) -> Decimal:
        return ZERO if self._is_combo else max(self._claimed - self.executed, ZERO)

    @property
    def told_quantity(self) -> Decimal | None:
        """The quantity that the broker last told; None before it told any."""
        return self.told.get(self.perm_ids[-1]) if self.perm_ids else None

    @property
    def told_remaining(self) -> Decimal | None:
        """What the broker last said to be unfilled of that; None before it said so."""
        if self.told_rest is None or self.told_rest[0] != self.perm_ids[-1]:
            return None
        return self.told_rest[1]

    @property
    def elder_exposed(self) -> Decimal:
        """What its permIds before the newest may still fill: no change reaches them any more."""
        return sum(map(self.left_of, self.perm_ids[:-1]), ZERO)

    def left_of(self, perm_id: int) -> Decimal:
        """Return what may still fill under one of its permIds."""
        if perm_id in self.ended_perm_ids:
            return ZERO
        filled = sum(
            (fill.quantity for fill in self.fills.values() if fill.identity.perm_id == perm_id),
            ZERO,
        )
        quantity = self.told.get(perm_id, self.order.quantity)
        if perm_id == self.perm_ids[-1]:
            quantity = max(quantity, self.quantity)
        return max(quantity - filled, ZERO)

    def twin_lives(self, perm_id: int = 0) -> bool:
        """Whether a broken link doubled it, and under another permId it may still fill."""
        return len(self.perm_ids) > 1 and any(
            self.left_of(each) for each in self.perm_ids if each != perm_id
        )

    @property
    def _is_combo(self) -> bool:
        return self.order.instrument.security_type is SecurityType.COMBO

    @property
    def settled(self) -> bool:
        """Whether the state is final and each fill it speaks of is in hand."""
        return (
            self.state.is_terminal
            and not self.twin_lives()
            and (self.executed >= self._claimed or self._is_combo)
        )

    @property
    def average_price(self) -> Decimal | None:
        """The mean price of the executions; None before the first."""
        if not self.executed:
            return None
        paid = sum((fill.quantity * fill.price for fill in self.fills.values()), ZERO)
        return paid / self.executed

    @property
    def pending(self) -> Verb | None:
        """CANCEL for PENDING_CANCEL, MODIFY for PENDING_REPLACE, None where no command waits."""
        verbs = {command.verb for command in self.commands if command.state.is_pending}
        return Verb.CANCEL if Verb.CANCEL in verbs else next(iter(verbs), None)

    def enlarges(self, quantity: Decimal) -> bool:
        """Whether a change to this quantity would put back what a person may have taken off in TWS.

        The broker tells less of it than was asked for; what it takes off by itself is followed as
        soon as its cause is heard. A change on its way whose quantity was named has decided it.
        """
        told = self.told_quantity
        if told is None or not told < min(self.order.quantity, quantity):
            return False
        return not any(
            each.sized and each.order is not None and each.state is CommandState.SENT
            for each in self.commands
        )

    def in_flight(self, verb: Verb | None = None) -> Command | None:
        """Return the oldest command that was sent and waits for its answer."""
        for command in self.commands:
            if command.state is CommandState.SENT and verb in (None, command.verb):
                return command
        return None

    def take(self, order: Order, change: Command) -> None:
        """Go on with the terms of a change that was made; what a person had changed is gone."""
        self.largest = max(self.largest, self.order.quantity)
        self.order, self.reduced, self.asked = order, change.reduced, change.asked
        self.enlarged = None
        self.made = Made(order, change.reduced, change.asked, change.listed)

    def add(self, command: Command) -> None:
        """Take a command in."""
        self.commands = (*self.commands, command)

    def drop(self, command: Command) -> None:
        """Forget a command that was answered."""
        self.commands = tuple(each for each in self.commands if each is not command)

    def trust(self, command: Command) -> None:
        """Undo :meth:`doubt`."""
        self.doubted = tuple(each for each in self.doubted if each is not command)

    def watch(self, change: asyncio.Future[None]) -> None:
        """Set ``change`` done at the next change."""
        self.observers = (*self.observers, change)

    def doubt(self, command: Command) -> None:
        """Remember a change that counts as refused without proof; the newest few are kept."""
        self.doubted = (*self.doubted[1 - _KEPT_DOUBTS :], command)

    def hear(self, perm_id: int, quantity: Decimal) -> None:
        """Note for how much the broker says that it has an order; completed ones may say 0."""
        if quantity:
            if quantity != self.told.get(perm_id):
                self.told_rest = None
            self.told[perm_id] = quantity
            self.listing = None

    def count(self, base: str, fill: Execution) -> None:
        """Take an execution of its own in, or a revision of one.

        A status that was told of a trade may be repeated after the trade was busted: what the
        newest revision takes back is filled no more, and nothing of it is still to come.
        """
        known = self.fills.get(base)
        if known is not None:
            less = self.taken_back.get(base, ZERO) + known.quantity - fill.quantity
            self.taken_back[base] = max(less, ZERO)
        elif not fill.quantity:
            self.busted_untold = True
        self.fills[base] = fill
        self.executed = sum((each.quantity for each in self.fills.values()), ZERO)

    def known_fill(self, base: str) -> Execution | None:
        """Return the newest revision of an execution, of a combo's leg as well."""
        return self.fills.get(base) or self.legs.get(base)

    def identities(self) -> list[OrderIdentity]:
        """Return every name the order is known by; one for each permId seen, at least one."""
        return [
            OrderIdentity(self.ref, perm_id, self.order_id, self.client_id)
            for perm_id in self.perm_ids or (0,)
        ]

    def as_working(self) -> WorkingOrder:
        """Return what a stage sees of it."""
        if self.listing is None:
            self.listing = WorkingOrder(
                self.key,
                self.order.instrument,
                self.order.side,
                self.exposed,
                self.order.limit_price,
                self.state,
                self.order.account,
                self.oca_group,
                self.entry,
            )
        return self.listing

    def say(self, word: str) -> None:
        """Keep what was heard or done; the newest words lead to the present state."""
        self.words = (*self.words[1 - _KEPT_WORDS :], word)

    def notify(self) -> None:
        """Tell everybody who waits for a change."""
        if self.observers:
            waiting, self.observers = self.observers, ()
            for observer in waiting:
                if not observer.done():
                    observer.set_result(None)


_UNDECIDED = frozenset({CommandState.QUEUED, CommandState.SENT, CommandState.LOST})


def split_execution_id(execution_id: str) -> tuple[str, str]:
    """Return (what names the fill, its revision): a correction changes the part after the dot."""
    base, dot, revision = execution_id.rpartition(".")
    return (base, revision) if dot else (execution_id, "")


def named_by(order: Order, fill: Execution) -> Execution:
    """Return a fill with its combo named: a broker may tell of it without its legs."""
    told, combo = fill.instrument, SecurityType.COMBO
    if told.security_type is combo and not told.legs and order.instrument.security_type is combo:
        return attrs.evolve(fill, instrument=order.instrument)
    return fill


def is_newer(revision: str, than: str) -> bool:
    """Whether a revision comes after another one."""
    if revision.isdigit() and than.isdigit():
        return int(revision) > int(than)
    return revision > than


_QUANTITY = "quantity"


def quantity_difference(told: str) -> bool:
    """Whether a sentence of :func:`differences` is about the quantity."""
    return told.startswith(f"{_QUANTITY} is ")


def differences(order: Order, terms: OrderTerms) -> tuple[str, ...]:
    """Return in what the broker's echo is not what was asked for, as sentences."""
    found = []
    pairs: list[tuple[str, object, object]] = [
        ("side", order.side, terms.side),
        (_QUANTITY, order.quantity, terms.quantity),
        ("order type", order.order_type.value, terms.order_type),
        ("time in force", order.time_in_force.value, terms.time_in_force),
        ("account", order.account, terms.account),
        ("outside_rth", order.outside_rth, terms.outside_rth),
    ]
    if terms.instrument is not None:
        pairs.append(("instrument", order.instrument, terms.instrument))
    if order.order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT):
        pairs.append(("limit price", order.limit_price, terms.limit_price))
    if order.order_type in (OrderType.STOP, OrderType.STOP_LIMIT):
        pairs.append(("stop price", order.stop_price, terms.stop_price))
    for name, wanted, echoed in pairs:
        if wanted != echoed and echoed not in ("", None):
            found.append(f"{name} is {echoed} where {wanted} was asked for")
    return tuple(found)


def rebuilt(key: str, terms: OrderTerms, broker: str) -> Order | None:
    """Return an order of the broker's terms; None where they cannot be named."""
    if terms.instrument is None or not terms.quantity:
        return None
    try:
        kind, tif = OrderType(terms.order_type), TimeInForce(terms.time_in_force or "DAY")
        return Order(
            terms.instrument,
            terms.side,
            terms.quantity,
            kind,
            key,
            limit_price=terms.limit_price
            if kind in (OrderType.LIMIT, OrderType.STOP_LIMIT)
            else None,
            stop_price=terms.stop_price if kind in (OrderType.STOP, OrderType.STOP_LIMIT) else None,
            time_in_force=TimeInForce.GTC if tif is TimeInForce.GTD else tif,
            outside_rth=terms.outside_rth,
            broker=broker,
            account=terms.account,
        )
    except ValueError:
        return None
