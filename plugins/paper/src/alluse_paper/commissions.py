"""What trading costs."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import attrs

from alluse_core.model.instrument import Instrument, SecurityType
from alluse_paper.orders import ZERO

_CENT_OF_A_CENT = Decimal("0.0001")


@attrs.frozen
class CommissionSchedule:
    """Fixed pricing after the form of IBKR's published US schedule; every rate is a setting.

    Stocks: an amount a share, at least ``stock_minimum`` an order, at most ``stock_maximum`` as
    a share of the trade's value. Options and futures: an amount a contract. Forex: a share of
    the value, with a minimum an order. In the instrument's currency.
    """

    stock_per_share: Decimal = Decimal("0.005")
    stock_minimum: Decimal = Decimal("1.00")
    stock_maximum: Decimal = Decimal("0.01")
    option_per_contract: Decimal = Decimal("0.65")
    option_minimum: Decimal = Decimal("1.00")
    future_per_contract: Decimal = Decimal("2.25")
    forex_rate: Decimal = Decimal("0.00002")
    forex_minimum: Decimal = Decimal("2.00")

    def total(self, instrument: Instrument, quantity: Decimal, cost: Decimal) -> Decimal:
        """Return the commission of an order filled so far: ``quantity`` units, price sum ``cost``.

        What one fill costs is the difference that it makes, so the minimum is charged once.
        """
        if quantity == 0:
            return ZERO
        kind = instrument.security_type
        value = abs(cost) * instrument.multiplier
        if kind is SecurityType.OPTION:
            amount = max(self.option_minimum, self.option_per_contract * quantity)
        elif kind is SecurityType.FUTURE:
            amount = self.future_per_contract * quantity
        elif kind is SecurityType.FOREX:
            amount = max(self.forex_minimum, self.forex_rate * value)
        else:
            amount = max(self.stock_minimum, self.stock_per_share * quantity)
            amount = min(amount, self.stock_maximum * value)
        return amount.quantize(_CENT_OF_A_CENT, ROUND_HALF_UP)
