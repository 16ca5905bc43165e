"""Asks on whichever connection serves a role at the moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alluse_core.errors import BrokerUnavailable
from alluse_core.model import Verb
from alluse_ibkr.connection import Connection
from alluse_ibkr.lease import Lease
from alluse_ibkr.session import Session
from alluse_ibkr.settings import IbkrSettings


class Route:
    """A role as those who ask see it; ``choose`` names the connection, anew for each question."""

    def __init__(self, choose: Callable[[], Connection]) -> None:
        self._choose = choose

    @property
    def connection(self) -> Connection:
        """The connection that would be asked now."""
        return self._choose()

    @property
    def settings(self) -> IbkrSettings:
        """The login's settings."""
        return self.connection.settings

    @property
    def ready(self) -> bool:
        """Whether a question could be asked now."""
        return self.connection.ready

    @property
    def session(self) -> Session:
        """The present socket. Raises BrokerUnavailable where there is none."""
        return self.connection.session

    def unavailable(self) -> BrokerUnavailable:
        """Return the error that says why nothing can be asked now."""
        return self.connection.unavailable()

    async def probe(self, deadline: float = 0.0) -> float:
        """Ask for the time; see Connection.probe."""
        return await self.connection.probe(deadline)

    async def ask(
        self,
        operation: str,
        send: Callable[[Any, int], None],
        deadline: float = 0.0,
        verb: Verb | None = None,
    ) -> list[Any]:
        """Send a numbered request and return its rows; see Connection.ask."""
        return await self.connection.ask(operation, send, deadline, verb)

    async def ask_named(self, name: str, operation: str, send: Callable[[Any], None]) -> list[Any]:
        """Send a request without a number; see Connection.ask_named."""
        return await self.connection.ask_named(name, operation, send)

    async def tell(self, send: Callable[[Any], None], lease: Lease | None = None) -> None:
        """Send what has no answer; see Connection.tell."""
        await self.connection.tell(send, lease)


def least_busy(connections: tuple[Connection, ...], otherwise: Callable[[], Connection]) -> Route:
    """Return a route over connections of one kind; where none works, ``otherwise`` is asked."""

    def choose() -> Connection:
        ready = [each for each in connections if each.ready]
        if not ready:
            return otherwise()
        return min(ready, key=lambda each: len(each.session.wrapper.pending.numbered))

    return Route(choose)
