"""Commands and echoes: which answer belongs to which command, and what an answer leaves."""

from __future__ import annotations

import asyncio
import math
from decimal import Decimal
from pathlib import Path

import attrs
import pytest
from desk_floor import AAPL, Floor, Stage, buy, floor, run

from alluse_core.errors import CommandRejected
from alluse_core.model import (
    BrokerStatus,
    Execution,
    Instrument,
    LinkState,
    OrderIdentity,
    OrderReport,
    OrderState,
    OrderTerms,
    OrderType,
    Side,
    TimeInForce,
    Verb,
)
from alluse_core.model.instrument import ComboLeg
from alluse_core.model.order import Order
from alluse_core.orders import commissions
from alluse_core.orders.journal import JournalReader
from alluse_core.orders.live import Command, LiveOrder, differences, is_newer, rebuilt
from alluse_core.orders.records import Kind, digest_of
from alluse_core.orders.states import CommandEvent, CommandState
from alluse_core.orders.ticket import Ticket
from alluse_core.ports import ALLOW, Decision, OrderView

S, C = OrderState, CommandState
SPREAD = Instrument.combo(
    "SPY",
    (
        ComboLeg(Instrument.stock("SPY"), Side.BUY, 1),
        ComboLeg(Instrument.stock("QQQ"), Side.SELL, 2),
    ),
)


async def placed(desk: Floor, order: Order | None = None) -> Ticket:
    ticket = await desk.orders.submit(order or buy("one"))
    await desk.settle()
    return ticket


def heard(desk: Floor, key: str = "one") -> OrderReport:
    """Return what the broker would say of an order now."""
    return desk.broker.report_of(desk.broker.orders[desk.orders.get(key).order_ref])


def terms_of(report: OrderReport, **changes: object) -> OrderReport:
    assert report.terms is not None
    return attrs.evolve(report, terms=attrs.evolve(report.terms, **changes))


def live_of(order: Order, **known: object) -> LiveOrder:
    return LiveOrder(order, digest_of(order), "AU-x", **known)  # type: ignore[arg-type]


# --- modifies -----------------------------------------------------------------------------------


def test_the_echo_of_a_later_modify_refuses_the_earlier_whose_echo_was_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            desk.broker.answers_modifies = False
            first = await desk.orders.modify("one", quantity=150)
            second = await desk.orders.modify("one", limit_price="98")
            await desk.settle()
            assert (first.state, second.state) == (C.SENT, C.SENT)
            report = heard(desk)
            desk.broker.say(terms_of(report, quantity=Decimal(150), limit_price=Decimal("98")))
            assert (first.state, second.state) == (C.REFUSED, C.CONFIRMED)
            assert first.reason == "a later change took its place"
            assert ticket.order.limit_price == Decimal("98")
            assert desk.orders._live("one").commands == []
            assert desk.count("echo_differences") == 0

    run(scenario())


def test_an_echo_of_the_old_terms_answers_no_modify_and_is_no_difference(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            desk.broker.answers_modifies = False
            change = await desk.orders.modify("one", quantity=150)
            await desk.settle()
            desk.broker.say(heard(desk))
            desk.broker.say(terms_of(heard(desk), quantity=Decimal(120)))
            assert change.state is C.SENT
            assert ticket.known.differences == (), "it is judged once the modify is answered"
            assert desk.orders._live("one").quantity == 150, "the larger quantity may fill"

    run(scenario())


def test_an_earlier_modify_is_confirmed_by_its_own_echo_while_a_later_waits(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            desk.broker.answers_modifies = False
            first = await desk.orders.modify("one", quantity=150)
            second = await desk.orders.modify("one", quantity=170)
            await desk.settle()
            desk.broker.say(terms_of(heard(desk), quantity=Decimal(150)))
            assert (first.state, second.state) == (C.CONFIRMED, C.SENT)
            assert ticket.order.quantity == 150
            assert desk.orders._live("one").quantity == 170

    run(scenario())


def test_a_difference_that_went_away_is_not_reported_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            desk.broker.say(terms_of(heard(desk), limit_price=Decimal("99")))
            assert ticket.known.differences
            desk.broker.say(heard(desk))
            assert ticket.known.differences == ()
            assert desk.count("echo_differences") == 1
            await desk.orders.flush()
            with JournalReader(tmp_path / "journal.db") as reader:
                (echo,) = reader.entries(Kind.ECHO)
            assert echo.body["differences"] == ["limit price is 99 where 100 was asked for"]
            assert echo.body["terms"]["limit"] == "99"

    run(scenario())


def test_a_command_is_not_answered_before_it_was_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, rate=1) as desk:
            await placed(desk)
            change = await desk.orders.modify("one", quantity=150)
            live = desk.orders._live("one")
            (command,) = live.commands
            before = desk.count("impossible_events")
            desk.orders._applier.command(live, command, CommandEvent.CONFIRM)
            assert change.state is C.QUEUED
            assert live.order.quantity == 100
            assert desk.count("impossible_events") == before + 1
            assert live.words[-1] == "modify: CONFIRM after QUEUED"

    run(scenario())


def test_an_answer_reaches_who_still_waits_when_another_gave_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            desk.broker.answers_cancels = False
            cancel = await desk.orders.cancel("one")
            gave_up = [
                asyncio.ensure_future(cancel.outcome()),
                asyncio.ensure_future(ticket.outcome()),
            ]
            waiting = [
                asyncio.ensure_future(cancel.outcome()),
                asyncio.ensure_future(ticket.outcome()),
            ]
            await desk.settle()
            live = desk.orders._live("one")
            for observer in (live.commands[0].observers[0], live.observers[0]):
                observer.cancel()
            for task in gave_up:
                task.cancel()
            desk.broker.cancel_by_broker(ticket.order_ref)
            state, outcome = await asyncio.gather(*waiting)
            assert state is C.CONFIRMED
            assert outcome.state is S.CANCELED

    run(scenario())


def test_the_oldest_command_that_was_sent_is_the_one_in_flight() -> None:
    live = live_of(buy("one", account="DU1", broker="fake"))
    cancel = Command(1, Verb.CANCEL, "agent")
    first = Command(2, Verb.MODIFY, "agent", attrs.evolve(live.order, quantity=Decimal(70)))
    second = Command(3, Verb.MODIFY, "agent", attrs.evolve(live.order, quantity=Decimal(130)))
    live.commands = [cancel, first, second]
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


# --- unasked and unnamed ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tif", "ask", "counted"),
    [
        (TimeInForce.GTC, False, 1),
        (TimeInForce.GTC, True, 0),
        (TimeInForce.DAY, False, 0),
    ],
)
def test_a_lasting_order_that_ends_unasked_is_counted(
    tmp_path: Path, tif: TimeInForce, ask: bool, counted: int
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk, buy("one", time_in_force=tif))
            if ask:
                desk.broker.answers_cancels = False
                await desk.orders.cancel("one")
            for _ in range(2):
                desk.broker.cancel_by_broker(ticket.order_ref)
            assert ticket.state is S.CANCELED
            assert desk.count("unasked_cancels") == counted

    run(scenario())


