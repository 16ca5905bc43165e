"""Drives a market into an exchange, at a multiple of its own speed."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import attrs

from alluse_core.clock import Clock
from alluse_core.errors import InvalidValue
from alluse_paper.exchange import Exchange
from alluse_paper.market import Market, MarketEvent

# The loop is given a turn at least this often while events that are due are played, so that a
# burst or a late start cannot starve whoever shares the loop.
_BATCH_SECONDS = 0.005
_CLOCK_EVERY = 64


@attrs.define
class Progress:
    """How far a player has come.

    ``market_time`` is epoch seconds of the newest event played, NaN before the first.
    ``lag_seconds`` is by how much, in clock time, that event came late; ``worst_lag_seconds``
    the most so far. ``skipped_seconds`` is market time that was passed over because nothing
    happened in it, ``skipped_events`` what lay before ``start``.
    """

    events: int = 0
    market_time: float = math.nan
    lag_seconds: float = 0.0
    worst_lag_seconds: float = 0.0
    skipped_seconds: float = 0.0
    skipped_events: int = 0
    finished: bool = False


class Player:
    """Plays each event when its time has come: ``speed`` market seconds in a clock second.

    An event's time is computed from one origin, so lateness does not add up: a player that is
    behind plays what is due without waiting until it has caught up. A silence longer than
    ``longest_gap`` market seconds (nights, weekends) is cut to that length; what lies before
    ``start`` (aware) is passed over, the exchange not seeing it.
    """

    def __init__(
        self,
        market: Market,
        exchange: Exchange,
        clock: Clock,
        speed: float = 1.0,
        *,
        start: datetime | None = None,
        longest_gap: float = 900.0,
    ) -> None:
        if not 0 < speed < math.inf:
            raise InvalidValue(f"the speed is a positive number, not {speed}")
        if not longest_gap > 0:
            raise InvalidValue(f"the longest gap is positive, not {longest_gap}")
        if start is not None and start.tzinfo is None:
            raise InvalidValue("the start must carry a time zone")
        self.progress = Progress()
        self.speed = speed
        self._market = market
        self._exchange = exchange
        self._clock = clock
        self._start = -math.inf if start is None else start.timestamp()
        self._longest_gap = longest_gap
        self._market_origin = math.nan
        self._clock_origin = math.nan

    async def run(self) -> None:
        """Play to the end of the market; for ever where it has none.

        Raises RecordingError where a recording cannot be read on.
        """
        monotonic, on_market = self._clock.monotonic, self._exchange.on_market
        progress = self.progress
        batch_until = monotonic() + _BATCH_SECONDS
        now = -math.inf
        for event in self._market.events():
            if event.time < self._start:
                progress.skipped_events += 1
                if progress.skipped_events % 4096 == 0:
                    await self._clock.sleep(0)
                continue
            due = self._due(event)
            if due > now:
                now = monotonic()
            if due > now:
                await self._clock.sleep(due - now)
                now = monotonic()
                batch_until = now + _BATCH_SECONDS
            elif progress.events % _CLOCK_EVERY == 0:
                now = monotonic()
                if now >= batch_until:
                    await self._clock.sleep(0)
                    now = monotonic()
                    batch_until = now + _BATCH_SECONDS
            progress.market_time = event.time
            progress.lag_seconds = lag = max(0.0, now - due)
            if lag > progress.worst_lag_seconds:
                progress.worst_lag_seconds = lag
            progress.events += 1
            on_market(event)
        progress.finished = True

    @property
    def market_now(self) -> datetime | None:
        """Market time as the clock has it now, aware UTC; None before the first event."""
        if math.isnan(self._market_origin):
            return None
        elapsed = (self._clock.monotonic() - self._clock_origin) * self.speed
        return datetime.fromtimestamp(self._market_origin + elapsed, UTC)

    def _due(self, event: MarketEvent) -> float:
        if math.isnan(self._market_origin):
            self._market_origin = event.time
            self._clock_origin = self._clock.monotonic()
        gap = event.time - self.progress.market_time
        if gap > self._longest_gap:
            surplus = gap - self._longest_gap
            self._market_origin += surplus
            self.progress.skipped_seconds += surplus
        return self._clock_origin + (event.time - self._market_origin) / self.speed
