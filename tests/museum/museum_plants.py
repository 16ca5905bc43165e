"""Bugs that the museum plants: those of alluse_sim, and some that only its exhibits need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import alluse_ibkr.client
from alluse_ibkr.connection import Connection
from alluse_ibkr.order_desk import OrderDesk
from alluse_ibkr.session import Session
from alluse_sim import planted

from alluse_core.errors import BrokerError
from alluse_core.model import Snapshot
from alluse_core.orders.holdings import Holdings
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.reconcile import Answers, Reconciler
from alluse_core.orders.states import Event

Plant = Callable[[], AbstractContextManager[None]]


@contextmanager
def _heartbeat_ends_with_the_link() -> Iterator[None]:
    watch, seen = Connection._watch, set()

    async def once(self: Connection, session: Any) -> str:
        if self in seen:
            return str(await asyncio.shield(session.lost))
        seen.add(self)
        return await watch(self, session)

    with patch.object(Connection, "_watch", once):
        yield


@contextmanager
def _one_permid() -> Iterator[None]:
    def identities(self: LiveOrder) -> list[Any]:
        return _IDENTITIES(self)[:1]

    with patch.object(LiveOrder, "identities", identities):
        yield


_IDENTITIES = LiveOrder.identities


@contextmanager
def _twins_count_once() -> Iterator[None]:
    def once(self: LiveOrder) -> Decimal:
        return max(self.quantity - self.executed, Decimal(0))

    with patch.object(LiveOrder, "exposed", property(once)):
        yield


@contextmanager
def _give_up_is_a_reject() -> Iterator[None]:
    ask, failures = Reconciler._ask, []

    async def impatient(self: Reconciler) -> Any:
        try:
            return await ask(self)
        except BrokerError as error:
            failures.append(error)
            if len(failures) > 3:
                for live in self._desk.book.live():
                    self._applier.happen(live, Event.REJECT, "retries", str(error))
            raise

    with patch.object(Reconciler, "_ask", impatient):
        yield


@contextmanager
def _a_failure_is_empty() -> Iterator[None]:
    async def forgiving(self: Reconciler) -> Any:
        asked_at, lists = self._desk.clock.monotonic(), []
        for question in (
            self._broker.open_orders,
            self._broker.completed_orders,
            self._broker.executions,
            self._broker.positions,
        ):
            try:
                lists.append(await question())
            except BrokerError:
                lists.append(Snapshot((), datetime.now(UTC), True))
        return Answers(asked_at, *lists[:3])

    async def ask(self: Holdings) -> bool:
        self.as_of = datetime.now(UTC)
        return True

    with (
        patch.object(Reconciler, "_ask", forgiving),
        patch.object(Holdings, "ask", ask),
    ):
        yield


@contextmanager
def _queue_of_the_library() -> Iterator[None]:
    open_client = alluse_ibkr.client.open_client

    def throttled(*arguments: Any) -> Any:
        client = open_client(*arguments)
        client.MaxRequests = 45
        return client

    # It has work only where nothing of ours waits in front of it.
    with patch("alluse_ibkr.session.open_client", throttled), planted.find("no-pacing").planted():
        yield


@contextmanager
def _reconnect_on_a_flap() -> Iterator[None]:
    told = OrderDesk.on_error

    def nervous(self: Any, number: int, code: int, text: str, *rest: Any) -> None:
        if code == 2103:
            self.connection._session.drop("a farm is broken")
        told(self, number, code, text, *rest)

    with patch.object(OrderDesk, "on_error", nervous):
        yield


@contextmanager
def _move_on_326() -> Iterator[None]:
    begin = Session.__init__
    tries: dict[int, int] = {}

    def moved(self: Any, library: Any, settings: Any, client_id: int, *rest: Any) -> None:
        tries[client_id] = tries.get(client_id, 0) + 1
        begin(self, library, settings, client_id + 7 * (tries[client_id] > 2), *rest)

    with patch.object(Session, "__init__", moved):
        yield


def _of_the_simulation(bug: planted.Bug) -> Plant:
    return bug.planted


PLANTS: Mapping[str, Plant] = {
    **{name: _of_the_simulation(bug) for name, bug in planted.BUGS.items()},
    "heartbeat-ends-with-the-link": _heartbeat_ends_with_the_link,
    "one-permid": _one_permid,
    "twins-count-once": _twins_count_once,
    "give-up-is-a-reject": _give_up_is_a_reject,
    "a-failure-is-empty": _a_failure_is_empty,
    "queue-of-the-library": _queue_of_the_library,
    "reconnect-on-a-flap": _reconnect_on_a_flap,
    "move-on-326": _move_on_326,
}
"""A context in which a bug is there, by name."""
