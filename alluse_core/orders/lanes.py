"""The way out: what is durable waits here for its turn, in order, and is handed to the broker."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Sequence
from functools import partial

import attrs

from alluse_core.errors import JournalError, NotSent
from alluse_core.model import GroupKind, LinkState, OrderState, Verb
from alluse_core.orders.applier import Applier
from alluse_core.orders.background import Background
from alluse_core.orders.desk import Desk
from alluse_core.orders.ids import IdSequence
from alluse_core.orders.live import Command, LiveOrder
from alluse_core.orders.pacing import SlidingWindowPacer
from alluse_core.orders.records import Kind
from alluse_core.orders.room import room_of
from alluse_core.orders.states import CommandEvent, CommandState, Event
from alluse_core.ports import Broker, OrderMessage, Priority

_log = logging.getLogger(__name__)
_LANES = (Priority.CANCEL, Priority.EXIT, Priority.ORDER)


@attrs.define
class Dispatch:
    """The orders of one intent, to be sent in one turn; durable at monotonic ``queued_at``.

    ``released``: the journal says that they may leave from now on. ``asked``: it is being told.
    """

    lives: tuple[LiveOrder, ...]
    released: bool = True
    asked: bool = False
    queued_at: float = math.nan

    @property
    def messages(self) -> int:
        """How many messages it takes now; 0: all were withdrawn."""
        return [live.unsent for live in self.lives].count(True)


@attrs.define
class CommandDispatch:
    """A modify or cancel to be sent."""

    live: LiveOrder
    command: Command
    queued_at: float = math.nan

    @property
    def messages(self) -> int:
        """How many messages it takes now; 0: it was withdrawn."""
        if self.command.state is not CommandState.QUEUED:
            return 0
        return len(self.live.perm_ids) or 1 if self.command.verb is Verb.CANCEL else 1


@attrs.define
class Lane:
    """What waits in one lane. ``ahead`` orders of it may leave and have not left.

    ``resting``: who sends from it waits to be woken.
    """

    items: deque[Dispatch | CommandDispatch] = attrs.field(factory=deque)
    wake: asyncio.Event = attrs.field(factory=asyncio.Event)
    ahead: int = 0
    held: int = 0
    resting: bool = False


class Outbox:
    """The lanes of one broker: one for each priority, first in first out within it.

    Orders are released in the journal only as far ahead as the broker's limit lets them leave at
    once. After a crash the others, however many wait, are known not to have left.

    A place, and the modifies that follow it, use one lane, so that none overtakes another. A
    cancel has a lane of its own: it withdraws what has not left (the caller sees to that).
    """

    def __init__(
        self,
        broker: Broker,
        pacer: SlidingWindowPacer,
        desk: Desk,
        applier: Applier,
        sequence: IdSequence,
        send_within: float = 0.0,
    ) -> None:
        self.broker = broker
        self._sequence = sequence
        self._send_within = send_within or math.inf
        self.deferred: list[CommandDispatch] = []
        self._pacer = pacer
        self._desk = desk
        self._applier = applier
        self._lanes = {priority: Lane() for priority in _LANES}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, background: Background) -> None:
        """Begin to send."""
        self._background = background
        self._tasks = [
            background.task(self._part(priority), partial(self._run, priority))
            for priority in _LANES
        ]

    def _part(self, priority: Priority) -> str:
        return f"{self.broker.name}-{priority.name}"

    async def stop(self) -> None:
        """Stop sending; what waits stays unsent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    @property
    def depth(self) -> int:
        """How many items wait."""
        cancels, exits, orders = self._lanes.values()
        return len(cancels.items) + len(exits.items) + len(orders.items)

    def admit(self, priority: Priority, orders: int) -> bool:
        """Return whether ``orders`` of one intent may leave as soon as they are durable.

        If so they count as released; their dispatch must be put, or given back.
        """
        lane = self._lanes[priority]
        if lane.held or not self._fits(lane, orders):
            lane.held += orders
            return False
        lane.ahead += orders
        return True

    def give_back(self, priority: Priority, item: Dispatch) -> None:
        """Note that a dispatch that was admitted, or held, will never be put."""
        lane = self._lanes[priority]
        if item.released:
            lane.ahead -= len(item.lives)
        else:
            lane.held -= len(item.lives)

    def _fits(self, lane: Lane, orders: int) -> bool:
        return not lane.ahead or lane.ahead + orders <= self._pacer.burst

    def put(self, priority: Priority, item: Dispatch | CommandDispatch) -> None:
        """Queue what is durable."""
        item.queued_at = self._desk.clock.monotonic()
        self._lanes[priority].items.append(item)
        self._lanes[priority].wake.set()

    def send(self, priority: Priority, item: Dispatch) -> None:
        """Send what is durable at once where nothing is before it, else queue it.

        At once saves a single order a turn of the event loop.
        """
        lane = self._lanes[priority]
        free = lane.resting and item.released and not lane.items
        messages = item.messages if free else 0
        item.queued_at = self._desk.clock.monotonic()
        lane.items.append(item)
        try:
            if messages and self._pacer.passes(messages):
                self._pop(lane)
                self._send(item)
                return
        except Exception as error:  # noqa: BLE001 - what becomes durable beside it must be sent too
            self._background.failed(self._part(priority), error)
        lane.wake.set()

    def resume_deferred(self) -> None:
        """Try cancels again that a broken link kept from leaving."""
        items, self.deferred = self.deferred, []
        # No byte of them left, so no budget holds them: on the wire it is the first try.
        self._desk.meters.retries("cancel").value += len(items)
        for item in items:
            self.put(Priority.CANCEL, item)

    async def _run(self, priority: Priority) -> None:
        lane = self._lanes[priority]
        while True:
            lane.wake.clear()
            while lane.items:
                head = lane.items[0]
                messages = head.messages
                if isinstance(head, Dispatch) and messages and not head.released:
                    self._release(lane)
                    break
                try:
                    if messages:
                        await self._pacer.turn(priority, messages)
                except ValueError as error:
                    self._pop(lane)
                    self._refuse(head, str(error))
                    continue
                self._pop(lane)
                self._send(head)
                self._release(lane)
            lane.resting = True
            try:
                await lane.wake.wait()
            finally:
                lane.resting = False

    def _pop(self, lane: Lane) -> None:
        item = lane.items.popleft()
        if isinstance(item, Dispatch):
            # One that was withdrawn while its release was written down is ahead already.
            if item.released or item.asked:
                lane.ahead -= len(item.lives)
            else:
                lane.held -= len(item.lives)

    def _release(self, lane: Lane) -> None:
        """Write down that the next orders may leave, as many as fit; they leave once it is."""
        if not lane.held:
            return
        for item in lane.items:
            if not isinstance(item, Dispatch) or item.released or item.asked:
                continue
            if not self._fits(lane, len(item.lives)):
                return
            item.asked = True
            lane.held -= len(item.lives)
            lane.ahead += len(item.lives)
            self._ask_release(lane, item)

    def _ask_release(self, lane: Lane, item: Dispatch) -> None:
        row = self._desk.journal.scribe.row
        rows = []
        for live in item.lives:
            order = live.order
            body = {"broker": order.broker, "account": order.account, "event": "RELEASE"}
            rows.append(row(Kind.EVENT, body, live.key, live.ref))

        def done(error: JournalError | None) -> None:
            item.released = True
            if error is not None:
                # After a crash they would be taken for unsent, so they must stay it.
                self._sequence.release(len(item.lives))
                for live in item.lives:
                    if live.unsent:
                        self._not_sent(live, str(error))
            lane.wake.set()

        # Exits are journaled from the reserve where the disk is full.
        exits = item.lives[0].reducing
        self._desk.journal.append(*rows, then=done, urgent=exits)

    def _refuse(self, item: Dispatch | CommandDispatch, reason: str) -> None:
        if isinstance(item, CommandDispatch):
            self._applier.command(item.live, item.command, CommandEvent.REFUSE, reason)
        else:
            self._sequence.release(len(item.lives))
            for live in item.lives:
                self._not_sent(live, reason)

    def _send(self, item: Dispatch | CommandDispatch) -> None:
        if isinstance(item, Dispatch):
            self._sequence.release(len(item.lives))
            self._drop_late(item)
        messages = item.messages
        if not messages:
            return
        # From durable to sent is the wait for a turn, behind those before it included.
        now = self._desk.clock.monotonic()
        waited = max(0.0, now - item.queued_at)
        if isinstance(item, CommandDispatch):
            self._send_command(item)
        else:
            self._send_orders([live for live in item.lives if live.unsent], waited)
        self._desk.retries[self.broker.name].tried(now, messages)
        self._desk.meters.pacing_wait.record(waited * 1e3)

    def _drop_late(self, item: Dispatch) -> None:
        """Let nothing leave whose time has run out: its price was decided too long ago."""
        clock = self._desk.clock
        now = clock.monotonic()
        for live in item.lives:
            if not live.unsent:
                continue
            age, until = now - live.submitted_at, live.order.good_till
            if until is not None and until <= clock.now():
                late = f"it was good until {until.isoformat()}"
            elif age > (most := self._may_wait(live)):
                late = f"it waited {age:.1f} s of the {most:g} s it may wait"
            else:
                continue
            self._desk.meters.count("orders_too_late").value += 1
            for each in item.lives:
                if each.unsent:
                    self._not_sent(each, late)
            return

    def _may_wait(self, live: LiveOrder) -> float:
        """Return the seconds in which an order must leave: its own, else the settings'."""
        if live.order.send_within is not None:
            return live.order.send_within
        return math.inf if live.reducing else self._send_within

    # --- orders ---------------------------------------------------------------------------------

    def _send_orders(self, lives: Sequence[LiveOrder], waited: float) -> None:
        meters, now = self._desk.meters, self._desk.clock.monotonic()
        for live in lives:
            # Evidence may come before place() returns: an in-process broker answers inside it.
            live.unsent, live.sent_at, live.paced = False, now, waited
        self._number(lives)
        try:
            self.broker.place(messages_of(lives))
        except NotSent as error:
            meters.not_sent.value += len(lives)
            for live in lives:
                self._not_sent(live, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it was, bytes may have left
            _log.exception("placing %s failed", lives[0].key)
            self._doubt(lives, self._desk.told(error))
        else:
            meters.submitted.value += len(lives)
            for live in lives:
                meters.submit_to_wire.record(max(0.0, now - live.submitted_at - waited) * 1e3)

    def _number(self, lives: Sequence[LiveOrder]) -> None:
        """Give order ids, and write them down, in no hurry.

        After a crash that lost that record, the order is found by its orderRef.
        """
        first = self._sequence.take(len(lives))
        if not first:
            return
        numbers = {live.key: first + place for place, live in enumerate(lives)}
        row = self._desk.journal.scribe.row
        for live in lives:
            live.order_id, live.client_id = numbers[live.key], self.broker.client_id
            live.parent_order_id = numbers.get(live.entry, 0)
            self._desk.book.index(live)
            body = {
                "broker": live.order.broker,
                "account": live.order.account,
                "event": "SEND",
                "order_id": live.order_id,
                "client_id": live.client_id,
                "parent": live.parent_order_id,
            }
            self._desk.journal.append(row(Kind.EVENT, body, live.key, live.ref), lazy=True)

    def _not_sent(self, live: LiveOrder, reason: str) -> None:
        live.unsent = False
        self._applier.happen(live, Event.NOT_SENT, "link", f"not sent: {reason}")

    def _doubt(self, lives: Sequence[LiveOrder], reason: str) -> None:
        for live in lives:
            if live.state is OrderState.SUBMITTED:
                self._applier.happen(live, Event.LOSE, "link", reason)
        self._desk.ask(self.broker.name, reason)

    # --- commands -------------------------------------------------------------------------------

    def _send_command(self, item: CommandDispatch) -> None:
        live, command = item.live, item.command
        if self.broker.link in (LinkState.DOWN, LinkState.CONNECTING):
            self._defer(item, f"the link of {self.broker.name} is {self.broker.link.value}")
            return
        reason = self._why_not(live, command)
        if reason:
            self._applier.command(live, command, CommandEvent.REFUSE, reason)
            return
        command.sent_at = self._desk.clock.monotonic()
        self._applier.command(live, command, CommandEvent.SEND)
        try:
            self._hand_over(live, command)
        except NotSent as error:
            self._desk.meters.not_sent.value += 1
            self._defer(item, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it was, bytes may have left
            _log.exception("%s of %s failed", command.verb.value, live.key)
            if command.state is CommandState.SENT:
                reason = self._desk.told(error)
                self._applier.command(live, command, CommandEvent.LOSE, reason)
            self._desk.ask(self.broker.name, self._desk.told(error))
        else:
            self._desk.meters.sent[command.verb].value += 1

    def _why_not(self, live: LiveOrder, command: Command) -> str:
        """Return why a change must not leave after what was heard since it was asked for."""
        if command.verb is Verb.MODIFY and live.state is OrderState.UNKNOWN:
            # The broker would take the change of an order that it does not have for a new one.
            return "the order is UNKNOWN"
        if not command.sized and command.order is not None:
            if live.enlarged is not None:
                return "a person made the order larger meanwhile, and nobody named a quantity"
            if live.enlarges(command.order.quantity):
                return "the broker has it for less meanwhile, and nobody named a quantity"
        if not self._leave_out_what_is_closed(live, command):
            return "nothing is left to close: its entry ended, or other exits filled"
        return ""

    def _leave_out_what_is_closed(self, live: LiveOrder, command: Command) -> bool:
        """Take off a change what is not to close any more; False where nothing is left."""
        if command.order is None:
            return True
        order = command.order
        fitted = room_of(self._desk.book, live, command).fitted
        if fitted.quantity < order.quantity:
            if fitted.quantity <= live.filled:
                return False
            command.order = attrs.evolve(order, quantity=fitted.quantity)
        if fitted.quantity <= order.quantity:
            # More than was approved is not asked for on the way out.
            command.reduced, command.asked = fitted.reduced, fitted.asked
        return True

    def _hand_over(self, live: LiveOrder, command: Command) -> None:
        if command.verb is Verb.CANCEL:
            for identity in live.identities():
                self.broker.cancel(identity)
        elif command.order is not None:
            message = message_of(live, transmit=True)
            self.broker.modify(attrs.evolve(message, order=command.order), live.identities()[0])

    def _defer(self, item: CommandDispatch, reason: str) -> None:
        """Keep a cancel for when the link is back; a modify that did not leave is refused."""
        if item.command.verb is Verb.CANCEL and not item.live.state.is_terminal:
            self._applier.command(item.live, item.command, CommandEvent.DEFER, reason)
            self.deferred.append(item)
        elif item.command.state.is_pending:
            self._applier.command(item.live, item.command, CommandEvent.REFUSE, reason)


def message_of(live: LiveOrder, *, transmit: bool) -> OrderMessage:
    """Return an order as it is to be sent."""
    return OrderMessage(
        live.order,
        live.ref,
        live.order_id,
        live.parent_order_id,
        live.oca_group,
        transmit,
        live.reducing,
        live.oca_reduces,
    )


def messages_of(lives: Sequence[LiveOrder]) -> list[OrderMessage]:
    """Return the messages of one intent.

    A bracket's orders wait at the broker until the last of them says transmit; orders of an OCA
    group have no parent that would release them, so each says it.
    """
    last = len(lives) - 1
    held = lives[0].group_kind is GroupKind.BRACKET
    return [
        message_of(live, transmit=not held or place == last) for place, live in enumerate(lives)
    ]
