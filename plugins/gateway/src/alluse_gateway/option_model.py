"""Implied volatility and greeks of listed options, from what the market shows of them."""

from __future__ import annotations

import math

import attrs
from alluse_paper.exchange import Exchange
from alluse_paper.market import is_price
from alluse_paper.pricing import Greeks, greeks_of, price_of, years_to_expiry
from scipy.optimize import brentq

from alluse_core.model import Instrument, Right, SecurityType
from alluse_gateway.contracts import ROOTS

LOWEST, HIGHEST = 0.001, 5.0
"""Volatilities between which one is looked for."""

_UNDERLYINGS = (SecurityType.STOCK, SecurityType.INDEX)


@attrs.frozen
class Terms:
    """What a price depends on besides the volatility."""

    spot: float
    strike: float
    years: float
    call: bool

    def price(self, volatility: float) -> float:
        """Return the price at a volatility."""
        return price_of(self.spot, self.strike, self.years, volatility, self.call)

    def greeks(self, volatility: float) -> Greeks:
        """Return price and greeks at a volatility."""
        return greeks_of(self.spot, self.strike, self.years, volatility, self.call)

    def implied(self, price: float) -> float:
        """Return the volatility that gives ``price``; NaN where none between the bounds does."""
        if not self.price(LOWEST) < price < self.price(HIGHEST):
            return math.nan
        found: float = brentq(lambda each: self.price(each) - price, LOWEST, HIGHEST, xtol=1e-8)
        return found


class OptionModel:
    """Black and Scholes without interest, at the underlying's mark and the market's time."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._underlyings = {
            each.instrument.symbol: each.instrument
            for each in exchange.listings
            if each.instrument.security_type in _UNDERLYINGS
        }

    def underlying(self, option: Instrument) -> Instrument | None:
        """Return what an option is on, None where it is not listed."""
        found = self._underlyings.get(option.symbol)
        return found or self._underlyings.get(ROOTS.get(option.symbol, ""))

    def terms(self, option: Instrument, spot: float | None = None) -> Terms | None:
        """Return the terms of an option now; None where it is none or its underlying is unknown."""
        if option.security_type is not SecurityType.OPTION or option.expiry is None:
            return None
        if spot is None:
            underlying = self.underlying(option)
            top = self._exchange.top(underlying) if underlying is not None else None
            spot = top.mark if top is not None else math.nan
        now = self._exchange.market_time
        strike = float(option.strike or 0)
        if not (is_price(spot) and spot > 0 and strike > 0 and math.isfinite(now)):
            return None
        call = option.right is Right.CALL
        return Terms(spot, strike, years_to_expiry(option.expiry, now), call)
