"""What a start finds to be otherwise than the journal says, and who approves it."""

from __future__ import annotations

import asyncio
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from desk_floor import AAPL, Floor, buy, floor, run

from alluse_core.errors import OrderDenied, UsageError
from alluse_core.model import (
    BrokerStatus,
    LinkState,
    Order,
    OrderIdentity,
    OrderReport,
    OrderTerms,
    Side,
)
from alluse_core.orders.journal import JournalReader
from alluse_core.ports import TradingState
from alluse_core.settings import OnMismatch, OrdersSettings
from alluse_core.testing import VirtualClock
from alluse_core.testing.fakes import FakeBroker

ASKS = OrdersSettings(stages=(), settle_seconds=0.0, approve_start=True)


def test_a_start_that_finds_nothing_else_needs_no_approval(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, settings=ASKS) as desk:
            one = await desk.orders.submit(buy("one"))
            await desk.settle()
            desk.broker.fill(one.order_ref)
            await desk.orders.submit(buy("two"))
            await desk.settle()
        async with floor(tmp_path, settings=ASKS, broker=desk.broker, clock=desk.clock) as again:
            assert again.orders.differences == ()
            await again.orders.submit(buy("three"))

    run(scenario())


def test_new_risk_waits_until_a_person_approves_what_happened_meanwhile(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, settings=ASKS) as desk:
            filled = await desk.orders.submit(buy("filled"))
            ended = await desk.orders.submit(buy("ended"))
            lost = await desk.orders.submit(buy("lost"))
            await desk.settle()
        broker = desk.broker
        broker._evidence = lambda _: None
        broker.fill(filled.order_ref)
        broker.cancel_by_broker(ended.order_ref)
        del broker.orders[lost.order_ref]
        broker.held["DU1", AAPL] = Decimal(130)
        async with floor(tmp_path, settings=ASKS, broker=broker, clock=desk.clock) as again:
            kinds = {each.kind: each for each in again.orders.unapproved}
            assert set(kinds) == {"filled", "ended", "unknown", "position"}
            assert kinds["filled"].what == "filled"
            assert "is 130 where the journal says 100" in kinds["position"].text
            with pytest.raises(OrderDenied, match="waits for approval"):
                await again.orders.submit(buy("new"))
            await again.orders.submit(Order.stop(AAPL, Side.SELL, 30, "90", key="exit"))
        async with floor(tmp_path, settings=ASKS, broker=broker, clock=desk.clock) as third:
            assert {each.kind for each in third.orders.unapproved} == set(kinds), (
                "a restart is no approval"
            )
            with pytest.raises(UsageError):
                await third.orders.approve(by=" ")
            await third.orders.approve(by="Ada")
            await third.orders.submit(buy("newer"))
        with JournalReader(tmp_path / "journal.db") as reader:
            said = [e.body for e in reader.entries("control") if e.body["action"] == "approve"]
        assert said[0]["by"] == "Ada"
        assert len(said[0]["differences"]) >= 4

    run(scenario())


def test_a_paper_account_shows_the_differences_and_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            broker = desk.broker
        broker.held["DU1", AAPL] = Decimal(5)
        async with floor(tmp_path, broker=broker, clock=desk.clock) as again:
            assert [each.kind for each in again.orders.differences] == ["position"]
            assert again.orders.unapproved == ()
            await again.orders.submit(buy("new"))

    run(scenario())


async def killed_in_its_first_round(folder: Path, desk: Floor, *, learns: bool = True) -> Path:
    """Start over a copy of the journal, and return what the disk holds while it still asks."""
    started, left = folder / "started", folder / "left"
    shutil.copytree(folder / "now", started)
    broker = desk.broker
    questions = broker.open_orders, broker.account_values

    async def hang() -> Any:
        await asyncio.Event().wait()

    if learns:
        broker.account_values = hang  # type: ignore[method-assign]
    else:
        broker.open_orders = hang  # type: ignore[method-assign]
    starting = asyncio.create_task(
        floor(started, settings=ASKS, broker=broker, clock=desk.clock).__aenter__()
    )
    for _ in range(50):
        await asyncio.sleep(0)
    shutil.copytree(started, left)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    broker.open_orders, broker.account_values = questions  # type: ignore[method-assign]
    for old in (started, folder / "now"):
        shutil.rmtree(old)
    return left.rename(folder / "now")


