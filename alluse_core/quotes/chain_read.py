"""Reads a chain through a moving window of the broker's free lines."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from functools import partial

import attrs

from alluse_core.clock import Clock
from alluse_core.errors import BrokerError, BrokerUnavailable
from alluse_core.model import (
    ChainPlan,
    ChainProgress,
    ChainRow,
    Instrument,
    OptionChain,
    Quote,
    QuoteCondition,
    Side,
)
from alluse_core.ports import OpenLine, OptionChains

Progress = Callable[[ChainProgress], None]

_LOOK = 0.1
"""Seconds between two looks for a free line, and at a line that gave no quote yet."""

_TRIES = 3
"""How often the contracts of an expiry are asked for, where the link goes down meanwhile."""


@attrs.frozen
class Patience:
    """Seconds that an option may hold its line without two sides, that a free line is waited for,
    and that the broker's data may be down at a time."""

    answer: float
    line: float
    outage: float


class ChainReader:
    """Reads one plan once.

    It uses the lines that are free at each moment and no more: ``lend(+1)`` and ``lend(-1)`` tell
    each that it takes and gives back. While ``wanted`` says that somebody else waits for a line,
    it takes none. ``dwelt`` is told the seconds that each answer took.
    """

    def __init__(
        self,
        chains: OptionChains,
        clock: Clock,
        plan: ChainPlan,
        patience: Patience,
        *,
        wanted: Callable[[], bool],
        lend: Callable[[int], None],
        dwelt: Callable[[float], None],
        progress: Progress,
    ) -> None:
        self._chains = chains
        self._clock = clock
        self._plan = plan
        self._patience = patience
        self._wanted = wanted
        self._lend = lend
        self._dwelt = dwelt
        self._progress = progress
        self._rows: dict[Instrument, ChainRow] = {}
        self._open: set[asyncio.Task[None]] = set()
        self._most = 0
        self._quoted = 0
        self._options_wanted = plan.options

    async def read(self) -> OptionChain:
        """Return a row for each option of the plan, whatever becomes of it."""
        began = self._clock.monotonic()
        pending = deque(await self._listed())
        starved: float | None = None
        try:
            while pending or self._open:
                if pending and self._may_open() and await self._begin(pending[0]):
                    pending.popleft()
                    starved = None
                    continue
                now = self._clock.monotonic()
                if self._open:
                    starved = None
                elif starved is None:
                    starved = now
                elif reason := self._hopeless(now - starved):
                    self._miss(pending, reason)
                    break
                await self._look()
        finally:
            for task in self._open:
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)
        rows = tuple(self._rows[option] for option in self._options_wanted)
        return OptionChain(self._plan, rows, self._clock.monotonic() - began, self._most)

    # --- contracts -------------------------------------------------------------------------

    async def _listed(self) -> list[Instrument]:
        """Return the options of the plan that are listed; the others get their rows."""
        found = []
        for expiry in self._plan.expiries:
            wanted = [each for each in self._options_wanted if each.expiry == expiry]
            try:
                listed = frozenset(await self._options(expiry))
            except BrokerError as error:
                self._miss(wanted, f"its contract could not be had: {error}")
                continue
            found += [each for each in wanted if each in listed]
            self._miss([each for each in wanted if each not in listed], "it is not listed")
        return found

    async def _options(self, expiry: date) -> Sequence[Instrument]:
        for _ in range(_TRIES - 1):
            try:
                return await self._chains.options(self._plan.parameters, expiry)
            except BrokerUnavailable:
                await self._data_back()
        return await self._chains.options(self._plan.parameters, expiry)

    async def _data_back(self) -> None:
        until = self._clock.monotonic() + self._patience.outage
        while True:
            await self._clock.sleep(_LOOK)
            if self._chains.data_up or self._clock.monotonic() >= until:
                return

    # --- the window ------------------------------------------------------------------------

    def _may_open(self) -> bool:
        return self._chains.data_up and not self._wanted() and self._chains.free_lines > 0

    def _hopeless(self, seconds: float) -> str:
        """Return why nothing more can be read, after so long without any line."""
        if not self._chains.data_up:
            late = seconds >= self._patience.outage
            return f"the broker's data was down for {seconds:.3g} s" if late else ""
        late = seconds >= self._patience.line
        return f"no market data line came free within {seconds:.3g} s" if late else ""

    async def _begin(self, option: Instrument) -> bool:
        """Open a line for ``option``; False where the data went down meanwhile."""
        answer = _Answer()
        self._lend(1)
        try:
            line = await self._chains.open_line(option, answer.take)
        except BaseException as error:
            self._lend(-1)
            if isinstance(error, BrokerUnavailable):
                return False
            if not isinstance(error, BrokerError):
                raise
            self._miss([option], str(error))
            return True
        task = asyncio.ensure_future(self._take(option, line, answer))
        self._open.add(task)
        task.add_done_callback(partial(self._close, line))
        self._most = max(self._most, len(self._open))
        return True

    def _close(self, line: OpenLine, task: asyncio.Task[None]) -> None:
        # Here and not in the task: one that is cancelled before it began runs nothing of itself.
        self._open.discard(task)
        self._lend(-1)
        line.close()

    async def _look(self) -> None:
        """Wait until a line ended, or for a little while: others give lines back too."""
        timer = asyncio.ensure_future(self._clock.sleep(_LOOK))
        try:
            await asyncio.wait({timer, *self._open}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()

    async def _take(self, option: Instrument, line: OpenLine, answer: _Answer) -> None:
        began = self._clock.monotonic()
        missing = await self._wait(line, answer)
        if not missing:
            self._dwelt(self._clock.monotonic() - began)
        self._done(ChainRow(option, answer.quote, missing))

    async def _wait(self, line: OpenLine, answer: _Answer) -> str:
        """Wait for two sides; return why they did not come. An outage does not count."""
        waited = down = 0.0
        while not answer.whole.is_set():
            if line.refused:
                return f"the broker refused it: {line.refused}"
            if waited >= self._patience.answer:
                return f"{answer.lacking} within {waited:.3g} s"
            if down >= self._patience.outage:
                return f"the broker's data was down for {down:.3g} s"
            up, before = self._chains.data_up, self._clock.monotonic()
            await self._answered(answer, min(_LOOK, self._patience.answer))
            passed = self._clock.monotonic() - before
            if up and self._chains.data_up:
                waited, down = waited + passed, 0.0
            else:
                # What was subscribed before the outage is asked for again after it.
                waited, down = 0.0, down + passed
        return ""

    async def _answered(self, answer: _Answer, seconds: float) -> None:
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        whole = asyncio.ensure_future(answer.whole.wait())
        try:
            await asyncio.wait((timer, whole), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            whole.cancel()

    # --- rows ------------------------------------------------------------------------------

    def _miss(self, options: Iterable[Instrument], reason: str) -> None:
        for option in options:
            self._done(ChainRow(option, missing=reason))

    def _done(self, row: ChainRow) -> None:
        self._rows[row.option] = row
        self._quoted += not row.missing
        total = len(self._options_wanted)
        self._progress(ChainProgress(len(self._rows), total, self._quoted, len(self._open)))


class _Answer:
    """What one line has shown."""

    def __init__(self) -> None:
        self.quote: Quote | None = None
        self.whole = asyncio.Event()

    def take(self, quote: Quote) -> None:
        """Take a quote; two sides make it whole, also where they are locked or crossed."""
        if quote.condition is QuoteCondition.EMPTY:
            return
        self.quote = quote
        if quote.condition is not QuoteCondition.ONE_SIDED:
            self.whole.set()

    @property
    def lacking(self) -> str:
        """What did not come."""
        if self.quote is None:
            return "no quote came"
        return "no bid came" if math.isnan(self.quote.touch(Side.SELL)) else "no ask came"
