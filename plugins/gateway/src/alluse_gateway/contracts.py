"""Finds listings by the fields a client gives, and answers what is asked about them."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from alluse_paper.exchange import Exchange
from alluse_paper.hours import Hours
from alluse_paper.market import Listing

from alluse_core.clock import Clock
from alluse_core.model import Instrument, SecurityType
from alluse_gateway import notices
from alluse_gateway import requests as r
from alluse_gateway.answers import contracts as answers
from alluse_gateway.combos import combo_of
from alluse_gateway.order_refusals import Refusal
from alluse_gateway.session import Session
from alluse_gateway.wire import decimal_text

CALENDAR_DAYS = 5
FIRST_RULE = 26
"""The number of the first market rule; there is one for each price increment in use."""

Increments = tuple[tuple[Decimal, Decimal], ...]

ROOTS = {"SPXW": "SPX", "NDXP": "NDX", "RUTW": "RUT"}
"""Option classes that are named after another symbol than their underlying's."""

_DERIVATIVES = (SecurityType.OPTION, SecurityType.FUTURE)
_SMART = frozenset({SecurityType.STOCK, SecurityType.OPTION, SecurityType.COMBO})


class ContractDesk:
    """The listings of one market, by contract number and by symbol."""

    def __init__(self, clock: Clock, exchange: Exchange) -> None:
        self._clock = clock
        self._exchange = exchange
        self._by_id: dict[int, Listing] = {}
        self._by_symbol: dict[str, list[Listing]] = {}
        self._by_local: dict[str, list[Listing]] = {}
        self._texts: dict[Instrument, answers.ContractText] = {}
        self._rules: dict[Increments, int] = {}
        self._derivatives: dict[str, set[str]] = {}
        for listing in exchange.listings:
            self._by_id[listing.con_id] = listing
            self._by_symbol.setdefault(listing.instrument.symbol, []).append(listing)
            self._by_local.setdefault(listing.local_symbol, []).append(listing)
            self._rules.setdefault(increments_of(listing), FIRST_RULE + len(self._rules))
            if listing.instrument.security_type in _DERIVATIVES:
                kinds = self._derivatives.setdefault(listing.instrument.symbol, set())
                kinds.add(listing.instrument.security_type.value)

    def find(self, contract: r.Contract) -> list[Listing]:
        """Return every listing that ``contract`` fits."""
        if contract.con_id:
            listing = self._by_id.get(contract.con_id)
            return [listing] if listing is not None else []
        pool = (
            self._by_symbol.get(contract.symbol, ())
            if contract.symbol
            else self._by_local.get(contract.local_symbol, ())
        )
        return [each for each in pool if fits(contract, each)]

    def by_number(self, con_id: int) -> Listing | None:
        """Return the listing with this contract number."""
        return self._by_id.get(con_id)

    def traded(self, contract: r.Contract) -> Listing | Refusal:
        """Return what an order is for, a combo by its legs, or why it is refused."""
        if contract.security_type == "BAG":
            return combo_of(contract, self._exchange, self.by_number)
        listing = self.one(contract)
        return Refusal(notices.NO_DEFINITION, listing) if isinstance(listing, str) else listing

    def text_of(self, instrument: Instrument) -> answers.ContractText:
        """Return an instrument of the exchange's as it is written."""
        return self.text(self._exchange.listing(instrument))

    def one(self, contract: r.Contract) -> Listing | str:
        """Return the only listing that fits, or the text of error 200."""
        found = self.find(contract)
        if len(found) == 1:
            return found[0]
        if not found:
            return notices.NO_DEFINITION_TEXT
        return (
            f"The contract description specified for {contract.symbol} is ambiguous; "
            "you must specify the multiplier or trading class."
        )

    def hours(self, listing: Listing) -> Hours:
        """Return the trading hours of ``listing`` as they are now."""
        return self._exchange.hours(listing)

    def text(self, listing: Listing) -> answers.ContractText:
        """Return ``listing`` as it is written, made once."""
        # Combos share one contract number.
        text = self._texts.get(listing.instrument)
        if text is None:
            text = self._texts[listing.instrument] = answers.ContractText.of(listing)
        return text

    def details(self, session: Session, request: r.ContractDetails) -> None:
        """Answer reqContractDetails: 10 for each that fits and 52, or 200."""
        found = self.find(request.contract)
        if not found:
            session.error(request.request_id, notices.NO_DEFINITION, notices.NO_DEFINITION_TEXT)
            return
        now = self._clock.now()
        calendars: dict[Hours, answers.Calendar] = {}
        for listing in found:
            hours = self.hours(listing)
            calendar = calendars.get(hours)
            if calendar is None:
                calendar = calendars[hours] = calendar_of(hours, now)
            session.send(
                answers.contract_details(
                    session.version,
                    request.request_id,
                    listing,
                    calendar,
                    self._rules[increments_of(listing)],
                    self.underlying(listing),
                )
            )
        session.send(answers.contract_details_end(request.request_id))

    def underlying(self, listing: Listing) -> Listing | None:
        """Return what a listed option is on, a stock or an index; None where it is not listed."""
        instrument = listing.instrument
        if instrument.security_type is not SecurityType.OPTION:
            return None
        names = (instrument.symbol, ROOTS.get(instrument.symbol, ""))
        for each in (found for name in names for found in self._by_symbol.get(name, ())):
            if each.instrument.security_type in (SecurityType.STOCK, SecurityType.INDEX):
                return each
        return None

    def symbols(self, session: Session, request: r.MatchingSymbols) -> None:
        """Answer reqMatchingSymbols with stocks and indexes whose symbol begins with the pattern,
        or whose name holds it."""
        pattern = request.pattern.upper()
        kinds = (SecurityType.STOCK, SecurityType.INDEX)
        found = [
            each
            for symbol, listings in sorted(self._by_symbol.items())
            for each in listings
            if each.instrument.security_type in kinds
            and (symbol.startswith(pattern) or pattern in each.long_name.upper())
        ]
        found.sort(key=lambda each: not each.instrument.symbol.startswith(pattern))
        rows = found[:16]
        derived = {each.instrument.symbol: self._derived(each) for each in rows}
        number = request.request_id
        session.send(answers.symbol_samples(session.version, number, rows, derived))

    def _derived(self, listing: Listing) -> list[str]:
        """Return the kinds of derivatives that are listed on something."""
        symbol = listing.instrument.symbol
        roots = [root for root, name in ROOTS.items() if name == symbol]
        return sorted(
            {kind for name in (symbol, *roots) for kind in self._derivatives.get(name, ())}
        )

    def market_rule(self, session: Session, request: r.MarketRule) -> None:
        """Answer reqMarketRule: the increments by rising price."""
        for increments, rule in self._rules.items():
            if rule == request.request_id:
                session.send(answers.market_rule(rule, increments))
                return
        session.error(-1, notices.VALIDATION, notices.validation("rule", "unknown market rule"))

    def option_parameters(self, session: Session, request: r.OptionParameters) -> None:
        """Answer reqSecDefOptParams with the expiries and strikes of the listed chain."""
        chains: dict[tuple[str, str, str], list[Listing]] = {}
        for each in self._by_symbol.get(request.symbol, ()):
            instrument = each.instrument
            if instrument.security_type is SecurityType.OPTION:
                multiplier = decimal_text(instrument.multiplier)
                key = (instrument.exchange, each.trading_class, multiplier)
                chains.setdefault(key, []).append(each)
        for (exchange, trading_class, multiplier), listings in sorted(chains.items()):
            expiries = {f"{each.instrument.expiry:%Y%m%d}" for each in listings}
            strikes = {each.instrument.strike for each in listings if each.instrument.strike}
            session.send(
                answers.option_parameters(
                    request.request_id,
                    exchange,
                    request.con_id,
                    trading_class,
                    multiplier,
                    sorted(expiries),
                    [decimal_text(strike) for strike in sorted(strikes)],
                )
            )
        session.send(answers.option_parameters_end(request.request_id))