def test_a_start_after_one_that_was_killed_while_it_asked_waits_for_a_name(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "now").mkdir()
        async with floor(tmp_path / "now", settings=ASKS) as desk:
            filled = await desk.orders.submit(buy("filled"))
            await desk.settle()
        broker = desk.broker
        broker._evidence = lambda _: None
        broker.fill(filled.order_ref)
        broker.held["DU1", AAPL] = Decimal(130)
        await killed_in_its_first_round(tmp_path, desk)
        disk = await killed_in_its_first_round(tmp_path, desk, learns=False)
        async with floor(disk, settings=ASKS, broker=broker, clock=desk.clock) as third:
            assert [each.kind for each in third.orders.unapproved] == ["interrupted"]
            with pytest.raises(OrderDenied, match="approval"):
                await third.orders.submit(buy("new"))
        async with floor(disk, settings=ASKS, broker=broker, clock=desk.clock) as fourth:
            assert len(fourth.orders.unapproved) == 1
            await fourth.orders.approve(by="Ada")
        async with floor(disk, settings=ASKS, broker=broker, clock=desk.clock) as fifth:
            await fifth.orders.submit(buy("newer"))

    run(scenario())


def test_a_start_after_one_that_learnt_nothing_needs_no_approval(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "now").mkdir()
        async with floor(tmp_path / "now", settings=ASKS) as desk:
            await desk.orders.submit(buy("one"))
            await desk.settle()
        disk = await killed_in_its_first_round(tmp_path, desk, learns=False)
        async with floor(disk, settings=ASKS, broker=desk.broker, clock=desk.clock) as again:
            await again.orders.submit(buy("two"))

    run(scenario())


def test_a_live_account_asks_without_being_told_to(tmp_path: Path) -> None:
    live = OrdersSettings(stages=(), settle_seconds=0.0, live_account="U1")

    async def scenario() -> None:
        async with floor(tmp_path, settings=live, accounts=("U1",)) as desk:
            await desk.orders.submit(buy("first"))
            broker = desk.broker
        broker.held["U1", AAPL] = Decimal(5)
        async with floor(tmp_path, settings=live, broker=broker, clock=desk.clock) as again:
            with pytest.raises(OrderDenied, match="approval"):
                await again.orders.submit(buy("new"))

    run(scenario())


def test_a_live_account_that_is_not_connected_at_the_start_asks_too(tmp_path: Path) -> None:
    live = OrdersSettings(stages=(), settle_seconds=0.0, live_account="U1")

    async def scenario() -> None:
        clock = VirtualClock()
        broker = FakeBroker(lambda _: None, clock=clock, accounts=("U1",))
        broker.held["U1", AAPL] = Decimal(5)
        connect = broker.connect

        async def nothing() -> None:
            broker.accounts, broker.link = (), LinkState.DOWN

        broker.connect = nothing  # type: ignore[method-assign]
        async with floor(tmp_path, settings=live, broker=broker, clock=clock) as desk:
            broker.accounts = ("U1",)
            await connect()
            await desk.settle(60)
            with pytest.raises(OrderDenied, match="approval"):
                await desk.orders.submit(buy("new"))
            await desk.orders.approve(by="Ada")
            await desk.orders.submit(buy("newer"))

    run(scenario())


def test_new_risk_waits_for_the_first_evidence_too(tmp_path: Path) -> None:
    """A broker that cannot be asked yet has not been found without differences."""

    async def scenario() -> None:
        async with floor(tmp_path, settings=ASKS) as desk:
            broker = desk.broker
        broker.lists_fail = True
        async with floor(tmp_path, settings=ASKS, broker=broker, clock=desk.clock) as again:
            again.orders._gate.reconciling.clear()
            with pytest.raises(OrderDenied, match="approval"):
                await again.orders.submit(buy("new"))
            broker.lists_fail = False
            await again.settle(5)
            await again.orders.submit(buy("newer"))

    run(scenario())


@pytest.mark.parametrize("choice", list(OnMismatch))
def test_a_position_that_differs_halts_or_pages_and_invents_no_fill(
    tmp_path: Path, choice: OnMismatch
) -> None:
    settings = OrdersSettings(stages=(), settle_seconds=0.0, on_mismatch=choice)

    async def scenario() -> None:
        async with floor(tmp_path, settings=settings) as desk:
            desk.broker.held["DU1", AAPL] = Decimal(7)
            await desk.orders.reconcile("fake")
            halted = desk.orders.state is TradingState.HALTED
            assert halted == (choice is OnMismatch.HALT)
            assert desk.count("pages") == (choice is OnMismatch.PAGE)
            assert desk.orders.positions().rows[0].quantity == 7
            assert desk.count("fills") == 0
        with JournalReader(tmp_path / "journal.db") as reader:
            rows = [e.body for e in reader.entries("position") if "mismatch" in e.body]
            assert not list(reader.fills())
        assert [(row["mismatch"], row["ours"], row["theirs"]) for row in rows] == [
            (AAPL.id, "0", "7")
        ]

    run(scenario())


