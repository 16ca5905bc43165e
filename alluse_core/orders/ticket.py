"""What an agent gets for a submitted order or command, and what it can learn from it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from functools import partial

import attrs

from alluse_core.clock import Clock
from alluse_core.errors import CommandRejected
from alluse_core.model import Order, OrderState, Verb
from alluse_core.orders.live import Command, LiveOrder
from alluse_core.orders.states import CommandState


@attrs.frozen
class Outcome:
    """What is known of an order, never a guess.

    ``settled``: the state is final and every fill is in hand. UNKNOWN is a state, not settled.
    ``evidence`` are the newest words that led here, oldest first; the journal has all of them.
    ``pending`` is CANCEL or MODIFY while such a command waits for its answer. ``differences`` say
    where the broker's echo is not what was asked for.
    """

    state: OrderState
    settled: bool
    evidence: tuple[str, ...] = ()
    filled: Decimal = Decimal(0)
    average_price: Decimal | None = None
    reason: str = ""
    pending: Verb | None = None
    differences: tuple[str, ...] = ()


def outcome_of(live: LiveOrder) -> Outcome:
    """Return what is known of an order now."""
    return Outcome(
        live.state,
        live.settled,
        live.words,
        live.filled,
        live.average_price,
        live.reason,
        live.pending,
        live.differences,
    )


async def wait_until(
    done: Callable[[], bool],
    watch: Callable[[asyncio.Future[None]], None],
    clock: Clock,
    timeout: float | None,
) -> None:
    """Return once ``done``, at the latest after ``timeout`` seconds of ``clock``."""
    deadline = None if timeout is None else asyncio.ensure_future(clock.sleep(timeout))
    try:
        while not done() and not (deadline is not None and deadline.done()):
            change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            watch(change)
            if deadline is not None:
                deadline.add_done_callback(partial(_wake, change))
            # Awaited itself: asyncio.wait would take another turn of the loop to say the same.
            await change
    finally:
        if deadline is not None:
            deadline.cancel()


def _wake(change: asyncio.Future[None], _: object) -> None:
    if not change.done():
        change.set_result(None)


class Ticket:
    """One submitted order. Two tickets of one key are equal."""

    def __init__(self, live: LiveOrder, clock: Clock) -> None:
        self._live = live
        self._clock = clock

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ticket) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        word = "SHADOW" if self._live.shadow else self._live.state.value
        return f"Ticket({self.key!r}, {word})"

    @property
    def key(self) -> str:
        """The agent's key."""
        return self._live.key

    @property
    def order_ref(self) -> str:
        """The name under which the broker knows the order."""
        return self._live.ref

    @property
    def order(self) -> Order:
        """The order with its present terms, defaults filled in."""
        return self._live.order

    @property
    def state(self) -> OrderState:
        """Its state now."""
        return self._live.state

    @property
    def shadow(self) -> bool:
        """Whether it was decided and journaled in shadow mode: it was never sent."""
        return self._live.shadow

    @property
    def known(self) -> Outcome:
        """What is known now."""
        return outcome_of(self._live)

    async def outcome(self, timeout: float | None = None) -> Outcome:
        """Wait until the order is settled or UNKNOWN, at most ``timeout`` seconds.

        Returns what is known then. A resting order is known and not settled.
        """
        live = self._live
        await wait_until(
            lambda: live.settled or live.state is OrderState.UNKNOWN,
            live.watch,
            self._clock,
            timeout,
        )
        return outcome_of(live)


class GroupTicket:
    """A submitted group; ``tickets`` are those of its orders, in their order."""

    def __init__(self, key: str, tickets: tuple[Ticket, ...]) -> None:
        self.key = key
        self.tickets = tickets

    def __getitem__(self, key: str) -> Ticket:
        return next(ticket for ticket in self.tickets if ticket.key == key)

    @property
    def order_ref(self) -> str:
        """The first order's name at the broker."""
        return self.tickets[0].order_ref

    async def outcome(self, timeout: float | None = None) -> Outcome:
        """Wait for the first order (a bracket's entry); see :meth:`Ticket.outcome`."""
        return await self.tickets[0].outcome(timeout)

    async def outcomes(self, timeout: float | None = None) -> dict[str, Outcome]:
        """Wait for all orders; return what is known, by key."""
        found = await asyncio.gather(*(ticket.outcome(timeout) for ticket in self.tickets))
        return {ticket.key: outcome for ticket, outcome in zip(self.tickets, found, strict=True)}


class CommandTicket:
    """A modify or cancel that is on its way."""

    def __init__(self, live: LiveOrder, command: Command, clock: Clock) -> None:
        self._live = live
        self._command = command
        self._clock = clock

    @property
    def key(self) -> str:
        """The key of the order that the command is about."""
        return self._live.key

    @property
    def state(self) -> CommandState:
        """What is known of the command."""
        return self._command.state

    @property
    def reason(self) -> str:
        """Why it was refused or withdrawn; empty otherwise."""
        return self._command.reason

    async def outcome(self, timeout: float | None = None) -> CommandState:
        """Wait until the command was answered, at most ``timeout`` seconds; return its state.

        Raises CommandRejected where it was refused: the order keeps its state.
        """
        command = self._command
        await wait_until(
            lambda: not command.state.is_pending,
            lambda change: command.observers.append(change),
            self._clock,
            timeout,
        )
        if command.state is CommandState.REFUSED:
            raise CommandRejected(
                f"the {command.verb.value} of {self.key!r} was refused: {command.reason}",
                hint="the order keeps its state; see 'alluse orders show'",
            )
        return command.state
