"""An order remembers in words what was said of it, and each of these wakes who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import attrs
from desk_floor import AAPL, Floor, buy, floor, run

from alluse_core.model import (
    BrokerNotice,
    BrokerStatus,
    Evidence,
    Execution,
    Instrument,
    Order,
    OrderIdentity,
    OrderReport,
    OrderState,
    Side,
    TimeInForce,
)
from alluse_core.model.instrument import ComboLeg
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.recovery import rebuild
from alluse_core.orders.states import CommandEvent

LEGS = (ComboLeg(AAPL, Side.BUY, 1), ComboLeg(Instrument.stock("MSFT"), Side.SELL, 2))


async def placed(desk: Floor, order: Order | None = None) -> tuple[LiveOrder, OrderReport]:
    """Place an order; return it, and the broker's report of it."""
    order = order or buy("one")
    ticket = await desk.orders.submit(order)
    await desk.settle()
    return desk.orders._live(order.key), desk.broker.report_of(desk.broker.orders[ticket.order_ref])


def heard(desk: Floor, live: LiveOrder, act: Evidence | Callable[[], object]) -> list[str]:
    """Have something said of an order; return its words for it. Who waits must be woken."""
    before = len(live.words)
    waiting = asyncio.get_running_loop().create_future()
    live.watch(waiting)
    if callable(act):
        act()
    else:
        desk.broker.say(act)
    assert waiting.done(), "nobody was woken"
    return list(live.words[before:])


def test_what_a_broker_says_of_an_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            live, report = await placed(desk)
            assert live.words == ("report: WORK",)
            assert (live.reason, live.order_id, live.client_id) == ("", 1, 1)
            notice = BrokerNotice("fake", 399, "held until the open", report.identity, 1)
            assert heard(desk, live, report) == ["report: WORK"]
            assert heard(desk, live, notice) == ["notice: 399 held until the open"]
            assert report.terms is not None
            other = attrs.evolve(report, terms=attrs.evolve(report.terms, account="DU2"))
            difference = "echo: account is DU2 where DU1 was asked for"
            assert heard(desk, live, other) == [difference, "report: WORK"]
            names = report.identity
            half, price, now = Decimal(40), Decimal("99.5"), desk.clock.now()
            fill = Execution(*("fake", names, "e1.01", "DU1", AAPL, Side.BUY, half, price, now))
            assert heard(desk, live, fill) == [
                "execution: 40 at 99.5",
                "execution: PART_FILL",
            ]
            desk.broker.say(fill)
            assert (desk.count("fills"), desk.count("duplicate_fills")) == (1, 1)
            assert live.quantity == 100
            end = attrs.evolve(report, status=BrokerStatus.CANCELED, reason="by the venue")
            assert heard(desk, live, end) == ["report: CANCEL (by the venue)"]
            assert heard(desk, live, report) == ["report: WORK"]
            assert live.reason == "by the venue"
            await desk.orders.flush()
            again = rebuild(desk.journal.read().story("one"))
            assert again is not None
            assert again.words == (
                *("agent: SUBMIT", "agent: SEND", "report: WORK", "execution: 40 at 99.5"),
                *("report: CANCEL", "report: WORK"),
            )
            assert again.reason == "by the venue"

    run(scenario())


