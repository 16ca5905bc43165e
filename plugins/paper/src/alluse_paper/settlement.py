"""What becomes of options and futures without an order: exercise, assignment, expiry."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from alluse_core.model.instrument import Instrument, Right, SecurityType, Side
from alluse_paper.market import Listing, is_price
from alluse_paper.orders import ZERO, Cause

if TYPE_CHECKING:
    from alluse_paper.exchange import Exchange

EXERCISE_BY_EXCEPTION = Decimal("0.01")
"""How far in the money an option must be at its expiry to be exercised unasked (OCC)."""


class Expiries:
    """The ends of the last sessions of everything that expires, in the order of time."""

    def __init__(self, listings: Iterable[Listing], close: Callable[[Listing], float]) -> None:
        known: dict[tuple[object, object], float] = {}
        rows = []
        for listing in listings:
            if listing.instrument.expiry:
                key = (listing.instrument.expiry, listing.hours)
                if key not in known:
                    known[key] = close(listing)
                rows.append((known[key], listing.con_id, listing))
        self._coming = sorted(rows, key=lambda row: row[:2], reverse=True)

    @property
    def next(self) -> float:
        """Epoch seconds of the next one; infinite where there is none."""
        return self._coming[-1][0] if self._coming else math.inf

    def due(self, market_time: float) -> Iterator[Instrument]:
        """Yield what has expired by ``market_time``, once."""
        while self._coming and self._coming[-1][0] <= market_time:
            yield self._coming.pop()[2].instrument


def last_close(listing: Listing) -> float:
    """Return when the session of a listing's expiry day ends; infinite where it has none."""
    expiry = listing.instrument.expiry
    session = listing.hours.session_on(expiry) if expiry else None
    return session[1].timestamp() if session else math.inf


def exercise(exchange: Exchange, account: str, option: Instrument, quantity: Decimal = ZERO) -> str:
    """Exercise ``quantity`` (0: all) of a long option; return why not, or an empty text."""
    held = exchange.accounts.position(account, option)
    return _deliver(exchange, account, option, held, quantity, Cause.EXERCISE)


def assign(exchange: Exchange, account: str, option: Instrument, quantity: Decimal = ZERO) -> str:
    """Assign ``quantity`` (0: all) of a short option; return why not, or an empty text."""
    held = -exchange.accounts.position(account, option)
    return _deliver(exchange, account, option, held, quantity, Cause.ASSIGNMENT)


def expire(exchange: Exchange, account: str, instrument: Instrument) -> None:
    """Settle a position at its expiry: in the money exercised or assigned, else worth nothing.

    A future settles at its mark. An option whose underlying shows no price settles in cash at
    its own mark.
    """
    held = exchange.accounts.position(account, instrument)
    if held == 0:
        return
    if instrument.security_type is SecurityType.OPTION:
        inside = intrinsic(exchange, instrument)
        if inside is not None and inside >= EXERCISE_BY_EXCEPTION:
            (exercise if held > 0 else assign)(exchange, account, instrument)
            return
        price = ZERO if inside is not None else _mark(exchange, instrument) or ZERO
    else:
        price = _mark(exchange, instrument) or ZERO
    side = Side.SELL if held > 0 else Side.BUY
    exchange.settle(account, instrument, side, abs(held), price, Cause.EXPIRY)


def underlying_of(exchange: Exchange, option: Instrument) -> Instrument | None:
    """Return what an option is on: a listed stock, else an index."""
    for kind in (SecurityType.STOCK, SecurityType.INDEX):
        found = exchange.find(option.symbol, kind, currency=option.currency)
        if found:
            return found[0].instrument
    return None


def _deliver(
    exchange: Exchange,
    account: str,
    option: Instrument,
    held: Decimal,
    quantity: Decimal,
    cause: Cause,
) -> str:
    if option.security_type is not SecurityType.OPTION or option.strike is None:
        return f"{option} is no option"
    wanted = quantity or held
    if not 0 < wanted <= held:
        word = "long" if cause is Cause.EXERCISE else "short"
        return f"{account} is {word} {max(held, ZERO)} of {option}, not {wanted}"
    underlying = underlying_of(exchange, option)
    if underlying is None:
        return f"the underlying of {option} is not listed"
    closes = Side.SELL if cause is Cause.EXERCISE else Side.BUY
    in_cash = underlying.security_type is SecurityType.INDEX
    worth = (intrinsic(exchange, option) or ZERO) if in_cash else ZERO
    exchange.settle(account, option, closes, wanted, worth, cause)
    if not in_cash:
        buys = (option.right is Right.CALL) == (cause is Cause.EXERCISE)
        side = Side.BUY if buys else Side.SELL
        shares = wanted * option.multiplier
        exchange.settle(account, underlying, side, shares, option.strike, cause)
    return ""


def intrinsic(exchange: Exchange, option: Instrument) -> Decimal | None:
    """Return what exercising brings per unit, at least 0; None where no price is known."""
    underlying = underlying_of(exchange, option)
    mark = _mark(exchange, underlying) if underlying is not None else None
    if mark is None or option.strike is None:
        return None
    gain = mark - option.strike if option.right is Right.CALL else option.strike - mark
    return max(ZERO, gain)


def _mark(exchange: Exchange, instrument: Instrument) -> Decimal | None:
    top = exchange.top(instrument)
    if top is None:
        return None
    price = top.last if is_price(top.last) else top.mark
    return Decimal(repr(price)) if is_price(price) else None
