"""The way in: an intent is checked, reserved, made durable, and only then queued to be sent."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from alluse_core.errors import (
    JournalCorrupt,
    JournalError,
    KeyConflict,
    OrderError,
    did_you_mean,
)
from alluse_core.model import (
    GroupKind,
    NodeIdentity,
    Order,
    OrderGroup,
    OrderState,
)
from alluse_core.orders.applier import Applier
from alluse_core.orders.archive import Archive
from alluse_core.orders.checks import Checks, Denial, refusal
from alluse_core.orders.desk import Desk
from alluse_core.orders.ids import IdSequence
from alluse_core.orders.journal import EXIT_BY_HAND
from alluse_core.orders.lanes import Dispatch, Outbox
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.records import Kind, Row, digest_of, order_fields
from alluse_core.orders.states import Event
from alluse_core.ports import (
    Broker,
    Priority,
)
from alluse_core.settings import OrdersMode, OrdersSettings

# SQLite looks for an adapter for a text that is an enumeration's, and for a plain one does not.
_SUBMITTED = OrderState.SUBMITTED.value
SHADOW_REASON = "SHADOW: decided and journaled, never sent"


class Pipeline:
    """Takes intents; see :class:`~alluse_core.orders.service.Orders`."""

    def __init__(
        self,
        desk: Desk,
        checks: Checks,
        applier: Applier,
        brokers: Mapping[str, Broker],
        outboxes: Mapping[str, Outbox],
        sequences: Mapping[str, IdSequence],
        settings: OrdersSettings,
        node: NodeIdentity,
        archive: Archive,
    ) -> None:
        self._desk = desk
        self._checks = checks
        self._applier = applier
        self._brokers = brokers
        self._outboxes = outboxes
        self._sequences = sequences
        self._settings = settings
        self._node = node
        self._archive = archive
        self.undurable = 0
        self.let_through: Callable[[int], None] = lambda _: None

    async def submit(
        self, intent: Order | OrderGroup, *, forced: bool = False
    ) -> tuple[LiveOrder, ...]:
        """Return the orders of the intent once they are durable."""
        group = self._complete_group(intent) if isinstance(intent, OrderGroup) else None
        orders = group.orders if group else (self.complete(intent),)  # type: ignore[arg-type]
        lives = self._known(orders, group) or self._take(orders, group, forced)
        if not lives[-1].durable:
            durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            lives[-1].waiters = (*lives[-1].waiters, durable)
            await durable
        for live in lives:
            if live.denial is not None:
                raise refusal(live.key, live.denial)
        return lives

    def complete(self, order: Order) -> Order:
        """Fill broker and account in where they were left empty. Raises OrderError."""
        name = order.broker or self._settings.default_broker
        if not name and len(self._brokers) == 1:
            name = next(iter(self._brokers))
        broker = self._brokers.get(name)
        if broker is None:
            known = sorted(self._brokers)
            raise OrderError(
                f"broker {name!r} of order {order.key!r} is not among {known}"
                f"{did_you_mean(name, known)}",
                hint="name it on the order, or set [orders] default_broker",
            )
        if order.broker and order.account:
            return order
        account = order.account or self._settings.default_account
        if not account:
            if not broker.accounts:
                raise OrderError(
                    f"order {order.key!r} names no account, and {name} has not told its own",
                    hint="set [orders] default_account, or wait until the broker is connected",
                )
            account = broker.accounts[0]
        return _sent_to(order, name, account)

    def _complete_group(self, group: OrderGroup) -> OrderGroup:
        return attrs.evolve(group, orders=tuple(self.complete(order) for order in group.orders))

    def _known(self, orders: Sequence[Order], group: OrderGroup | None) -> tuple[LiveOrder, ...]:
        """Return the orders of these keys if all are known with this content, () if none is."""
        found = []
        for order in orders:
            live = self._archive.get(order.key)
            if live is not None:
                if live.digest != digest_of(order):
                    raise KeyConflict(
                        f"key {order.key!r} was used before for another order",
                        hint="a key is unique for ever: use a new one for new content",
                    )
                found.append(live)
            else:
                self._refuse_lost(order.key)
        # Nothing ties orders together at the broker that were sent one by one.
        apart = [live for live in found if group is not None and not _belongs(live, group)]
        if found and (apart or len(found) != len(orders)):
            raise KeyConflict(
                f"key {(apart or found)[0].key!r} was used before, outside of this group",
                hint="a key is unique for ever: use new ones for a new group",
            )
        return tuple(found)

    def _refuse_lost(self, key: str) -> None:
        """Raise KeyConflict where the broker has this key's order and the journal lost it."""
        book = self._desk.book
        if not (book.has_strays or self._archive.has_adopted()):
            return
        for reference in self._desk.references.all_of(key):
            live = self._archive.adopted(reference)
            if live is not None:
                raise KeyConflict(
                    f"key {key!r} was used before: the broker has its order, which the journal had"
                    f" lost and which is known as {live.key!r} now",
                    hint="look at that one; a key is unique for ever",
                )
            if book.bears(reference):
                raise KeyConflict(
                    f"key {key!r} was used before: the broker told of its order {reference}, which"
                    " the journal lost",
                    hint="a key is unique for ever: use a new one",
                )

    # --- one step without an await: check, reserve, append --------------------------------------

    def _take(
        self, orders: Sequence[Order], group: OrderGroup | None, forced: bool
    ) -> tuple[LiveOrder, ...]:
        broker = self._brokers[orders[0].broker]
        now = self._desk.clock.monotonic()
        denial, reducing = self._decide(orders, broker, group, forced)
        shadow = denial is None and self._settings.mode is OrdersMode.SHADOW
        self._refuse_without_journal(reducing)
        lives = tuple(self._make(order, group, now, reducing) for order in orders)
        dispatch = Dispatch(lives)
        for live in lives:
            live.shadow = shadow
        if denial is None and not shadow:
            self._tie(lives, broker, group)
            lane = Priority.EXIT if reducing else Priority.ORDER
            dispatch.released = self._outboxes[broker.name].admit(lane, len(lives))
        rows = [self._rows(live, denial, dispatch.released) for live in lives]
        self.undurable += len(lives)
        self._desk.journal.append(
            *(row for each in rows for row in each),
            then=lambda error: self._durable(dispatch, rows, error),
            urgent=reducing,
        )
        for live in lives:
            live.denial = denial
            sent = denial is None and not shadow
            live.state = OrderState.SUBMITTED if sent else OrderState.DENIED
            live.unsent = sent
            live.reason = denial[1].reason if denial else SHADOW_REASON if shadow else ""
            if shadow:
                live.say(live.reason)
            self._desk.book.add(live)
            if denial is None:
                self._desk.book.recent.add(now, live.order)
                if not reducing and not shadow:
                    self._desk.breakers[broker.name].sent(live.key, now)
                self.let_through(0 if reducing else 1)
            else:
                self._desk.meters.denial(denial[0])
            self._desk.meters.moved(live.state)
        return lives

    def _decide(
        self, orders: Sequence[Order], broker: Broker, group: OrderGroup | None, forced: bool
    ) -> tuple[Denial | None, bool]:
        reducing = True
        for order in orders:
            denial, reduces = self._checks.decide(order, broker, group, forced=forced)
            if denial is not None:
                return denial, False
            reducing = reducing and reduces
        return None, reducing

    def _refuse_without_journal(self, reducing: bool) -> None:
        journal = self._desk.journal
        if reducing:
            return
        if journal.problem:
            raise JournalCorrupt(
                f"new risk is stopped: {journal.problem}",
                hint="check positions and orders at the broker, then resume with your name",
            )
        if journal.trouble:
            raise JournalError(
                f"new risk is stopped: {journal.trouble}", hint="free some disk space"
            )

    def _make(
        self, order: Order, group: OrderGroup | None, now: float, reducing: bool
    ) -> LiveOrder:
        live = LiveOrder(order, digest_of(order), self._desk.references.of(order.key))
        live.submitted_at = now
        live.reducing = reducing
        if group is not None:
            live.group, live.group_kind = group.key, group.kind
        return live

    def _tie(self, lives: Sequence[LiveOrder], broker: Broker, group: OrderGroup | None) -> None:
        """Name what ties the orders of a group together; numbers are given when they leave."""
        self._sequences[broker.name].promise(len(lives))
        name = "" if group is None else self._oca_name(group.key)
        bracket = group is not None and group.kind is GroupKind.BRACKET
        for place, live in enumerate(lives):
            if bracket and place:
                live.entry = lives[0].key
                # What a take-profit leaves open keeps its stop.
                live.oca_reduces = True
            if group is not None and (place or not bracket):
                live.oca_group = name

    def _oca_name(self, key: str) -> str:
        digest = hashlib.sha256(f"{self._desk.references.stem}{key}".encode()).digest()
        return f"oca-{base64.b32encode(digest[:10]).decode()}"

    def _rows(self, live: LiveOrder, denial: Denial | None, released: bool) -> tuple[Row, ...]:
        """Return what is written of an order: where it is let go, intent and decision in one."""
        if denial is None and not live.shadow:
            allowed: dict[str, Any] = {"event": Event.SUBMIT}
            if not released:
                allowed["waits"] = True
            return (self._order_row(live, _SUBMITTED, allowed),)
        intent = self._order_row(live, OrderState.INTENT, {})
        body: dict[str, Any] = {"broker": live.order.broker, "account": live.order.account}
        if denial is None:
            body.update(event="SHADOW", reason=SHADOW_REASON)
        else:
            stage, decision = denial
            body.update(event=Event.DENY, stage=stage, **attrs.asdict(decision))
        row = self._desk.journal.scribe.row
        refused = row(Kind.EVENT, body, live.key, live.ref, OrderState.DENIED, intent.time)
        return intent, refused

    def _order_row(self, live: LiveOrder, state: str, decided: Mapping[str, Any]) -> Row:
        fields = order_fields(live.order)
        fields["digest"] = live.digest
        if live.group:
            fields["group"] = live.group
            fields["group_kind"] = live.group_kind
            fields["entry"] = live.entry
            fields["oca_group"] = live.oca_group
            fields["oca_reduces"] = live.oca_reduces
        if live.reducing:
            fields["reducing"] = True
        fields.update(decided)
        return self._desk.journal.scribe.row(Kind.ORDER, fields, live.key, live.ref, state)

    def _durable(
        self, dispatch: Dispatch, rows: Sequence[tuple[Row, ...]], error: JournalError | None
    ) -> None:
        lives = dispatch.lives
        self.undurable -= len(lives)
        for live in lives:
            live.durable = True
        name = lives[0].order.broker
        sent = lives[0].denial is None and not lives[0].shadow
        lane = Priority.EXIT if lives[0].reducing else Priority.ORDER
        if error is not None:
            if sent:
                self._sequences[name].release(len(lives))
                self._outboxes[name].give_back(lane, dispatch)
            error = _not_written(lives, error)
            self._give_up(lives, rows, error)
        elif sent:
            self._outboxes[name].send(lane, dispatch)
        for live in lives:
            waiters, live.waiters = live.waiters, ()
            for waiter in waiters:
                if not waiter.done():
                    if error is None:
                        waiter.set_result(None)
                    else:
                        waiter.set_exception(error)

    def _give_up(
        self, lives: Sequence[LiveOrder], rows: Sequence[tuple[Row, ...]], error: JournalError
    ) -> None:
        """What is not durable is not sent; the story is written as soon as it can be."""
        for live, written in zip(lives, rows, strict=True):
            if live.denial is not None or live.shadow:
                self._desk.journal.append(*written)
            else:
                live.unsent = False
                self._desk.journal.append(self._order_row(live, OrderState.INTENT, {}))
                self._applier.happen(live, Event.NOT_SENT, "journal", f"not sent: {error}")


