"""The option chains of an exchange, as classes and as what is listed for an expiry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from alluse_core.model import Instrument, OptionParameters, SecurityType
from alluse_paper.exchange import Exchange
from alluse_paper.market import Listing


def parameters_of(exchange: Exchange, underlying: Instrument) -> Sequence[OptionParameters]:
    """Return the classes of options on ``underlying``; empty where there are none."""
    classes: dict[OptionParameters, list[Instrument]] = {}
    for listing in _options(exchange, underlying):
        option = listing.instrument
        name = OptionParameters(
            underlying, option.exchange, listing.trading_class, option.multiplier, (), ()
        )
        classes.setdefault(name, []).append(option)
    return tuple(
        OptionParameters(
            underlying,
            name.exchange,
            name.trading_class,
            name.multiplier,
            tuple(sorted({each.expiry for each in options if each.expiry})),
            tuple(sorted({each.strike for each in options if each.strike})),
        )
        for name, options in classes.items()
    )


def listed_on(
    exchange: Exchange, parameters: OptionParameters, expiry: date
) -> Sequence[Instrument]:
    """Return the options of a class that end on ``expiry``."""
    return tuple(
        listing.instrument
        for listing in _options(exchange, parameters.underlying)
        if listing.trading_class == parameters.trading_class
        and listing.instrument.exchange == parameters.exchange
        and listing.instrument.multiplier == parameters.multiplier
        and listing.instrument.expiry == expiry
    )


def _options(exchange: Exchange, underlying: Instrument) -> Iterator[Listing]:
    yield from exchange.find(underlying.symbol, SecurityType.OPTION, currency=underlying.currency)
