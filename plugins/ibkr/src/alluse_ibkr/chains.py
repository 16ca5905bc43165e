"""Option chains: the classes on an underlying, and what of one is listed for an expiry."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from alluse_core.model import Instrument, InstrumentDefinition, OptionParameters, Right
from alluse_ibkr import contracts
from alluse_ibkr.client import Library
from alluse_ibkr.contracts import ContractBook
from alluse_ibkr.lookup import Lookup
from alluse_ibkr.route import Route
from alluse_ibkr.wireformat import day_in, exact, number_in


class ChainDesk:
    """Asks for option chains on the contracts connection."""

    def __init__(self, library: Library, route: Route, book: ContractBook, lookup: Lookup) -> None:
        self._library = library
        self._route = route
        self._book = book
        self._lookup = lookup
        self._asking: dict[str, asyncio.Lock] = {}

    async def parameters(self, underlying: Instrument) -> Sequence[OptionParameters]:
        """Return the classes on ``underlying``, one for each exchange that lists it."""
        definition = await self._lookup.define(underlying)
        rows = await self._route.ask(
            "option_parameters",
            lambda client, number: client.reqSecDefOptParams(
                number,
                underlying.symbol,
                "",
                underlying.security_type.value,
                int(definition.broker_id),
            ),
        )
        return tuple(_parameters(underlying, row) for row in rows)

    def known(self, parameters: OptionParameters, expiry: date) -> bool:
        """Return whether an expiry's options were told today."""
        return self._book.listing(_name(parameters, expiry)) is not None

    async def options(self, parameters: OptionParameters, expiry: date) -> Sequence[Instrument]:
        """Return what is listed of a class for one expiry: one question a day.

        A contract without strike and right fits all of them, so one question defines them all.
        """
        name = _name(parameters, expiry)
        async with self._asking.setdefault(name, asyncio.Lock()):
            known = self._book.listing(name)
            if known is not None:
                return known
            rows = await self._details(parameters, expiry)
            definitions = [each for row in rows if (each := await self._define(parameters, row))]
            if definitions:
                self._book.keep_listing(name, definitions)
            for each in definitions:
                self._lookup.defined(each.instrument)
            return tuple(each.instrument for each in definitions)

    async def _details(self, parameters: OptionParameters, expiry: date) -> Sequence[Any]:
        contract = self._library.contract(
            symbol=parameters.underlying.symbol,
            secType="OPT",
            lastTradeDateOrContractMonth=f"{expiry:%Y%m%d}",
            multiplier=format(parameters.multiplier.normalize(), "f"),
            exchange=parameters.exchange,
            currency=parameters.underlying.currency,
            tradingClass=parameters.trading_class,
        )
        return await self._lookup.details("option_contracts", contract)

    async def _define(
        self, parameters: OptionParameters, details: Any
    ) -> InstrumentDefinition | None:
        contract = details.contract
        strike, right = exact(contract.strike), contract.right[:1]
        expiry = day_in(contract.lastTradeDateOrContractMonth[:8])
        if not strike or right not in ("C", "P") or expiry is None:
            return None
        option = parameters.option(expiry, strike, Right(right))
        rule = contracts.rule_number(details, parameters.exchange)
        increments = await self._lookup.rule(rule) if rule is not None else None
        return contracts.define(option, details, increments)


def _name(parameters: OptionParameters, expiry: date) -> str:
    parts = (
        parameters.underlying.id,
        parameters.exchange,
        parameters.trading_class,
        format(parameters.multiplier.normalize(), "f"),
        f"{expiry:%Y%m%d}",
    )
    return "/".join(parts)


def _parameters(underlying: Instrument, row: tuple[Any, ...]) -> OptionParameters:
    exchange, trading_class, multiplier, expiries, strikes = row
    days = {day for text in expiries if (day := day_in(text[:8]))}
    prices = {price for strike in strikes if (price := exact(strike))}
    return OptionParameters(
        underlying,
        exchange,
        trading_class,
        number_in(multiplier) or Decimal(100),
        tuple(sorted(days)),
        tuple(sorted(prices)),
    )
