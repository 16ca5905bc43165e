"""How much of an account's money its positions tie up."""

from __future__ import annotations

from decimal import Decimal

import attrs

from alluse_core.model.instrument import Instrument, SecurityType
from alluse_paper.orders import ZERO


@attrs.frozen
class MarginRates:
    """Rates in the manner of Regulation T; each is a share of the position's value.

    Stocks: Regulation T asks for 50 % to open (12 CFR 220.12); FINRA rule 4210 for 25 % of a
    long and 30 % of a short position to keep it. A long option is paid in full. A short option
    ties up its value and a share of strike times multiplier. Futures and forex: a broker's house
    rates, which change from day to day; these are round figures of the usual size.
    """

    stock_initial: Decimal = Decimal("0.50")
    stock_long: Decimal = Decimal("0.25")
    stock_short: Decimal = Decimal("0.30")
    option_short: Decimal = Decimal("0.20")
    future_initial: Decimal = Decimal("0.06")
    future_maintenance: Decimal = Decimal("0.05")
    forex_initial: Decimal = Decimal("0.03")
    forex_maintenance: Decimal = Decimal("0.03")

    def initial(self, instrument: Instrument, quantity: Decimal, price: Decimal) -> Decimal:
        """Return what opening ``quantity`` (signed) at ``price`` ties up, in its currency."""
        value = abs(quantity * price) * instrument.multiplier
        kind = instrument.security_type
        if kind is SecurityType.OPTION:
            return self._option(instrument, quantity, value)
        if kind is SecurityType.FUTURE:
            return value * self.future_initial
        if kind is SecurityType.FOREX:
            return value * self.forex_initial
        return value * self.stock_initial

    def maintenance(self, instrument: Instrument, quantity: Decimal, price: Decimal) -> Decimal:
        """Return what keeping ``quantity`` (signed) at ``price`` ties up, in its currency."""
        value = abs(quantity * price) * instrument.multiplier
        kind = instrument.security_type
        if kind is SecurityType.OPTION:
            return self._option(instrument, quantity, value)
        if kind is SecurityType.FUTURE:
            return value * self.future_maintenance
        if kind is SecurityType.FOREX:
            return value * self.forex_maintenance
        return value * (self.stock_long if quantity > 0 else self.stock_short)

    def _option(self, instrument: Instrument, quantity: Decimal, value: Decimal) -> Decimal:
        if quantity >= 0:
            return value
        strike = instrument.strike or ZERO
        return value + abs(quantity) * strike * instrument.multiplier * self.option_short
