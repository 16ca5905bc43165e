"""Contract numbers from run to run, and a number that changes."""

from __future__ import annotations

import asyncio
import json
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from alluse_ibkr import contract_file
from alluse_ibkr.client import Library, load
from alluse_ibkr.contracts import ContractBook
from ibkr_lab import AAPL, CALL, MSFT

from alluse_core.errors import NotSent
from alluse_core.model import ComboLeg, Instrument, InstrumentDefinition, Side

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