def increments_of(listing: Listing) -> Increments:
    """Return the (from price, tick) pairs of a listing, which hold on all its exchanges."""
    return listing.increments or ((Decimal(0), listing.min_tick),)


def fits(contract: r.Contract, listing: Listing) -> bool:
    """Whether every field that ``contract`` gives agrees with ``listing``."""
    instrument = listing.instrument
    kind = contract.security_type
    if kind and kind != instrument.security_type.value:
        return False
    if contract.currency and contract.currency != instrument.currency:
        return False
    if contract.expiry and not (
        instrument.expiry and f"{instrument.expiry:%Y%m%d}".startswith(contract.expiry[:8])
    ):
        return False
    if contract.strike and contract.strike != instrument.strike:
        return False
    right = contract.right[:1].strip("?0")
    if right and (not instrument.right or right != instrument.right.value):
        return False
    if contract.multiplier and contract.multiplier != decimal_text(instrument.multiplier):
        return False
    if contract.local_symbol and contract.local_symbol != listing.local_symbol:
        return False
    if contract.trading_class and contract.trading_class != listing.trading_class:
        return False
    return _exchange_fits(contract, listing)


def _exchange_fits(contract: r.Contract, listing: Listing) -> bool:
    known = {"", listing.instrument.exchange, listing.primary_exchange}
    if listing.instrument.security_type in _SMART:
        known.add("SMART")
    return contract.exchange in known and contract.primary_exchange in known


def calendar_of(hours: Hours, now: datetime) -> answers.Calendar:
    """Write the sessions of the next days as TWS does, in the exchange's own zone."""
    zone = ZoneInfo(hours.zone)
    first = now.astimezone(zone).date()
    days = [first + timedelta(days=offset) for offset in range(CALENDAR_DAYS)]
    written: list[str] = []
    for extended in (True, False):
        parts = []
        for day in days:
            session = hours.session_on(day, extended=extended)
            if session is None:
                parts.append(f"{day:%Y%m%d}:CLOSED")
                continue
            opens, closes = (moment.astimezone(zone) for moment in session)
            parts.append(f"{opens:%Y%m%d:%H%M}-{closes:%Y%m%d:%H%M}")
        written.append(";".join(parts))
    return answers.Calendar(hours.zone, written[0], written[1])
