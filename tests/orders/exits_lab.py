"""Brackets whose exits fill, cross and are taken off, for the tests of their quantities."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
from desk_floor import NODE, Floor, amount, buy, floor

from alluse_core.model import (
    Evidence,
    Execution,
    OrderGroup,
    OrderReport,
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


def executions(words: Sequence[Evidence], ticket: Ticket) -> list[Execution]:
    """Return what words tell of an order's fills."""
    return of(words, ticket.order_ref, Execution)


def reports(words: Sequence[Evidence], ticket: Ticket) -> list[OrderReport]:
    """Return what words tell of an order's status."""
    return of(words, ticket.order_ref, OrderReport)


def unheard(desk: Floor, *fills: tuple[Ticket, int]) -> list[Evidence]:
    """Fill orders, in parts of so many; return the words about it, none of which was said yet."""
    with held_back(desk) as words:
        for ticket, quantity in fills:
            desk.broker.fill(ticket.order_ref, amount(quantity))
    return words


def told_alone(desk: Floor, ticket: Ticket, quantity: int) -> list[Evidence]:
    """Fill a part of an exit, and tell that alone: what it takes off its sibling is not heard."""
    words = unheard(desk, (ticket, quantity))
    desk.broker.say(executions(words, ticket)[0])
    return words


def next_process(folder: Path, desk: Floor) -> AbstractAsyncContextManager[Floor]:
    """Return the process after this one, at the same broker."""
    again = attrs.evolve(NODE, incarnation="incarnation-2")
    return floor(folder, broker=desk.broker, node=again)


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


def by_hand(desk: Floor, ticket: Ticket, quantity: int) -> None:
    """Let a person change the quantity of an order in TWS."""
    order = desk.broker.orders[ticket.order_ref]
    changed = attrs.evolve(order.message.order, quantity=Decimal(quantity))
    order.message = attrs.evolve(order.message, order=changed)
    desk.broker.report(order)


def bust(desk: Floor, fill: Execution) -> None:
    """Take a fill of an exit back."""
    revised = fill.execution_id[:-2] + "02"
    busted = attrs.evolve(fill, execution_id=revised, quantity=Decimal(0))
    desk.broker.fills.append(busted)
    for place in desk.broker.held:
        desk.broker.held[place] += fill.quantity
    desk.broker.say(busted)


async def enlarged_by_a_person(desk: Floor) -> Any:
    tickets = await opened(desk)
    by_hand(desk, tickets[2], 150)
    desk.broker.fill(tickets[1].order_ref, amount(40))
    desk.broker.fill(tickets[1].order_ref, amount(20))
    return tickets


async def ended_without_a_figure(desk: Floor) -> tuple[Any, list[Any]]:
    """End an entry with 50 filled; heard are 20 of them, and the end without its figure."""
    tickets = await bracket(desk)
    entry = tickets[0]
    desk.broker.fill(entry.order_ref, amount(20))
    with held_back(desk) as words:
        desk.broker.fill(entry.order_ref, amount(30))
        desk.broker.cancel_by_broker(entry.order_ref)
    last = of(words, entry.order_ref, OrderReport)[-1]
    desk.broker.say(attrs.evolve(last, filled=None, remaining=None))
    assert (entry.state, entry.known.filled) == (S.CANCELED, 20)
    return tickets, words


async def ended_too_early(desk: Floor) -> Any:
    """End an entry with 20 filled by the broker's figure; its exits are made to fit."""
    tickets = await bracket(desk)
    desk.broker.fill(tickets[0].order_ref, amount(20))
    desk.broker.cancel_by_broker(tickets[0].order_ref)
    await desk.settle(10)
    assert (tickets[2].order.quantity, at_the_broker(desk, tickets[2])) == (20, 20)
    return tickets
