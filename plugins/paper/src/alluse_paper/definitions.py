"""Listings as the core's definitions of instruments."""

from __future__ import annotations

from decimal import Decimal

from alluse_core.errors import AmbiguousInstrument, InstrumentNotFound
from alluse_core.model.instrument import Candidate, Instrument, InstrumentDefinition
from alluse_paper.exchange import Exchange
from alluse_paper.market import Listing


def definition_of(listing: Listing, asked: Instrument) -> InstrumentDefinition:
    """Return a listing as the definition of the instrument that was asked for.

    A description that left out what only the listing knows is defined by the listing's own.
    """
    listed = listing.instrument
    loose = asked.expiry is None and listed.expiry is not None
    return InstrumentDefinition(
        instrument=listed if loose else asked,
        broker_id=str(listing.con_id),
        local_symbol=listing.local_symbol,
        trading_class=listing.trading_class,
        primary_exchange=listing.primary_exchange,
        long_name=listing.long_name,
        min_tick=listing.min_tick,
        price_increments=listing.increments or ((Decimal(0), listing.min_tick),),
        min_size=listing.min_size,
        size_increment=listing.size_increment,
        time_zone=listing.hours.zone,
    )


def sole_listing(exchange: Exchange, instrument: Instrument) -> Listing:
    """Return the one listing that fits. Raises InstrumentNotFound or AmbiguousInstrument."""
    try:
        return exchange.listing(instrument)
    except InstrumentNotFound:
        found = exchange.find(
            instrument.symbol,
            instrument.security_type,
            currency=instrument.currency,
            expiry=instrument.expiry,
            strike=instrument.strike,
            right=instrument.right,
        )
        if not found:
            raise
    if len(found) == 1:
        return found[0]
    raise AmbiguousInstrument(
        f"{instrument.id} fits {len(found)} listed instruments",
        (
            Candidate(
                listing.instrument,
                str(listing.con_id),
                listing.local_symbol,
                listing.primary_exchange,
                listing.trading_class,
            )
            for listing in found
        ),
        hint="give expiry, strike and right",
    )
