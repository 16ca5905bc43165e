"""Finds listings by what a caller knows of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from alluse_core.errors import InstrumentNotFound, did_you_mean
from alluse_core.model.instrument import Instrument, Right, SecurityType
from alluse_paper.combos import combo_listing
from alluse_paper.market import Listing

_Terms = tuple[str, SecurityType, str, date | None, Decimal | None, Right | None]


class Catalog:
    """All listings of an exchange, by instrument, contract number and description."""

    def __init__(self, listings: Iterable[Listing]) -> None:
        self.all = tuple(listings)
        self._by_instrument = {listing.instrument: listing for listing in self.all}
        self._combos: dict[Instrument, Listing] = {}
        self._by_con_id = {listing.con_id: listing for listing in self.all}
        self._by_terms: dict[_Terms, list[Listing]] = defaultdict(list)
        self._by_symbol: dict[str, list[Listing]] = defaultdict(list)
        for listing in self.all:
            self._by_terms[_terms(listing.instrument)].append(listing)
            self._by_symbol[listing.instrument.symbol].append(listing)

    def resolve(self, instrument: Instrument) -> Listing:
        """Return the listing of ``instrument``, or of the same one under another exchange's name.

        A combo of listed legs is listed as soon as it is asked for.
        Raises InstrumentNotFound.
        """
        if instrument.security_type is SecurityType.COMBO:
            made = self._combos.get(instrument)
            if made is None:
                made = self._combos[instrument] = combo_listing(instrument, self.resolve)
                self._combos[made.instrument] = made
            return made
        exact = self._by_instrument.get(instrument)
        if exact is not None:
            return exact
        same = self._by_terms.get(_terms(instrument))
        if same:
            return same[0]
        raise InstrumentNotFound(
            f"the simulated exchange does not list {instrument.id}"
            f"{did_you_mean(instrument.symbol, self._by_symbol)}",
            hint="it lists what its recording or its synthetic market holds",
        )

    def by_con_id(self, con_id: int) -> Listing | None:
        """Return the listing with this contract number, or None."""
        return self._by_con_id.get(con_id)

    def find(
        self,
        symbol: str = "",
        security_type: SecurityType | None = None,
        exchange: str = "",
        currency: str = "",
        expiry: date | None = None,
        strike: Decimal | None = None,
        right: Right | None = None,
    ) -> tuple[Listing, ...]:
        """Return the listings that fit everything given; empty and None fit anything.

        SMART as the exchange fits every exchange.
        """
        pool: Iterable[Listing] = self._by_symbol.get(symbol, ()) if symbol else self.all
        wanted = (
            ("security_type", security_type),
            ("exchange", "" if exchange == "SMART" else exchange),
            ("currency", currency),
            ("expiry", expiry),
            ("strike", strike),
            ("right", right),
        )
        asked = [(name, value) for name, value in wanted if value not in (None, "")]
        return tuple(
            listing
            for listing in pool
            if all(getattr(listing.instrument, name) == value for name, value in asked)
        )


def _terms(instrument: Instrument) -> _Terms:
    return (
        instrument.symbol,
        instrument.security_type,
        instrument.currency,
        instrument.expiry,
        instrument.strike,
        instrument.right,
    )
