"""What is asked on the data connection: snapshots, definitions, history."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
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
    ErrorClass,
    Instrument,
    InstrumentDefinition,
    Quote,
    Verb,
)
from alluse_core.ports import Classify
from alluse_ibkr import contracts
from alluse_ibkr.contracts import ContractBook
from alluse_ibkr.history import HistoryDesk, Slots
from alluse_ibkr.history_pacing import OPEN_AT_ONCE, Concurrency
from alluse_ibkr.lines import LineDesk
from alluse_ibkr.route import Route
from alluse_ibkr.ticks import Line

_KEPT_SECONDS = 86400.0


class Lookup:
    """Asks questions on the data connection."""

    def __init__(
        self,
        name: str,
        connection: Route,
        book: ContractBook,
        lines: LineDesk,
        clock: Clock,
        contracts_route: Route,
        history: HistoryDesk,
        classify: Classify,
    ) -> None:
        self._classify = classify
        self._name = name
        self._connection = connection
        self._contracts_route = contracts_route
        self._book = book
        self._lines = lines
        self._clock = clock
        self._definitions: dict[Instrument, asyncio.Task[InstrumentDefinition]] = {}
        self._defined_at: dict[Instrument, float] = {}
        self._rules: dict[int, Sequence[Any]] = {}
        self._history = history
        self._slots = Slots(Concurrency(OPEN_AT_ONCE))

    async def close(self) -> None:
        """Stop what is still being asked for."""
        tasks = tuple(self._definitions.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._history.close()

    # --- snapshots -------------------------------------------------------------------------

    async def snapshots(self, instruments: Sequence[Instrument]) -> Mapping[Instrument, Quote]:
        """Ask for one quote each, as many at a time as lines are free."""
        if not self._connection.ready:
            raise self._connection.unavailable()
        self._lines.check_free()
        wanted = list(dict.fromkeys(instruments))
        quotes = await asyncio.gather(*(self._snapshot(instrument) for instrument in wanted))
        if wanted and not self._connection.ready and not any(quotes):
            raise self._connection.unavailable()
        return {quote.instrument: quote for quote in quotes if quote is not None}

    async def _snapshot(self, instrument: Instrument) -> Quote | None:
        """Return a quote, or None where the broker has no answer: that one will be missing."""
        line = Line(instrument, self._lines.requested_type)

        def send(client: Any, number: int) -> None:
            line.request_id = number
            self._connection.session.wrapper.lines[number] = line
            client.reqMktData(number, self._book.contract(instrument), "", True, False, [])

        if not await self._lines.take():
            return None
        try:
            await self._connection.ask("snapshot", send)
        except RequestFailed as error:
            if error.code is not None:
                self._lines.notice(
                    BrokerNotice(self._name, error.code, str(error), request_id=line.request_id)
                )
            return None
        except (BrokerUnavailable, NotSent):
            return None
        finally:
            self._lines.give()
            if self._connection.ready:
                self._connection.session.wrapper.lines.pop(line.request_id, None)
        if line.quote is None:
            return None
        return line.make(self._clock.monotonic(), self._name)

    # --- definitions -----------------------------------------------------------------------

    async def define(self, instrument: Instrument) -> InstrumentDefinition:
        """Return what the broker knows of an instrument; asked once a day, by however many.

        An answer tells the trading hours of about a week. Where it cannot be had anew, the old one
        holds.
        """
        known = self._book.definition(instrument)
        now = self._clock.monotonic()
        if known is not None and now - self._defined_at.get(instrument, -math.inf) < _KEPT_SECONDS:
            return known
        try:
            return await self._ask_once(instrument)
        except (BrokerUnavailable, RequestFailed):
            if known is None:
                raise
            return known

    async def _ask_once(self, instrument: Instrument) -> InstrumentDefinition:
        task = self._definitions.get(instrument)
        if task is None:
            task = asyncio.ensure_future(self._define(instrument))
            self._definitions[instrument] = task
            task.add_done_callback(lambda done: self._answered(instrument, done))
        return await asyncio.shield(task)

    def _answered(self, instrument: Instrument, task: asyncio.Task[InstrumentDefinition]) -> None:
        self._definitions.pop(instrument, None)
        if not task.cancelled():
            # Whoever asked may have gone; asyncio would call that a lost exception.
            task.exception()

    async def _define(self, instrument: Instrument) -> InstrumentDefinition:
        details = await self.details("define", self._book.contract(instrument))
        found = list({each.contract.conId: each for each in details}.values())
        if not found:
            raise InstrumentNotFound(
                f"the broker knows no {instrument.id}",
                hint="check symbol, exchange, currency, expiry and strike",
            )
        if len(found) > 1:
            raise AmbiguousInstrument(
                f"{instrument.id} fits {len(found)} contracts",
                contracts.candidates(self._book, found),
                hint="say more of it, so that one is left: exchange, currency, expiry, strike, "
                "right or multiplier, or Instrument.parse() with one of these ids",
            )
        rule = contracts.rule_number(found[0], instrument.exchange)
        increments = await self.rule(rule) if rule is not None else None
        definition = contracts.define(instrument, found[0], increments)
        self._book.keep(definition)
        self.defined(instrument)
        return definition

    def defined(self, instrument: Instrument) -> None:
        """Note that the book's definition of an instrument is of now."""
        self._defined_at[instrument] = self._clock.monotonic()

    async def details(self, operation: str, contract: Any) -> list[Any]:
        """Return what the broker tells of each contract that fits; empty where none does.

        As many at a time as it answers well: one more after a round of answers, half after one
        that hung or was refused for its pace.
        """
        async with self._slots.slot():
            try:
                rows = await self._contracts_route.ask(
                    operation,
                    lambda client, number: client.reqContractDetails(number, contract),
                    verb=Verb.DEFINE,
                )
            except RequestFailed as error:
                meaning = self._classify(error.code, str(error), Verb.DEFINE).error_class
                if meaning is ErrorClass.PACING or error.code is None:
                    self._slots.limit.troubled()
                if meaning is not ErrorClass.NOT_FOUND:
                    raise
                rows = []
            self._slots.limit.answered()
            return rows

    async def rule(self, rule: int) -> Sequence[Any]:
        """Return the price increments of a market rule, asked once."""
        if rule not in self._rules:
            self._rules[rule] = await self._contracts_route.ask_named(
                f"market_rule {rule}", "market_rule", lambda client: client.reqMarketRule(rule)
            )
        return self._rules[rule]

    # --- history ---------------------------------------------------------------------------

    async def bars(
        self, instrument: Instrument, end: datetime | None, duration: timedelta, size: timedelta
    ) -> Sequence[Bar]:
        """Return historical bars; see HistoryDesk.bars."""
        return await self._history.bars(instrument, end, duration, size)
