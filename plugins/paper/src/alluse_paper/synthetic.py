"""A seeded market that never ends, with the manners of the recorded one.

Each instrument moves by the figures of a recorded one (:mod:`alluse_paper.profiles`, which says
how they were obtained):

=======  ==========  ==========  ============  ==============  ============  =============
profile  quotes / s  trades / s  spread/ticks  bp/sqrt(min)    size, median  volume, median
=======  ==========  ==========  ============  ==============  ============  =============
SPY      3.43        1.29        0.99          3.2             5,200         2,300
BAC      1.54        0.76        1.00          4.9             64,750        900
IBM      0.70        0.29        3.96          3.9             200           400
AIG      1.76        0.25        1.03          5.5             1,100         600
EURUSD   0.29        -           12.3          0.79            not recorded  -
NZDUSD   0.30        -           29.3          2.1             not recorded  -
=======  ==========  ==========  ============  ==============  ============  =============

* Quotes and trades come as Poisson processes whose rate follows the half hours of the session
  (ACTIVITY: 0.77 at its quietest, 1.47 in the last half hour, times the mean).
* An efficient price diffuses with the recorded volatility times the half hour's VOLATILITY (1.7
  in the first); the quote stands around it on the tick grid.
* The spread is kept from quote to quote with the recorded share, else drawn: one tick plus a
  geometric excess with the recorded mean.
* Sizes and volumes are log-normal, in round lots for stocks.
* Stocks move together by one common factor with the recorded loadings
  (:mod:`alluse_paper.factor`).
* Options are priced by Black and Scholes without interest from their underlying's efficient
  price at the recorded implied volatility, with the recorded relative spread; the future follows
  the index fund.

Sessions follow one another on the days of US equities, 09:30-16:00 New York or to the early
close; nothing happens in between, for currency pairs neither. What came before the first event is
told by :mod:`alluse_paper.past`. What the recordings show and this does not: jumps, clustering of
trades, dirt.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random

from alluse_core.errors import InvalidValue
from alluse_core.model.instrument import Instrument, Right, SecurityType
from alluse_paper.factor import CommonFactor
from alluse_paper.hours import STOCK_HOURS
from alluse_paper.market import NAN, Listing, MarketEvent, Past, QuoteEvent, TradeEvent
from alluse_paper.moments import BUCKET_SECONDS, Moments
from alluse_paper.pricing import price_of, years_to_expiry
from alluse_paper.profiles import (
    ACTIVITY,
    OPTION_IMPLIED_VOLATILITY,
    OPTION_RELATIVE_SPREAD,
    OPTION_SIZE_MEDIAN,
    OPTION_SIZE_SIGMA,
    VOLATILITY,
)
from alluse_paper.universe import SMALLEST, Member, chain, months, universe

DEFAULT_START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)


class SyntheticMarket:
    """``symbols`` instruments from the open of the session of ``start`` on, for ever.

    ``chains`` names stocks that have a whole option chain beside that, ``months`` is how many
    contract months the future has. The same arguments give the same events. ``start`` is aware;
    where it lies in no session, the next one opens the market. Raises InvalidValue for fewer than
    20 symbols, and for a chain on what is not listed.
    """

    def __init__(
        self,
        seed: int = 0,
        symbols: int = SMALLEST,
        start: datetime = DEFAULT_START,
        *,
        chains: Sequence[str] = (),
        months: int = 1,
    ) -> None:
        if start.tzinfo is None:
            raise InvalidValue("the start must carry a time zone")
        if not 1 <= months <= 20:
            raise InvalidValue(f"the future has 1 to 20 contract months, not {months}")
        self.seed = seed
        self.start = start
        self._members = _members(symbols, start.date(), chains, months - 1)

    def listings(self) -> tuple[Listing, ...]:
        """Return what is listed."""
        return tuple(member.listing for member in self._members)

    def past(self) -> Past:
        """Return what came before the first event: ten years, made when it is asked for."""
        from alluse_paper.past import SyntheticPast

        return SyntheticPast(self.seed, self._members, self.start)

    def events(self) -> Iterator[MarketEvent]:
        """Yield events without end, in the order of time."""
        sessions = _Sessions(self.start)
        factor = CommonFactor(self.seed)
        sources: dict[Instrument, _Source] = {}
        for index, member in enumerate(self._members):
            random = Random(f"{self.seed}/{index}")
            sources[member.listing.instrument] = _Source(member, random, factor)
        for source in sources.values():
            if source.member.follows is not None:
                source.leader = sources[source.member.follows]
        opening = sessions.bounds(0)[0]
        due = []
        for index, source in enumerate(sources.values()):
            due.append((opening + source.random.random(), index, source))
        heapq.heapify(due)
        while due:
            time, index, source = due[0]
            yield source.event(time, sessions)
            heapq.heapreplace(due, (source.next_time(time, sessions), index, source))


def _members(
    symbols: int, today: date, chains: Sequence[str], more_months: int
) -> tuple[Member, ...]:
    members = universe(symbols, today)
    by_symbol = {
        member.listing.instrument.symbol: member
        for member in members
        if member.listing.instrument.security_type is SecurityType.STOCK
    }
    found = {member.listing.instrument: member for member in members}
    for member in months(by_symbol["SPY"], today, more_months):
        found[member.listing.instrument] = member
    for symbol in chains:
        if symbol not in by_symbol:
            raise InvalidValue(f"{symbol!r} is not among the stocks {sorted(by_symbol)}")
        for member in chain(by_symbol[symbol], today):
            found.setdefault(member.listing.instrument, member)
    return tuple(found.values())


class _Sessions:
    """The trading days from the start on, by number."""

    def __init__(self, start: datetime) -> None:
        session = STOCK_HOURS.session_at(start)
        assert session is not None, "ten days always have a session"
        self._last_day = session[0].date()
        self._bounds = [(session[0].timestamp(), session[1].timestamp())]

    def bounds(self, number: int) -> tuple[float, float]:
        """Return (open, close) of the session, epoch seconds."""
        while number >= len(self._bounds):
            session = None
            while session is None:
                self._last_day += timedelta(days=1)
                session = STOCK_HOURS.session_on(self._last_day)
            self._bounds.append((session[0].timestamp(), session[1].timestamp()))
        return self._bounds[number]


class _Source:
    """One instrument's events."""

    def __init__(self, member: Member, random: Random, factor: CommonFactor) -> None:
        self.member = member
        self.random = random
        self._factor = factor
        self._factor_was = 0.0
        self._own_share = math.sqrt(1.0 - member.loading**2)
        self.leader: _Source | None = None
        self.price = member.price
        self._session = 0
        self._moved_at = NAN
        self._quoted = False
        self._keeps_spread = _keeping(member.profile)
        self._spread = self._draw_spread()
        self._bid = self._ask = NAN

    def next_time(self, now: float, sessions: _Sessions) -> float:
        """Return when the next event comes: in this session, or early in the next."""
        opening, close = sessions.bounds(self._session)
        profile = self.member.profile
        rate = (profile.quote_rate + profile.trade_rate) * _shape(ACTIVITY, now - opening)
        time = now + self.random.expovariate(rate)
        if time < close:
            return time
        self._session += 1
        self._moved_at = NAN
        self._quoted = False
        return sessions.bounds(self._session)[0] + self.random.expovariate(rate)

    def event(self, time: float, sessions: _Sessions) -> MarketEvent:
        """Make the event that is due."""
        self._move(time, sessions.bounds(self._session)[0])
        profile = self.member.profile
        share = profile.trade_rate / (profile.quote_rate + profile.trade_rate)
        if self._quoted and self.random.random() < share:
            return self._trade(time)
        self._quoted = True
        return self._quote(time)

    def efficient(self) -> float:
        """Return the price that quotes stand around."""
        if self.leader is None:
            return self.price
        if self.member.listing.instrument.security_type is SecurityType.OPTION:
            return _option_price(self.member.listing.instrument, self.leader.price, self._moved_at)
        return self.leader.price * self.member.factor

    def _move(self, time: float, opening: float) -> None:
        if self.leader is None:
            shape = _shape(VOLATILITY, time - opening)
            together = self._factor.at(time, opening, shape)
            if time > self._moved_at:
                own = shape * math.sqrt((time - self._moved_at) / 60.0)
                change = self.member.loading * (together - self._factor_was)
                change += self.random.gauss(0.0, self._own_share * own)
                self.price *= math.exp(self.member.profile.volatility_bp * 1e-4 * change)
            self._factor_was = together
        self._moved_at = time

    def _quote(self, time: float) -> QuoteEvent:
        member, price, tick = self.member, self.efficient(), self.member.tick
        if member.listing.increments:
            tick = float(member.listing.tick_at(Decimal(repr(price))))
        if member.listing.instrument.security_type is SecurityType.OPTION:
            ticks = max(1, round(price * OPTION_RELATIVE_SPREAD / tick))
            sizes = (OPTION_SIZE_MEDIAN, OPTION_SIZE_SIGMA, 1)
        else:
            if self.random.random() >= self._keeps_spread:
                self._spread = self._draw_spread()
            ticks = self._spread
            lot = 100 if member.listing.instrument.security_type is SecurityType.STOCK else 1
            sizes = (member.profile.size_median, member.profile.size_sigma, lot)
        lowest = max(1, round(price / tick - ticks / 2))
        self._bid = round(lowest * tick, 6)
        self._ask = round((lowest + ticks) * tick, 6)
        return QuoteEvent(
            member.listing.instrument,
            time,
            self._bid,
            self._draw_size(*sizes),
            self._ask,
            self._draw_size(*sizes),
        )

    def _trade(self, time: float) -> TradeEvent:
        member = self.member
        lot = 100 if member.listing.instrument.security_type is SecurityType.STOCK else 1
        median, sigma = member.profile.volume_median, member.profile.volume_sigma
        if member.listing.instrument.security_type is SecurityType.OPTION:
            median, sigma = 1.0, 1.0
        price = self._ask if self.random.random() < 0.5 else self._bid
        size = self._draw_size(median, sigma, lot)
        return TradeEvent(member.listing.instrument, time, price, size)

    def _draw_spread(self) -> int:
        # A quoted spread is at least one tick; the excess over it is geometric.
        excess = max(0.0, self.member.profile.spread_ticks - 1.0)
        if excess == 0.0:
            return 1
        stay = excess / (1.0 + excess)
        return 1 + int(math.log(1.0 - self.random.random()) / math.log(stay))

    def _draw_size(self, median: float, sigma: float, lot: int) -> float:
        if math.isnan(median):
            return NAN
        size = median * math.exp(self.random.gauss(0.0, sigma))
        return float(max(1, round(size / lot)) * lot)


def _keeping(profile: Moments) -> float:
    """Return how often a quote must keep its spread for the recorded share to be the same.

    A spread that is drawn again comes out as before with the chance p / (2 - p) of two equal
    geometric draws, p being that of one tick.
    """
    p = 1.0 / max(1.0, profile.spread_ticks)
    by_chance = p / (2.0 - p)
    if by_chance >= 1.0:
        return profile.spread_kept
    return max(0.0, (profile.spread_kept - by_chance) / (1.0 - by_chance))


def _shape(shape: tuple[float, ...], elapsed: float) -> float:
    return shape[min(len(shape) - 1, max(0, int(elapsed // BUCKET_SECONDS)))]


def _option_price(option: Instrument, spot: float, now: float) -> float:
    assert option.expiry is not None
    assert option.strike is not None
    years = years_to_expiry(option.expiry, now)
    call = option.right is Right.CALL
    return price_of(spot, float(option.strike), years, OPTION_IMPLIED_VOLATILITY, call)
