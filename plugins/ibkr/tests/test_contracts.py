"""Contract numbers from run to run, and a number that changes."""

from __future__ import annotations

import asyncio
import json
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
from alluse_ibkr import contract_file
from alluse_ibkr.client import Library, load
from alluse_ibkr.contracts import ContractBook
from ibkr_lab import AAPL, CALL, FUTURE, LIBRARIES, MSFT, gateway, until

import alluse_core as alluse
from alluse_core.errors import NotSent
from alluse_core.model import (
    ComboLeg,
    Instrument,
    InstrumentDefinition,
    Order,
    OrderState,
    Side,
)

TODAY = date(2026, 1, 5)


def loaded() -> Library:
    async def loading() -> Library:
        return load("ib_insync")

    return asyncio.run(loading())


def book(path: Path, told: list[str] | None = None, today: date = TODAY) -> ContractBook:
    notices = told if told is not None else []
    return ContractBook(loaded(), path, lambda: today, notices.append)


def test_a_number_is_known_again_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "contracts.json"
    book(path).keep(InstrumentDefinition(AAPL, "11"))
    assert book(path).instrument(SimpleNamespace(conId=11)) is AAPL
    assert json.loads(path.read_text())["version"] == contract_file.VERSION
    assert [file.name for file in tmp_path.iterdir()] == ["contracts.json"]


def test_a_file_of_the_first_version_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "contracts.json"
    path.write_text(json.dumps({"11": AAPL.id}))
    assert book(path).instrument(SimpleNamespace(conId=11)) is AAPL


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": 2, "contracts": 7}', "null"])
def test_a_file_that_cannot_be_used_counts_as_empty(tmp_path: Path, text: str) -> None:
    path = tmp_path / "contracts.json"
    path.write_text(text)
    assert contract_file.read(path, TODAY) == {}


def test_an_entry_that_cannot_be_used_is_left_out_alone(tmp_path: Path) -> None:
    path = tmp_path / "contracts.json"
    good = {"instrument": AAPL.id, "confirmed": "2026-01-04"}
    rows = {"1": {"instrument": AAPL.id, "confirmed": "then"}, "x": good, "2": 5, "11": good}
    path.write_text(json.dumps({"version": 2, "contracts": rows}))
    assert set(contract_file.read(path, TODAY)) == {11}


def test_entries_end_when_unconfirmed_for_long_or_expired(tmp_path: Path) -> None:
    path = tmp_path / "contracts.json"
    known = book(path)
    known.keep(InstrumentDefinition(AAPL, "11"))
    known.keep(InstrumentDefinition(CALL, "12"))
    assert CALL.expiry is not None
    assert set(contract_file.read(path, TODAY + contract_file.KEPT)) == {11, 12}
    assert set(contract_file.read(path, TODAY + contract_file.KEPT + timedelta(days=1))) == set()
    book(path, today=CALL.expiry).keep(InstrumentDefinition(CALL, "12"))
    after = CALL.expiry + contract_file.KEPT_AFTER_EXPIRY
    assert 12 in contract_file.read(path, after)
    assert 12 not in contract_file.read(path, after + timedelta(days=1))


def test_an_answer_of_another_day_confirms_an_entry(tmp_path: Path) -> None:
    path = tmp_path / "contracts.json"
    book(path).keep(InstrumentDefinition(AAPL, "11"))
    later = TODAY + timedelta(days=300)
    book(path, today=later).keep(InstrumentDefinition(AAPL, "11"))
    assert contract_file.read(path, later)[11].confirmed == later


def test_an_instrument_whose_number_changed_is_frozen_with_a_notice(tmp_path: Path) -> None:
    path, told = tmp_path / "contracts.json", list[str]()
    book(path).keep(InstrumentDefinition(AAPL, "11"))
    again = book(path, told)
    again.check_tradable(AAPL)
    again.keep(InstrumentDefinition(AAPL, "99"))
    again.keep(InstrumentDefinition(AAPL, "99"))
    assert len(told) == 1, "it is said once"
    assert "was contract 11 and now is 99" in told[0]
    with pytest.raises(NotSent, match="now is 99") as caught:
        again.check_tradable(AAPL)
    assert str(path) in caught.value.hint
    again.check_tradable(MSFT)
    combo = Instrument.combo("AAPL", (ComboLeg(AAPL, Side.BUY), ComboLeg(MSFT, Side.SELL)))
    with pytest.raises(NotSent):
        again.check_tradable(combo)
    assert set(contract_file.read(path, TODAY)) == {11}, "a restart alone does not lift it"


