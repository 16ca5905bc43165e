"""What the simulated accounts hold: positions, cash and margin, in Decimal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

import attrs

from alluse_core.errors import UsageError, did_you_mean
from alluse_core.model.instrument import Instrument, SecurityType, Side
from alluse_paper.margin import MarginRates
from alluse_paper.orders import ZERO

Mark = Callable[[Instrument], float]
"""Returns the price an instrument is valued at now, NaN where there is none."""


@attrs.frozen
class Holding:
    """A position: signed quantity, what was paid for it without commissions, realised profit.

    ``cost`` is the sum of price times quantity of what is held, not times the multiplier.
    ``realized`` is since the account was opened, in the instrument's currency.
    """

    instrument: Instrument
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realized: Decimal = ZERO

    @property
    def average_cost(self) -> Decimal:
        """Average price paid per unit of the instrument; 0 when flat."""
        return self.cost / abs(self.quantity) if self.quantity else ZERO

    def after(self, side: Side, quantity: Decimal, price: Decimal) -> tuple[Holding, Decimal]:
        """Return the holding after a trade, and the profit which that trade realised."""
        change = quantity * side.sign
        total = self.quantity + change
        if self.quantity * change >= 0:
            return attrs.evolve(self, quantity=total, cost=self.cost + price * quantity), ZERO
        held = abs(self.quantity)
        closed = min(held, quantity)
        paid = self.cost if closed == held else self.cost * closed / held
        direction = 1 if self.quantity > 0 else -1
        gain = (price * closed - paid) * direction * self.instrument.multiplier
        cost = self.cost - paid + price * (quantity - closed)
        return Holding(self.instrument, total, cost, self.realized + gain), gain


@attrs.frozen
class AccountFigures:
    """An account's money in its base currency, at the present marks.

    A figure is None where a price or an exchange rate that it needs is not known. ``cash`` is of
    all currencies, converted. ``unrealized`` is without commissions.
    """

    currency: str
    cash: Decimal | None
    net_liquidation: Decimal | None
    gross_position_value: Decimal | None
    initial_margin: Decimal | None
    maintenance_margin: Decimal | None
    available_funds: Decimal | None
    excess_liquidity: Decimal | None
    buying_power: Decimal | None
    realized: Decimal | None
    unrealized: Decimal | None
    commissions: Decimal | None


@attrs.define
class _Ledger:
    cash: dict[str, Decimal]
    commissions: dict[str, Decimal] = attrs.field(factory=dict)
    holdings: dict[Instrument, Holding] = attrs.field(factory=dict)


@attrs.frozen
class AccountState:
    """All that an account holds, to be kept and put back."""

    cash: Mapping[str, Decimal]
    commissions: Mapping[str, Decimal]
    holdings: tuple[Holding, ...]


class Accounts:
    """All accounts of the exchange. ``deposit`` in ``currency`` opens each.

    Shares and options are paid for in cash. A future moves cash when it realises profit. A
    currency trade moves both currencies; what it bought is cash, and its holding only tells
    the average rate and the profit.
    """

    def __init__(
        self,
        names: Iterable[str],
        mark: Mark,
        *,
        deposit: Decimal = Decimal(1_000_000),
        currency: str = "USD",
        margin: MarginRates | None = None,
    ) -> None:
        self.names = tuple(names)
        self.currency = currency
        self.margin = margin or MarginRates()
        self._mark = mark
        self._deposit = deposit
        self._ledgers = {name: _Ledger({currency: deposit}) for name in self.names}
        self._pairs: set[Instrument] = set()

    def knows(self, account: str) -> bool:
        """Whether ``account`` is one of these."""
        return account in self._ledgers

    def open(self, account: str) -> None:
        """Open another account with the same deposit; one that is there stays as it is."""
        if account not in self._ledgers:
            self.names = (*self.names, account)
            self._ledgers[account] = _Ledger({self.currency: self._deposit})

    def state(self, account: str) -> AccountState:
        """Return what an account holds."""
        ledger = self._ledger(account)
        return AccountState(
            dict(ledger.cash), dict(ledger.commissions), tuple(ledger.holdings.values())
        )

    def restore(self, account: str, state: AccountState) -> None:
        """Let an account hold what it held."""
        ledger = self._ledger(account)
        ledger.cash, ledger.commissions = dict(state.cash), dict(state.commissions)
        ledger.holdings = {holding.instrument: holding for holding in state.holdings}

    def rate_from(self, pairs: Iterable[Instrument]) -> None:
        """Name the currency pairs whose marks convert between currencies."""
        self._pairs.update(pairs)

    def trade(
        self,
        account: str,
        instrument: Instrument,
        side: Side,
        quantity: Decimal,
        price: Decimal,
        commission: Decimal,
    ) -> Decimal:
        """Book a fill; return the profit that it realised, before commission."""
        ledger = self._ledger(account)
        holding = ledger.holdings.get(instrument, Holding(instrument))
        holding, gain = holding.after(side, quantity, price)
        ledger.holdings[instrument] = holding
        kind, currency = instrument.security_type, instrument.currency
        if kind is SecurityType.FUTURE:
            _add(ledger.cash, currency, gain)
        else:
            _add(ledger.cash, currency, -side.sign * quantity * price * instrument.multiplier)
        if kind is SecurityType.FOREX:
            _add(ledger.cash, instrument.symbol, side.sign * quantity)
        _add(ledger.cash, currency, -commission)
        _add(ledger.commissions, currency, commission)
        return gain

    def holdings(self, account: str) -> tuple[Holding, ...]:
        """Return every instrument ever traded, flat ones included."""
        return tuple(self._ledger(account).holdings.values())

    def positions(self, account: str) -> tuple[Holding, ...]:
        """Return the holdings that are not flat."""
        return tuple(holding for holding in self.holdings(account) if holding.quantity != 0)

    def position(self, account: str, instrument: Instrument) -> Decimal:
        """Return the signed quantity held."""
        holding = self._ledger(account).holdings.get(instrument)
        return holding.quantity if holding else ZERO

    def cash(self, account: str) -> Mapping[str, Decimal]:
        """Return the cash by currency."""
        return dict(self._ledger(account).cash)

    def unrealized(self, holding: Holding) -> Decimal | None:
        """Return a holding's open profit in its instrument's currency; None without a mark."""
        price = self._price(holding.instrument)
        if holding.quantity == 0:
            return ZERO
        if price is None:
            return None
        direction = 1 if holding.quantity > 0 else -1
        gain = price * holding.quantity - holding.cost * direction
        return gain * holding.instrument.multiplier

    def figures(self, account: str) -> AccountFigures:
        """Return the account's money at the present marks."""
        ledger = self._ledger(account)
        positions = self.positions(account)
        cash = self._sum(ledger.cash.items())
        worth = [(each, self._worth(each)) for each in positions]
        value = self._sum((each.instrument.currency, amount) for each, amount in worth)
        net = None if cash is None or value is None else cash + value
        initial = self._tied(positions, self.margin.initial)
        maintenance = self._tied(positions, self.margin.maintenance)
        available = None if net is None or initial is None else net - initial
        return AccountFigures(
            currency=self.currency,
            cash=cash,
            net_liquidation=net,
            gross_position_value=self._sum(
                (each.instrument.currency, None if amount is None else abs(amount))
                for each, amount in worth
                if each.instrument.security_type is not SecurityType.FUTURE
            ),
            initial_margin=initial,
            maintenance_margin=maintenance,
            available_funds=available,
            excess_liquidity=None if net is None or maintenance is None else net - maintenance,
            buying_power=None
            if available is None
            else max(ZERO, available) / self.margin.stock_initial,
            realized=self._sum(
                (each.instrument.currency, each.realized) for each in self.holdings(account)
            ),
            unrealized=self._sum(
                (each.instrument.currency, self.unrealized(each)) for each in positions
            ),
            commissions=self._sum(ledger.commissions.items()),
        )

    def rate(self, currency: str) -> Decimal | None:
        """Return how much of the base currency one unit of ``currency`` is; None if unknown."""
        if currency == self.currency:
            return Decimal(1)
        for pair in self._pairs:
            if {pair.symbol, pair.currency} == {currency, self.currency}:
                price = self._price(pair)
                if price is not None:
                    return price if pair.symbol == currency else 1 / price
        return None

    def _worth(self, holding: Holding) -> Decimal | None:
        """What a holding adds to the account's worth beside its cash."""
        kind = holding.instrument.security_type
        if kind is SecurityType.FOREX:
            return ZERO
        if kind is SecurityType.FUTURE:
            return self.unrealized(holding)
        price = self._price(holding.instrument)
        return None if price is None else price * holding.quantity * holding.instrument.multiplier

    def _tied(
        self,
        positions: Iterable[Holding],
        rule: Callable[[Instrument, Decimal, Decimal], Decimal],
    ) -> Decimal | None:
        amounts: list[tuple[str, Decimal | None]] = []
        for each in positions:
            price = self._price(each.instrument)
            amount = None if price is None else rule(each.instrument, each.quantity, price)
            amounts.append((each.instrument.currency, amount))
        return self._sum(amounts)

    def _price(self, instrument: Instrument) -> Decimal | None:
        price = self._mark(instrument)
        return Decimal(repr(price)) if price == price else None

    def _sum(self, amounts: Iterable[tuple[str, Decimal | None]]) -> Decimal | None:
        total = ZERO
        for currency, amount in amounts:
            rate = self.rate(currency) if amount else Decimal(1)
            if amount is None or rate is None:
                return None
            total += amount * rate
        return total

    def _ledger(self, account: str) -> _Ledger:
        try:
            return self._ledgers[account]
        except KeyError:
            raise UsageError(
                f"account {account!r} is not among {list(self.names)}"
                f"{did_you_mean(account, self.names)}"
            ) from None


def _add(amounts: dict[str, Decimal], currency: str, amount: Decimal) -> None:
    amounts[currency] = amounts.get(currency, ZERO) + amount