def test_what_becomes_of_commands(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            live, report = await placed(desk)
            desk.broker.answers_modifies = desk.broker.answers_cancels = False
            await desk.orders.modify("one", quantity=150)
            await desk.settle()
            assert live.words[-1] == "modify: SEND"
            (change,) = live.commands
            assert report.terms is not None
            terms = attrs.evolve(report.terms, quantity=Decimal(150))
            done = attrs.evolve(report, terms=terms, remaining=Decimal(150))
            assert heard(desk, live, done) == ["modify: CONFIRM", "report: WORK"]
            assert change.reason == ""
            await desk.orders.cancel("one")
            await desk.settle()
            (cancel,) = live.commands
            refused = BrokerNotice("fake", 10148, "too late", report.identity, 1)
            said = ["notice: 10148 too late", "cancel: REFUSE"]
            assert heard(desk, live, refused) == said
            assert cancel.reason == "10148 too late"
            desk.orders._applier.command(live, cancel, CommandEvent.SEND)
            assert live.words[-1] == "cancel: SEND after REFUSED"
            assert desk.count("impossible_events") == 1

    run(scenario())


def test_a_change_that_may_have_been_made_counts_until_the_broker_shows_the_old_terms(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            live, report = await placed(desk)
            desk.broker.answers_modifies = False
            await desk.orders.modify("one", quantity=150)
            await desk.settle()
            assert live.quantity == 150
            refused = BrokerNotice("fake", 201, "no", report.identity, 1)
            assert heard(desk, live, refused) == ["notice: 201 no", "modify: REFUSE"]
            assert (live.quantity, live.exposed) == (150, 150), "it may speak of something else"
            desk.broker.say(report)
            assert (live.quantity, live.exposed) == (100, 100)
            await desk.orders.modify("one", quantity=200)
            await desk.settle(60)
            assert not live.commands
            assert len(live.doubted) == 2
            assert live.quantity == 100, "the list had the old terms"

    run(scenario())


def test_an_order_is_found_by_each_of_its_names(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            live, _ = await placed(desk)
            held = BrokerNotice("fake", 404, "locating", OrderIdentity("", 9001), -1)
            assert live.perm_ids == (9001,)
            assert heard(desk, live, held) == [
                "notice: 404 locating",
                "notice: HOLD (404 locating)",
            ]
            assert live.state is OrderState.HELD

    run(scenario())


def test_fills_that_make_up_the_quantity_go_beyond_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            live, report = await placed(desk)
            for amount in (40, 60):
                desk.broker.fill(report.identity.order_ref, Decimal(amount))
            assert (live.state, live.executed) == (OrderState.FILLED, 100)
            assert desk.count("overfills") == 0

    run(scenario())


def test_of_two_perm_ids_the_end_of_one_is_said_of_it_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            live, report = await placed(desk)
            twin = attrs.evolve(report, identity=attrs.evolve(report.identity, perm_id=77))
            assert heard(desk, live, twin) == ["report: WORK"]
            ended = attrs.evolve(twin, status=BrokerStatus.CANCELED)
            assert heard(desk, live, ended) == ["report: CANCEL of permId 77 alone"]
            assert desk.count("second_perm_ids") == 1
            nameless = attrs.evolve(
                ended, identity=attrs.evolve(report.identity, perm_id=0), reason="both"
            )
            assert heard(desk, live, nameless) == ["report: CANCEL (both)"]
            assert live.state is OrderState.CANCELED

    run(scenario())


def test_the_leg_of_a_combo_and_a_persons_word(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            spread = Instrument.combo("AAPL", LEGS)
            order = Order.limit(spread, Side.BUY, 1, "2", key="one")
            live, report = await placed(desk, order)
            names = report.identity
            one, now = Decimal(1), desk.clock.now()
            leg = Execution(*("fake", names, "l.01", "DU1", AAPL, Side.BUY, one, one, now))
            assert heard(desk, live, leg) == ["execution: 1 at 1"]
            applier = desk.orders._applier
            assert heard(desk, live, lambda: applier.resolve(live, OrderState.CANCELED, "Ada")) == [
                "person: resolved by Ada"
            ]
            assert live.ended_at == desk.clock.monotonic()
            assert desk.count("orders_entered", state="CANCELED") == 1

    run(scenario())


def test_a_lasting_order_that_ends_unasked_is_counted_but_not_once_it_has_ended(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            lasting = buy("one", time_in_force=TimeInForce.GTC)
            live, report = await placed(desk, lasting)
            desk.orders._applier.resolve(live, OrderState.REJECTED, "Ada")
            desk.broker.say(attrs.evolve(report, status=BrokerStatus.CANCELED))
            assert desk.count("unasked_cancels") == 0

    run(scenario())
