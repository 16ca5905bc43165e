"""How often the lines of market data are updated."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable

from alluse_core.model import Instrument, SecurityType

SAMPLING = {SecurityType.OPTION: 0.1, SecurityType.FOREX: 0.005}
"""Seconds between two updates of a line, by IBKR's documentation; 0.25 for all other kinds."""

STOCK_SAMPLING = 0.25


class Sampler:
    """Gathers what has changed and hands it on at most once per interval; 0 hands on at once."""

    def __init__(self, interval: float, flush: Callable[[Iterable[Instrument]], None]) -> None:
        self.interval = interval
        self._flush = flush
        self._changed: dict[Instrument, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next = -math.inf

    def changed(self, instrument: Instrument) -> None:
        """Note that an instrument has moved."""
        if self.interval <= 0:
            self._flush((instrument,))
            return
        self._changed[instrument] = None
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(self._next, loop.time()), self._due, loop)

    def _due(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        self._next = loop.time() + self.interval
        changed, self._changed = self._changed, {}
        self._flush(changed)

    def close(self) -> None:
        """Hand on nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
