"""Options by Black and Scholes (1973), European, without dividends.

``years`` are of 365 days; ``volatility`` and ``rate`` are a year's, as shares.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

import attrs

_YEAR = 365 * 86400
_SHORTEST = 1e-6
"""Years; at expiry itself the formula divides by zero."""


@attrs.frozen
class Greeks:
    """``price`` and its derivatives: by the underlying (``delta``, ``gamma``), by one point of
    volatility (``vega``), by one day (``theta``)."""

    price: float
    delta: float
    gamma: float
    vega: float
    theta: float


def years_to_expiry(expiry: date, now: float) -> float:
    """Return the years from epoch seconds ``now`` to the close (21:00 UTC) of ``expiry``."""
    end = datetime(expiry.year, expiry.month, expiry.day, 21, tzinfo=UTC).timestamp()
    return max((end - now) / _YEAR, _SHORTEST)


def price_of(
    spot: float, strike: float, years: float, volatility: float, call: bool, rate: float = 0.0
) -> float:
    """Return the price of one unit of the underlying's option."""
    spread = volatility * math.sqrt(years)
    present = strike * math.exp(-rate * years)
    d1 = math.log(spot / present) / spread + spread / 2
    worth = spot * normal(d1) - present * normal(d1 - spread)
    return worth if call else worth - spot + present


def greeks_of(
    spot: float, strike: float, years: float, volatility: float, call: bool, rate: float = 0.0
) -> Greeks:
    """Return the price with its greeks, in the units that TWS shows."""
    root = math.sqrt(years)
    spread = volatility * root
    present = strike * math.exp(-rate * years)
    d1 = math.log(spot / present) / spread + spread / 2
    density = math.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
    at_strike = normal(d1 - spread)
    delta = normal(d1)
    worth = spot * delta - present * at_strike
    decay = -spot * density * volatility / (2 * root) - rate * present * at_strike
    if not call:
        delta -= 1.0
        worth += present - spot
        decay += rate * present
    return Greeks(
        price=worth,
        delta=delta,
        gamma=density / (spot * spread),
        vega=spot * density * root / 100,
        theta=decay / 365,
    )


def normal(x: float) -> float:
    """Return the standard normal distribution function."""
    return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))
