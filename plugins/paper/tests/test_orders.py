"""The life of an order at the exchange: replies, refusals, groups, sessions, races."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from alluse_paper.market import Listing, QuoteEvent, TradeEvent
from alluse_paper.orders import CommandRefused, NewOrder, OcaRule, OrderCanceled, OrderRejected
from exchange_floor import ACCOUNT, EURUSD, IBM, OPEN, SPX, Floor

from alluse_core.errors import InstrumentNotFound, OrderNotFound
from alluse_core.model.instrument import ComboLeg, Instrument, Side
from alluse_core.model.order import OrderType, TimeInForce, Verb


def quoted() -> Floor:
    floor = Floor()
    floor.quote(99.98, 100.02, 300, 200)
    return floor


def bracket(floor: Floor, quantity: int = 100, entry: str = "100.00") -> tuple[int, int, int]:
    parent = floor.place("BUY", quantity, entry, transmit=False)
    profit = floor.place("SELL", quantity, "101.00", parent=parent, transmit=False)
    stop = floor.place("SELL", quantity, stop="99.00", parent=parent)
    return parent, profit, stop


def test_nothing_is_said_inside_the_call_that_places() -> None:
    floor = quoted()
    number = floor.send("BUY", 100)
    assert floor.said == []
    assert floor.state(number) == "SUBMITTED"
    floor.run()
    assert floor.words(number) == ["OrderAccepted", "OrderFilled"]


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ({"price": "100.005"}, "tick"),
        ({"price": "0"}, "no limit price of 0"),
        ({"price": "-1.00"}, "no limit price of -1.00"),
        ({"price": None, "stop": "0.00"}, "no stop price of 0.00"),
        ({"quantity": 0}, "minimum"),
        ({"quantity": "0.5"}, "minimum"),
        ({"quantity": "1.5"}, "multiple"),
        ({"instrument": Instrument.stock("NONE")}, "does not list"),
        ({"instrument": SPX}, "index"),
        ({"account": "DU7"}, "no account"),
        ({"parent": 42}, "no parent order 42"),
        ({"quantity": 10_000_000}, "insufficient margin"),
        ({"time_in_force": TimeInForce.GTD}, "until which"),
        (
            {"time_in_force": TimeInForce.GTD, "good_till": datetime(2020, 1, 1, tzinfo=UTC)},
            "past",
        ),
        ({"time_in_force": TimeInForce.OPG}, "before the open"),
    ],
)
def test_what_cannot_be_is_rejected_with_its_reason(order: dict[str, object], says: str) -> None:
    floor = quoted()
    terms: dict[str, object] = {"side": "BUY", "quantity": 100, "price": "100.00", **order}
    number = floor.place(**terms)  # type: ignore[arg-type]
    (event,) = floor.said
    assert isinstance(event, OrderRejected)
    assert says in event.reason
    assert floor.state(number) == "REJECTED"


@pytest.mark.parametrize(
    ("instrument", "least"),
    [
        (IBM, "0.01"),
        (EURUSD, "0.01"),
        (Instrument.option("IBM", date(2027, 6, 18), 100, "C"), "0"),
        (Instrument.future("CL", date(2027, 6, 18), exchange="NYMEX"), "-40"),
        (
            Instrument.combo("IBM", (ComboLeg(IBM, Side.BUY), ComboLeg(EURUSD, Side.SELL))),
            "-40",
        ),
    ],
)
def test_what_an_instrument_can_cost_follows_from_its_kind(
    instrument: Instrument, least: str
) -> None:
    listing, prices = Listing.of(instrument), [Decimal(each) for each in ("-40", "0", "0.01")]
    assert next(each for each in prices if listing.can_cost(each)) == Decimal(least)


def test_working_orders_hold_back_margin() -> None:
    floor = Floor(deposit=Decimal(10_000))
    floor.quote(99.98, 100.02)
    one = floor.place("BUY", 150, "99.00")
    two = floor.place("BUY", 100, "99.00")
    assert (floor.state(one), floor.state(two)) == ("ACCEPTED", "REJECTED")
    floor.cancel(one)
    assert floor.state(floor.place("BUY", 100, "99.00")) == "ACCEPTED"


def test_a_cancel_ends_an_order_and_says_that_it_was_asked_for() -> None:
    floor = quoted()
    number = floor.place("BUY", 100, "99.00")
    floor.cancel(number)
    last = floor.said[-1]
    assert isinstance(last, OrderCanceled)
    assert last.requested
    assert [order.number for order in floor.exchange.completed_orders()] == [number]
    assert floor.exchange.open_orders() == ()


def test_a_cancel_that_a_fill_has_beaten_is_refused_and_the_fill_counts() -> None:
    floor = quoted()
    number = floor.place("BUY", 100, "99.00")
    floor.exchange.cancel(number)
    floor.exchange.on_market(TradeEvent(IBM, floor.market_time, 98.0, 500))
    floor.run()
    assert floor.words(number) == ["OrderAccepted", "OrderFilled", "CommandRefused"]
    refusal = floor.said[-1]
    assert isinstance(refusal, CommandRefused)
    assert refusal.verb is Verb.CANCEL
    assert floor.exchange.accounts.position(ACCOUNT, IBM) == 100


def test_a_cancel_sent_right_behind_its_order_never_overtakes_it() -> None:
    floor = Floor(latency_ms=50.0, latency_sigma=2.0)
    floor.quote(99.98, 100.02)
    for _ in range(50):
        number = floor.send("BUY", 100, "99.00")
        floor.exchange.cancel(number)
        for _ in range(1000):
            floor.run()
            if not floor.exchange.open_orders():
                break
        assert floor.state(number) == "CANCELED"


def test_commands_for_a_number_that_was_never_given_out_are_errors() -> None:
    floor = quoted()
    with pytest.raises(OrderNotFound):
        floor.exchange.cancel(7)
    with pytest.raises(OrderNotFound):
        floor.exchange.replace(7, quantity=Decimal(1))
    with pytest.raises(InstrumentNotFound, match="did you mean 'IBM'"):
        floor.exchange.listing(Instrument.stock("IBMM"))


def test_a_new_price_is_matched_and_costs_the_place_in_the_queue() -> None:
    floor = Floor()
    floor.quote(100.00, 100.04)
    first, second = floor.place("BUY", 100, "100.02"), floor.place("BUY", 100, "100.02")
    floor.exchange.replace(first, limit_price=Decimal("100.01"))
    floor.exchange.replace(first, limit_price=Decimal("100.02"))
    floor.run()
    floor.trade(100.02, 100)
    assert (floor.state(first), floor.state(second)) == ("ACCEPTED", "FILLED")
    floor.exchange.replace(first, limit_price=Decimal("100.04"))
    floor.run()
    assert floor.fills(first) == [(100, "100.04")]
    assert floor.words(first)[-2:] == ["OrderReplaced", "OrderFilled"]


def test_less_quantity_keeps_the_place_in_the_queue() -> None:
    floor = Floor()
    floor.quote(100.00, 100.04)
    first, second = floor.place("BUY", 100, "100.02"), floor.place("BUY", 100, "100.02")
    floor.exchange.replace(first, quantity=Decimal(50))
    floor.run()
    floor.trade(100.02, 50)
    assert (floor.state(first), floor.state(second)) == ("FILLED", "ACCEPTED")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"quantity": Decimal(50)}, "not above the filled"),
        ({"limit_price": Decimal("1.001")}, "tick"),
    ],
)
def test_a_replace_that_cannot_be_is_refused_and_changes_nothing(
    changes: dict[str, Decimal], says: str
) -> None:
    floor = Floor()
    floor.quote(99.98, 100.02, 300, 60)
    number = floor.place("BUY", 100, "100.02")
    before = floor.order(number).request
    floor.exchange.replace(number, **changes)  # type: ignore[arg-type]
    floor.run()
    refusal = floor.said[-1]
    assert isinstance(refusal, CommandRefused)
    assert says in refusal.reason
    assert floor.order(number).request == before


def test_a_replace_of_an_order_that_has_ended_is_refused() -> None:
    floor = quoted()
    number = floor.place("BUY", 100)
    floor.exchange.replace(number, quantity=Decimal(200))
    floor.run()
    assert floor.words(number)[-1] == "CommandRefused"


# --- brackets and groups ------------------------------------------------------------------------


def test_a_bracket_is_held_until_its_last_order_transmits_it() -> None:
    floor = quoted()
    parent = floor.place("BUY", 100, "100.00", transmit=False)
    profit = floor.place("SELL", 100, "101.00", parent=parent, transmit=False)
    assert (floor.state(parent), floor.state(profit)) == ("HELD", "HELD")
    floor.trade(99.0, 500)
    assert floor.fills(parent) == []
    floor.place("SELL", 100, stop="99.00", parent=parent)
    assert (floor.state(parent), floor.state(profit)) == ("ACCEPTED", "HELD")


def test_a_replace_can_transmit_an_order_that_is_held() -> None:
    floor = quoted()
    number = floor.place("BUY", 100, "99.00", transmit=False)
    floor.exchange.replace(number, transmit=True)
    floor.run()
    assert floor.state(number) == "ACCEPTED"


def test_exits_work_once_the_entry_has_filled_and_one_cancels_the_other() -> None:
    floor = quoted()
    parent, profit, stop = bracket(floor)
    floor.trade(99.99, 500)
    assert [floor.state(n) for n in (parent, profit, stop)] == ["FILLED", "ACCEPTED", "ACCEPTED"]
    floor.quote(101.00, 101.02)
    assert [floor.state(n) for n in (profit, stop)] == ["FILLED", "CANCELED"]
    assert floor.exchange.accounts.position(ACCOUNT, IBM) == 0


def test_exits_never_exceed_what_the_entry_has_filled() -> None:
    floor = quoted()
    parent, profit, stop = bracket(floor)
    floor.trade(99.99, 40)
    floor.quote(101.00, 101.02, 500, 500)
    assert floor.fills(profit) == [(40, "101.00")]
    assert floor.order(stop).request.quantity == 60
    floor.cancel(parent)
    assert [floor.state(n) for n in (profit, stop)] == ["CANCELED", "CANCELED"]
    assert floor.exchange.accounts.position(ACCOUNT, IBM) == 0


def test_an_entry_cancelled_half_way_leaves_exits_for_the_half_that_filled() -> None:
    floor = quoted()
    parent, profit, stop = bracket(floor)
    floor.trade(99.99, 40)
    floor.cancel(parent)
    assert [floor.order(n).request.quantity for n in (profit, stop)] == [40, 40]
    floor.trade(98.90, 10)
    assert floor.fills(stop)
    assert floor.exchange.accounts.position(ACCOUNT, IBM) == 0


def test_an_entry_that_ends_unfilled_takes_its_exits_along() -> None:
    floor = quoted()
    parent, profit, stop = bracket(floor)
    floor.cancel(parent)
    assert [floor.state(n) for n in (profit, stop)] == ["CANCELED", "CANCELED"]
    late = floor.place("SELL", 100, "101.00", parent=parent)
    assert floor.state(late) == "REJECTED"


@pytest.mark.parametrize(("rule", "left"), [(OcaRule.CANCEL, None), (OcaRule.REDUCE, 60)])
def test_a_fill_in_an_oca_group_cancels_or_reduces_the_others(
    rule: OcaRule, left: int | None
) -> None:
    floor = Floor()
    floor.quote(99.90, 100.10)
    one = floor.place("BUY", 100, "100.00", oca_group="g", oca_rule=rule)
    other = floor.place("BUY", 100, "99.95", oca_group="g", oca_rule=rule)
    floor.trade(100.00, 40)
    if left is None:
        assert floor.state(other) == "CANCELED"
    else:
        assert floor.order(other).request.quantity == left
    assert floor.order(one).filled == 40


def test_one_trade_never_fills_two_orders_of_an_oca_group() -> None:
    floor = Floor()
    floor.quote(99.90, 100.10)
    floor.place("BUY", 100, "100.00", oca_group="g")
    floor.place("BUY", 100, "100.01", oca_group="g")
    floor.trade(99.0, 10_000)
    assert floor.exchange.accounts.position(ACCOUNT, IBM) == 100


@pytest.mark.parametrize(
    ("rule", "bought"), [(OcaRule.REDUCE, 100), (OcaRule.REDUCE_WITHOUT_BLOCK, 200)]
)
def test_without_block_orders_of_a_group_may_fill_more_than_was_wanted(
    rule: OcaRule, bought: int
) -> None:
    floor = Floor()
    floor.quote(99.90, 100.10)
    for price in ("100.00", "100.01"):
        floor.place("BUY", 100, price, oca_group="g", oca_rule=rule)
    floor.trade(99.0, 10_000)
    assert floor.exchange.accounts.position(ACCOUNT, IBM) == bought


def test_without_block_the_others_hear_of_a_fill_a_way_later() -> None:
    floor = Floor(latency_ms=500.0, latency_sigma=0.0)
    floor.quote(99.90, 100.10)
    rule = OcaRule.REDUCE_WITHOUT_BLOCK
    one = floor.place("BUY", 100, "100.00", oca_group="g", oca_rule=rule)
    other = floor.place("BUY", 100, "99.95", oca_group="g", oca_rule=rule)
    floor.run()
    floor.market_time += 1.0
    floor.exchange.on_market(TradeEvent(IBM, floor.market_time, 100.0, 40))
    assert (floor.order(one).filled, floor.order(other).request.quantity) == (40, 100)
    floor.clock.seconds += 0.4
    floor.exchange.run_due()
    assert floor.order(other).request.quantity == 100
    floor.run()
    assert floor.order(other).request.quantity == 60
    floor.trade(100.00, 60)
    floor.run()
    assert (floor.state(one), floor.state(other)) == ("FILLED", "CANCELED")


# --- sessions -------------------------------------------------------------------------------------

HOUR = 3600.0


def show(floor: Floor, market_time: float, bid: float = 99.98, ask: float = 100.02) -> None:
    floor.exchange.on_market(QuoteEvent(IBM, market_time, bid, 500, ask, 500))
    floor.run()


def test_an_order_for_regular_hours_waits_for_the_open() -> None:
    floor = Floor()
    show(floor, OPEN - HOUR)
    waiting = floor.place("BUY", 100)
    early = floor.place("BUY", 100, outside_rth=True)
    assert (floor.state(waiting), floor.state(early)) == ("HELD", "FILLED")
    show(floor, OPEN - 1)
    assert floor.state(waiting) == "HELD"
    show(floor, OPEN + 1, 99.99, 100.03)
    assert floor.fills(waiting) == [(100, "100.03")]


def test_a_day_order_expires_with_its_session_and_a_gtc_order_does_not() -> None:
    floor = Floor()
    show(floor, OPEN)
    day = floor.place("BUY", 100, "99.00")
    extended = floor.place("BUY", 100, "99.00", outside_rth=True)
    gtc = floor.place("BUY", 100, "99.00", time_in_force=TimeInForce.GTC)
    show(floor, OPEN + 6.5 * HOUR)
    assert [floor.state(n) for n in (day, extended, gtc)] == ["EXPIRED", "ACCEPTED", "HELD"]
    show(floor, OPEN + 10.5 * HOUR)
    assert [floor.state(n) for n in (extended, gtc)] == ["EXPIRED", "HELD"]
    show(floor, OPEN + 24 * HOUR, 98.0, 98.5)
    assert floor.state(gtc) == "FILLED"


def test_an_order_for_the_open_fills_there_or_is_cancelled() -> None:
    floor = Floor()
    show(floor, OPEN - HOUR)
    dear = floor.place("BUY", 100, "99.00", time_in_force=TimeInForce.OPG)
    taken = floor.place("BUY", 100, time_in_force=TimeInForce.OPG)
    show(floor, OPEN)
    assert [floor.state(n) for n in (dear, taken)] == ["CANCELED", "FILLED"]


def test_a_gtd_order_expires_at_its_time_by_the_clock() -> None:
    floor = quoted()
    good_till = floor.clock.now() + timedelta(seconds=30)
    number = floor.place("BUY", 100, "99.00", time_in_force=TimeInForce.GTD, good_till=good_till)
    floor.clock.seconds += 20
    floor.run()
    assert floor.state(number) == "ACCEPTED"
    floor.clock.seconds += 20
    floor.run()
    assert floor.state(number) == "EXPIRED"


def test_a_new_day_starts_its_figures_again_and_keeps_the_close() -> None:
    floor = Floor()
    floor.trade(100.0, 500)
    floor.trade(101.0, 500)
    floor.exchange.on_market(TradeEvent(IBM, OPEN + 24 * HOUR, 102.0, 100))
    top = floor.exchange.top(IBM)
    assert top is not None
    assert (top.close, top.open, top.high, top.low, top.volume) == (101.0, 102.0, 102.0, 102.0, 100)


# --- identity ------------------------------------------------------------------------------------


def test_numbers_and_execution_ids_are_unique_and_have_the_shape_of_ibkrs() -> None:
    floor = Floor()
    for step in range(20):
        floor.quote(99.98, 100.02 + step / 100, 300, 50)
        floor.place("BUY", 100)
    fills = floor.exchange.executions()
    ids = {fill.execution_id for fill in fills}
    assert len(ids) == len(fills) >= 20
    for each in ids:
        parts = each.split(".")
        assert [len(part) for part in parts] == [8, 8, 2, 2]
        assert int(parts[0], 16) >= 0
        assert parts[2:] == ["01", "01"]
    numbers = [order.number for order in floor.exchange.open_orders()]
    assert len(set(numbers)) == len(numbers)
    assert max(numbers) < 2**31


def test_yesterdays_orders_and_executions_are_forgotten() -> None:
    floor = quoted()
    number = floor.place("BUY", 100)
    floor.clock.seconds += 86_400
    assert floor.exchange.executions() == ()
    assert floor.exchange.completed_orders() == ()
    assert not floor.exchange.knows(number)


def test_undisclosed_size_of_a_currency_pair_can_be_had() -> None:
    floor = Floor()
    nan = float("nan")
    floor.quote(1.3800, 1.3801, nan, nan, EURUSD)
    number = floor.place("BUY", 100_000, instrument=EURUSD)
    assert floor.order(number).average_price == Decimal("1.3801")


def test_the_same_instrument_under_another_exchanges_name_is_found() -> None:
    floor = quoted()
    order = NewOrder(
        ACCOUNT, Instrument.stock("IBM", "NYSE"), Side.BUY, Decimal(100), OrderType.MARKET
    )
    number = floor.exchange.place(order).number
    floor.run()
    assert floor.state(number) == "FILLED"


def test_more_quantity_costs_the_place_in_the_queue() -> None:
    floor = Floor()
    floor.quote(100.00, 100.04)
    first, second = floor.place("BUY", 100, "100.02"), floor.place("BUY", 100, "100.02")
    floor.exchange.replace(first, quantity=Decimal(150))
    floor.run()
    floor.trade(100.02, 100)
    assert (floor.state(first), floor.state(second)) == ("ACCEPTED", "FILLED")


def test_an_order_reduced_to_nothing_is_cancelled() -> None:
    floor = Floor()
    floor.quote(99.90, 100.10)
    large = floor.place("BUY", 100, "100.00", oca_group="g", oca_rule=OcaRule.REDUCE)
    small = floor.place("BUY", 60, "99.95", oca_group="g", oca_rule=OcaRule.REDUCE)
    floor.trade(100.00, 50)
    assert floor.order(small).request.quantity == 10
    floor.trade(100.00, 20)
    assert floor.state(small) == "CANCELED"
    assert floor.state(large) == "PARTIALLY_FILLED"
