"""Brackets whose exits fill, cross and are taken off, for the tests of their quantities."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import attrs
from desk_floor import Floor, amount, buy

from alluse_core.model import (
    Evidence,
    OrderGroup,
    OrderState,
)
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.reader import JournalReader
from alluse_core.orders.records import Kind
from alluse_core.orders.recovery import rebuild
from alluse_core.orders.states import CommandState
from alluse_core.orders.ticket import Ticket
from alluse_core.ports import OrderMessage

S, C = OrderState, CommandState
ENTRY, TAKE, STOP = "one/entry", "one/entry/profit", "one/entry/stop"
GROUP = OrderGroup.bracket(buy(ENTRY), take_profit="110", stop="90")


async def bracket(desk: Floor) -> Sequence[Ticket]:
    """Submit a bracket of 100; return (entry, take-profit, stop)."""
    tickets = (await desk.orders.submit(GROUP)).tickets
    await desk.settle()
    return tickets


async def opened(desk: Floor) -> Sequence[Ticket]:
    """Return a bracket whose entry filled whole."""
    tickets = await bracket(desk)
    desk.broker.fill(tickets[0].order_ref)
    return tickets


@contextmanager
def held_back(desk: Floor) -> Any:
    """Let the broker's words wait; yield them."""
    hear, words = desk.broker._evidence, list[Evidence]()
    desk.broker._evidence = words.append
    yield words
    desk.broker._evidence = hear


def of(words: Sequence[Evidence], ref: str, kind: type) -> list[Any]:
    return [
        word
        for word in words
        if isinstance(word, kind) and word.identity.order_ref == ref  # type: ignore[attr-defined]
    ]


def live(desk: Floor, key: str = STOP) -> LiveOrder:
    return desk.orders._live(key)


def due(desk: Floor, key: str = STOP) -> Decimal:
    return live(desk, key).due.quantity


def proven(desk: Floor, key: str = STOP) -> Decimal:
    """Return what a list has shown that the broker does not do by itself."""
    return due(desk, key) if live(desk, key).due.proven else Decimal(0)


def prove(desk: Floor, key: str = STOP) -> None:
    """Have it as if a list had shown that."""
    live(desk, key).due = attrs.evolve(live(desk, key).due, proven=True)


def at_the_broker(desk: Floor, ticket: Ticket) -> Decimal:
    return desk.broker.orders[ticket.order_ref].message.order.quantity


def changes(desk: Floor) -> list[OrderMessage]:
    return [what for verb, what in desk.broker.sent if verb == "modify"]  # type: ignore[misc]


async def records(desk: Floor, kind: Kind = Kind.REDUCTION, key: str = STOP) -> list[Any]:
    await desk.orders.flush()
    with JournalReader(desk.journal.path) as reader:
        return [entry.body for entry in reader.entries(kind, key=key)]


async def rebuilt(desk: Floor, key: str = STOP) -> LiveOrder:
    """Return an order as a start would."""
    await desk.orders.flush()
    with JournalReader(desk.journal.path) as reader:
        found = rebuild(reader.story(key))
    assert found is not None
    return found


def begun(call: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.ensure_future(call)


async def sent_unanswered(desk: Floor, **terms: Any) -> Any:
    """Send a change of the stop that the broker says nothing of."""
    desk.broker.answers_modifies = False
    change = await desk.orders.modify(STOP, **terms)
    await desk.settle()
    assert change.state is C.SENT
    return change


async def made_smaller_across_a_fill(desk: Floor) -> Sequence[Ticket]:
    """Let a change to 60 reach the broker after it took 40 off the stop: it is for 60 still."""
    tickets = await opened(desk)
    await sent_unanswered(desk, quantity=60)
    (message,) = changes(desk)
    desk.broker.answers_modifies = True
    desk.broker.fill(tickets[1].order_ref, amount(40))
    desk.broker.modify(message, desk.broker.orders[tickets[2].order_ref].identity)
    assert (at_the_broker(desk, tickets[2]), tickets[2].order.quantity) == (60, 60)
    return tickets


async def enlarged_again(desk: Floor, filled: int = 40) -> Sequence[Ticket]:
    """Let a change that names 100 reach the broker after it took a fill off the stop."""
    entry, take, stop = await opened(desk)
    await sent_unanswered(desk, stop_price="91")
    (message,) = changes(desk)
    desk.broker.answers_modifies = True
    with held_back(desk) as words:
        desk.broker.fill(take.order_ref, amount(filled))
        desk.broker.modify(message, desk.broker.orders[stop.order_ref].identity)
    for word in words:
        desk.broker.say(word)
    assert stop.order.quantity == at_the_broker(desk, stop) == 100
    assert due(desk) == filled
    return entry, take, stop
