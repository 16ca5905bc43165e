"""Modify and cancel: commands with a state of their own, beside the order's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import attrs

from alluse_core.errors import CommandRejected, JournalError
from alluse_core.model import GroupKind, Order, OrderState, Verb
from alluse_core.orders.applier import Applier
from alluse_core.orders.checks import Checks, refusal
from alluse_core.orders.desk import Desk
from alluse_core.orders.handover import Then
from alluse_core.orders.lanes import CommandDispatch, Outbox
from alluse_core.orders.live import Command, LiveOrder
from alluse_core.orders.records import Kind, order_fields, reduced_fields
from alluse_core.orders.room import ExitRoom, room_of
from alluse_core.orders.states import CommandEvent, CommandState, Event
from alluse_core.ports import Broker, Priority

Price = Decimal | str | int


class Commands:
    """Takes modifies and cancels of live orders."""

    def __init__(
        self,
        desk: Desk,
        checks: Checks,
        applier: Applier,
        brokers: Mapping[str, Broker],
        outboxes: Mapping[str, Outbox],
    ) -> None:
        self._desk = desk
        self._checks = checks
        self._applier = applier
        self._brokers = brokers
        self._outboxes = outboxes
        # Numbers stay unique in an order's story over restarts: every command adds a record.
        self._number = desk.journal.verification.head.sequence

    async def modify(
        self,
        live: LiveOrder,
        limit_price: Price | None,
        stop_price: Price | None,
        quantity: Price | None,
        by: str = "agent",
        *,
        sized: bool | None = None,
    ) -> Command:
        """Return the command once it is durable; the new terms pass the stages first.

        ``sized``: it may undo what a person did to the quantity; by default where it names one.
        """
        sized = quantity is not None if sized is None else sized
        self._refuse_ended(live, Verb.MODIFY)
        broker = self._broker(live, Verb.MODIFY)
        _refuse_unclear(live, sized=sized)
        before, room = self._base(live)
        base = attrs.evolve(before, quantity=room.quantity)
        order = _changed(base, limit_price, stop_price, quantity)
        if not sized and live.enlarges(order.quantity):
            # A word from before our own last change may have come late: a list puts it right.
            self._desk.ask(order.broker, f"order {live.key} is for less than was asked for")
            raise CommandRejected(
                f"order {live.key!r} is for {live.told_quantity} at the broker, where"
                f" {live.order.quantity} was asked for, and nothing that is known explains it",
                hint="name the quantity as well: theirs keeps what a person took off, a larger one"
                " puts it back; or wait for a fill beside it that was not told yet",
            )
        if order.quantity != base.quantity:
            room = room.asked_for(order.quantity)
        if order.quantity <= live.filled:
            raise CommandRejected(
                f"{live.filled} of order {live.key!r} are filled, the new quantity is"
                f" {order.quantity}",
                hint="cancel it instead",
            )
        smaller = _only_smaller(base, order) and _only_smaller(before, order)
        reducing = smaller and not live.enlarges(order.quantity)
        if not reducing:
            denial, reducing = self._checks.decide(order, broker, without=order.key)
            if denial is not None:
                self._desk.meters.denial(denial[0])
                self._write(live, None, {"verb": "modify", "event": "DENY", "stage": denial[0]})
                raise refusal(live.key, denial)
            trouble = self._desk.journal.problem or self._desk.journal.trouble
            if trouble and not reducing:
                raise JournalError(f"new risk is stopped: {trouble}")
        self._desk.book.recent.add(self._desk.clock.monotonic(), order)
        command = self._queue(live, Verb.MODIFY, by, order, room)
        command.sized = sized

        def durable(error: JournalError | None) -> None:
            if error is not None:
                self._applier.command(live, command, CommandEvent.REFUSE, str(error))
                return
            lane = Priority.EXIT if live.reducing else Priority.ORDER
            self._outboxes[order.broker].put(lane, CommandDispatch(live, command))

        await self._written(live, command, durable, urgent=reducing)
        return command

    def _base(self, live: LiveOrder) -> tuple[Order, ExitRoom]:
        """Return the terms that hold, and the quantity that a change begins with.

        What other exits filled, and what its entry will not open, comes off; what is open after
        all comes back once a list has shown that it is missing.
        """
        change = next((each for each in reversed(live.commands) if each.order), None)
        order = live.order if change is None or change.order is None else change.order
        room = room_of(self._desk.book, live, change)
        fitted = room.fitted
        if fitted.quantity > order.quantity and not live.due.proven:
            return order, room
        if fitted.quantity < order.quantity and fitted.quantity <= live.filled:
            raise CommandRejected(
                f"nothing is left to close for order {live.key!r}: its entry ended, or other exits"
                " filled",
                hint="the broker is about to end it; see 'alluse orders show'",
            )
        return order, fitted

    async def cancel(self, live: LiveOrder, by: str = "agent") -> Command:
        """Return the command once it is durable, or at once where it withdrew the order."""
        self._refuse_ended(live, Verb.CANCEL)
        self._broker(live, Verb.CANCEL)
        for command in live.commands:
            if command.verb is Verb.CANCEL and command.state.is_pending:
                return command
        for command in live.commands:
            if command.state is CommandState.QUEUED:
                self._applier.command(
                    live, command, CommandEvent.WITHDRAW, "the order is being cancelled"
                )
        command = self._queue(live, Verb.CANCEL, by)
        if live.unsent:
            self._withdraw(live)
            return command

        def durable(error: JournalError | None) -> None:
            if error is not None:
                # Safe means able to get out: a cancel goes even where it cannot be written down.
                self._desk.meters.count("unjournaled_cancels").value += 1
            if live.unsent:
                self._withdraw(live)
            elif command.state is CommandState.QUEUED:
                dispatch = CommandDispatch(live, command)
                self._outboxes[live.order.broker].put(Priority.CANCEL, dispatch)

        with contextlib.suppress(JournalError):
            await self._written(live, command, durable, urgent=True)
        return command

    def _withdraw(self, live: LiveOrder) -> None:
        """Take an unsent order back; a bracket's exits go with their entry."""
        family = [live]
        if live.group_kind is GroupKind.BRACKET and not live.entry:
            family += [
                each
                for each in self._desk.book.live(live.order.broker)
                if each.group == live.group and each.unsent and each is not live
            ]
        for each in family:
            each.unsent = False
            self._applier.happen(each, Event.WITHDRAW, "agent", "withdrawn before it was sent")

    def _refuse_ended(self, live: LiveOrder, verb: Verb) -> None:
        if live.state.is_terminal:
            raise CommandRejected(
                f"order {live.key!r} is {live.state.value}, so there is nothing to {verb.value}",
                hint="see 'alluse orders show' for what happened to it",
            )

    def _broker(self, live: LiveOrder, verb: Verb) -> Broker:
        broker = self._brokers.get(live.order.broker)
        if broker is None:
            raise CommandRejected(
                f"order {live.key!r} is at broker {live.order.broker!r}, which is not among"
                f" {sorted(self._brokers)}, so no {verb.value} can be sent",
                hint="name that broker in the settings again, or end the order there",
            )
        return broker

    def _queue(
        self,
        live: LiveOrder,
        verb: Verb,
        by: str,
        order: Order | None = None,
        room: ExitRoom | None = None,
    ) -> Command:
        self._number += 1
        command = Command(self._number, verb, by, order)
        if room is not None:
            command.reduced, command.asked = room.reduced, room.asked
        live.add(command)
        self._desk.book.touch(live)
        live.notify()
        return command

    async def _written(
        self, live: LiveOrder, command: Command, durable: Then, *, urgent: bool
    ) -> None:
        """Journal a command; ``durable`` sends it on, whatever becomes of who waits here.

        An ``urgent`` one, which ends or reduces risk, is written with the reserve on a full disk.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def then(error: JournalError | None) -> None:
            if written.done():
                pass
            elif error is None:
                written.set_result(None)
            else:
                written.set_exception(error)
            durable(error)

        fields: dict[str, Any] = {
            "command": command.number,
            "verb": command.verb.value,
            "event": "QUEUE",
            "command_state": command.state.value,
            "by": command.by,
        }
        if command.order is not None:
            fields["order"] = order_fields(command.order)
            if live.oca_reduces:
                fields |= reduced_fields(command.reduced, command.asked)
        self._write(live, then, fields, urgent=urgent)
        await written

    def _write(
        self,
        live: LiveOrder,
        then: Then | None,
        fields: Mapping[str, Any],
        *,
        urgent: bool = False,
    ) -> None:
        body = {"broker": live.order.broker, "account": live.order.account, **fields}
        journal = self._desk.journal
        row = journal.scribe.row(Kind.COMMAND, body, live.key, live.ref, live.state.value)
        journal.append(row, then=then, urgent=urgent)


def _refuse_unclear(live: LiveOrder, *, sized: bool) -> None:
    """Raise CommandRejected where nobody could say what a change would do."""
    if live.state is OrderState.UNKNOWN:
        # A broker takes a modify of an order that it never had for a new order.
        raise CommandRejected(
            f"order {live.key!r} is UNKNOWN: changing it could place it a second time",
            hint="cancel it, or wait until the broker's evidence settles it",
        )
    if live.pending is Verb.CANCEL:
        raise CommandRejected(
            f"order {live.key!r} is being cancelled",
            hint="wait for the cancel's outcome; submit a new order with a new key",
        )
    if live.enlarged is not None and not sized:
        # A broker takes the quantity that a change bears. Ours would take off what a person added;
        # theirs may be a word from before our own last change, and could flip the position.
        raise CommandRejected(
            f"order {live.key!r} was made larger by a person: it is for {live.quantity} at the"
            f" broker, where {live.order.quantity} was asked for",
            hint="name the quantity as well: theirs keeps what they added, a smaller one takes it"
            " off",
        )


def _changed(
    order: Order, limit_price: Price | None, stop_price: Price | None, quantity: Price | None
) -> Order:
    changes: dict[str, Any] = {
        name: value
        for name, value in (
            ("limit_price", limit_price),
            ("stop_price", stop_price),
            ("quantity", quantity),
        )
        if value is not None
    }
    if not changes:
        raise CommandRejected(
            f"no change was asked for order {order.key!r}",
            hint="name limit_price, stop_price or quantity",
        )
    try:
        return attrs.evolve(order, **changes)
    except ValueError as error:
        raise CommandRejected(f"order {order.key!r} cannot be changed so: {error}") from None


def _only_smaller(old: Order, new: Order) -> bool:
    return new.quantity <= old.quantity and attrs.evolve(new, quantity=old.quantity) == old
