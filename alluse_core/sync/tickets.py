"""Tickets whose waiting blocks."""

from __future__ import annotations

from alluse_core.model import Order, OrderState
from alluse_core.orders.states import CommandState
from alluse_core.orders.ticket import CommandTicket, GroupTicket, Outcome, Ticket
from alluse_core.sync.loop import Loop


class SyncTicket:
    """A :class:`~alluse_core.orders.ticket.Ticket`, blocking. Two of one key are equal."""

    def __init__(self, loop: Loop, ticket: Ticket) -> None:
        self._loop = loop
        self._ticket = ticket

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SyncTicket) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"Sync{self._ticket!r}"

    @property
    def key(self) -> str:
        """The agent's key."""
        return self._ticket.key

    @property
    def order_ref(self) -> str:
        """The name under which the broker knows the order."""
        return self._ticket.order_ref

    @property
    def order(self) -> Order:
        """The order with its present terms, defaults filled in."""
        return self._loop.call(lambda: self._ticket.order)

    @property
    def state(self) -> OrderState:
        """Its state now."""
        return self._loop.call(lambda: self._ticket.state)

    @property
    def shadow(self) -> bool:
        """Whether it was decided and journaled in shadow mode: it was never sent."""
        return self._loop.call(lambda: self._ticket.shadow)

    @property
    def known(self) -> Outcome:
        """What is known now."""
        return self._loop.call(lambda: self._ticket.known)

    def outcome(self, timeout: float | None = None) -> Outcome:
        """Wait until the order is settled or UNKNOWN, at most ``timeout`` seconds."""
        return self._loop.wait(self._ticket.outcome(timeout=timeout))


class SyncGroupTicket:
    """A submitted group; ``tickets`` are those of its orders, in their order."""

    def __init__(self, loop: Loop, ticket: GroupTicket) -> None:
        self._loop = loop
        self._ticket = ticket
        self.key = ticket.key
        self.tickets = tuple(SyncTicket(loop, each) for each in ticket.tickets)

    def __getitem__(self, key: str) -> SyncTicket:
        return next(ticket for ticket in self.tickets if ticket.key == key)

    @property
    def order_ref(self) -> str:
        """The first order's name at the broker."""
        return self._ticket.order_ref

    def outcome(self, timeout: float | None = None) -> Outcome:
        """Wait for the first order (a bracket's entry); return what is known."""
        return self._loop.wait(self._ticket.outcome(timeout))

    def outcomes(self, timeout: float | None = None) -> dict[str, Outcome]:
        """Wait for all orders; return what is known, by key."""
        return self._loop.wait(self._ticket.outcomes(timeout))


class SyncCommandTicket:
    """A modify or cancel that is on its way."""

    def __init__(self, loop: Loop, ticket: CommandTicket) -> None:
        self._loop = loop
        self._ticket = ticket

    @property
    def key(self) -> str:
        """The key of the order that the command is about."""
        return self._ticket.key

    @property
    def state(self) -> CommandState:
        """What is known of the command."""
        return self._loop.call(lambda: self._ticket.state)

    @property
    def reason(self) -> str:
        """Why it was refused or withdrawn; empty otherwise."""
        return self._loop.call(lambda: self._ticket.reason)

    def outcome(self, timeout: float | None = None) -> CommandState:
        """Wait until the command was answered, at most ``timeout`` seconds; return its state.

        Raises CommandRejected where it was refused: the order keeps its state.
        """
        return self._loop.wait(self._ticket.outcome(timeout))
