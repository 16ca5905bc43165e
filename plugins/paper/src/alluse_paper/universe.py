"""What the synthetic market lists: names, opening prices, and whose figures each moves by.

Symbols and prices are round figures for show; the behaviour is that of the recorded instrument
in the profile.
"""

from __future__ import annotations

import math
from datetime import date, timedelta
from decimal import Decimal

import attrs

from alluse_core.errors import InvalidValue
from alluse_core.model.instrument import Instrument, Right
from alluse_paper.market import Listing
from alluse_paper.moments import Moments
from alluse_paper.profiles import (
    AIG,
    BAC,
    CHAIN,
    EURUSD,
    FUTURE,
    IBM,
    LOADINGS,
    NZDUSD,
    SPY,
)

_STOCKS = (
    ("AAPL", 190.0, SPY, "NASDAQ"),
    ("MSFT", 410.0, IBM, "NASDAQ"),
    ("BAC", 13.9, BAC, "NYSE"),
    ("IBM", 182.0, IBM, "NYSE"),
    ("AIG", 48.9, AIG, "NYSE"),
    ("GOOG", 170.0, IBM, "NASDAQ"),
    ("AMZN", 180.0, AIG, "NASDAQ"),
    ("NVDA", 120.0, SPY, "NASDAQ"),
    ("JPM", 205.0, IBM, "NYSE"),
    ("XOM", 115.0, AIG, "NYSE"),
    ("KO", 62.0, BAC, "NYSE"),
    ("PFE", 28.0, BAC, "NYSE"),
    ("INTC", 31.0, BAC, "NASDAQ"),
    ("DIS", 101.0, AIG, "NYSE"),
)
PENNY_CLASS = ((Decimal(0), Decimal("0.01")), (Decimal(3), Decimal("0.05")))
CARRY = 0.035
"""A year's rise of a future over its index fund, as a share: what its contract months differ by."""

_STRIKE_STEPS = ((25, 1), (75, 2.5), (200, 5), (math.inf, 10))
"""Differences of strikes by the price of the underlying."""

SMALLEST = 20
"""Fewer instruments than this are not offered."""


@attrs.frozen
class Member:
    """One instrument of the synthetic market.

    ``follows`` names the member whose price this one is derived from: an option's underlying, a
    future's index fund, with ``factor``.
    """

    listing: Listing
    price: float
    profile: Moments
    follows: Instrument | None = None
    factor: float = 1.0

    @property
    def tick(self) -> float:
        """The smallest price increment."""
        return float(self.listing.min_tick)

    @property
    def loading(self) -> float:
        """How much of its movement is the whole market's: 0 to 1."""
        return LOADINGS.get(self.profile, 0.0)


def universe(symbols: int, today: date) -> tuple[Member, ...]:
    """Return ``symbols`` members as of ``today``: at least an index fund, three currency pairs, a
    future, two options and stocks.

    Raises InvalidValue below SMALLEST. Beyond the named stocks, ZAA, ZAB ... are made up.
    """
    if symbols < SMALLEST:
        raise InvalidValue(f"the synthetic market has at least {SMALLEST} symbols, not {symbols}")
    spy, apple = Instrument.stock("SPY"), Instrument.stock("AAPL")
    future = Instrument.future("ES", quarterly_expiry(today), "CME", multiplier=50)
    expiry = third_friday(today + timedelta(days=35))
    members = [
        _member(spy, 560.0, SPY, "ARCA", "SPDR S&P 500 ETF (synthetic)"),
        _member(Instrument.forex("EURUSD"), 1.3930, EURUSD, "IDEALPRO"),
        _member(Instrument.forex("NZDUSD"), 0.8700, NZDUSD, "IDEALPRO"),
        _member(Instrument.forex("GBPUSD"), 1.6970, EURUSD, "IDEALPRO"),
        attrs.evolve(_member(future, 5600.0, FUTURE, "CME"), follows=spy, factor=10.0),
        *(
            attrs.evolve(
                _member(Instrument.option("AAPL", expiry, 190, right), 0.0, IBM, "CBOE"),
                follows=apple,
            )
            for right in (Right.CALL, Right.PUT)
        ),
    ]
    invented = ((_invented(n), 50.0 + n, (IBM, AIG, BAC)[n % 3], "NYSE") for n in range(symbols))
    stocks = [*_STOCKS, *invented]
    for symbol, price, profile, primary in stocks[: symbols - len(members)]:
        members.append(_member(Instrument.stock(symbol), price, profile, primary))
    return tuple(members)


