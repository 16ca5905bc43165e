"""The data path: lines, snapshots, definitions and history."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from alluse_core.clock import Clock
from alluse_core.errors import (
    AmbiguousInstrument,
    BrokerUnavailable,
    InstrumentNotFound,
    NotSent,
    RequestFailed,
)
from alluse_core.model import (
    Bar,
    BrokerNotice,
    DataType,
    Instrument,
    InstrumentDefinition,
    Quote,
    SecurityType,
)
from alluse_core.orders.outcomes import Action, classify
from alluse_core.ports import Pacer, Priority, QuoteSink
from alluse_core.telemetry import Registry
from alluse_ibkr import contracts
from alluse_ibkr.connection import Connection
from alluse_ibkr.contracts import ContractBook
from alluse_ibkr.meters import COMPONENT
from alluse_ibkr.settings import IbkrSettings
from alluse_ibkr.ticks import Line
from alluse_ibkr.wireformat import bar_time, exact, wire_bar_size, wire_duration, wire_time
from alluse_ibkr.wrapper import Listener

_HISTORY_AT_ONCE = 50
_UPLINK = "uplink"
_RETRY_SECONDS = 5.0
_COMPETING_SESSION = 10197
_HARMLESS = frozenset({10090, 10167})
"""Told with a stream that goes on: in part, or delayed."""


class IbkrSubscription:
    """One taker of a line; the line ends with its last one."""

    def __init__(self, desk: DataDesk, line: Line, sink: QuoteSink) -> None:
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


class DataDesk(Listener):
    """Keeps lines alive on the data connection, and asks its questions there.

    A line is alive while bytes come in on its connection, its farm is not reported broken and the
    terminal has its uplink: a quiet market is not a stale one.
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
    ) -> None:
        self.connection: Connection | None = None
        self._name = name
        self._settings = settings
        self._book = book
        self._clock = clock
        self._pacer = pacer
        self._notice = notice
        self._lines: dict[Instrument, Line] = {}
        self._snapshots = 0
        self._broken: set[str] = set()
        self._frozen_at = math.nan
        self._tasks: set[asyncio.Task[None]] = set()
        self._resubscribing: asyncio.Task[None] | None = None
        self._definitions: dict[Instrument, asyncio.Task[InstrumentDefinition]] = {}
        self._rules: dict[int, Sequence[Any]] = {}
        self._history = asyncio.Semaphore(_HISTORY_AT_ONCE)
        self._resubscriptions = registry.counter(COMPONENT, "resubscriptions", broker=name)
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

    @property
    def suspended(self) -> bool:
        """Whether the broker has said that data may be old."""
        return bool(self._broken)

    def alive_at(self, line: Line) -> float:
        """Return when a line was last known to be alive: its own tick, or any sign of life."""
        if math.isnan(line.alive_at) or not self._is_live(line) or self._broken:
            return line.alive_at
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

    def subscribe(self, instrument: Instrument, sink: QuoteSink) -> IbkrSubscription:
        """Stream an instrument. Raises RequestFailed (101) where all lines are in use."""
        line = self._lines.get(instrument)
        if line is None:
            if self.lines_in_use >= self._settings.max_lines:
                raise RequestFailed(
                    f"all {self._settings.max_lines} market data lines are in use",
                    code=101,
                    hint="close a subscription first, or raise max_lines if the login has more",
                )
            line = self._lines[instrument] = Line(instrument, self._requested(), snapshot=False)
            if self.connection is not None and self.connection.ready:
                self._spawn(self._request(line))
        line.sinks = (*line.sinks, sink)
        if line.quote is not None:
            sink(line.quote)
        return IbkrSubscription(self, line, sink)

    def release(self, line: Line, sink: QuoteSink) -> None:
        """Take one sink from a line; without any the line ends."""
        kept = list(line.sinks)
        if sink in kept:
            kept.remove(sink)
        line.sinks = tuple(kept)
        if kept or self._lines.get(line.instrument) is not line:
            return
        del self._lines[line.instrument]
        number, line.request_id = line.request_id, 0
        if number and self.connection is not None and self.connection.ready:
            self.connection.session.wrapper.lines.pop(number, None)
            self._spawn(self._cancel(number))

    def _requested(self) -> DataType:
        """Return the type that ticks have unless the broker says otherwise.

        Asked for live data, it sends live data or says what else it sends (58, delayed ticks).
        """
        return DataType.LIVE if self._settings.market_data_type == 1 else DataType.UNKNOWN

    async def _request(self, line: Line) -> None:
        """Ask for a line's stream, anew where it was asked for before."""
        await self._pacer.turn(Priority.DATA)
        connection = self.connection
        if connection is None or not connection.ready or not line.sinks:
            return
        try:
            contract = self._book.contract(line.instrument)
        except NotSent as error:
            line.refused = str(error)
            return
        session = connection.session
        session.wrapper.lines.pop(line.request_id, None)
        line.request_id = connection.next_number()
        line.refused = ""
        line.reset(self._requested())
        session.wrapper.lines[line.request_id] = line
        connection.meters.leases.value += 1
        session.client.reqMktData(line.request_id, contract, "", False, False, [])

    async def _cancel(self, number: int) -> None:
        await self._pacer.turn(Priority.DATA)
        if self.connection is not None and self.connection.ready:
            self.connection.session.client.cancelMktData(number)

    def connected(self) -> None:
        """Make all subscriptions on a new socket."""
        self._broken.clear()
        assert self.connection is not None
        if self._settings.market_data_type != 1:
            self.connection.session.client.reqMarketDataType(self._settings.market_data_type)
        if self._lines:
            self.resubscribe()

    def disconnected(self) -> None:
        """Nothing is live any more; what was known stays as old as it is."""
        self._broken.clear()

    def resubscribe(self) -> None:
        """Ask for every stream again, once, however many say that data was lost."""
        if self._resubscribing is None or self._resubscribing.done():
            self._resubscribing = self._spawn(self._resubscribe_all())

    async def _resubscribe_all(self) -> None:
        for line in list(self._lines.values()):
            old = line.request_id
            stale = (
                self.connection is not None
                and self.connection.ready
                and (old in self.connection.session.wrapper.lines)
            )
            if stale:
                await self._cancel(old)
            await self._request(line)
            self._resubscriptions.value += 1

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Stop what is still being asked for."""
        tasks = [*self._tasks, *self._definitions.values()]
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
        for line in self._lines.values():
            old = line.quote
            if old is None or self.suspended or not self._is_live(line):
                continue
            if now - old.confirmed_at < self._settings.heartbeat:
                continue
            line.quote = confirmed = _confirmed(old, now)
            for sink in line.sinks:
                sink(confirmed)

    def on_error(self, request_id: int, code: int, text: str) -> None:
        """Follow what the broker says of a line, of its farms and of its uplink."""
        if code in (2103, 2157):
            self._suspend(_farm(text))
        elif code in (1100, 2110):
            self._suspend(_UPLINK)
        elif code == 2104 or code == 2158:
            self._broken.discard(_farm(text))
            self._broken.discard(_UPLINK)
        elif code == 1102:
            self._broken.clear()
        elif code == 1101:
            self._broken.clear()
            self.resubscribe()
        elif request_id > 0:
            self._notice(BrokerNotice(self._name, code, text, request_id=request_id))
            line = self._line_of(request_id)
            if line is not None:
                self._line_error(line, code, text)

    def _line_of(self, request_id: int) -> Line | None:
        if self.connection is None or not self.connection.ready:
            return None
        return self.connection.session.wrapper.lines.get(request_id)

    def _line_error(self, line: Line, code: int, text: str) -> None:
        """Mark the line; a tick that comes all the same takes the mark away."""
        action = classify(code, text).action
        if code in _HARMLESS or (action is Action.LOG and code != 200):
            return
        line.alive_at = self.alive_at(line)
        line.refused = f"{text} (code {code})"
        if action is Action.RESUBSCRIBE or code == _COMPETING_SESSION:
            self._spawn(self._again(line))

    async def _again(self, line: Line) -> None:
        await self._clock.sleep(_RETRY_SECONDS)
        if self._lines.get(line.instrument) is line and line.refused:
            await self._request(line)
            self._resubscriptions.value += 1

    # --- snapshots -------------------------------------------------------------------------

    async def snapshots(
        self, connection: Connection, instruments: Sequence[Instrument]
    ) -> Mapping[Instrument, Quote]:
        """Ask for one quote each, as many at a time as lines are free."""
        if not connection.ready:
            raise connection.unavailable()
        free = max(1, self._settings.max_lines - self.lines_in_use)
        gate = asyncio.Semaphore(free)
        wanted = list(dict.fromkeys(instruments))
        quotes = await asyncio.gather(
            *(self._snapshot(connection, instrument, gate) for instrument in wanted)
        )
        if wanted and not connection.ready and not any(quotes):
            raise connection.unavailable()
        return {quote.instrument: quote for quote in quotes if quote is not None}

    async def _snapshot(
        self, connection: Connection, instrument: Instrument, gate: asyncio.Semaphore
    ) -> Quote | None:
        line = Line(instrument, self._requested(), snapshot=True)

        def send(client: Any, number: int) -> None:
            line.request_id = number
            connection.session.wrapper.lines[number] = line
            client.reqMktData(number, self._book.contract(instrument), "", True, False, [])

        async with gate:
            self._snapshots += 1
            try:
                await connection.ask("snapshot", send)
            except RequestFailed as error:
                # Missing from the mapping: the caller sees that there is no answer.
                if error.code is not None:
                    self._notice(
                        BrokerNotice(self._name, error.code, str(error), request_id=line.request_id)
                    )
                return None
            except (BrokerUnavailable, NotSent):
                return None
            finally:
                self._snapshots -= 1
                if connection.ready:
                    connection.session.wrapper.lines.pop(line.request_id, None)
        if line.quote is None and not line.touched:
            return None
        return line.make(self._clock.monotonic(), self._name)

    # --- definitions and history -----------------------------------------------------------

    async def define(self, connection: Connection, instrument: Instrument) -> InstrumentDefinition:
        """Return what the broker knows of an instrument; asked once, by however many."""
        known = self._book.definition(instrument)
        if known is not None:
            return known
        task = self._definitions.get(instrument)
        if task is None:
            task = asyncio.ensure_future(self._define(connection, instrument))
            self._definitions[instrument] = task
            task.add_done_callback(lambda _: self._definitions.pop(instrument, None))
        return await asyncio.shield(task)

    async def _define(self, connection: Connection, instrument: Instrument) -> InstrumentDefinition:
        contract = self._book.contract(instrument)
        try:
            details = await connection.ask(
                "define", lambda client, number: client.reqContractDetails(number, contract)
            )
        except RequestFailed as error:
            if error.code == 200:
                details = []
            else:
                raise
        found = list({each.contract.conId: each for each in details}.values())
        if not found:
            raise InstrumentNotFound(
                f"the broker knows no {instrument.id}",
                hint="check symbol, exchange, currency, expiry and strike",
            )
        if len(found) > 1:
            listed = contracts.candidates(found)
            raise AmbiguousInstrument(
                f"{instrument.id} fits {len(found)} contracts",
                listed,
                hint="say more of it: " + "; ".join(listed[:5]),
            )
        rule = contracts.rule_number(found[0], instrument.exchange)
        increments = await self._rule(connection, rule) if rule is not None else None
        definition = contracts.define(instrument, found[0], increments)
        self._book.keep(definition)
        return definition

    async def _rule(self, connection: Connection, rule: int) -> Sequence[Any]:
        if rule not in self._rules:
            self._rules[rule] = await connection.ask_named(
                f"market_rule {rule}", "market_rule", lambda client: client.reqMarketRule(rule)
            )
        return self._rules[rule]

    async def bars(
        self,
        connection: Connection,
        instrument: Instrument,
        end: datetime | None,
        duration: timedelta,
        size: timedelta,
    ) -> Sequence[Bar]:
        """Return historical bars: trades, or midpoints for currency pairs."""
        shows = "MIDPOINT" if instrument.security_type is SecurityType.FOREX else "TRADES"
        until = wire_time(end) if end is not None else ""
        span, width = wire_duration(duration), wire_bar_size(size)
        contract = self._book.contract(instrument)
        async with self._history:
            try:
                rows = await connection.ask(
                    "bars",
                    lambda client, number: client.reqHistoricalData(
                        number, contract, until, span, width, shows, False, 2, False, []
                    ),
                    deadline=4 * self._settings.request_timeout,
                )
            except RequestFailed as error:
                if error.code == 162 and "no data" in str(error):
                    return ()
                raise
        return tuple(_bar(row) for row in rows)


def _farm(text: str) -> str:
    return text.rpartition(":")[2].strip()


def _bar(row: Any) -> Bar:
    volume = exact(row.volume)
    return Bar(
        bar_time(str(row.date)),
        row.open,
        row.high,
        row.low,
        row.close,
        float(volume) if volume is not None and volume >= 0 else math.nan,
    )


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
