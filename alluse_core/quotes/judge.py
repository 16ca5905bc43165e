"""What a quote is fit for. Pure."""

from __future__ import annotations

import math

import attrs

from alluse_core.model import Instrument, Quote, QuoteCondition, SecurityType


def servable(quote: Quote) -> bool:
    """Return whether the quote has a price to serve: one valid side, or an index's value.

    An index is not traded, so it has no sides; its last value is its price.
    """
    if quote.condition is not QuoteCondition.EMPTY:
        return True
    return quote.instrument.security_type is SecurityType.INDEX and math.isfinite(quote.last)


def confirmed(quote: Quote, at: float) -> Quote:
    """Return the quote as known to be current at monotonic ``at``.

    Never less than it was; ``at`` NaN says nothing.
    """
    if math.isnan(at) or quote.confirmed_at >= at:
        return quote
    return attrs.evolve(quote, confirmed_at=at)


def not_priced(instrument: Instrument, quote: Quote | None) -> tuple[str, str]:
    """Return the fact and the way out where there is no price to serve."""
    if quote is None:
        return (
            f"no quote of {instrument} arrived in time",
            "check the market data subscription and the market's hours:"
            " 'alluse doctor --connect --ask INSTRUMENT'",
        )
    halted = ", and it is halted" if quote.halted else ""
    return (
        f"the newest quote of {instrument} has no valid side"
        f" (bid {quote.bid}, ask {quote.ask}){halted}",
        "the market may be closed; quotes.newest() returns it as it is",
    )
