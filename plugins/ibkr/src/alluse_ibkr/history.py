"""Historical bars: a queue under IBKR's pacing rules, one request for all who ask the same."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from alluse_core.clock import Clock
from alluse_core.errors import RequestFailed
from alluse_core.model import Bar, ErrorClass, Instrument, SecurityType, Verb
from alluse_core.ports import Classify
from alluse_core.telemetry import Registry
from alluse_ibkr.contracts import ContractBook
from alluse_ibkr.history_pacing import (
    MOST_TRIES,
    OPEN_AT_ONCE,
    Concurrency,
    HistoryRequest,
    HistorySchedule,
    back_off,
    split,
)
from alluse_ibkr.meters import COMPONENT
from alluse_ibkr.route import Route
from alluse_ibkr.wireformat import bar_time, exact, wire_bar_size, wire_duration, wire_time


class Slots:
    """Lets as many at a time as a limit that may change says; first come, first served."""

    def __init__(self, limit: Concurrency) -> None:
        self.limit = limit
        self.taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(not turn.done() for turn in self._waiting)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one slot."""
        while self.taken >= self.limit.limit:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake()  # Its turn had come: the next one must not wait for it.
                raise
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
            self._wake()

    def _wake(self) -> None:
        free = self.limit.limit - self.taken
        while free > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1


class HistoryDesk:
    """Asks for bars on the data connection.

    A request that nobody waits for any more is taken out of the queue, or cancelled at the broker.
    """

    def __init__(
        self,
        name: str,
        connection: Route,
        book: ContractBook,
        clock: Clock,
        registry: Registry,
        classify: Classify,
    ) -> None:
        self._classify = classify
        self._connection = connection
        self._book = book
        self._clock = clock
        self._schedule = HistorySchedule()
        self._slots = Slots(Concurrency(OPEN_AT_ONCE))
        self._open: dict[HistoryRequest, _Shared] = {}
        self._pacing = registry.counter(COMPONENT, "history_pacing_violations", broker=name)
        self._coalesced = registry.counter(COMPONENT, "history_coalesced", broker=name)
        self._waited = registry.timer(COMPONENT, "history_wait_ms", "ms", broker=name)
        registry.observe(COMPONENT, "history_open", lambda: float(self._slots.taken), broker=name)
        registry.observe(
            COMPONENT, "history_queued", lambda: float(self._slots.waiting), broker=name
        )

    async def close(self) -> None:
        """Stop what is still being asked for."""
        tasks = tuple(shared.task for shared in self._open.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def bars(
        self, instrument: Instrument, end: datetime | None, duration: timedelta, size: timedelta
    ) -> Sequence[Bar]:
        """Return bars in rising time: trades, or midpoints for currency pairs.

        A range longer than one request may ask for is asked for in parts, the latest first. Raises
        RequestFailed where a part of it cannot be had.
        """
        shows = "MIDPOINT" if instrument.security_type is SecurityType.FOREX else "TRADES"
        wire_bar_size(size)
        parts = split(duration, size)
        latest = end if end is not None or len(parts) == 1 else self._clock.now()
        requests = [
            HistoryRequest(
                instrument,
                instrument.exchange,
                shows,
                "" if latest is None else wire_time(latest - offset),
                wire_duration(part),
                size,
            )
            for offset, part in parts
        ]
        found: dict[datetime, Bar] = {}
        for request in requests:
            for bar in await self._shared(request):
                found.setdefault(bar.time, bar)
        return tuple(found[time] for time in sorted(found))

    async def _shared(self, request: HistoryRequest) -> Sequence[Bar]:
        shared = self._open.get(request)
        if shared is None:
            task = asyncio.ensure_future(self._ask(request))
            shared = self._open[request] = _Shared(task)
            task.add_done_callback(lambda done: self._done(request, done))
        else:
            self._coalesced.value += 1
        shared.readers += 1
        try:
            return await asyncio.shield(shared.task)
        finally:
            shared.readers -= 1
            if not shared.readers and not shared.task.done():
                self._open.pop(request, None)
                shared.task.cancel()

    def _done(self, request: HistoryRequest, task: asyncio.Task[Sequence[Bar]]) -> None:
        shared = self._open.get(request)
        if shared is not None and shared.task is task:
            del self._open[request]
        if not task.cancelled():
            # Whoever asked may have gone; asyncio would call that a lost exception.
            task.exception()

    async def _ask(self, request: HistoryRequest) -> Sequence[Bar]:
        tries = 0
        while True:
            tries += 1
            began = self._clock.monotonic()
            async with self._slots.slot():
                await self._turn(request)
                self._waited.record((self._clock.monotonic() - began) * 1000.0)
                try:
                    rows = await self._send(request)
                except RequestFailed as error:
                    meaning = self._classify(error.code, str(error), Verb.HISTORY).error_class
                    if meaning is ErrorClass.NOT_FOUND:
                        self._slots.limit.answered()
                        return ()
                    if meaning is ErrorClass.PACING or error.code is None:
                        self._slots.limit.troubled()
                    if meaning is not ErrorClass.PACING:
                        raise
                    self._pacing.value += 1
                    if tries >= MOST_TRIES:
                        raise
                else:
                    self._slots.limit.answered()
                    return tuple(_bar(row) for row in rows)
            # Outside the slot: others need not wait for this one's penalty.
            await self._clock.sleep(back_off(tries))

    async def _turn(self, request: HistoryRequest) -> None:
        while True:
            now = self._clock.monotonic()
            delay = self._schedule.delay(request, now)
            if delay <= 0:
                # No await in between, so that no other request takes the same room.
                self._schedule.note(request, now)
                return
            await self._clock.sleep(delay)

    async def _send(self, request: HistoryRequest) -> list[Any]:
        assert isinstance(request.contract, Instrument)
        contract = self._book.contract(request.contract)
        sent: list[tuple[Any, int]] = []

        def send(client: Any, number: int) -> None:
            sent.append((client, number))
            client.reqHistoricalData(
                number,
                contract,
                request.until,
                request.span,
                wire_bar_size(request.size),
                request.shows,
                False,
                2,
                False,
                [],
            )

        try:
            return await self._connection.ask(
                "bars",
                send,
                deadline=4 * self._connection.settings.request_timeout,
                verb=Verb.HISTORY,
            )
        except (RequestFailed, asyncio.CancelledError) as error:
            # One that hangs would hold one of the fifty for ever. It is a message more than its
            # turn allows, but nobody may be left to wait for another turn.
            if not isinstance(error, RequestFailed) or error.code is None:
                for client, number in sent:
                    if client.isConnected():
                        client.cancelHistoricalData(number)
            raise


class _Shared:
    """One request, and how many wait for it."""

    def __init__(self, task: asyncio.Task[Sequence[Bar]]) -> None:
        self.task = task
        self.readers = 0


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
