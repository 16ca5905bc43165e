"""What the synthetic market traded before its first event: made day by day, when asked for.

Every day of an instrument comes from the seed, the instrument and the date alone, so that it does
not matter in which order they are asked for. A day is a walk of minutes with the instrument's
recorded volatility, its share of it the whole market's, leading to where the market's own events
begin; the high and the low of a minute are the extremes of the Brownian bridge between its ends
(Karatzas and Shreve, section 4.3: the maximum M of a bridge from 0 to d with variance v is
(d + sqrt(d^2 - 2 v ln U)) / 2, U uniform). There are no gaps over night, as the market has none.
"""

from __future__ import annotations

import math
import zlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

import attrs
import numpy as np
from numpy.typing import NDArray

from alluse_core.model.instrument import Right, SecurityType
from alluse_paper.hours import STOCK_HOURS
from alluse_paper.market import Listing, PastBar
from alluse_paper.moments import BUCKET_SECONDS
from alluse_paper.pricing import years_to_expiry
from alluse_paper.profiles import (
    ACTIVITY,
    OPTION_IMPLIED_VOLATILITY,
    VOLATILITY,
)
from alluse_paper.universe import Member

YEARS = 10
OPTION_DAYS = 270
"""Days before its expiry from which an option is told of."""

_KEPT_DAYS = 1_000
OPTION_SPREAD_TICKS = 10

Floats = NDArray[np.float64]


@attrs.frozen(eq=False)
class _Minutes:
    """One day of one instrument, an entry a minute. ``start`` is epoch seconds of the first."""

    start: int
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    count: Floats


