"""The one place where an order's state, and a command's, changes; each change is journaled."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from alluse_core.model import OrderState, Verb
from alluse_core.orders.desk import Desk
from alluse_core.orders.live import Command, LiveOrder
from alluse_core.orders.records import Kind, order_fields, reduced_fields
from alluse_core.orders.states import (
    CommandEvent,
    CommandState,
    Event,
    command_step,
    step,
)

_log = logging.getLogger(__name__)


class Applier:
    """Applies events to orders and to their commands, by the tables of states.py."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def happen(
        self,
        live: LiveOrder,
        event: Event,
        source: str,
        reason: str = "",
        fields: Mapping[str, Any] | None = None,
        kind: Kind = Kind.EVENT,
    ) -> None:
        """Take one event of an order. ``fields`` are journaled even where nothing changes."""
        desk, before = self._desk, live.state
        result = step(before, event)
        live.say(f"{source}: {event.value}" + (f" ({reason})" if reason else ""))
        if result.state is before and result.possible and not fields:
            live.notify()
            return
        if not result.possible:
            desk.meters.impossible.value += 1
            _log.error("%s cannot follow %s for order %s", event.value, before.value, live.key)
            desk.ask(live.order.broker, f"{event.value} cannot follow {before.value}")
        if reason:
            live.reason = reason
        if result.state is not before:
            if result.state.is_terminal and result.state is not OrderState.FILLED:
                live.ended_perm_ids = frozenset(live.perm_ids)
            desk.book.move(live, result.state)
            if result.state.is_terminal:
                live.ended_at = desk.clock.monotonic()
            desk.meters.moved(result.state)
            breaker = desk.breakers.get(live.order.broker)
            if breaker is not None:
                now = desk.clock.monotonic()
                breaker.heard(live.key, before, result.state, now, reason)
        body: dict[str, Any] = {
            "broker": live.order.broker,
            "account": live.order.account,
            "event": event.value,
            "source": source,
            "before": before.value,
        }
        if reason:
            body["reason"] = reason
        if not result.possible:
            body["impossible"] = True
        if fields:
            body.update(fields)
        self.write(live, kind, body)
        if result.state.is_terminal:
            self._end_commands(live, f"the order is {result.state.value}")
        live.notify()

    def resolve(self, live: LiveOrder, state: OrderState, by: str) -> None:
        """End an order, and its commands, by a person's word."""
        desk, before = self._desk, live.state
        live.reason = f"resolved by {by}"
        live.ended_perm_ids = frozenset(live.perm_ids)
        desk.book.move(live, state)
        live.ended_at = desk.clock.monotonic()
        desk.meters.moved(state)
        live.say(f"person: {live.reason}")
        body = {
            "broker": live.order.broker,
            "account": live.order.account,
            "event": "RESOLVE",
            "source": "person",
            "before": before.value,
            "reason": live.reason,
        }
        self.write(live, Kind.EVENT, body)
        self._end_commands(live, f"the order was resolved as {state.value} by {by}")
        live.notify()

    def command(
        self,
        live: LiveOrder,
        command: Command,
        event: CommandEvent,
        reason: str = "",
        *,
        doubted: bool = False,
    ) -> None:
        """Take one event of a command; ``doubted``: an echo may still show that it was made."""
        state = command_step(command.state, event)
        if state is None:
            self._desk.meters.impossible.value += 1
            live.say(f"{command.verb.value}: {event.value} after {command.state.value}")
            return
        command.state = state
        command.reason = reason or command.reason
        body: dict[str, Any] = {
            "broker": live.order.broker,
            "account": live.order.account,
            "command": command.number,
            "verb": command.verb.value,
            "event": event.value,
            "command_state": state.value,
        }
        if reason:
            body["reason"] = reason
        if doubted:
            body["doubted"] = True
            live.doubt(command)
        if state is CommandState.CONFIRMED and command.order is not None:
            live.take(command.order, command)
            body["order"] = order_fields(command.order)
        if command.order is not None and live.oca_reduces:
            # Fills beside it may have changed the quantity since it was asked for.
            body["order"] = order_fields(command.order)
            body |= reduced_fields(command.reduced, command.asked)
        self._desk.book.touch(live)
        live.say(f"{command.verb.value}: {event.value}")
        self.write(live, Kind.COMMAND, body)
        if not state.is_pending:
            if command in live.doubted and not doubted:
                live.trust(command)
            elif state is not CommandState.LOST:
                live.drop(command)
            waiting, command.observers = command.observers, []
            for observer in waiting:
                if not observer.done():
                    observer.set_result(None)

    def acknowledge(self, live: LiveOrder, event: Event, now: float) -> None:
        """Time the broker's first word that it has the order."""
        if live.acked_at == live.acked_at or event in (Event.PENDING, Event.REJECT):
            return
        live.acked_at = now
        self._desk.meters.acknowledged(live, now, held=event is Event.HOLD)

    def count(self, entry: LiveOrder) -> Mapping[str, bool]:
        """Return what the next record of an entry says of its end: that all it filled is known.

        Once, and where that is in hand: after a restart the broker's figure alone would be gone.
        What its executions told of whole needs no figure.
        """
        known = entry.counted and entry.executed == entry.filled and not entry.was_whole
        if entry.count_written or not known or not self._desk.book.exits_of(entry.key):
            return {}
        entry.count_written = True
        return {"counted": True}

    def write(self, live: LiveOrder, kind: Kind, body: Mapping[str, Any]) -> None:
        """Journal what was learnt of an order, with its names and the state it is in now."""
        journal = self._desk.journal
        journal.append(journal.scribe.row(kind, body, live.key, live.ref, live.state.value))

    def _end_commands(self, live: LiveOrder, reason: str) -> None:
        for command in live.commands:
            done = command.verb is Verb.CANCEL and live.state is OrderState.CANCELED
            if done and command.state is not CommandState.QUEUED:
                live.cancelled = True
                self.command(live, command, CommandEvent.CONFIRM)
            else:
                self.command(live, command, CommandEvent.ENDED, reason)
