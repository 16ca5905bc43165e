"""The workers: they take misses, ask the broker the way the plan says, and hand out answers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence

from alluse_core.clock import Clock
from alluse_core.errors import AllUseError, BrokerUnavailable, QuoteUnavailable
from alluse_core.model import Instrument, InstrumentDefinition, LinkState, Quote
from alluse_core.ports import Broker
from alluse_core.quotes.lines import Line, Lines
from alluse_core.quotes.measure import Measures
from alluse_core.quotes.misses import Miss, Misses
from alluse_core.quotes.plan import Choose, Plan, Route

_TRY_AGAIN = 0.05
"""Seconds between two looks for a line that came free: five times the pace of new ticks."""


class Fetchers:
    """A fixed set of long-lived workers; a read that hits never meets them."""

    def __init__(
        self,
        *,
        broker: Broker,
        misses: Misses,
        lines: Lines,
        measures: Measures,
        clock: Clock,
        take: Callable[[Quote], Quote],
        timeout: float,
        least_idle: float,
        choose: Choose,
    ) -> None:
        self._choose = choose
        self._broker = broker
        self._misses = misses
        self._lines = lines
        self._measures = measures
        self._clock = clock
        self._take = take
        self._timeout = timeout
        self._least_idle = least_idle
        self._tasks: list[asyncio.Task[None]] = []
        self.definitions: dict[Instrument, InstrumentDefinition] = {}
        self.idle = 0
        self.waiting_for_a_line = 0

    def start(self, workers: int) -> None:
        """Start ``workers`` workers in the running loop."""
        self._tasks = [
            asyncio.create_task(self._work(), name=f"alluse-quotes-{index}")
            for index in range(workers)
        ]

    async def stop(self) -> None:
        """End the workers and wait until they have ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _work(self) -> None:
        batch = max(1, self._broker.capabilities.snapshot_batch)
        while True:
            self.idle += 1
            try:
                misses = await self._misses.take(batch)
            finally:
                self.idle -= 1
            try:
                await self._answer([miss for miss in misses if self._misses.is_open(miss)])
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001
                # A worker outlives whatever a broker raises: the readers get it instead.
                self._measures.broker_errors.value += 1
                self._fail(misses, error)

    async def _answer(self, misses: Sequence[Miss]) -> None:
        if not misses:
            return
        now = self._clock.monotonic()
        for miss in misses:
            self._measures.queue_wait_ms.record(max(0.0, now - miss.since) * 1000.0)
        if self._broker.link in (LinkState.DOWN, LinkState.CONNECTING):
            self._fail(misses, unavailable(self._broker))
            return
        routes = [(miss, self.plan(miss.instrument, miss.reads, now).route) for miss in misses]
        lined = [miss for miss, route in routes if route in (Route.LINE, Route.WAIT)]
        # Where one request takes many, those that get a line too are answered by it sooner.
        batches = self._broker.capabilities.snapshot_batch > 1
        await self._snapshots([miss for miss in misses if batches or miss not in lined])
        for miss in lined:
            try:
                line = await self._line_for(miss)
            except AllUseError as error:
                self._fail([miss], error)
            else:
                if line is None and self._misses.is_open(miss):
                    await self._snapshots([miss])

    def plan(self, instrument: Instrument, reads: float, now: float) -> Plan:
        """Return how to ask for ``instrument`` at monotonic ``now``."""
        return self._choose(
            self._broker.capabilities,
            instrument=instrument,
            reads=reads,
            held=self._lines.get(instrument) is not None,
            lines=self._lines.uses(now),
            used=len(self._lines),
            least_idle=self._least_idle,
        )

    async def _line_for(self, miss: Miss) -> Line | None:
        """Return a line for a miss, waiting for one to come free as long as somebody waits."""
        self.waiting_for_a_line += 1
        try:
            line = await self.open_line(miss.instrument, miss.reads)
            while line is None and self._misses.is_open(miss):
                if self.plan(miss.instrument, miss.reads, self._clock.monotonic()).route not in (
                    Route.LINE,
                    Route.WAIT,
                ):
                    break
                await self._clock.sleep(_TRY_AGAIN)
                line = await self.open_line(miss.instrument, miss.reads)
            return line
        finally:
            self.waiting_for_a_line -= 1

    async def open_line(self, instrument: Instrument, reads: float = math.inf) -> Line | None:
        """Return the instrument's line, subscribing where it has none; None where none is free.

        Its first tick answers a miss. Raises InstrumentNotFound or AmbiguousInstrument where the
        broker cannot name the instrument, QuoteUnavailable where it does not answer.
        """
        line = self._lines.get(instrument)
        if line is not None:
            return line
        await self.define(instrument)
        await self._uncrowded()
        # Only now, since another worker may have taken a line while the broker was asked.
        plan = self.plan(instrument, reads, self._clock.monotonic())
        if plan.release is not None:
            self._lines.release(plan.release)
            self._measures.lines_released.value += 1
        line = self._lines.get(instrument)
        if line is None and plan.route is Route.LINE:
            self._measures.broker_calls.value += 1
            line = self._lines.open(instrument, self._clock.monotonic())
            self._measures.lines_opened.value += 1
        return line

    async def _uncrowded(self) -> None:
        """Wait until a chain reader gave a line back; it takes none while somebody waits."""
        self.waiting_for_a_line += 1
        try:
            while self._lines.crowded:
                await self._clock.sleep(_TRY_AGAIN)
        finally:
            self.waiting_for_a_line -= 1

    async def define(self, instrument: Instrument) -> InstrumentDefinition:
        """Return what the broker knows of an instrument, asking once; errors as open_line."""
        definition = self.definitions.get(instrument)
        if definition is None:
            self._measures.broker_calls.value += 1
            try:
                async with asyncio.timeout(self._timeout):
                    definition = await self._broker.define(instrument)
            except TimeoutError:
                self._measures.broker_errors.value += 1
                raise no_answer(self._broker, instrument, self._timeout) from None
            self.definitions[instrument] = definition
        return definition

    async def _snapshots(self, misses: Sequence[Miss]) -> None:
        if not misses:
            return
        instruments = [miss.instrument for miss in misses]
        self._measures.broker_calls.value += 1
        asked = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._timeout):
                quotes = await self._broker.snapshots(instruments)
        except TimeoutError:
            self._measures.broker_errors.value += 1
            quotes = {}
        took = self._clock.monotonic() - asked
        for miss in misses:
            quote = quotes.get(miss.instrument)
            if quote is None:
                self._fail([miss], no_answer(self._broker, miss.instrument, took))
            else:
                self._misses.resolve(self._take(quote))
                waited = self._clock.monotonic() - miss.since
                self._measures.fetch_ms.record(max(0.0, waited) * 1000.0)

    def _fail(self, misses: Iterable[Miss], error: Exception) -> None:
        for miss in misses:
            self._misses.fail(miss.instrument, error)


def unavailable(broker: Broker) -> BrokerUnavailable:
    """Return the error of a read without a link."""
    return BrokerUnavailable(
        f"no link to broker {broker.name!r} ({broker.link.value}), and no fresh quote is held",
        hint="see 'alluse orders status'; quotes.newest() returns the last known quote and its age",
    )


def no_answer(broker: Broker, instrument: Instrument, waited: float) -> QuoteUnavailable:
    """Return the error of a read that the broker left without a quote for ``waited`` seconds."""
    return QuoteUnavailable(
        f"broker {broker.name!r} gave no quote of {instrument} within {round(waited, 3):g} s",
        hint="check the market data subscription and the market's hours:"
        " 'alluse doctor --connect --ask INSTRUMENT'",
    )
