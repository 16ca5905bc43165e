"""Positions that moved without an order: the cause, told once, and a person called."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import attrs
import pytest
from desk_floor import AAPL, NODE, floor, run

from alluse_core.model import Execution, Instrument, OrderIdentity, SecurityType, Side
from alluse_core.orders.adjustments import Cause, Settlements
from alluse_core.orders.journal import JournalReader
from alluse_core.ports import TradingState

CALL = Instrument.option("AAPL", date(2026, 6, 19), 95, "C")
NOBODY = OrderIdentity()


def fill(
    instrument: Instrument,
    side: Side,
    quantity: int,
    price: str,
    *,
    day: int = 1,
    liquidation: bool = False,
) -> Execution:
    return Execution(
        "fake",
        NOBODY,
        f"{instrument.id}.{day}.01",
        "DU1",
        instrument,
        side,
        Decimal(quantity),
        Decimal(price),
        datetime(2026, 6, day, 21, 0, tzinfo=UTC),
        liquidation,
    )


@pytest.mark.parametrize(
    ("option", "shares", "cause"),
    [(Side.BUY, Side.SELL, Cause.ASSIGNMENT), (Side.SELL, Side.BUY, Cause.EXERCISE)],
)
def test_options_that_leave_for_shares_at_the_strike_were_assigned_or_exercised(
    option: Side, shares: Side, cause: Cause
) -> None:
    seen = Settlements()
    assert seen.cause(fill(CALL, option, 2, "0")) is cause
    assert seen.cause(fill(AAPL, shares, 200, "95")) is cause
    assert seen.cause(fill(AAPL, shares, 200, "95")) is None, "that is somebody's trade"


def test_each_cause_keeps_the_word_that_journals_hold() -> None:
    assert {cause.value: cause.name.lower() for cause in Cause} == {
        cause.value: cause.value for cause in Cause
    }


def test_an_adjustment_that_is_told_again_is_written_down_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            closed = fill(AAPL, Side.SELL, 7, "101", liquidation=True)
            for _ in range(2):
                desk.orders._parts.adjustments.moved_by(closed)
            assert desk.count("position_adjustments", cause="liquidation") == 1

    run(scenario())


def test_options_that_leave_on_their_last_day_ran_out() -> None:
    assert Settlements().cause(fill(CALL, Side.SELL, 2, "0", day=19)) is Cause.EXPIRY


def test_a_trade_by_hand_is_no_adjustment() -> None:
    seen = Settlements()
    assert seen.cause(fill(AAPL, Side.BUY, 200, "95")) is None
    assert seen.cause(fill(CALL, Side.BUY, 2, "1.5")) is None


def test_an_order_that_names_itself_is_no_adjustment_at_whatever_price() -> None:
    named = attrs.evolve(fill(CALL, Side.BUY, 2, "0"), identity=OrderIdentity(order_id=7))
    assert Settlements().cause(named) is None


def test_of_options_whose_shares_never_come_the_newest_are_remembered() -> None:
    seen = Settlements()
    for count in range(1, 1_002):
        seen.cause(fill(CALL, Side.BUY, count, "0"))
    assert seen.cause(fill(AAPL, Side.SELL, 100, "95")) is None, "the oldest went"
    assert seen.cause(fill(AAPL, Side.SELL, 200, "95")) is Cause.ASSIGNMENT


@pytest.mark.parametrize("cause", ["liquidation", "assignment"])
def test_an_adjustment_is_journaled_and_a_person_called_once_also_after_a_restart(
    tmp_path: Path, cause: str
) -> None:
    forced = cause == "liquidation"
    told = fill(AAPL if forced else CALL, Side.BUY, 2, "9" if forced else "0", liquidation=forced)

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.say(told)
            assert desk.orders.state is TradingState.REDUCING
            await desk.orders.resume("a person")
            desk.broker.say(told)
            assert desk.orders.state is TradingState.ACTIVE
        async with floor(tmp_path, broker=desk.broker, node=NODE) as again:
            again.broker.say(told)
            assert again.orders.state is TradingState.ACTIVE
        with JournalReader(tmp_path / "journal.db") as reader:
            rows = [entry.body for entry in reader.entries() if entry.kind == "adjustment"]
        assert [(row["cause"], row["change"]) for row in rows] == [(cause, "2")]

    run(scenario())


def test_options_that_ran_out_are_journaled_and_call_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.say(fill(CALL, Side.SELL, 2, "0", day=19))
            assert desk.orders.state is TradingState.ACTIVE
            assert desk.count("position_adjustments", cause="expiry") == 1
            # What the list of positions says is an adjustment without an execution.
            desk.broker.held["DU1", AAPL] = Decimal(7)
            await desk.orders.reconcile("fake")
        async with floor(tmp_path, broker=desk.broker, node=NODE) as again:
            again.broker.say(fill(CALL, Side.SELL, 2, "0", day=19))
            assert again.count("position_adjustments", cause="expiry") == 0

    run(scenario())


def test_options_whose_strike_is_not_known_make_no_trade_at_any_price_a_delivery() -> None:
    seen = Settlements()
    bare = Instrument("AAPL", SecurityType.OPTION, multiplier=Decimal(100))
    assert seen.cause(fill(bare, Side.BUY, 2, "0")) is Cause.ASSIGNMENT
    for price in ("1", "95"):
        assert seen.cause(fill(AAPL, Side.SELL, 200, price)) is None
