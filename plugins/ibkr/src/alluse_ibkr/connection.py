"""Keeps one role connected: questions, the watchdog, reconnecting."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from alluse_core.clock import Clock
from alluse_core.errors import BrokerUnavailable, RequestFailed
from alluse_core.ports import Pacer, Priority
from alluse_ibkr.client import REQUEST_IDS_FROM, Library
from alluse_ibkr.clock_skew import ClockSkew
from alluse_ibkr.deadline import within
from alluse_ibkr.meters import RoleMeters
from alluse_ibkr.pending import Question
from alluse_ibkr.session import ClientIdTaken, Session
from alluse_ibkr.settings import IbkrSettings
from alluse_ibkr.wrapper import Listener


@attrs.frozen
class RoleEvents:
    """What a connection tells its owner: it works, it does not (why), a message was unreadable."""

    up: Callable[[], None]
    down: Callable[[str], None]
    undecodable: Callable[[str], None]


class Connection:
    """The connection of one role (orders or data), over as many sockets as it takes.

    ``client_ids`` are tried in order where one is taken (error 326); the order role has one only.
    """

    def __init__(
        self,
        role: str,
        library: Library,
        settings: IbkrSettings,
        client_ids: Sequence[int],
        clock: Clock,
        pacer: Pacer,
        meters: RoleMeters,
        listener: Listener,
        events: RoleEvents,
        skew: ClockSkew,
    ) -> None:
        self.role = role
        self.settings = settings
        self.accounts: tuple[str, ...] = ()
        self.connecting = False
        self.last_error = ""
        self.meters = meters
        self._library = library
        self._client_ids = tuple(client_ids)
        self._clock = clock
        self._pacer = pacer
        self._listener = listener
        self._events = events
        self._skew = skew
        self._session: Session | None = None
        self._watchdog: asyncio.Task[None] | None = None
        self._locks: dict[str, asyncio.Lock] = {}
        self._numbers = itertools.count(REQUEST_IDS_FROM)
        self._past = [0, 0, 0]
        meters.observe("messages_received", lambda: float(self.counts[0]))
        meters.observe("messages_sent", lambda: float(self.counts[1]))
        meters.observe("ticks_in", lambda: float(self.counts[2]))
        meters.observe("connection_up", lambda: float(self.ready))

    # --- figures ---------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether the connection works, as far as is known."""
        return self._session is not None and self._session.ready

    @property
    def client_id(self) -> int:
        """The client id in use, or the first that would be tried."""
        return self._session.client_id if self._session is not None else self._client_ids[0]

    @property
    def session(self) -> Session:
        """The present socket. Raises BrokerUnavailable where there is none."""
        if self._session is None or not self._session.ready:
            raise self.unavailable()
        return self._session

    @property
    def heard_at(self) -> float:
        """Monotonic time of the last message on the present socket; NaN without one."""
        return self._session.wrapper.alive_at if self._session is not None else math.nan

    @property
    def counts(self) -> tuple[int, int, int]:
        """Messages received, messages sent and ticks received, over all sockets."""
        received, sent, ticks = self._past
        if self._session is not None:
            received += self._session.wrapper.received
            sent += self._session.client.conn.numMsgSent
            ticks += self._session.wrapper.ticks
        return received, sent, ticks

    def unavailable(self) -> BrokerUnavailable:
        """Return the error that says why nothing can be asked now."""
        where = f"{self.settings.host}:{self.settings.port}"
        why = f": {self.last_error}" if self.last_error else ""
        return BrokerUnavailable(f"the {self.role} connection to {where} is down{why}")

    def next_number(self) -> int:
        """Return a request id that this connection never used."""
        return next(self._numbers)

    # --- up and down -----------------------------------------------------------------------

    async def open(self) -> None:
        """Connect, or raise BrokerUnavailable; afterwards the watchdog keeps it connected."""
        self.meters.began()
        await self._connect()
        self._arm()

    async def close(self) -> None:
        """Stop the watchdog and disconnect."""
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None:
            watchdog.cancel()
            await asyncio.gather(watchdog, return_exceptions=True)
        if self._session is not None:
            self._session.close()
            self._went_down(self._session.lost.result())

    async def _connect(self) -> None:
        self.connecting = True
        try:
            for client_id in self._client_ids:
                try:
                    await self._attempt(client_id)
                except ClientIdTaken as taken:
                    refusal: BrokerUnavailable = taken
                else:
                    return
            raise refusal
        except BrokerUnavailable as error:
            self.last_error = str(error)
            raise
        finally:
            self.connecting = False

    async def _attempt(self, client_id: int) -> None:
        self.meters.attempts.value += 1
        session = Session(
            self._library,
            self.settings,
            client_id,
            self._clock,
            self._listener,
            self._undecodable,
        )
        await session.connect()
        # Its startApi counts in the broker's window: without this turn the first second of a
        # connection would hold 51 messages, and error 100.
        await self._pacer.turn(Priority.CANCEL)
        self._session = session
        self.accounts = tuple(session.client.getAccounts())
        self.last_error = ""
        self.meters.connects.value += 1
        self.meters.up()
        self._events.up()

    def _undecodable(self, text: str) -> None:
        self.meters.decode_errors.value += 1
        self._events.undecodable(text)

    def _went_down(self, reason: str) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        self._past[0] += session.wrapper.received
        self._past[1] += session.client.conn.numMsgSent
        self._past[2] += session.wrapper.ticks
        self.last_error = f"it {reason}"
        self.meters.down()
        self._events.down(self.last_error)

    # --- the watchdog ----------------------------------------------------------------------

    def _arm(self) -> None:
        self._watchdog = asyncio.ensure_future(self._keep())
        self._watchdog.add_done_callback(self._disarmed)

    def _disarmed(self, task: asyncio.Task[None]) -> None:
        """Arm again where the watchdog itself failed: the monitor must not die of its subject."""
        if task.cancelled() or self._watchdog is not task:
            return
        self.meters.watchdog_failures.value += 1
        self.last_error = f"the watchdog failed: {task.exception()}"
        if self._session is not None:
            self._session.drop(self.last_error)
        self._arm()

    async def _keep(self) -> None:
        while True:
            if self._session is not None:
                reason = await self._watch(self._session)
                self._went_down(reason)
            await self._reconnect()

    async def _watch(self, session: Session) -> str:
        """Probe each heartbeat until the socket is lost; return why.

        A probe has one heartbeat to come back, so a half-open socket is noticed within two.
        """
        heartbeat = self.settings.heartbeat
        while True:
            try:
                return await within(self._clock, session.lost, heartbeat)
            except TimeoutError:
                pass  # Not lost for a heartbeat: time to ask.
            try:
                await self._round_trip(session, heartbeat, Priority.ORDER)
            except RequestFailed:
                session.drop(f"did not answer a probe within {heartbeat:g} s")
            except BrokerUnavailable:
                pass  # The socket went meanwhile: the next turn of the loop returns why.
            else:
                self._listener.on_heartbeat(self._clock.monotonic())

    async def _reconnect(self) -> None:
        delay = self.settings.reconnect_min
        while self._session is None:
            await self._clock.sleep(delay)
            delay = min(2 * delay, self.settings.reconnect_max)
            try:
                await self._connect()
            except BrokerUnavailable as error:
                self._listener.on_still_down(str(error))

    # --- questions -------------------------------------------------------------------------

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
        self, operation: str, send: Callable[[Any, int], None], deadline: float = 0.0
    ) -> list[Any]:
        """Send a numbered request and return the rows of its answer.

        ``send`` gets the client and the request's number. Raises RequestFailed with the broker's
        code, or without one after ``deadline`` (0: the setting's); BrokerUnavailable where the
        connection is or goes down.
        """
        await self._pacer.turn(Priority.DATA)
        session = self.session
        number = self.next_number()
        numbered = session.wrapper.pending.numbered
        question = numbered[number] = Question()
        try:
            return await self._answer(
                operation, question, lambda: send(session.client, number), deadline
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
            session = self.session
            pending = session.wrapper.pending
            question = pending.named[name] = Question()
            try:
                return await self._answer(operation, question, lambda: send(session.client))
            except (RequestFailed, asyncio.CancelledError):
                pending.owed.add(name)
                raise
            finally:
                pending.named.pop(name, None)

    async def tell(self, send: Callable[[Any], None]) -> None:
        """Send what has no answer; nothing happens where the connection is down."""
        await self._pacer.turn(Priority.DATA)
        if self.ready:
            send(self.session.client)

    async def _answer(
        self, operation: str, question: Question, send: Callable[[], None], deadline: float = 0.0
    ) -> list[Any]:
        deadline = deadline or self.settings.request_timeout
        self.meters.leases.value += 1
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