def chain(underlying: Member, today: date) -> tuple[Member, ...]:
    """Return the option chain of a member: six expiries, strikes to 15 % on either side.

    The tick is 0.01 below 3 and 0.05 from there on, as in IBKR's rule for penny classes.
    """
    price = underlying.price
    step = next(each for bound, each in _STRIKE_STEPS if price < bound)
    around = round(price / step)
    width = max(4, round(0.15 * price / step))
    return tuple(
        _option(underlying, expiry, Decimal(str(step)) * (around + offset), right)
        for expiry in _expiries(today)
        for offset in range(-width, width + 1)
        for right in (Right.CALL, Right.PUT)
        if around + offset > 0
    )


def months(index: Member, today: date, count: int) -> tuple[Member, ...]:
    """Return ``count`` further contract months of the future after the next one."""
    members = []
    expiry = quarterly_expiry(today)
    for _ in range(count):
        expiry = quarterly_expiry(expiry + timedelta(days=1))
        years = (expiry - today).days / 365
        future = Instrument.future("ES", expiry, "CME", multiplier=50)
        factor = 10.0 * (1.0 + CARRY * years)
        member = _member(future, index.price * factor, FUTURE, "CME")
        members.append(attrs.evolve(member, follows=index.listing.instrument, factor=factor))
    return tuple(members)


def _option(underlying: Member, expiry: date, strike: Decimal, right: Right) -> Member:
    instrument = Instrument.option(underlying.listing.instrument.symbol, expiry, strike, right)
    member = _member(instrument, 0.0, CHAIN, "CBOE")
    listing = attrs.evolve(member.listing, increments=PENNY_CLASS)
    return attrs.evolve(member, listing=listing, follows=underlying.listing.instrument)


def _expiries(today: date) -> list[date]:
    """Return the next two Fridays and the next four monthly expiries."""
    friday = today + timedelta(days=(4 - today.weekday()) % 7 or 7)
    found = {friday, friday + timedelta(days=7)}
    monthly = today
    for _ in range(4):
        monthly = third_friday(monthly + timedelta(days=1))
        found.add(monthly)
    return sorted(found)


def third_friday(day: date) -> date:
    """Return the third Friday of the month of ``day``, or of the next where that is past."""
    first = day.replace(day=1)
    friday = first + timedelta(days=(4 - first.weekday()) % 7 + 14)
    if friday >= day:
        return friday
    return third_friday((first + timedelta(days=32)).replace(day=1))


def quarterly_expiry(day: date) -> date:
    """Return the next third Friday of March, June, September or December, from ``day`` on."""
    expiry = third_friday(day)
    while expiry.month % 3:
        expiry = third_friday((expiry.replace(day=1) + timedelta(days=32)).replace(day=1))
    return expiry


def _member(
    instrument: Instrument, price: float, profile: Moments, primary: str, name: str = ""
) -> Member:
    listing = Listing.of(
        instrument,
        primary_exchange=primary,
        long_name=name or f"{instrument} (synthetic)",
        previous_close=price or float("nan"),
        min_tick=Decimal("0.25") if primary == "CME" else None,
    )
    return Member(listing, price, profile)


def _invented(number: int) -> str:
    return "Z" + chr(65 + number // 26 % 26) + chr(65 + number % 26) + "X" * (number // 676)
