"""Which listings a client's description finds, and what is said of them."""

from __future__ import annotations

import asyncio
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from alluse_gateway import notices
from alluse_gateway.requests import Contract
from alluse_gateway.server import SimulatedGateway
from alluse_paper.exchange import Exchange
from alluse_paper.market import Listing
from gateway_lab import client, library

from alluse_core import Instrument
from alluse_core.clock import SystemClock

CALL = Instrument.option("AAPL", date(2026, 12, 18), 190, "C")
PUT = Instrument.option("AAPL", date(2026, 12, 18), 190, "P")
LATER = Instrument.option("AAPL", date(2027, 1, 15), 200, "C")
FUTURE = Instrument.future("ES", date(2026, 12, 18), "CME", multiplier=50)
LISTED = (Instrument.stock("AAPL"), Instrument.forex("EURUSD"), CALL, PUT, LATER, FUTURE)


def gateway_of() -> SimulatedGateway:
    return SimulatedGateway(Exchange(SystemClock(), [Listing.of(each) for each in LISTED]))


@pytest.mark.parametrize(
    ("contract", "expected"),
    [
        (Contract(symbol="AAPL", security_type="STK", exchange="SMART"), [LISTED[0]]),
        (Contract(symbol="AAPL", security_type="STK", exchange="NYSE"), [LISTED[0]]),
        (Contract(symbol="AAPL", security_type="STK", exchange="IDEALPRO"), []),
        (Contract(symbol="AAPL", security_type="STK", currency="EUR"), []),
        (Contract(symbol="EUR", security_type="CASH", currency="USD"), [LISTED[1]]),
        (Contract(symbol="AAPL", security_type="OPT"), [CALL, PUT, LATER]),
        (Contract(symbol="AAPL", security_type="OPT", expiry="202612"), [CALL, PUT]),
        (Contract(symbol="AAPL", security_type="OPT", strike=Decimal(200)), [LATER]),
        (Contract(symbol="AAPL", security_type="OPT", right="PUT"), [PUT]),
        (Contract(symbol="AAPL", security_type="OPT", right="?", expiry="20270115"), [LATER]),
        (Contract(symbol="AAPL", security_type="OPT", multiplier="10"), []),
        (Contract(local_symbol="ESZ6", security_type="FUT"), [FUTURE]),
        (Contract(local_symbol="AAPL  261218C00190000"), [CALL]),
        (Contract(con_id=1), []),
    ],
)
def test_a_description_finds_what_agrees_with_all_its_fields(
    contract: Contract, expected: list[Instrument]
) -> None:
    found = [listing.instrument for listing in gateway_of().desks.contracts.find(contract)]
    assert found == expected


def test_one_means_exactly_one() -> None:
    contracts = gateway_of().desks.contracts
    assert contracts.one(Contract(symbol="NOPE")) == notices.NO_DEFINITION_TEXT
    ambiguous = contracts.one(Contract(symbol="AAPL", security_type="OPT"))
    assert isinstance(ambiguous, str)
    assert "ambiguous" in ambiguous


@pytest.mark.parametrize("name", ["ib_insync", "ib_async"])
def test_chains_rules_and_hours_are_told_to_real_clients(name: str) -> None:
    async def story() -> None:
        lib: Any = library(name)
        async with gateway_of() as gateway, client(name, gateway) as ib:
            option = lib.Option("AAPL", "20261218", 190, "C", "SMART")
            (details,) = await ib.reqContractDetailsAsync(option)
            contract = details.contract
            assert (contract.strike, contract.right, contract.multiplier) == (190.0, "C", "100")
            assert contract.lastTradeDateOrContractMonth == "20261218"
            assert details.tradingSessions() or "CLOSED" in details.tradingHours
            (pair,) = await ib.reqContractDetailsAsync(lib.Forex("EURUSD"))
            (increment,) = await ib.reqMarketRuleAsync(int(pair.marketRuleIds.split(",")[0]))
            assert increment.increment == pair.minTick == 0.00001
            (chain,) = await ib.reqSecDefOptParamsAsync("AAPL", "", "STK", contract.conId)
            assert chain.expirations == ["20261218", "20270115"]
            assert chain.strikes == [190.0, 200.0]
            samples = await ib.reqMatchingSymbolsAsync("aa")
            assert [each.contract.symbol for each in samples] == ["AAPL"]

    asyncio.run(story())
