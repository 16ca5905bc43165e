"""The live lines of the data connection: subscriptions, their life, and what ends it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

from alluse_core.clock import Clock
from alluse_core.errors import NotSent, RequestFailed
from alluse_core.model import Action, BrokerNotice, DataType, ErrorClass, Instrument, Quote
from alluse_core.ports import Classify, Pacer, Priority, QuoteSink
from alluse_core.telemetry import Registry
from alluse_ibkr import codes
from alluse_ibkr.connection import Connection
from alluse_ibkr.contracts import ContractBook
from alluse_ibkr.lease import Lease
from alluse_ibkr.meters import COMPONENT
from alluse_ibkr.quiet import break_silence
from alluse_ibkr.rhythm import SilenceWatch
from alluse_ibkr.settings import IbkrSettings
from alluse_ibkr.ticks import Line
from alluse_ibkr.wrapper import Listener

_UPLINK = "uplink"
_RETRY_SECONDS = 5.0
_ASKED_AGAIN = frozenset({Action.RESUBSCRIBE, Action.GATE_AND_PAGE})
"""What may come back by itself: a stream that began anew, or one that another session took."""


class IbkrSubscription:
    """One taker of a line; the line ends with its last one."""

    def __init__(self, desk: LineDesk, line: Line, sink: QuoteSink) -> None:
        self._desk = desk
        self._line = line
        self._sink = sink
        self._open = True

    @property
    def instrument(self) -> Instrument:
        """What is streamed."""
        return self._line.instrument

    @property
    def alive_at(self) -> float:
        """Monotonic seconds at which the stream was last known to be alive; NaN: never yet."""
        return self._desk.alive_at(self._line)

    @property
    def refused(self) -> str:
        """Why the broker does not stream this; empty where it does."""
        return self._line.refused

    def close(self) -> None:
        """End the stream. Safe to call twice."""
        if self._open:
            self._open = False
            self._desk.release(self._line, self._sink)


class LineDesk(Listener):
    """Keeps lines alive on the data connection.

    A line is alive while messages come in on its connection, its farm is not reported broken and
    the terminal has its uplink: a quiet market is not a stale one.
    """

    def __init__(
        self,
        name: str,
        settings: IbkrSettings,
        book: ContractBook,
        clock: Clock,
        pacer: Pacer,
        registry: Registry,
        notice: Callable[[BrokerNotice], None],
        classify: Classify,
    ) -> None:
        self.connection: Connection | None = None
        self._name = name
        self._settings = settings
        self._book = book
        self._clock = clock
        self._pacer = pacer
        self.notice = notice
        self._classify = classify
        self._lines: dict[Instrument, Line] = {}
        self._snapshots = 0
        self._broken: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._resubscribing: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._line_free = asyncio.Event()
        self._has_lines = asyncio.Event()
        self._silence = SilenceWatch()
        self._silent_lines = registry.counter(COMPONENT, "silent_lines", broker=name)
        self._resubscriptions = registry.counter(COMPONENT, "resubscriptions", broker=name)
        self._quiet_probes = registry.counter(COMPONENT, "quiet_probes", broker=name)
        self._quotes_out = registry.counter(COMPONENT, "quotes_out", broker=name)
        registry.observe(COMPONENT, "subscriptions_live", self._live_count, broker=name)
        registry.observe(COMPONENT, "lines_in_use", lambda: float(self.lines_in_use), broker=name)

    # --- liveness --------------------------------------------------------------------------

    def _live_count(self) -> float:
        return float(sum(self._is_live(line) for line in self._lines.values()))

    def _is_live(self, line: Line) -> bool:
        return (
            self.connection is not None
            and self.connection.ready
            and line.request_id in self.connection.session.wrapper.lines
            and not line.refused
        )

    def _streaming(self) -> bool:
        return not self._broken and any(self._is_live(line) for line in self._lines.values())

    @property
    def suspended(self) -> bool:
        """Whether the broker has said that data may be old."""
        return bool(self._broken)

    def alive_at(self, line: Line) -> float:
        """Return when a line was last known to be alive: its own tick, or any sign of life."""
        if math.isnan(line.alive_at) or not self._is_live(line) or self._broken:
            return line.alive_at
        if self._silence.suspect(line):
            return line.quote.changed_at if line.quote is not None else line.alive_at
        assert self.connection is not None
        return max(line.alive_at, self.connection.heard_at)

    def _suspend(self, what: str) -> None:
        """Fix every line's life at the last moment it was known of."""
        for line in self._lines.values():
            line.alive_at = self.alive_at(line)
        self._broken.add(what)

    # --- lines -----------------------------------------------------------------------------

    @property
    def lines_in_use(self) -> int:
        """Market data lines that this login uses here."""
        return len(self._lines) + self._snapshots

    @property
    def free_lines(self) -> int:
        """How many more instruments could stream now."""
        return max(0, self._settings.max_lines - self.lines_in_use)

    @property
    def data_up(self) -> bool:
        """Whether quotes can come in now, as far as is known."""
        return self.connection is not None and self.connection.ready and not self._broken

    def subscribe(self, instrument: Instrument, sink: QuoteSink) -> IbkrSubscription:
        """Stream an instrument. Raises RequestFailed (101) where all lines are in use."""
        return self._open(instrument, sink)[0]

    async def open_line(self, instrument: Instrument, sink: QuoteSink) -> IbkrSubscription:
        """Stream an instrument; return once the request has left, or waits for a connection."""
        subscription, asking = self._open(instrument, sink)
        try:
            if asking is not None:
                await asyncio.shield(asking)
        except BaseException:
            subscription.close()
            raise
        return subscription

    def _open(
        self, instrument: Instrument, sink: QuoteSink
    ) -> tuple[IbkrSubscription, asyncio.Task[None] | None]:
        asking = None
        line = self._lines.get(instrument)
        if line is None:
            if self.lines_in_use >= self._settings.max_lines:
                raise RequestFailed(
                    f"all {self._settings.max_lines} market data lines are in use",
                    code=codes.NO_LINE_FREE,
                    hint="close a subscription first, or raise max_lines if the login has more",
                )
            line = self._lines[instrument] = Line(instrument, self.requested_type)
            self._has_lines.set()
            if self.connection is not None and self.connection.ready:
                asking = self._spawn(self._request(line))
        line.sinks = (*line.sinks, sink)
        if line.quote is not None:
            sink(line.quote)
        return IbkrSubscription(self, line, sink), asking

    def check_free(self) -> None:
        """Raise RequestFailed (101) where streams hold every line."""
        if len(self._lines) >= self._settings.max_lines:
            raise RequestFailed(
                f"all {self._settings.max_lines} market data lines stream",
                code=codes.NO_LINE_FREE,
                hint="close a subscription to have a line for snapshots",
            )

    async def take(self) -> bool:
        """Wait for a line for a snapshot, to be given back; False where streams hold them all."""
        while self.lines_in_use >= self._settings.max_lines:
            if len(self._lines) >= self._settings.max_lines:
                return False
            self._line_free.clear()
            await self._line_free.wait()
        self._snapshots += 1
        return True

    def give(self) -> None:
        """Give a snapshot's line back."""
        self._snapshots -= 1
        self._line_free.set()

    def release(self, line: Line, sink: QuoteSink) -> None:
        """Take one sink from a line; without any the line ends."""
        kept = list(line.sinks)
        if sink in kept:
            kept.remove(sink)
        line.sinks = tuple(kept)
        if kept or self._lines.get(line.instrument) is not line:
            return
        del self._lines[line.instrument]
        self._line_free.set()
        if not self._lines:
            self._has_lines.clear()
        number, line.request_id = line.request_id, 0
        if self._line_of(number) is line and self.connection is not None:
            lease = self.connection.lease()
            lease.session.wrapper.lines.pop(number, None)
            self._spawn(self._cancel(number, lease))

    @property
    def requested_type(self) -> DataType:
        """The type that ticks have unless the broker says otherwise.

        Asked for live data, it sends live data or says what else it sends (58, delayed ticks).
        """
        return DataType.LIVE if self._settings.market_data_type == 1 else DataType.UNKNOWN

    async def _request(self, line: Line) -> None:
        """Ask for a line's stream; one that was asked for before on this socket is ended first."""
        try:
            contract = self._book.contract(line.instrument)
        except NotSent as error:
            line.refused = str(error)
            return
        await self._pacer.turn(Priority.DATA)
        if self._line_of(line.request_id) is line:
            self._end(line.request_id)
            await self._pacer.turn(Priority.DATA)
        connection = self.connection
        if connection is None or not connection.ready or not line.sinks:
            return
        lease = connection.lease()
        line.request_id = connection.next_number()
        line.refused = ""
        line.reset(self.requested_type)
        lease.session.wrapper.lines[line.request_id] = line
        lease.client.reqMktData(line.request_id, contract, "", False, False, [])

    def _end(self, number: int) -> None:
        if self.connection is not None and self.connection.ready:
            session = self.connection.session
            session.wrapper.lines.pop(number, None)
            session.client.cancelMktData(number)

    async def _cancel(self, number: int, lease: Lease) -> None:
        await self._pacer.turn(Priority.DATA)
        if lease.valid:
            lease.client.cancelMktData(number)

    def connected(self, *, greeted: bool = True) -> None:
        """Make all subscriptions on another socket.

        A new one was ``greeted`` with the state of the farms; on one that was up before, what is
        reported broken stays so.
        """
        if greeted:
            self._broken.clear()
        self.resubscribe(begin=True)
        if self._settings.quiet and self.connection is not None:
            self._listening = self._spawn(
                break_silence(
                    self.connection,
                    self._clock,
                    self._settings.quiet,
                    self._has_lines,
                    self._streaming,
                    self._quiet_probes,
                )
            )

    def disconnected(self) -> None:
        """Nothing is live any more; what was known stays as old as it is."""
        if self._listening is not None:
            self._listening.cancel()

    def resubscribe(self, *, begin: bool = False) -> None:
        """Ask for every stream again, once, however many say that data was lost.

        ``begin``: on a new socket, which has to be told the type of data first.
        """
        running = self._resubscribing
        if begin and running is not None:
            running.cancel()
        elif running is not None and not running.done():
            return
        # Lines that are opened from now on are asked for by themselves.
        self._resubscribing = self._spawn(self._resubscribe_all(tuple(self._lines.values()), begin))

    async def _resubscribe_all(self, lines: tuple[Line, ...], begin: bool) -> None:
        connection = self.connection
        if connection is not None and begin and self._settings.market_data_type != 1:
            kind = self._settings.market_data_type
            await connection.tell(lambda client: client.reqMarketDataType(kind))
        for line in lines:
            await self._request(line)
            self._resubscriptions.value += 1

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Stop what is still being asked for."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- what comes in ---------------------------------------------------------------------

    def on_quotes(self, lines: list[Line], now: float) -> None:
        """Hand out one quote for each line that the network read touched."""
        self._quotes_out.value += len(lines)
        for line in lines:
            line.touched = False
            line.refused = ""
            quote = line.make(now, self._name)
            for sink in line.sinks:
                sink(quote)

    def on_heartbeat(self, now: float) -> None:
        """Confirm quiet lines to their takers: same values, same sequence, a newer sign of life."""
        self._look_for_silence(now)
        for line in self._lines.values():
            old = line.quote
            if old is None or self.suspended or not self._is_live(line):
                continue
            if self._silence.suspect(line):
                continue
            if now - old.confirmed_at < self._settings.heartbeat:
                continue
            line.quote = confirmed = _confirmed(old, now)
            for sink in line.sinks:
                sink(confirmed)

    def _look_for_silence(self, now: float) -> None:
        """Ask again for lines that are silent far beyond their own habit while others tick."""
        if self.suspended:
            return
        living = [line for line in self._lines.values() if self._is_live(line)]
        for line in self._silence.look(living, now):
            self._silent_lines.value += 1
            self._spawn(self._request(line))
            self._resubscriptions.value += 1

    def on_error(self, request_id: int, code: int, text: str) -> None:
        """Follow what the broker says of a line, of its farms and of its uplink."""
        if code in (codes.MARKET_FARM_BROKEN, codes.DEFINITIONS_FARM_BROKEN):
            self._suspend(_farm(text))
        elif code in (codes.UPLINK_LOST, codes.UPLINK_BROKEN):
            self._suspend(_UPLINK)
        elif code in (codes.MARKET_FARM_FINE, codes.DEFINITIONS_FARM_FINE):
            self._broken.discard(_farm(text))
            self._broken.discard(_UPLINK)
        elif code == codes.UPLINK_BACK:
            self._broken.clear()
        elif code == codes.UPLINK_BACK_DATA_LOST:
            self._broken.clear()
            self.resubscribe()
        elif request_id > 0:
            self.notice(BrokerNotice(self._name, code, text, request_id=request_id))
            line = self._line_of(request_id)
            if line is not None:
                self._line_error(line, code, text)

    def _line_of(self, request_id: int) -> Line | None:
        if self.connection is None or not self.connection.ready:
            return None
        return self.connection.session.wrapper.lines.get(request_id)

    def _line_error(self, line: Line, code: int, text: str) -> None:
        """Mark the line; a tick that comes all the same takes the mark away."""
        found = self._classify(code, text)
        if found.error_class is ErrorClass.INFO:
            return
        line.alive_at = self.alive_at(line)
        line.refused = f"{text} (code {code})"
        if found.action in _ASKED_AGAIN:
            self._spawn(self._again(line))

    async def _again(self, line: Line) -> None:
        await self._clock.sleep(_RETRY_SECONDS)
        if self._lines.get(line.instrument) is line and line.refused:
            await self._request(line)
            self._resubscriptions.value += 1


def _farm(text: str) -> str:
    return text.rpartition(":")[2].strip()


def _confirmed(old: Quote, now: float) -> Quote:
    return Quote(
        old.instrument,
        old.bid,
        old.ask,
        old.bid_size,
        old.ask_size,
        old.last,
        old.last_size,
        old.volume,
        old.changed_at,
        now,
        old.time,
        old.data_type,
        old.halted,
        old.sequence,
        old.source,
    )
