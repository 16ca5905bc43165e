"""Keeps one role connected: the watchdog, reconnecting, and when to stop."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from random import Random

import attrs

from alluse_core.clock import Clock
from alluse_core.errors import BrokerUnavailable, RequestFailed
from alluse_core.ports import Classify, Pacer, Priority
from alluse_ibkr import strikes
from alluse_ibkr.asking import Asking
from alluse_ibkr.client import Library
from alluse_ibkr.client_ids import ClientIdLocks, ClientIdTaken
from alluse_ibkr.clock_skew import ClockSkew
from alluse_ibkr.deadline import within
from alluse_ibkr.endpoint import Endpoint
from alluse_ibkr.meters import RoleMeters
from alluse_ibkr.session import Session, VersionRefused
from alluse_ibkr.settings import IbkrSettings
from alluse_ibkr.strikes import Backoff, Strikes
from alluse_ibkr.wrapper import Listener

CLIENT_ID_IN_USE = 326
_RETRY_TAKEN = 1.0
"""Seconds between two tries of a taken id at the start: TWS lets go of one within seconds."""

QUARANTINE = 300.0
"""Seconds between two tries once every client id of a role was retired."""


@attrs.frozen
class RoleEvents:
    """What a connection tells its owner: it works, it does not (why), a message was unreadable."""

    up: Callable[[], None]
    down: Callable[[str], None]
    undecodable: Callable[[str], None]


@attrs.frozen
class Surroundings:
    """What all connections of a login share."""

    library: Library
    settings: IbkrSettings
    clock: Clock
    pacer: Pacer
    skew: ClockSkew
    locks: ClientIdLocks
    numbers: Iterator[int]
    endpoint: Endpoint
    classify: Classify


class Connection(Asking):
    """The connection of one role, over as many sockets as it takes.

    ``client_ids`` are tried in order where one is taken (error 326); an order role has one only.
    An id that misbehaves again and again is retired and the next one takes its place; a role
    whose last id did so tries on, slowly, and says why (``quarantined``). Orders alone keep their
    id, and their pace: nothing else may change or cancel them.
    """

    def __init__(
        self,
        role: str,
        client_ids: Sequence[int],
        surroundings: Surroundings,
        meters: RoleMeters,
        listener: Listener,
        events: RoleEvents,
    ) -> None:
        self.role = role
        self.settings = surroundings.settings
        self.accounts: tuple[str, ...] = ()
        self.connecting = False
        self.last_error = ""
        self.quarantined = ""
        self.token = 0
        self.meters = meters
        self._library = surroundings.library
        self._client_ids = tuple(client_ids)
        self._retired: dict[int, str] = {}
        self._clock = surroundings.clock
        self._pacer = surroundings.pacer
        self._reserved = surroundings.locks
        self._listener = listener
        self._events = events
        self._skew = surroundings.skew
        self._endpoint = surroundings.endpoint
        self._classify = surroundings.classify
        self._session: Session | None = None
        self._watchdog: asyncio.Task[None] | None = None
        self._locks: dict[str, asyncio.Lock] = {}
        self._numbers = surroundings.numbers
        self._past = [0, 0, 0]
        self._strikes = Strikes()
        settings = self.settings
        # Seeded by what differs between processes that share a TWS, and the same in every run.
        self._backoff = Backoff(
            settings.reconnect_min, settings.reconnect_max, Random(client_ids[0])
        )
        meters.observe("messages_received", lambda: float(self.counts[0]))
        meters.observe("messages_sent", lambda: float(self.counts[1]))
        meters.observe("ticks_in", lambda: float(self.counts[2]))
        meters.observe("connection_up", lambda: float(self.ready))
        meters.observe("connections_retired", lambda: float(self.retirements))
        self.retirements = 0

    # --- figures ---------------------------------------------------------------------------

    @property
    def client_id(self) -> int:
        """The client id in use, or the first that would be tried."""
        return self._session.client_id if self._session is not None else self._usable[0]

    @property
    def fixed(self) -> bool:
        """Whether the role never moves to another client id, as orders do not."""
        return len(self._client_ids) == 1

    @property
    def _usable(self) -> tuple[int, ...]:
        usable = tuple(each for each in self._client_ids if each not in self._retired)
        return usable or self._client_ids

    @property
    def retired(self) -> dict[int, str]:
        """The client ids that are not used any more, and why."""
        return dict(self._retired)

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

    def fence(self) -> None:
        """Make every lease of this connection worthless; the socket stays."""
        self.token += 1

    # --- up and down -----------------------------------------------------------------------

    async def open(self) -> None:
        """Connect, or raise BrokerUnavailable; afterwards the watchdog keeps it connected.

        A process that ended just now may have filled the broker's window of a second, which this
        one's pacer knows nothing of: it is waited out. A client id that is in use is waited for,
        ``client_id_patience`` seconds at most.
        """
        self.meters.began()
        rest = self._reserved.rest(self._clock.now().timestamp())
        if rest > 0 and self.fixed:
            await self._clock.sleep(rest)
        deadline = self._clock.monotonic() + self.settings.client_id_patience
        while True:
            try:
                await self._connect()
                break
            except ClientIdTaken as taken:
                wait = min(_RETRY_TAKEN, self.settings.reconnect_max)
                if self._clock.monotonic() + wait > deadline:
                    self._reserved.give(self.client_id)
                    self._listener.on_error(-1, CLIENT_ID_IN_USE, str(taken))
                    raise
                await self._clock.sleep(wait)
        self._arm()

    def open_later(self) -> None:
        """Let the watchdog make the connection, which may take as long as it takes."""
        self.meters.began()
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
        for client_id in self._client_ids:
            self._reserved.give(client_id)

    async def _connect(self) -> None:
        self.connecting = True
        try:
            for client_id in self._usable:
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
        self._reserved.take(client_id)
        session = Session(
            self._library,
            self.settings,
            client_id,
            self._clock,
            self._listener,
            self._undecodable,
            self._classify,
            self._endpoint,
        )
        try:
            await session.connect()
        except ClientIdTaken:
            if not self.fixed:
                self._reserved.give(client_id)
            raise
        except BrokerUnavailable as error:
            fault = strikes.VERSION if isinstance(error, VersionRefused) else session.fault
            if fault:
                self._struck(client_id, fault)
            raise
        self._reserved.stamp(client_id, self._clock.now().timestamp())
        # Its startApi counts in the broker's window: without this turn the first second of a
        # connection would hold 51 messages, and error 100.
        try:
            await self._pacer.turn(Priority.CANCEL)
        except BaseException:
            # Given up while it waited: nobody else knows of this socket, and the gateway would
            # hold its client id.
            session.close()
            raise
        self.token += 1
        self._session = session
        self.accounts = tuple(session.client.getAccounts())
        self.last_error = ""
        self.meters.connects.value += 1
        self.meters.up()
        self._backoff.reset()
        self._events.up()

    def _undecodable(self, text: str) -> None:
        self.meters.decode_errors.value += 1
        self._events.undecodable(text)
        if self.fixed:
            # An order socket that is dropped for what it says would take its evidence with it.
            return
        self._strikes.add(strikes.UNREADABLE, self._clock.monotonic())
        if self._session is not None and self._strikes.verdict(self._clock.monotonic()):
            self._session.drop("sent too much that could not be read")

    def _went_down(self, reason: str) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        self.token += 1
        self._past[0] += session.wrapper.received
        self._past[1] += session.client.conn.numMsgSent
        self._past[2] += session.wrapper.ticks
        self.last_error = f"it {reason}"
        if session.fault:
            self._struck(session.client_id, session.fault)
        self.meters.down()
        self._events.down(self.last_error)

    def _struck(self, client_id: int, kind: str) -> None:
        """Count a fault; too many of one kind retire the client id that they happened under."""
        now = self._clock.monotonic()
        self._strikes.add(kind, now)
        verdict = self._strikes.verdict(now)
        if not verdict:
            return
        self._strikes.forgive()
        self.retirements += 1
        self._retired[client_id] = verdict
        left = [each for each in self._client_ids if each not in self._retired]
        if left:
            self._reserved.give(client_id)
        else:
            self.quarantined = verdict
            self._retired.clear()
        self._listener.on_retired(self.role, client_id, verdict, left[0] if left else None)

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
                session.drop(f"did not answer a probe within {heartbeat:g} s", strikes.MUTE)
            except BrokerUnavailable:
                pass  # The socket went meanwhile: the next turn of the loop returns why.
            else:
                self.quarantined = ""
                self._listener.on_heartbeat(self._clock.monotonic())

    async def _reconnect(self) -> None:
        self._backoff.reset()
        taken_since = math.nan
        alarmed = False
        while self._session is None:
            await self._clock.sleep(self._pause(alarmed))
            try:
                await self._connect()
            except ClientIdTaken as taken:
                now = self._clock.monotonic()
                taken_since = now if math.isnan(taken_since) else taken_since
                self._listener.on_still_down(str(taken))
                if not alarmed and now - taken_since >= self.settings.client_id_patience:
                    alarmed = True
                    self._listener.on_error(-1, CLIENT_ID_IN_USE, str(taken))
            except BrokerUnavailable as error:
                self._endpoint.failed()
                self._listener.on_still_down(str(error))

    def _pause(self, alarmed: bool) -> float:
        """Return seconds until the next attempt; long ones where a person is needed."""
        delay = self._backoff.next()
        if self.quarantined and not self.fixed:
            return max(delay, QUARANTINE)
        return max(delay, self.settings.reconnect_max) if alarmed else delay
