"""A price at which an instrument cannot trade is denied, whatever stages the settings name."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from desk_floor import AAPL, buy, floor, placed, run, sell

from alluse_core.errors import OrderDenied
from alluse_core.model import ComboLeg, Instrument, Order, OrderGroup, OrderState, Side

PAIR = Instrument.forex("EURUSD")
CALL = Instrument.option("AAPL", date(2026, 12, 18), 190, "C")
FUTURE = Instrument.future("CL", date(2026, 12, 18), "NYMEX", multiplier=1000)
SPREAD = Instrument.combo("AAPL", (ComboLeg(CALL, Side.BUY), ComboLeg(AAPL, Side.SELL)))


def at(instrument: Instrument, price: str, *, stop: bool = False) -> Order:
    make = Order.stop if stop else Order.limit
    return make(instrument, Side.BUY, 1, price, key=f"{instrument}/{price}/{stop}")


@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.parametrize(
    ("instrument", "price", "allowed"),
    [
        (AAPL, "-1", False),
        (AAPL, "0", False),
        (AAPL, "0.0001", True),
        (PAIR, "-1", False),
        (PAIR, "0.00", False),
        (PAIR, "0.00005", True),
        (CALL, "-0.01", False),
        (CALL, "0", True),
        (FUTURE, "0", True),
        (FUTURE, "-37.63", True),
        (SPREAD, "0", True),
        (SPREAD, "-0.35", True),
    ],
)
def test_only_what_can_trade_at_or_below_zero_is_ordered_there(
    tmp_path: Path, instrument: Instrument, price: str, allowed: bool, stop: bool
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            order = at(instrument, price, stop=stop)
            if allowed:
                assert (await placed(desk, order)).state is OrderState.ACCEPTED
                return
            with pytest.raises(OrderDenied, match=f"no price of {price}") as told:
                await desk.orders.submit(order)
            assert told.value.stage == "price"
            assert told.value.hint
            assert desk.broker.sent == []
            assert desk.orders.get(order.key).state is OrderState.DENIED

    run(scenario())


def test_an_exit_and_a_change_at_no_price_are_denied_and_the_order_stays(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.held["DU1", AAPL] = Decimal(100)
            await desk.orders.reconcile("fake")
            with pytest.raises(OrderDenied, match="no price of 0"):
                await desk.orders.submit(sell("exit", price="0"))
            await placed(desk, Order.stop(AAPL, Side.SELL, 100, "80", key="stop"))
            with pytest.raises(OrderDenied, match="no price of -80"):
                await desk.orders.modify("stop", stop_price="-80")
            assert desk.orders.get("stop").order.stop_price == 80
            assert desk.orders.get("stop").state is OrderState.ACCEPTED

    run(scenario())


def test_a_bracket_with_a_stop_at_no_price_is_denied_whole(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            with pytest.raises(OrderDenied, match="no price of 0"):
                await desk.orders.submit(OrderGroup.bracket(buy("entry"), stop="0"))
            assert desk.broker.sent == []
            assert desk.orders.get("entry").state is OrderState.DENIED

    run(scenario())
