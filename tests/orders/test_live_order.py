"""One order as it stands: what of it is known, compared and kept."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path

import attrs
import pytest
from desk_floor import AAPL, Stage, buy, floor, placed, run

from alluse_core.model import (
    Instrument,
    OrderIdentity,
    OrderState,
    OrderTerms,
    OrderType,
    Side,
    TimeInForce,
    Verb,
)
from alluse_core.model.instrument import ComboLeg
from alluse_core.model.order import Order
from alluse_core.orders.live import Command, LiveOrder, differences, rebuilt
from alluse_core.orders.records import digest_of
from alluse_core.orders.states import CommandState
from alluse_core.ports import ALLOW, Decision, OrderView

SPREAD = Instrument.combo(
    "SPY",
    (
        ComboLeg(Instrument.stock("SPY"), Side.BUY, 1),
        ComboLeg(Instrument.stock("QQQ"), Side.SELL, 2),
    ),
)

C, S = CommandState, OrderState


def live_of(order: Order, **known: object) -> LiveOrder:
    return LiveOrder(order, digest_of(order), "AU-x", **known)  # type: ignore[arg-type]


def test_the_oldest_command_that_was_sent_is_the_one_in_flight() -> None:
    live = live_of(buy("one", account="DU1", broker="fake"))
    cancel = Command(1, Verb.CANCEL, "agent")
    first = Command(2, Verb.MODIFY, "agent", attrs.evolve(live.order, quantity=Decimal(70)))
    second = Command(3, Verb.MODIFY, "agent", attrs.evolve(live.order, quantity=Decimal(130)))
    live.commands = (cancel, first, second)
    assert live.in_flight() is None
    assert live.quantity == 130, "queued, it may leave at any moment"
    first.state = second.state = C.SENT
    assert live.in_flight() is first
    assert live.in_flight(Verb.CANCEL) is None
    assert live.pending is Verb.CANCEL
    cancel.state = C.SENT
    assert live.in_flight() is cancel
    assert live.in_flight(Verb.MODIFY) is first
    second.state, cancel.state = C.REFUSED, C.LOST
    assert live.quantity == 100
    assert live.pending is Verb.MODIFY
    first.state = C.CONFIRMED
    assert live.pending is None


TERMS = OrderTerms(
    AAPL, Side.BUY, Decimal(5), "STP LMT", Decimal(9), Decimal(8), "GTD", "DU1", True
)


@pytest.mark.parametrize(
    ("kind", "limit", "stop"),
    [
        ("MKT", None, None),
        ("LMT", Decimal(9), None),
        ("STP", None, Decimal(8)),
        ("STP LMT", Decimal(9), Decimal(8)),
    ],
)
def test_an_order_rebuilt_from_the_brokers_terms_has_the_prices_of_its_type(
    kind: str, limit: Decimal | None, stop: Decimal | None
) -> None:
    order = rebuilt("k", attrs.evolve(TERMS, order_type=kind), "fake")
    assert order is not None
    assert (order.order_type, order.limit_price, order.stop_price) == (OrderType(kind), limit, stop)
    assert (order.instrument, order.side, order.quantity) == (AAPL, Side.BUY, 5)
    assert (order.broker, order.account, order.outside_rth) == ("fake", "DU1", True)
    assert order.time_in_force is TimeInForce.GTC, "a date that the terms do not name"
    day = rebuilt("k", attrs.evolve(TERMS, order_type=kind, time_in_force=""), "fake")
    assert day is not None
    assert day.time_in_force is TimeInForce.DAY


def test_each_term_that_differs_is_named_and_what_the_broker_leaves_out_is_not() -> None:
    order = rebuilt("k", attrs.evolve(TERMS, time_in_force="DAY"), "fake")
    assert order is not None
    echo = attrs.evolve(TERMS, time_in_force="DAY")
    assert differences(order, echo) == ()
    changed = {
        "side": Side.SELL,
        "quantity": Decimal(6),
        "order_type": "LMT",
        "time_in_force": "GTC",
        "account": "DU2",
        "outside_rth": False,
        "instrument": SPREAD,
        "limit_price": Decimal(10),
        "stop_price": Decimal(7),
    }
    for name, value in changed.items():
        (sentence,) = differences(order, attrs.evolve(echo, **{name: value}))
        subject = name if name == "outside_rth" else name.replace("_", " ")
        assert sentence == f"{subject} is {value} where {getattr(TERMS, name)} was asked for" or (
            name == "time_in_force" and sentence == "time in force is GTC where DAY was asked for"
        )
    silent = attrs.evolve(
        echo, account="", time_in_force="", order_type="", limit_price=None, stop_price=None
    )
    assert differences(order, attrs.evolve(silent, instrument=None)) == ()


@pytest.mark.parametrize("kind", [OrderType.MARKET, OrderType.LIMIT, OrderType.STOP])
def test_only_the_prices_that_a_type_has_are_compared(kind: OrderType) -> None:
    order = rebuilt("k", attrs.evolve(TERMS, order_type=kind.value), "fake")
    assert order is not None
    echo = attrs.evolve(
        TERMS,
        order_type=kind.value,
        time_in_force="GTC",
        limit_price=Decimal(1),
        stop_price=Decimal(2),
    )
    named = {
        OrderType.MARKET: (),
        OrderType.LIMIT: ("limit price is 1 where 9 was asked for",),
        OrderType.STOP: ("stop price is 2 where 8 was asked for",),
    }
    assert differences(order, echo) == named[kind]


def test_a_stage_sees_orders_at_work_with_what_they_may_still_move(tmp_path: Path) -> None:
    async def scenario() -> None:
        seen = []

        def look(order: Order, view: OrderView) -> Decision:
            seen.append([attrs.astuple(each, recurse=False) for each in view.working(AAPL)])
            return ALLOW

        async with floor(tmp_path, stages=(Stage(look),)) as desk:
            ticket = await placed(desk)
            desk.broker.fill(ticket.order_ref, Decimal(30))
            await placed(desk, buy("two"))
            mine = [each for each in seen[-1] if each[0] == "one"]
            assert mine == [
                (
                    "one",
                    AAPL,
                    Side.BUY,
                    Decimal(70),
                    Decimal(100),
                    S.PARTIALLY_FILLED,
                    "DU1",
                    "",
                    "",
                )
            ]
            live = desk.orders._live("one")
            assert live.as_working() is live.as_working(), "made once for each change"

    run(scenario())


def test_what_is_not_known_yet_is_not_a_number() -> None:
    live = live_of(buy("one", account="DU1", broker="fake"))
    assert live.average_price is None
    for moment in (live.sent_at, live.acked_at, live.evidence_at, live.submitted_at):
        assert math.isnan(moment)
    assert live.identities() == [OrderIdentity("AU-x", 0, 0, 0)]
    live.perm_ids, live.order_id, live.client_id = (7, 8), 3, 1
    assert live.identities() == [OrderIdentity("AU-x", 7, 3, 1), OrderIdentity("AU-x", 8, 3, 1)]


def test_only_the_newest_words_about_an_order_are_kept() -> None:
    live = live_of(buy("one", account="DU1", broker="fake"))
    for number in range(20):
        live.say(str(number))
    assert live.words == tuple(str(number) for number in range(4, 20))