def test_a_listed_order_that_the_broker_has_not_begun_to_work_is_held(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.mode = "silent"
            ticket = await placed(desk)
            desk.broker.orders[ticket.order_ref].status = BrokerStatus.PENDING
            desk.broker.report(desk.broker.orders[ticket.order_ref])
            assert ticket.state is S.SUBMITTED, "told by itself, it is on its way"
            await desk.orders.reconcile("fake")
            assert ticket.state is S.HELD

    run(scenario())


@pytest.mark.parametrize(
    "changes",
    [
        {"order_type": "TRAIL"},
        {"instrument": None},
        {"quantity": Decimal(0)},
        {"time_in_force": "GTX"},
    ],
)
def test_an_order_with_our_name_and_terms_that_cannot_be_named_counts_as_external(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            stem = ticket.order_ref.rpartition("-")[0]
            identity = OrderIdentity(f"{stem}-LOST", 12, 34, 1)
            desk.broker.foreign = [
                attrs.evolve(terms_of(heard(desk), **changes), identity=identity),
                attrs.evolve(heard(desk), identity=identity, terms=None),
            ]
            assert (await desk.orders.reconcile("fake")).external == 2
            assert desk.count("orphans_adopted") == 0
            assert [each.key for each in desk.orders.all()] == ["one"]

    run(scenario())


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


# --- fills --------------------------------------------------------------------------------------


def test_the_legs_of_a_combo_move_positions_and_do_not_fill_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            order = Order.limit(SPREAD, Side.BUY, 1, "2", key="one")
            ticket = await placed(desk, order)
            waiting = asyncio.ensure_future(ticket.outcome(timeout=5))
            await desk.settle()
            identity = desk.broker.orders[ticket.order_ref].identity
            for number, leg in enumerate(SPREAD.legs):
                fill = Execution(
                    "fake",
                    identity,
                    f"leg{number}.01",
                    "DU1",
                    leg.instrument,
                    leg.side,
                    Decimal(leg.ratio),
                    Decimal(10),
                    desk.clock.now(),
                )
                desk.broker.say(fill)
                desk.broker.say(fill)
            assert (ticket.state, ticket.known.filled) == (S.ACCEPTED, 0)
            rows = {row.instrument: row.quantity for row in desk.orders.positions().rows}
            assert rows == {SPREAD.legs[0].instrument: 1, SPREAD.legs[1].instrument: -2}
            report = attrs.evolve(
                heard(desk), status=BrokerStatus.FILLED, filled=Decimal(1), remaining=Decimal(0)
            )
            desk.broker.say(report)
            outcome = await waiting
            assert (outcome.state, outcome.settled) == (S.FILLED, True)
            assert desk.orders._live("one").exposed == 0, "its legs are the position"

    run(scenario())


@pytest.mark.parametrize("named", [True, False])
def test_a_combos_own_execution_fills_it_and_moves_no_position(tmp_path: Path, named: bool) -> None:
    """TWS tells of it with the contract type alone: the legs are known by the order."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk, Order.limit(SPREAD, Side.BUY, 1, "2", key="one"))
            told = SPREAD if named else Instrument.combo(SPREAD.symbol, ())
            fill = Execution(
                "fake",
                desk.broker.orders[ticket.order_ref].identity,
                "combo.01.01",
                "DU1",
                told,
                Side.BUY,
                Decimal(1),
                Decimal(2),
                desk.clock.now(),
            )
            desk.broker.say(fill)
            desk.broker.say(fill)
            assert (ticket.state, ticket.known.filled) == (S.FILLED, 1)
            assert desk.orders.positions().rows == ()

    run(scenario())


def test_a_fill_beyond_the_quantity_is_counted_and_believed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            desk.broker.fill(ticket.order_ref, Decimal(100))
            assert desk.count("overfills") == 0
            desk.broker.fill(ticket.order_ref, Decimal(30))
            assert desk.count("overfills") == 1
            assert (ticket.state, ticket.known.filled) == (S.FILLED, 130)
            assert desk.orders.positions().rows[0].quantity == 130
            live = desk.orders._live("one")
            assert (live.remaining, live.exposed) == (0, 0)

    run(scenario())


def test_a_status_that_speaks_of_fills_counts_until_they_are_in_hand(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            live = desk.orders._live("one")
            done = attrs.evolve(
                heard(desk), status=BrokerStatus.FILLED, filled=Decimal(100), remaining=Decimal(0)
            )
            desk.broker.say(attrs.evolve(done, filled=Decimal(40), remaining=Decimal(60)))
            assert (ticket.state, live.filled, live.remaining) == (S.PARTIALLY_FILLED, 40, 60)
            assert live.exposed == 100
            desk.broker.say(done)
            assert (ticket.state, live.settled, live.exposed) == (S.FILLED, False, 100)
            desk.broker.say(attrs.evolve(done, filled=Decimal(10)))
            assert live.reported == 100, "what was once told stays told"
            desk.broker.fill(ticket.order_ref)
            assert (live.settled, live.exposed) == (True, 0)

    run(scenario())


@pytest.mark.parametrize(
    ("revision", "than", "newer"),
    [
        ("02", "01", True),
        ("10", "9", True),
        ("9", "10", False),
        ("01", "01", False),
        ("b", "a", True),
        ("a", "b", False),
        ("a", "a", False),
        ("1a", "01", True),
        ("", "", False),
    ],
)
def test_a_revision_is_newer_by_its_number_or_where_it_has_none_by_its_text(
    revision: str, than: str, newer: bool
) -> None:
    assert is_newer(revision, than) is newer


def test_what_is_remembered_of_fills_and_costs_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(commissions, "_KEPT", 3)
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            for _ in range(5):
                desk.broker.fill(ticket.order_ref, Decimal(20))
            known = desk.orders._parts.commissions
            assert len(known._owners) == len(known._costs) == 3
            newest = [fill.execution_id for fill in desk.broker.fills[-3:]]
            assert list(known._owners) == newest, "the oldest go first"
            assert [fill for fill, _ in known._costs] == newest
            assert ticket.known.filled == 100

    run(scenario())


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


# --- a person's word ------------------------------------------------------------------------------


@pytest.mark.parametrize("as_state", [S.FILLED, S.CANCELED, S.REJECTED, S.EXPIRED])
def test_an_order_that_a_person_resolves_ends_the_cancel_that_waits(
    tmp_path: Path, as_state: OrderState
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.mode = "lose"
            await desk.orders.submit(buy("one"))
            await desk.settle(60)
            assert desk.orders.get("one").state is S.UNKNOWN
            desk.broker.turn(LinkState.DOWN)
            ticket = await desk.orders.cancel("one")
            waiter = asyncio.create_task(ticket.outcome())
            await desk.settle()
            assert not waiter.done()
            await desk.orders.resolve("one", as_state, by="Ada")
            # It never left: nobody may say that it was carried out.
            assert await waiter is C.WITHDRAWN
            assert ticket.reason == f"the order was resolved as {as_state.value} by Ada"
            assert desk.orders.get("one").known.reason == "resolved by Ada"
            assert not live_commands(desk)
            await desk.broker.connect()
            await desk.settle(60)
            assert [kind for kind, _ in desk.broker.sent].count("cancel") == 0
            assert desk.orders.get("one").state is as_state
        async with floor(tmp_path) as desk:
            assert desk.orders.get("one").state is as_state
            assert not live_commands(desk)

    run(scenario())


def test_a_cancel_without_an_answer_ends_with_the_order_that_a_person_resolves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.mode = "lose"
            await desk.orders.submit(buy("one"))
            await desk.settle(60)
            monkeypatch.setattr(desk.broker, "cancel", lambda _: None)
            ticket = await desk.orders.cancel("one")
            waiter = asyncio.create_task(ticket.outcome())
            await desk.settle()
            assert ticket.state is C.SENT
            await desk.orders.resolve("one", S.REJECTED, by="Ada")
            with pytest.raises(CommandRejected, match="resolved as REJECTED by Ada"):
                await waiter

    run(scenario())


def live_commands(desk: Floor) -> list[Command]:
    live = desk.orders._live("one")
    return live.commands