def _belongs(live: LiveOrder, group: OrderGroup) -> bool:
    return (live.group, live.group_kind) == (group.key, group.kind)


def _not_written(lives: Sequence[LiveOrder], error: JournalError) -> JournalError:
    """Return what the caller of an order that could not be written down is told.

    Not even an exit is sent then: an order that no journal knows could be sent again after a
    restart, and flip the position.
    """
    if not lives[0].reducing:
        return error
    return JournalError(
        f"exit {lives[0].key!r} is not sent, since no record of it could be kept: {error}",
        hint=f"{EXIT_BY_HAND}; cancels leave all the same",
    )


def _sent_to(order: Order, broker: str, account: str) -> Order:
    """Return the order with these two fields; the others were validated when it was made."""
    sent = object.__new__(Order)
    for set_field, value in zip(_SETTERS, _values_of(order), strict=True):
        set_field(sent, value)
    _set_broker(sent, broker)
    _set_account(sent, account)
    return sent


# Frozen, it is set by its slots' own setters: to make it anew would check each field again.
_FIELDS = [each.name for each in attrs.fields(Order)]
_values_of = operator.attrgetter(*_FIELDS)
_SETTERS = [vars(Order)[name].__set__ for name in _FIELDS]
_set_broker, _set_account = vars(Order)["broker"].__set__, vars(Order)["account"].__set__
