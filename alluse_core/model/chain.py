"""Option chains: what is listed, what is chosen of it, what reading it costs, what was read."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import attrs

from alluse_core.model.instrument import Instrument, Right
from alluse_core.model.quote import Quote

BOTH = (Right.CALL, Right.PUT)


@attrs.frozen
class OptionParameters:
    """One class of options on an underlying, as an exchange lists it; expiries and strikes rise.

    Not every strike is listed for every expiry.
    """

    underlying: Instrument
    exchange: str
    trading_class: str
    multiplier: Decimal
    expiries: tuple[date, ...]
    strikes: tuple[Decimal, ...]

    def option(self, expiry: date, strike: Decimal, right: Right) -> Instrument:
        """Return one option of the class."""
        return Instrument.option(
            self.underlying.symbol,
            expiry,
            strike,
            right,
            self.exchange,
            self.underlying.currency,
            self.multiplier,
        )


@attrs.frozen
class ChainWindow:
    """What of a chain is wanted: the first ``expiries`` from today on, between two days where
    they are given, and the ``strikes`` nearest to the underlying's price, no further from it than
    ``width`` (0.1: a tenth of the price) where that is given. ``trading_class`` "" takes the one
    named as the underlying, or the largest.
    """

    expiries: int = attrs.field(default=2, validator=attrs.validators.ge(1))
    strikes: int = attrs.field(default=10, validator=attrs.validators.ge(1))
    first_day: date | None = None
    last_day: date | None = None
    width: float | None = None
    rights: tuple[Right, ...] = attrs.field(default=BOTH, validator=attrs.validators.min_len(1))
    exchange: str = "SMART"
    trading_class: str = ""


@attrs.frozen
class ChainCost:
    """What reading a chain takes; nothing of it is sent yet.

    ``contracts``, ``messages``: at most, since not every strike is listed for every expiry.
    ``lines`` is how many market data lines it uses at a time, of those that are free now.
    ``least_seconds`` is what the messages take at the broker's rate. ``seconds`` is expected from
    how long contracts took to answer before, NaN where none was read yet. ``most_seconds`` is
    taken where no contract answers; infinite without a free line. Times count from when the
    contracts are known.
    """

    contracts: int
    lines: int
    messages: int
    least_seconds: float
    seconds: float
    most_seconds: float


@attrs.frozen
class ChainPlan:
    """The part of a chain that would be read, and what that costs."""

    underlying: Instrument
    price: float
    parameters: OptionParameters
    expiries: tuple[date, ...]
    strikes: tuple[Decimal, ...]
    rights: tuple[Right, ...]
    cost: ChainCost

    @property
    def options(self) -> tuple[Instrument, ...]:
        """The options of the plan, listed or not, by expiry, strike and right."""
        return tuple(
            self.parameters.option(expiry, strike, right)
            for expiry in self.expiries
            for strike in self.strikes
            for right in self.rights
        )


@attrs.frozen
class ChainRow:
    """One option: its quote, or why there is none.

    Where ``missing`` speaks of one side, ``quote`` has the other one.
    """

    option: Instrument
    quote: Quote | None = None
    missing: str = ""


@attrs.frozen
class ChainProgress:
    """How far a reading is: options done of all, and lines in use for it now."""

    done: int
    options: int
    quoted: int
    lines: int


@attrs.frozen
class OptionChain:
    """A chain as it was read, in ``seconds``; ``most_lines`` were in use for it at a time."""

    plan: ChainPlan
    rows: tuple[ChainRow, ...]
    seconds: float
    most_lines: int

    @property
    def complete(self) -> bool:
        """Whether every option has a quote with two sides."""
        return not any(row.missing for row in self.rows)
