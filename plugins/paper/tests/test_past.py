"""What the synthetic market says of the time before it began."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise

import pytest
from alluse_paper.market import Listing, PastBar, QuoteEvent, RemembersPast
from alluse_paper.recording import Recording
from alluse_paper.synthetic import SyntheticMarket

from alluse_core.model.instrument import Instrument, SecurityType

START = datetime(2026, 3, 4, 14, 30, tzinfo=UTC)
FIRST, LAST = date(2025, 3, 4), date(2026, 3, 4)


def market(seed: int = 3, **more: object) -> SyntheticMarket:
    return SyntheticMarket(seed, start=START, **more)  # type: ignore[arg-type]


def listing_of(made: SyntheticMarket, name: str) -> Listing:
    return next(each for each in made.listings() if str(each.instrument) == name)


def test_a_year_of_days_is_there_and_leads_to_the_first_event() -> None:
    made = market()
    apple = listing_of(made, "AAPL")
    days = made.past().days(apple, FIRST, LAST)
    assert [day for day, _ in days] == sorted({day for day, _ in days})
    assert 249 <= len(days) <= 253
    assert days[-1][0] == date(2026, 3, 3)
    assert days[-1][1].close == pytest.approx(190.0, abs=0.01)
    first = next(event for event in made.events() if event.instrument is apple.instrument)
    assert getattr(first, "bid", math.nan) == pytest.approx(days[-1][1].close, rel=0.002)
    for (_, before), (_, bar) in pairwise(days):
        assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
        assert bar.open == pytest.approx(before.close, abs=0.011)
        assert bar.volume > 0


def test_a_day_is_the_same_whichever_way_it_is_asked_for() -> None:
    one, other = market().past(), market().past()
    apple = listing_of(market(), "AAPL")
    whole = dict(one.days(apple, FIRST, LAST))
    day = date(2025, 10, 7)
    assert dict(other.days(apple, day, day)) == {day: whole[day]}
    assert dict(market(4).past().days(apple, day, day)) != {day: whole[day]}


def joined(bars: list[PastBar]) -> tuple[float, ...]:
    return (
        bars[0].open,
        max(bar.high for bar in bars),
        min(bar.low for bar in bars),
        bars[-1].close,
        sum(bar.volume for bar in bars),
        sum(bar.count for bar in bars),
    )


@pytest.mark.parametrize("name", ["AAPL", "SPY", "EUR.USD", "ES 20260320"])
def test_seconds_join_into_minutes_and_minutes_into_days(name: str) -> None:
    made = market()
    listing = listing_of(made, name)
    past = made.past()
    ((_, whole),) = past.days(listing, date(2026, 2, 26), date(2026, 2, 26))
    start = datetime(2026, 2, 26, 14, 30, tzinfo=UTC).timestamp()
    minutes = past.bars(listing, start, start + 6.5 * 3600, 60)
    assert len(minutes) == 390
    assert joined(list(minutes)) == joined([whole])
    for minute in minutes[:30]:
        seconds = past.bars(listing, minute.start, minute.start + 60, 1)
        assert len(seconds) == 60
        assert joined(list(seconds)) == joined([minute])


def test_days_are_closed_and_shortened_as_the_stock_exchange_is() -> None:
    made = market()
    apple = listing_of(made, "AAPL")
    past = made.past()
    days = {day for day, _ in past.days(apple, date(2025, 11, 20), date(2026, 1, 3))}
    assert date(2025, 11, 27) not in days
    assert date(2025, 12, 25) not in days
    assert date(2025, 11, 28) in days
    opens = datetime(2025, 11, 28, 14, 30, tzinfo=UTC).timestamp()
    assert len(past.bars(apple, opens, opens + 86_400, 60)) == 210


def correlation(one: list[float], other: list[float]) -> float:
    mean, own = sum(one) / len(one), sum(other) / len(other)
    covariance = sum((a - mean) * (b - own) for a, b in zip(one, other, strict=True))
    square = sum((a - mean) ** 2 for a in one) * sum((b - own) ** 2 for b in other)
    return covariance / math.sqrt(square)


def test_stocks_move_together_as_recorded_and_a_currency_pair_does_not() -> None:
    made = market()
    past = made.past()
    changes = {}
    for name in ("SPY", "AIG", "BAC", "IBM", "EUR.USD"):
        days = past.days(listing_of(made, name), date(2021, 1, 1), LAST)
        changes[name] = [math.log(bar.close / bar.open) for _, bar in days]
    # 1,300 days tell a correlation to about 0.03; three of those.
    for pair, recorded in {
        ("SPY", "AIG"): 0.70,
        ("SPY", "BAC"): 0.53,
        ("SPY", "IBM"): 0.51,
        ("BAC", "AIG"): 0.41,
        ("SPY", "EUR.USD"): 0.0,
    }.items():
        found = correlation(changes[pair[0]], changes[pair[1]])
        assert found == pytest.approx(recorded, abs=0.09), pair


def test_an_option_is_told_of_from_its_first_day_on_and_follows_its_stock() -> None:
    made = market()
    past = made.past()
    call = next(
        each for each in made.listings() if each.instrument.security_type is SecurityType.OPTION
    )
    assert call.instrument.expiry is not None
    days = past.days(call, date(2020, 1, 1), LAST)
    assert days[0][0] >= call.instrument.expiry - timedelta(days=270)
    assert all(bar.low <= bar.close <= bar.high for _, bar in days)
    stock = dict(past.days(listing_of(made, "AAPL"), days[0][0], LAST))
    moves = [(a.close - a.open, stock[day].close - stock[day].open) for day, a in days]
    agreeing = sum(option * spot > 0 for option, spot in moves)
    assert agreeing > 0.8 * len(moves)


def test_what_is_not_listed_or_not_so_long_ago_has_no_past() -> None:
    made = market()
    past = made.past()
    apple = listing_of(made, "AAPL")
    assert not past.days(Listing.of(Instrument.stock("NONE")), FIRST, LAST)
    assert not past.days(apple, date(1999, 1, 1), date(1999, 12, 31))
    assert not past.bars(apple, START.timestamp(), START.timestamp() + 3600, 60)
    with pytest.raises(ValueError, match="1 and 60"):
        past.bars(apple, 0, 1, 5)
    assert isinstance(made, RemembersPast)
    assert not isinstance(Recording, RemembersPast)


def test_the_past_reaches_ten_years_back() -> None:
    made = market()
    days = made.past().days(listing_of(made, "IBM"), date(2010, 1, 1), LAST)
    assert days[0][0] - date(2016, 3, 4) < timedelta(days=7)
    assert len(days) > 2_400


def test_a_chain_lists_strikes_around_the_price_and_quotes_on_its_ticks() -> None:
    made = market(chains=("AAPL",), months=3)
    options = [
        each.instrument
        for each in made.listings()
        if each.instrument.security_type is SecurityType.OPTION
    ]
    assert len({option.expiry for option in options}) >= 5
    strikes = {option.strike for option in options}
    assert min(strikes) < 165 < 215 < max(strikes)  # type: ignore[type-var, operator]
    futures = [
        each.instrument.expiry
        for each in made.listings()
        if each.instrument.security_type is SecurityType.FUTURE
    ]
    assert [f"{each:%Y%m}" for each in sorted(each for each in futures if each)] == [
        "202603",
        "202606",
        "202609",
    ]
    bids = [
        event.bid
        for event in islice(made.events(), 20_000)
        if isinstance(event, QuoteEvent)
        and event.instrument.security_type is SecurityType.OPTION
        and event.instrument.strike != 190
    ]
    dear = [bid for bid in bids if bid > 3.2]
    assert len(dear) > 50
    assert all(abs(bid * 20 - round(bid * 20)) < 1e-6 for bid in dear)
    with pytest.raises(ValueError, match="'XYZ' is not among"):
        SyntheticMarket(chains=("XYZ",))
