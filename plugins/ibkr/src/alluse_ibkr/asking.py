"""Asks on a connection and waits for answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from alluse_core.clock import Clock
from alluse_core.errors import BrokerUnavailable, RequestFailed
from alluse_core.model import Verb
from alluse_core.ports import Pacer, Priority
from alluse_ibkr.client_ids import ClientIdLocks
from alluse_ibkr.clock_skew import ClockSkew
from alluse_ibkr.deadline import within
from alluse_ibkr.lease import Lease
from alluse_ibkr.meters import RoleMeters
from alluse_ibkr.pending import Question
from alluse_ibkr.session import Session
from alluse_ibkr.settings import IbkrSettings


class Asking:
    """The questions of a connection: paced, numbered, with a deadline, and each under a lease."""

    role: str
    settings: IbkrSettings
    meters: RoleMeters
    token: int
    last_error: str
    _clock: Clock
    _pacer: Pacer
    _skew: ClockSkew
    _session: Session | None
    _reserved: ClientIdLocks
    _numbers: Iterator[int]
    _locks: dict[str, asyncio.Lock]

    @property
    def ready(self) -> bool:
        """Whether the connection works, as far as is known."""
        return self._session is not None and self._session.ready

    @property
    def session(self) -> Session:
        """The present socket. Raises BrokerUnavailable where there is none."""
        if self._session is None or not self._session.ready:
            raise self.unavailable()
        return self._session

    def unavailable(self) -> BrokerUnavailable:
        """Return the error that says why nothing can be asked now."""
        where = f"{self.settings.host}:{self.settings.port}"
        why = f": {self.last_error}" if self.last_error else ""
        return BrokerUnavailable(f"the {self.role} connection to {where} is down{why}")

    def lease(self) -> Lease:
        """Borrow the present socket. Raises BrokerUnavailable where there is none."""
        session = self.session
        self.meters.leases.value += 1
        self._reserved.stamp(session.client_id, self._clock.now().timestamp())
        return Lease(self, session, self.token)

    def next_number(self) -> int:
        """Return a request id that no connection of this login ever used."""
        return next(self._numbers)

    async def probe(self, deadline: float = 0.0) -> float:
        """Ask for the time; return the round trip in seconds. ``deadline`` 0: the setting's."""
        deadline = deadline or self.settings.request_timeout
        return await self._round_trip(self.session, deadline, Priority.DATA)

    async def _round_trip(self, session: Session, deadline: float, priority: Priority) -> float:
        await self._pacer.turn(priority)
        if not session.ready:
            raise self.unavailable()
        self.meters.leases.value += 1
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        session.wrapper.pending.probes.append(answer)
        began, asked = self._clock.monotonic(), self._clock.now().timestamp()
        self._reserved.stamp(session.client_id, asked)
        session.client.reqCurrentTime()
        try:
            told = await within(self._clock, answer, deadline)
        except TimeoutError:
            raise RequestFailed(
                f"the {self.role} connection did not answer a probe within {deadline:g} s"
            ) from None
        seconds = self._clock.monotonic() - began
        self.meters.round_trip.record(seconds * 1000)
        self._skew.add(told, asked, self._clock.now().timestamp())
        return seconds

    async def ask(
        self,
        operation: str,
        send: Callable[[Any, int], None],
        deadline: float = 0.0,
        verb: Verb | None = None,
    ) -> list[Any]:
        """Send a numbered request and return the rows of its answer.

        ``send`` gets the client and the request's number. Raises RequestFailed with the broker's
        code, or without one after ``deadline`` (0: the setting's); BrokerUnavailable where the
        connection is or goes down.
        """
        await self._pacer.turn(Priority.DATA)
        lease = self.lease()
        number = self.next_number()
        numbered = lease.session.wrapper.pending.numbered
        question = numbered[number] = Question(verb)
        try:
            return await self._answer(
                operation, question, lambda: send(lease.client, number), deadline
            )
        finally:
            numbered.pop(number, None)

    async def ask_named(self, name: str, operation: str, send: Callable[[Any], None]) -> list[Any]:
        """Send a request that has no number, one of a name at a time; otherwise like ``ask``.

        After one was given up, its end mark may still come and would end the next one too early:
        the next one first waits for a round trip, behind which nothing of the old one can come.
        """
        async with self._locks.setdefault(name, asyncio.Lock()):
            pending = self.session.wrapper.pending
            if name in pending.owed:
                await self.probe()
                pending.owed.discard(name)
            await self._pacer.turn(Priority.DATA)
            lease = self.lease()
            pending = lease.session.wrapper.pending
            question = pending.named[name] = Question()
            try:
                return await self._answer(operation, question, lambda: send(lease.client))
            except (RequestFailed, asyncio.CancelledError):
                pending.owed.add(name)
                raise
            finally:
                pending.named.pop(name, None)

    async def tell(self, send: Callable[[Any], None], lease: Lease | None = None) -> None:
        """Send what has no answer; nothing happens where the connection is down.

        Under a ``lease`` it goes over the socket that was borrowed, or nowhere.
        """
        await self._pacer.turn(Priority.DATA)
        if self.ready and (lease is None or lease.valid):
            send(self.session.client)

    async def _answer(
        self, operation: str, question: Question, send: Callable[[], None], deadline: float = 0.0
    ) -> list[Any]:
        deadline = deadline or self.settings.request_timeout
        began = self._clock.monotonic()
        send()
        try:
            rows = await within(self._clock, question.done, deadline)
        except TimeoutError:
            self.meters.failed(operation)
            raise RequestFailed(
                f"{operation} was not answered within {deadline:g} s",
                hint="what the answer would have said is not known",
            ) from None
        except (RequestFailed, BrokerUnavailable):
            self.meters.failed(operation)
            raise
        self.meters.operation(operation, self._clock.monotonic() - began)
        return rows