def test_a_link_loss_asks_for_no_approval(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, settings=ASKS) as desk:
            one = await desk.orders.submit(buy("one"))
            await desk.settle()
            desk.broker.turn(LinkState.DOWN)
            desk.broker.fill(one.order_ref)
            desk.broker.turn(LinkState.UP)
            await desk.settle(5)
            assert desk.orders.unapproved == ()
            await desk.orders.submit(buy("two"))

    run(scenario())


# --- orders of people -----------------------------------------------------------------------------


def by_hand(number: int, quantity: int = 5, price: str | None = "90", **more: Any) -> OrderReport:
    """Return an open order that somebody placed past the agent."""
    limit = None if price is None else Decimal(price)
    terms = OrderTerms(
        AAPL, Side.BUY, Decimal(quantity), "LMT", limit, None, "GTC", "DU1", outside_rth=False
    )
    report = OrderReport(
        "fake", OrderIdentity("", number, -1, 0), BrokerStatus.WORKING, terms=terms
    )
    return attrs.evolve(report, **more)


def test_an_order_of_a_person_is_approved_once_until_it_changes(tmp_path: Path) -> None:
    """Were each start to ask again, approving would become what one does without looking."""

    async def scenario() -> None:
        async with floor(tmp_path, settings=ASKS) as desk:
            broker, clock = desk.broker, desk.clock
        broker.foreign = [by_hand(71), by_hand(72)]
        async with floor(tmp_path, settings=ASKS, broker=broker, clock=clock) as first:
            assert [str(each) for each in first.orders.unapproved] == [
                f"fake: open order {number} is not this agent's:"
                " BUY 5 STK:AAPL:SMART:USD LMT limit 90 GTC DU1"
                for number in (71, 72)
            ]
            await first.orders.approve(by="Ada")
            await first.orders.submit(buy("one"))
            await first.settle()
        filled = by_hand(71, status=BrokerStatus.WORKING, filled=Decimal(2), remaining=Decimal(3))
        broker.foreign = [by_hand(73), filled]
        async with floor(tmp_path, settings=ASKS, broker=broker, clock=clock) as second:
            assert [each.what for each in second.orders.unapproved] == ["73"]
            await second.orders.approve(by="Ada")
        async with floor(tmp_path, settings=ASKS, broker=broker, clock=clock) as third:
            assert third.orders.differences == ()
            await third.orders.submit(buy("two"))
            await third.settle()
        broker.foreign = [by_hand(71, price="91"), by_hand(73, quantity=6), by_hand(72)]
        async with floor(tmp_path, settings=ASKS, broker=broker, clock=clock) as fourth:
            assert [each.what for each in fourth.orders.unapproved] == ["71", "73"]

    run(scenario())


def test_an_order_without_number_or_terms_is_asked_about_at_every_start(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, settings=ASKS) as desk:
            broker, clock = desk.broker, desk.clock
        nameless = attrs.evolve(by_hand(75).terms, instrument=None, outside_rth=True)
        broker.foreign = [by_hand(0), by_hand(74, terms=None), by_hand(75, terms=nameless)]
        async with floor(tmp_path, settings=ASKS, broker=broker, clock=clock) as first:
            texts = [each.text for each in first.orders.unapproved]
            assert "open order without a number is not this agent's" in texts[0]
            assert texts[1] == "an open order without terms is not this agent's"
            assert "BUY 5 an instrument without a name LMT" in texts[2]
            assert texts[2].endswith("DU1 outside hours")
            await first.orders.approve(by="Ada")
        async with floor(tmp_path, settings=ASKS, broker=broker, clock=clock) as second:
            assert [each.text for each in second.orders.unapproved] == texts[:2]

    run(scenario())


def test_an_order_that_nobody_approved_waits_over_restarts_and_is_told_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, settings=ASKS) as desk:
            broker, clock = desk.broker, desk.clock
        for price in ("90", "90", "92"):
            broker.foreign = [by_hand(71, price=price), by_hand(71, price=price)]
            async with floor(tmp_path, settings=ASKS, broker=broker, clock=clock) as again:
                (only,) = again.orders.unapproved
                assert f"limit {price} GTC" in only.text

    run(scenario())
