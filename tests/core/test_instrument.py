"""Instruments: one object for one description, and a text that can be read back."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alluse_core.model import (
    ComboLeg,
    Instrument,
    InstrumentDefinition,
    Right,
    SecurityType,
    Side,
)

NAMES = st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=8)
PRICES = st.decimals(min_value="0.01", max_value=100_000, places=3)
EXPIRIES = st.dates(date(2000, 1, 1), date(2099, 12, 31))


@st.composite
def instruments(draw: st.DrawFn) -> Instrument:
    symbol, exchange, currency = draw(NAMES), draw(NAMES), draw(NAMES)
    kind = draw(st.sampled_from(["stock", "option", "future", "index"]))
    if kind == "stock":
        return Instrument.stock(symbol, exchange, currency)
    if kind == "index":
        return Instrument.index(symbol, exchange, currency)
    expiry = draw(EXPIRIES)
    if kind == "future":
        return Instrument.future(symbol, expiry, exchange, currency, draw(st.integers(1, 5000)))
    right = draw(st.sampled_from(Right))
    return Instrument.option(symbol, expiry, draw(PRICES), right, exchange, currency)


@given(instruments())
def test_the_id_read_back_is_the_same_object(instrument: Instrument) -> None:
    assert Instrument.parse(instrument.id) is instrument


@given(instruments())
def test_copies_and_pickles_are_the_same_object(instrument: Instrument) -> None:
    assert copy.copy(instrument) is instrument
    assert copy.deepcopy(instrument) is instrument
    assert pickle.loads(pickle.dumps(instrument)) is instrument  # noqa: S301 - our own, made here


def test_equal_descriptions_are_one_object_and_a_strike_may_be_written_in_any_way() -> None:
    expiry = date(2026, 12, 18)
    assert Instrument.stock("AAPL") is Instrument("AAPL")
    one = Instrument.option("AAPL", expiry, "190", "C")
    assert one is Instrument.option("AAPL", expiry, Decimal("190.00"), Right.CALL)
    assert one.id == "OPT:AAPL:SMART:USD:20261218:190:C:100"
    assert one is not Instrument.option("AAPL", expiry, "190", "P")


def test_a_bare_symbol_is_a_us_stock() -> None:
    assert Instrument.parse("AAPL").id == "STK:AAPL:SMART:USD"


def test_combos_with_different_legs_are_different() -> None:
    legs = [ComboLeg(Instrument.stock(name), Side.BUY) for name in ("AAA", "BBB")]
    pair = Instrument.combo("AAA", (legs[0], ComboLeg(legs[1].instrument, Side.SELL)))
    assert pair is not Instrument.combo("AAA", tuple(legs))
    assert pickle.loads(pickle.dumps(pair)) is pair  # noqa: S301 - our own, made here


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ":",
        "STK:AAPL",
        "STK::SMART:USD",
        "STK:AAPL:SMART:USD:extra",
        "XXX:AAPL:SMART:USD",
        "OPT:AAPL:SMART:USD",
        "OPT:AAPL:SMART:USD:20261218:x:C:100",
        "OPT:AAPL:SMART:USD:20261399:190:C:100",
        "OPT:AAPL:SMART:USD:20261218:190:Q:100",
        "OPT:AAPL:SMART:USD:20261218:NaN:C:100",
        "OPT:AAPL:SMART:USD:20261218:190:C:Infinity",
        "FUT:ES:CME:USD:20261218:::",
        "BAG:AAPL:SMART:USD",
    ],
)
def test_a_text_that_is_no_id_is_a_value_error_and_nothing_else(text: str) -> None:
    with pytest.raises(ValueError):
        Instrument.parse(text)


@given(st.text(max_size=40) | st.builds(":".join, st.lists(st.text(max_size=6), max_size=9)))
def test_any_text_is_an_instrument_or_a_value_error(text: str) -> None:
    try:
        instrument = Instrument.parse(text)
    except ValueError:
        return
    assert Instrument.parse(instrument.id) is instrument


@pytest.mark.parametrize(
    "fields",
    [
        {"symbol": ""},
        {"symbol": "A:B"},
        {"symbol": "A\nB"},
        {"symbol": " AAPL"},
        {"symbol": "AAPL", "exchange": "SM:ART"},
        {"symbol": "AAPL", "currency": "US:D"},
        {"symbol": "AAPL", "strike": Decimal(5)},
        {"symbol": "AAPL", "expiry": date(2026, 12, 18)},
        {"symbol": "AAPL", "multiplier": Decimal(100)},
        {"symbol": "AAPL", "legs": (ComboLeg(Instrument.stock("B"), Side.BUY),)},
        {"symbol": "ES", "security_type": SecurityType.FUTURE, "multiplier": Decimal("NaN")},
    ],
)
def test_what_the_id_would_not_tell_apart_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Instrument(**fields)


@pytest.mark.parametrize("pair", ["EURUSD", "EUR.USD", "EUR/USD", "eurusd"])
def test_a_currency_pair_may_be_written_in_four_ways(pair: str) -> None:
    assert Instrument.forex(pair) is Instrument.forex("EURUSD")
    assert str(Instrument.forex(pair)) == "EUR.USD"


@pytest.mark.parametrize("pair", ["", "EUR", "EURUSDX", "EUR123", "E.U.R.USD1"])
def test_what_is_no_currency_pair_is_refused(pair: str) -> None:
    with pytest.raises(ValueError, match="currency pair"):
        Instrument.forex(pair)


def test_an_instrument_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Instrument.stock("AAPL").symbol = "MSFT"  # type: ignore[misc]


def test_instruments_nobody_holds_are_forgotten() -> None:
    pool = type(Instrument)._pool  # type: ignore[attr-defined]
    Instrument.stock("HELD-BY-NOBODY")
    gc.collect()
    assert "STK:HELD-BY-NOBODY:SMART:USD" not in pool


def test_threads_that_race_for_one_description_get_one_object() -> None:
    made: list[Instrument] = []
    gate = threading.Barrier(4)

    def make() -> None:
        gate.wait(10)
        made.extend(Instrument.stock(f"RACE{number}") for number in range(200))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(made) == 800
    assert len({id(instrument) for instrument in made}) == 200


def test_the_tick_is_that_of_the_highest_edge_below_the_price() -> None:
    definition = InstrumentDefinition(
        Instrument.stock("AAPL"),
        "265598",
        price_increments=((Decimal(0), Decimal("0.0001")), (Decimal(1), Decimal("0.01"))),
    )
    assert definition.tick_at(Decimal("0.9999")) == Decimal("0.0001")
    assert definition.tick_at(Decimal(1)) == Decimal("0.01")
    assert definition.tick_at(Decimal(-5)) == Decimal("0.01")


def test_sides_know_their_sign_and_opposite() -> None:
    assert [side.sign for side in Side] == [1, -1]
    assert [side.opposite for side in Side] == [Side.SELL, Side.BUY]
