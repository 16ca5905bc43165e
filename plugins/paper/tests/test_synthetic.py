"""The synthetic market: the same for a seed, and like what it was fitted to."""

from __future__ import annotations

import hashlib
import math
import statistics
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import attrs
import pytest
from alluse_paper import profiles
from alluse_paper.hours import STOCK_HOURS
from alluse_paper.market import MarketEvent, QuoteEvent, TradeEvent
from alluse_paper.moments import (
    Moments,
    Observations,
    activity_shape,
    moments,
    volatility_shape,
)
from alluse_paper.synthetic import SyntheticMarket
from alluse_paper.universe import quarterly_expiry, third_friday

from alluse_core.model.instrument import Instrument, SecurityType

SESSION = 6.5 * 3600


def digest(market: SyntheticMarket, count: int = 20_000) -> str:
    text = hashlib.sha256()
    for event in islice(market.events(), count):
        text.update(repr(event).encode())
    return text.hexdigest()


def test_the_same_seed_gives_the_same_market_and_another_seed_another() -> None:
    assert digest(SyntheticMarket(7)) == digest(SyntheticMarket(7))
    assert digest(SyntheticMarket(7)) != digest(SyntheticMarket(8))


def test_one_market_gives_the_same_events_each_time_it_is_asked() -> None:
    market = SyntheticMarket(7)
    assert digest(market, 2_000) == digest(market, 2_000)


def test_it_lists_every_kind_of_instrument_and_as_many_as_asked() -> None:
    listings = SyntheticMarket().listings()
    assert len(listings) == 20
    kinds = {listing.instrument.security_type for listing in listings}
    assert kinds == {
        SecurityType.STOCK,
        SecurityType.FOREX,
        SecurityType.FUTURE,
        SecurityType.OPTION,
    }
    many = SyntheticMarket(symbols=700).listings()
    assert len({listing.con_id for listing in many}) == 700
    with pytest.raises(ValueError, match="at least 20"):
        SyntheticMarket(symbols=19)


def test_events_are_in_order_and_every_listing_has_some() -> None:
    market = SyntheticMarket(2)
    events = list(islice(market.events(), 30_000))
    assert all(a.time <= b.time for a, b in pairwise(events))
    assert {event.instrument for event in events} == {
        listing.instrument for listing in market.listings()
    }


def test_prices_are_on_the_tick_grid_positive_and_never_crossed() -> None:
    market = SyntheticMarket(2)
    ticks = {listing.instrument: float(listing.min_tick) for listing in market.listings()}
    for event in islice(market.events(), 30_000):
        if isinstance(event, QuoteEvent):
            assert 0 < event.bid < event.ask
            prices = [event.bid, event.ask]
        else:
            assert isinstance(event, TradeEvent)
            prices = [event.price]
        for price in prices:
            steps = price / ticks[event.instrument]
            assert abs(steps - round(steps)) < 1e-6


def test_a_trade_is_at_the_bid_or_the_ask() -> None:
    quotes: dict[Instrument, tuple[float, float]] = {}
    for event in islice(SyntheticMarket(2).events(), 30_000):
        if isinstance(event, QuoteEvent):
            quotes[event.instrument] = (event.bid, event.ask)
        elif isinstance(event, TradeEvent):
            assert event.price in quotes[event.instrument]


def test_options_and_the_future_follow_what_they_are_derived_from() -> None:
    mids: dict[Instrument, float] = {}
    for event in islice(SyntheticMarket(2).events(), 30_000):
        if isinstance(event, QuoteEvent):
            mids[event.instrument] = (event.bid + event.ask) / 2
    spot = mids[Instrument.stock("AAPL")]
    named = {each.right: mid for each, mid in mids.items() if each.right}
    # Put-call parity without interest: call - put = spot - strike.
    assert named["C"] - named["P"] == pytest.approx(spot - 190, abs=0.5)  # type: ignore[index]
    future = next(m for each, m in mids.items() if each.security_type is SecurityType.FUTURE)
    assert future == pytest.approx(10 * mids[Instrument.stock("SPY")], rel=1e-3)


FRIDAY = datetime(2026, 1, 9, 14, 30, tzinfo=UTC)


@attrs.frozen
class Played:
    """A Friday's session by instrument, and the first events after it."""

    observed: dict[str, Observations]
    after: list[MarketEvent]