class SyntheticPast:
    """See :class:`alluse_paper.market.Past`, which it implements."""

    def __init__(self, seed: int, members: Sequence[Member], start: datetime) -> None:
        session = STOCK_HOURS.session_at(start)
        assert session is not None, "ten days always have a session"
        self.ends = session[0].timestamp()
        self.begins = session[0] - timedelta(days=365 * YEARS)
        self._seed = seed & 0xFFFFFFFF
        self._members = {member.listing.instrument: member for member in members}
        self._days = _days_between(self.begins.date(), session[0].date())
        self._closes: dict[str, list[float]] = {}
        self._minutes = lru_cache(maxsize=_KEPT_DAYS)(self._make_minutes)
        self._steps = lru_cache(maxsize=_KEPT_DAYS)(self._make_steps)

    def days(self, listing: Listing, first: date, last: date) -> list[tuple[date, PastBar]]:
        """Return (trading day, its bar) from ``first`` to ``last``, oldest first."""
        found = []
        for number in self._numbers(listing, first, last):
            day = self._minutes(self._members[listing.instrument], number)
            found.append((self._days[number], _joined(day, 0, len(day.close))))
        return found

    def bars(self, listing: Listing, start: float, end: float, seconds: int) -> list[PastBar]:
        """Return bars of ``seconds`` (1 or 60) with start <= begin < end, oldest first."""
        if seconds not in (1, 60):
            raise ValueError(f"the past has bars of 1 and 60 seconds, not {seconds}")
        first = datetime.fromtimestamp(max(start, self.begins.timestamp()), UTC).date()
        last = datetime.fromtimestamp(min(end, self.ends), UTC).date()
        found: list[PastBar] = []
        for number in self._numbers(listing, first, last):
            member = self._members[listing.instrument]
            day = self._minutes(member, number)
            low = max(0, math.floor((start - day.start) / 60))
            high = min(len(day.close), math.ceil((end - day.start) / 60))
            for minute in range(low, high):
                if seconds == 60:
                    if start <= day.start + 60 * minute < end:
                        found.append(_joined(day, minute, minute + 1))
                else:
                    every = self._seconds(member, number, day, minute)
                    found += [bar for bar in every if start <= bar.start < end]
        return found

    def spread(self, listing: Listing) -> float:
        """Return the usual difference of ask and bid, in units of price."""
        member = self._members[listing.instrument]
        if listing.instrument.security_type is SecurityType.OPTION:
            return OPTION_SPREAD_TICKS * member.tick
        return max(1, round(member.profile.spread_ticks)) * member.tick

    # --- one day ------------------------------------------------------------------------------

    def _numbers(self, listing: Listing, first: date, last: date) -> range:
        instrument = listing.instrument
        if instrument not in self._members:
            return range(0)
        if instrument.security_type is SecurityType.OPTION and instrument.expiry is not None:
            first = max(first, instrument.expiry - timedelta(days=OPTION_DAYS))
        low = bisect_left(self._days, first)
        return range(low, bisect_left(self._days, last + timedelta(days=1)))

    def _make_minutes(self, member: Member, number: int) -> _Minutes:
        start, shape = self._shape_of(number)
        leader = self._members[member.follows] if member.follows is not None else None
        walker = leader or member
        steps = self._steps(walker, number)
        closes = self._close(walker, number - 1) + np.cumsum(steps)
        opens = np.concatenate(([closes[0] - steps[0]], closes[:-1]))
        random = self._random(f"{member.listing.instrument.id}/minutes", number)
        variance = (walker.profile.volatility_bp * 1e-4 * _by_minute(VOLATILITY, shape)) ** 2
        highs, lows = _extremes(opens, closes, variance, random)
        prices = [np.exp(each) for each in (opens, highs, lows, closes)]
        if member.listing.instrument.security_type is SecurityType.OPTION:
            prices = self._option_prices(member, start, prices)
        elif leader is not None:
            prices = [each * member.factor for each in prices]
        opened, high, low, close = (_on_grid(each, member.tick) for each in prices)
        counts = random.poisson(member.profile.trade_rate * 60 * _by_minute(ACTIVITY, shape))
        volumes = _volumes(member, counts.astype(float), random)
        return _Minutes(start, opened, high, low, close, volumes, counts.astype(float))

    def _option_prices(self, member: Member, start: int, spots: list[Floats]) -> list[Floats]:
        from scipy.special import ndtr

        option = member.listing.instrument
        assert option.expiry is not None
        strike = float(option.strike or 0)
        call = option.right is Right.CALL
        years = years_to_expiry(option.expiry, float(start))
        spread = OPTION_IMPLIED_VOLATILITY * math.sqrt(years)
        prices = []
        for spot in spots:
            d1 = np.log(spot / strike) / spread + spread / 2
            worth = spot * ndtr(d1) - strike * ndtr(d1 - spread)
            prices.append(worth if call else worth - spot + strike)
        opens, highs, lows, closes = prices
        return [opens, np.maximum(highs, lows), np.minimum(highs, lows), closes]

    def _make_steps(self, member: Member, number: int) -> Floats:
        """Return the day's changes of the logarithm of the price, one a minute."""
        _, minutes = self._shape_of(number)
        shape = _by_minute(VOLATILITY, minutes)
        together = self._random("market", number).standard_normal(minutes)
        own = self._random(member.listing.instrument.id, number).standard_normal(minutes)
        mixed = member.loading * together + math.sqrt(1.0 - member.loading**2) * own
        steps: Floats = member.profile.volatility_bp * 1e-4 * shape * mixed
        return steps

    def _close(self, member: Member, number: int) -> float:
        """Return the logarithm of the price at the end of a day; the last is where events begin."""
        known = self._closes.setdefault(member.listing.instrument.id, [math.log(member.price)])
        wanted = len(self._days) - 1 - number
        while len(known) <= wanted:
            following = len(self._days) - len(known)
            known.append(known[-1] - float(np.sum(self._steps(member, following))))
        return known[wanted]

    def _shape_of(self, number: int) -> tuple[int, int]:
        """Return the day's opening, epoch seconds, and its minutes."""
        session = STOCK_HOURS.session_on(self._days[number])
        assert session is not None, "only trading days are numbered"
        opens, closes = session
        return int(opens.timestamp()), int((closes - opens).total_seconds() // 60)

    def _random(self, name: str, number: int) -> np.random.Generator:
        day = self._days[number].toordinal()
        return np.random.default_rng([self._seed, zlib.crc32(name.encode()), day])

    # --- one minute ---------------------------------------------------------------------------

    def _seconds(
        self, member: Member, number: int, day: _Minutes, minute: int
    ) -> Iterator[PastBar]:
        """Yield the minute's seconds: a walk between its ends that touches its high and its low."""
        name = f"{member.listing.instrument.id}/{minute}"
        random = self._random(name, number)
        start, end = float(day.open[minute]), float(day.close[minute])
        low, high = float(day.low[minute]), float(day.high[minute])
        walk = np.cumsum(random.standard_normal(60))
        bridge = walk - walk[-1] * np.arange(1, 61) / 60
        width = float(np.max(np.abs(bridge))) or 1.0
        path = start + (end - start) * np.arange(1, 61) / 60 + bridge * (high - low) / width
        path = _on_grid(np.clip(path, low, high), member.tick)
        highest, lowest = int(np.argmax(path[:59])), int(np.argmin(path[:59]))
        path[highest] = high
        path[lowest if lowest != highest else (highest + 1) % 59] = low
        path[59] = end
        trades = random.multinomial(int(day.count[minute]), np.full(60, 1 / 60))
        volumes = np.round(trades * (float(day.volume[minute]) / max(1, int(trades.sum()))))
        if trades.any():
            volumes[int(np.flatnonzero(trades)[-1])] += float(day.volume[minute]) - volumes.sum()
        before = start
        rows = zip(path.tolist(), trades.tolist(), volumes.tolist(), strict=True)
        for second, (price, count, volume) in enumerate(rows):
            at = day.start + 60 * minute + second
            bounds = (max(before, price), min(before, price))
            yield PastBar(at, before, *bounds, price, volume, price * volume, count)
            before = price


def _days_between(first: date, last: date) -> list[date]:
    days = (first + timedelta(days=offset) for offset in range((last - first).days))
    return [day for day in days if STOCK_HOURS.session_on(day) is not None]


def _by_minute(shape: tuple[float, ...], minutes: int) -> Floats:
    per = int(BUCKET_SECONDS // 60)
    return np.repeat(np.asarray(shape, dtype=float), per)[:minutes]


def _extremes(
    opens: Floats, closes: Floats, variance: Floats, random: np.random.Generator
) -> tuple[Floats, Floats]:
    move = closes - opens
    up, down = (-2.0 * variance * np.log(1.0 - random.random(len(move))) for _ in range(2))
    highs = opens + (move + np.sqrt(move**2 + up)) / 2
    lows = opens + (move - np.sqrt(move**2 + down)) / 2
    return highs, lows


def _on_grid(prices: Floats, tick: float) -> Floats:
    rounded: Floats = np.round(np.maximum(1.0, np.round(prices / tick)) * tick, 6)
    return rounded


def _volumes(member: Member, counts: Floats, random: np.random.Generator) -> Floats:
    median, sigma = member.profile.volume_median, member.profile.volume_sigma
    if member.listing.instrument.security_type is SecurityType.OPTION:
        median, sigma = 1.0, 1.0
    if math.isnan(median):
        return np.zeros(len(counts))
    mean = median * math.exp(sigma**2 / 2)
    lot = 100 if member.listing.instrument.security_type is SecurityType.STOCK else 1
    spread = np.exp(random.normal(-0.02, 0.2, len(counts)))
    volumes: Floats = np.maximum(counts, np.round(counts * mean * spread / lot)) * lot
    return volumes


def _joined(day: _Minutes, first: int, last: int) -> PastBar:
    volume, close = day.volume[first:last], day.close[first:last]
    return PastBar(
        start=day.start + 60 * first,
        open=float(day.open[first]),
        high=float(day.high[first:last].max()),
        low=float(day.low[first:last].min()),
        close=float(close[-1]),
        volume=float(volume.sum()),
        money=float((volume * close).sum()),
        count=int(day.count[first:last].sum()),
    )