def test_a_multiplier_that_changed_freezes_also_after_a_restart(tmp_path: Path) -> None:
    path, told = tmp_path / "contracts.json", list[str]()
    book(path).keep(InstrumentDefinition(CALL, "12", multiplier=Decimal(100)))
    again = book(path, told)
    again.keep(InstrumentDefinition(CALL, "12", multiplier=Decimal(100)))
    again.check_tradable(CALL)
    again.keep(InstrumentDefinition(CALL, "12", multiplier=Decimal(150)))
    assert told == [
        f"{CALL.id} had a multiplier of 100 and now has 150; new risk in it is refused, "
        "what reduces a position is sent"
    ]
    with pytest.raises(NotSent, match="multiplier of 100 and now has 150"):
        again.check_tradable(CALL)
    anew = book(path, told)
    anew.keep(InstrumentDefinition(CALL, "12", multiplier=Decimal(150)))
    with pytest.raises(NotSent, match="multiplier"):
        anew.check_tradable(CALL)


def test_a_multiplier_other_than_the_instruments_own_is_noticed_at_the_first_answer() -> None:
    known = ContractBook(loaded())
    known.keep(InstrumentDefinition(FUTURE, "13", multiplier=Decimal(5)))
    with pytest.raises(NotSent, match="multiplier of 50 and now has 5"):
        known.check_tradable(FUTURE)
    left_out = Instrument.future("NQ", date(2030, 3, 15), "CME")
    known.keep(InstrumentDefinition(left_out, "14", multiplier=Decimal(20)))
    known.check_tradable(left_out)


def test_a_position_told_with_another_multiplier_freezes_its_instrument() -> None:
    known = ContractBook(loaded())
    known.keep(InstrumentDefinition(CALL, "12", multiplier=Decimal(100)))
    known.learn_held(SimpleNamespace(conId=12, multiplier="100"), CALL)
    known.check_tradable(CALL)
    known.learn_held(SimpleNamespace(conId=12, multiplier="150"), CALL)
    with pytest.raises(NotSent, match="held with 150"):
        known.check_tradable(CALL)


def test_an_exit_of_a_frozen_instrument_names_the_number_that_is_held(tmp_path: Path) -> None:
    path = tmp_path / "contracts.json"
    book(path).keep(InstrumentDefinition(AAPL, "11"))
    again = book(path)
    again.learn_held(SimpleNamespace(conId=11, multiplier=""), AAPL)
    again.keep(InstrumentDefinition(AAPL, "99"))
    assert again.contract(AAPL).conId == 99
    assert again.contract_held(AAPL).conId == 11
    again.keep(InstrumentDefinition(MSFT, "20"))
    assert again.contract_held(MSFT).conId == 20, "what is not frozen is sent as always"


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_is_frozen_takes_no_new_risk_and_lets_a_position_out(
    library: str, tmp_path: Path
) -> None:
    async def session(port: int, *, frozen: bool) -> None:
        settings = {
            "brokers": {"main": {"provider": "ibkr", "port": port, "library": library}},
            "analysis": {"period": 3600.0},
        }
        async with alluse.open(settings, state=tmp_path) as runtime:
            await runtime.quotes.get(AAPL)
            if not frozen:
                bought = Order.limit(AAPL, Side.BUY, 10, "100.10", key="in")
                ticket = await runtime.orders.submit(bought)
                assert (await ticket.outcome(timeout=10)).state is OrderState.FILLED
                await until(lambda: runtime.positions().rows, "the position", 10.0)
                return
            await until(lambda: runtime.positions().rows, "the position", 10.0)
            more = await runtime.orders.submit(Order.limit(AAPL, Side.BUY, 1, "100.10", key="more"))
            outcome = await more.outcome(timeout=10)
            assert outcome.state is not OrderState.FILLED
            assert outcome.settled
            out = await runtime.orders.submit(Order.limit(AAPL, Side.SELL, 10, "100", key="out"))
            assert (await out.outcome(timeout=10)).state is OrderState.FILLED

    async def story() -> None:
        async with gateway() as gate:
            await session(gate.port, frozen=False)
            (path,) = tmp_path.rglob("contracts.json")
            document = json.loads(path.read_text())
            (number,) = [
                n for n, row in document["contracts"].items() if row["instrument"] == AAPL.id
            ]
            document["contracts"]["4711"] = document["contracts"].pop(number)
            path.write_text(json.dumps(document))
            await session(gate.port, frozen=True)
            assert len(gate.ledger.of("place")) == 2, "the purchase and the sale, and nothing else"

    asyncio.run(story())