@pytest.fixture(scope="module")
def session() -> Played:
    """One session and what follows."""
    market = SyntheticMarket(11, start=FRIDAY + timedelta(hours=3))
    start = FRIDAY.timestamp()
    found = {each.instrument: Observations(start, SESSION) for each in market.listings()}
    events = market.events()
    after: list[MarketEvent] = []
    while len(after) < 200:
        event = next(events)
        if event.time < start + SESSION:
            found[event.instrument].take(event)
        else:
            after.append(event)
    return Played({str(instrument): each for instrument, each in found.items()}, after)


@pytest.mark.slow
def test_a_session_follows_the_other_and_nothing_happens_in_between(session: Played) -> None:
    monday = FRIDAY + timedelta(days=3)
    times = [event.time for event in session.after]
    assert monday.timestamp() <= times[0] < monday.timestamp() + 5
    assert STOCK_HOURS.is_open(datetime.fromtimestamp(times[-1], UTC))
    first = min(each.quotes[0].time for each in session.observed.values())
    assert FRIDAY.timestamp() <= first < FRIDAY.timestamp() + 5, "it starts with the session"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tick", "profile"),
    [
        ("SPY", 0.01, profiles.SPY),
        ("BAC", 0.01, profiles.BAC),
        ("IBM", 0.01, profiles.IBM),
        ("AIG", 0.01, profiles.AIG),
        ("EUR.USD", 0.00001, profiles.EURUSD),
        ("NZD.USD", 0.00001, profiles.NZDUSD),
    ],
)
def test_a_session_has_the_moments_that_were_recorded(
    session: Played, name: str, tick: float, profile: Moments
) -> None:
    measured = moments([session.observed[name]], tick)
    bands = {
        "quote_rate": 0.10,
        "trade_rate": 0.10,
        "spread_ticks": 0.05,
        "spread_kept": 0.05,
        # 78 five-minute returns tell a standard deviation to 8 %; three of those.
        "volatility_bp": 0.25,
        "size_median": 0.05,
        "size_sigma": 0.12,
        "volume_median": 0.10,
        "volume_sigma": 0.12,
    }
    for figure, band in bands.items():
        wanted, got = getattr(profile, figure), getattr(measured, figure)
        if math.isnan(wanted):
            assert math.isnan(got)
        else:
            assert got == pytest.approx(wanted, rel=band, abs=0.01), figure


@pytest.mark.slow
def test_a_session_has_the_shape_that_was_recorded(session: Played) -> None:
    stocks = [session.observed[name] for name in ("SPY", "BAC", "IBM", "AIG")]
    assert activity_shape(stocks) == pytest.approx(profiles.ACTIVITY, rel=0.12)
    shapes = [volatility_shape([stock]) for stock in stocks]
    mean = [sum(each) / len(each) for each in zip(*shapes, strict=True)]
    assert mean == pytest.approx(profiles.VOLATILITY, rel=0.35)
    assert max(mean) == mean[0], "the first half hour moves most"


@pytest.mark.slow
def test_the_stocks_of_a_session_move_together(session: Played) -> None:
    def changes(name: str) -> list[float]:
        mids: dict[int, float] = {}
        for quote in session.observed[name].quotes:
            mids[int(quote.time // 300)] = (quote.bid + quote.ask) / 2
        return [math.log(b / a) for a, b in pairwise(mids.values())]

    # 77 returns tell a correlation to about 0.1 at worst; three of those.
    for one, other, recorded in (("SPY", "AIG", 0.70), ("SPY", "IBM", 0.51)):
        found = statistics.correlation(changes(one), changes(other))
        assert found == pytest.approx(recorded, abs=0.3), (one, other)


@pytest.mark.parametrize(
    ("day", "friday"),
    [("2026-01-05", "2026-01-16"), ("2026-01-16", "2026-01-16"), ("2026-01-17", "2026-02-20")],
)
def test_monthly_expiry_is_the_third_friday(day: str, friday: str) -> None:
    assert third_friday(datetime.fromisoformat(day).date()).isoformat() == friday


def test_quarterly_expiry_is_in_a_quarters_last_month() -> None:
    assert quarterly_expiry(datetime(2026, 1, 5, tzinfo=UTC).date()).isoformat() == "2026-03-20"
    assert quarterly_expiry(datetime(2026, 3, 21, tzinfo=UTC).date()).isoformat() == "2026-06-19"
