"""What each record of a day says, word for word: journals are read years after they were written.

A name that changes here makes older journals unreadable, and what reads them wrong in silence.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from desk_floor import AAPL, Floor, buy, floor, run

from alluse_core.model import (
    BrokerNotice,
    BrokerStatus,
    Commission,
    Execution,
    LinkState,
    OrderIdentity,
    OrderReport,
    OrderState,
    OrderTerms,
    Side,
)
from alluse_core.orders.reader import JournalReader, anchor_path

Said = tuple[str, str, str, Mapping[str, Any]]
WHOSE = {"broker": "fake", "account": "DU1"}
TERMS = {
    **WHOSE,
    "instrument": "STK:AAPL:SMART:USD",
    "side": "BUY",
    "quantity": "100",
    "type": "LMT",
    "tif": "DAY",
    "limit": "100",
}
NAMES = {"tenant", "node", "agent", "incarnation"}


def said_in(folder: Path, play: Callable[[Floor], Awaitable[None]]) -> list[Said]:
    """Play a scene and return (kind, key, state, what it says) of what follows the start."""

    async def scenario() -> None:
        async with floor(folder) as desk:
            await play(desk)

    run(scenario())
    with JournalReader(folder / "journal.db") as reader:
        entries = list(reader.entries())
    assert [entry.kind for entry in entries[:3]] == ["notice", "start", "position"]
    return [
        (each.kind, each.key, each.state, {k: v for k, v in each.body.items() if k not in NAMES})
        for each in entries[3:]
        if each.kind != "ids"
    ]


def of_kind(kind: str, said: list[Said]) -> list[Mapping[str, Any]]:
    return [body for each, _, _, body in said if each == kind]


async def placed(desk: Floor, key: str = "one") -> OrderIdentity:
    await desk.orders.submit(buy(key))
    await desk.settle()
    return next(
        order.identity for order in desk.broker.orders.values() if order.message.order.key == key
    )


def test_an_order_from_its_intent_to_its_rejection(tmp_path: Path) -> None:
    async def play(desk: Floor) -> None:
        desk.broker.mode = "reject"
        await placed(desk)

    order, send, notice, reject = said_in(tmp_path, play)
    assert order[:3] == ("order", "one", "SUBMITTED")
    assert order[3] == {**TERMS, "digest": "367354aae77cec14", "event": "SUBMIT"}
    numbers = {"order_id": 1, "client_id": 1, "parent": 0}
    assert send == ("event", "one", "", {**WHOSE, "event": "SEND", **numbers})
    verdict = {"code": 201, "text": "Order rejected", "class": "definite_reject"}
    assert notice == ("notice", "one", "SUBMITTED", {**WHOSE, **verdict, "action": "terminal"})
    end = {"event": "REJECT", "source": "notice", "before": "SUBMITTED"}
    assert reject == ("event", "one", "REJECTED", {**WHOSE, **end, "reason": "201 Order rejected"})


def test_a_fill_its_correction_and_what_they_cost(tmp_path: Path) -> None:
    async def play(desk: Floor) -> None:
        one = await placed(desk)
        fill = desk.broker.fill(one.order_ref, Decimal(40), Decimal("99.5"), "e1.01")
        desk.broker.say(attrs.evolve(fill, execution_id="e1.02", price=Decimal("99.4")))
        desk.broker.say(Commission("fake", "e1.02", Decimal("1.05"), "USD", Decimal(-2)))
        desk.broker.say(Commission("fake", "nobody.01", Decimal(3), "EUR"))

    *_, work, fill, cost, corrected, more, foreign = said_in(tmp_path, play)
    alive = {"event": "WORK", "source": "report", "before": "SUBMITTED", "perm_id": 9001}
    assert work == ("event", "one", "ACCEPTED", {**WHOSE, **alive})
    executed = {
        **WHOSE,
        "event": "PART_FILL",
        "source": "execution",
        "before": "ACCEPTED",
        "execution_id": "e1.01",
        "base": "e1",
        "counts": True,
        "instrument": "STK:AAPL:SMART:USD",
        "side": "BUY",
        "quantity": "40",
        "price": "99.5",
        "executed_at": "2026-01-05T14:30:00+00:00",
        "liquidation": False,
        "perm_id": 9001,
        "order_id": 1,
        "client_id": 1,
    }
    part = ("one", "PARTIALLY_FILLED")
    assert fill == ("fill", *part, executed)
    revised = {"execution_id": "e1.02", "price": "99.4", "before": "PARTIALLY_FILLED"}
    assert corrected == ("fill", *part, {**executed, **revised})
    paid = {"amount": "1.00", "currency": "USD", "realized": None}
    assert cost == ("commission", *part, {**WHOSE, "execution_id": "e1.01", **paid})
    paid = {"amount": "1.05", "currency": "USD", "realized": "-2"}
    assert more == ("commission", *part, {**WHOSE, "execution_id": "e1.02", **paid})
    paid = {"amount": "3", "currency": "EUR", "realized": None}
    nobody = {"broker": "fake", "account": "", "execution_id": "nobody.01"}
    assert foreign == ("commission", "", "", {**nobody, **paid})


def test_commands_from_their_request_to_their_end(tmp_path: Path) -> None:
    async def play(desk: Floor) -> None:
        await placed(desk)
        await desk.orders.modify("one", quantity=150)
        await desk.settle()
        await desk.orders.cancel("one")
        await desk.settle()

    said = said_in(tmp_path, play)
    wanted = {**TERMS, "quantity": "150"}
    modify = {**WHOSE, "command": 1, "verb": "modify"}
    cancel = {**WHOSE, "command": 2, "verb": "cancel"}
    asked = {"event": "QUEUE", "command_state": "QUEUED", "by": "agent"}
    sent = {"event": "SEND", "command_state": "SENT"}
    done = {"event": "CONFIRM", "command_state": "CONFIRMED"}
    assert of_kind("command", said) == [
        {**modify, **asked, "order": wanted},
        {**modify, **sent},
        {**modify, **done, "order": wanted},
        {**cancel, **asked},
        {**cancel, **sent},
        {**cancel, **done},
    ]
    ended = {**WHOSE, "event": "CANCEL", "source": "report", "before": "ACCEPTED"}
    assert said[-2] == ("event", "one", "CANCELED", ended)


def test_a_command_that_ends_with_its_order_says_why(tmp_path: Path) -> None:
    async def play(desk: Floor) -> None:
        one = await placed(desk)
        desk.broker.answers_modifies = False
        await desk.orders.modify("one", quantity=150)
        await desk.settle()
        desk.broker.cancel_by_broker(one.order_ref, "by the venue")

    said = said_in(tmp_path, play)
    ended = {"event": "CANCEL", "source": "report", "before": "ACCEPTED", "reason": "by the venue"}
    assert of_kind("event", said)[-1] == {**WHOSE, **ended}
    assert of_kind("command", said)[-1] == {
        **WHOSE,
        "command": 1,
        "verb": "modify",
        "event": "ENDED",
        "command_state": "REFUSED",
        "reason": "the order is CANCELED",
    }


def test_a_change_that_a_list_disproves_is_marked_as_doubted(tmp_path: Path) -> None:
    async def play(desk: Floor) -> None:
        await placed(desk)
        desk.broker.answers_modifies = False
        await desk.orders.modify("one", quantity=150)
        await desk.settle(60)
        await desk.orders.reconcile("fake")

    assert of_kind("command", said_in(tmp_path, play))[-1] == {
        **WHOSE,
        "command": 1,
        "verb": "modify",
        "event": "REFUSE",
        "command_state": "REFUSED",
        "reason": "the broker lists the old terms",
        "doubted": True,
    }


def test_an_echo_that_differs_and_an_event_that_cannot_follow(tmp_path: Path) -> None:
    async def play(desk: Floor) -> None:
        one = await placed(desk)
        report = desk.broker.report_of(desk.broker.orders[one.order_ref])
        assert report.terms is not None
        other = attrs.evolve(report.terms, account="DU2", outside_rth=True)
        desk.broker.say(attrs.evolve(report, terms=other))
        desk.broker.cancel_by_broker(one.order_ref)
        desk.broker.say(report)

    said = said_in(tmp_path, play)
    assert of_kind("echo", said) == [
        {
            **WHOSE,
            "differences": [
                "account is DU2 where DU1 was asked for",
                "outside_rth is True where False was asked for",
            ],
            "terms": {
                "instrument": "STK:AAPL:SMART:USD",
                "side": "BUY",
                "quantity": "100",
                "type": "LMT",
                "limit": "100",
                "stop": None,
                "tif": "DAY",
                "account": "DU2",
                "outside_rth": True,
            },
        }
    ]
    *_, late = of_kind("event", said)
    before = {"event": "WORK", "source": "report", "before": "CANCELED"}
    assert late == {**WHOSE, **before, "impossible": True}


def test_word_that_an_order_is_held(tmp_path: Path) -> None:
    async def play(desk: Floor) -> None:
        one = await placed(desk)
        desk.broker.say(BrokerNotice("fake", 404, "locating", one, 1))

    *_, notice, hold = said_in(tmp_path, play)
    verdict = {"code": 404, "text": "locating", "class": "held", "action": "hold"}
    assert notice == ("notice", "one", "ACCEPTED", {**WHOSE, **verdict})
    held = {"event": "HOLD", "source": "notice", "before": "ACCEPTED", "reason": "404 locating"}
    assert hold == ("event", "one", "HELD", {**WHOSE, **held})


def test_a_number_that_a_crash_lost_is_written_down_once_it_is_seen(tmp_path: Path) -> None:
    async def play(desk: Floor) -> None:
        desk.broker.mode = "silent"
        one = await placed(desk)
        live = desk.orders._live("one")
        live.order_id = live.client_id = 0
        desk.broker.report(desk.broker.orders[one.order_ref])
        assert (live.order_id, live.client_id) == (1, 1)

    numbers = {"order_id": 1, "client_id": 1, "parent": 0, "perm_id": 9001}
    alive = {"event": "WORK", "source": "report", "before": "SUBMITTED"}
    assert of_kind("event", said_in(tmp_path, play))[-1] == {**WHOSE, **alive, **numbers}


def test_an_order_that_nothing_proves_and_a_persons_word_for_it(tmp_path: Path) -> None:
    async def play(desk: Floor) -> None:
        desk.broker.mode = "silent"
        await placed(desk)
        desk.broker.orders.clear()
        await desk.settle(1)
        await desk.orders.reconcile("fake")
        await desk.orders.resolve("one", OrderState.CANCELED, by="Ada")

    said = said_in(tmp_path, play)
    reason = "neither open, completed nor executed at the broker"
    lost = {"event": "LOSE", "source": "reconciliation", "before": "SUBMITTED", "reason": reason}
    assert said[-2] == ("event", "one", "UNKNOWN", {**WHOSE, **lost})
    word = {"event": "RESOLVE", "source": "person", "before": "UNKNOWN"}
    assert said[-1] == ("event", "one", "CANCELED", {**WHOSE, **word, "reason": "resolved by Ada"})


def test_what_is_about_no_order_of_ours(tmp_path: Path) -> None:
    async def play(desk: Floor) -> None:
        desk.broker.turn(LinkState.DEGRADED, "1100")
        assert desk.count("link_changes", broker="fake", state=LinkState.DEGRADED) == 1
        time = desk.clock.now()
        names = OrderIdentity("", 77, 5, 0)
        fill = Execution(
            *("fake", names, "s1.01", "DU1", AAPL, Side.SELL, Decimal(7), Decimal(101), time, True)
        )
        desk.broker.say(fill)
        desk.broker.say(BrokerNotice("fake", 31337, "of nothing", None, -1))
        desk.broker.say(BrokerNotice("fake", 2104, "farm OK", None, -1))

    link, fill, moved, control, notice, *rest = said_in(tmp_path, play)
    said = {"broker": "fake", "link": "degraded", "reason": "1100"}
    assert link == ("notice", "", "", said)
    executed = {
        **WHOSE,
        "execution_id": "s1.01",
        "base": "s1",
        "counts": False,
        "source": "execution",
        "instrument": "STK:AAPL:SMART:USD",
        "side": "SELL",
        "quantity": "7",
        "price": "101",
        "executed_at": "2026-01-05T14:30:00+00:00",
        "liquidation": True,
        "perm_id": 77,
        "order_id": 5,
        "client_id": 0,
    }
    assert fill == ("fill", "", "", executed)
    what = {"instrument": "STK:AAPL:SMART:USD", "change": "-7", "cause": "liquidation"}
    about = {"execution_id": "s1.01", "price": "101"}
    assert moved == ("adjustment", "", "", {**WHOSE, **what, **about})
    assert control[0] == "control"
    verdict = {"code": 31337, "text": "of nothing", "class": "unclassified", "action": "prove"}
    assert notice == ("notice", "", "", {"broker": "fake", "account": "", **verdict})
    assert not of_kind("notice", rest), "a statement that asks for nothing is not kept"


def test_an_order_that_bears_our_name_and_that_the_journal_lost(tmp_path: Path) -> None:
    async def play(desk: Floor) -> None:
        reference = desk.orders._parts.references.of("lost")
        terms = OrderTerms(
            *(AAPL, Side.BUY, Decimal(100), "LMT", Decimal(100), None, "DAY", "DU1", False)
        )
        names = OrderIdentity(reference, 9001, 7, 3)
        zero, all_of_it = Decimal(0), Decimal(100)
        report = OrderReport("fake", names, BrokerStatus.WORKING, zero, all_of_it, terms=terms)
        desk.broker.say(report)

    order, work = said_in(tmp_path, play)
    assert order[0] == "order"
    assert order[2] == "SUBMITTED"
    numbers = {"order_id": 7, "client_id": 3}
    assert order[3] == {**TERMS, **numbers, "adopted": True, "digest": "367354aae77cec14"}
    alive = {"event": "WORK", "source": "report", "before": "SUBMITTED", "perm_id": 9001}
    assert work[2:] == ("ACCEPTED", {**WHOSE, **alive})


@pytest.mark.parametrize(("ours", "theirs"), [(0, 1), (3, 5)])
def test_a_position_that_differs_is_written_down_with_both_figures(
    tmp_path: Path, ours: int, theirs: int
) -> None:
    async def play(desk: Floor) -> None:
        desk.broker.held["DU1", AAPL] = Decimal(ours)
        await desk.orders.reconcile("fake")
        desk.broker.held["DU1", AAPL] = Decimal(theirs)
        await desk.orders.reconcile("fake")

    said = of_kind("position", said_in(tmp_path, play))
    place = "STK:AAPL:SMART:USD"
    facts = {"mismatch": place, "ours": str(ours), "theirs": str(theirs)}
    assert said[-2:] == [
        {**WHOSE, **facts},
        {"broker": "fake", "positions": [["DU1", place, str(theirs)]]},
    ]


def test_a_start_names_its_brokers_and_what_is_wrong_with_the_journal(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path):
            pass
        anchor_path(tmp_path / "journal.db").unlink()
        async with floor(tmp_path):
            pass

    run(scenario())
    with JournalReader(tmp_path / "journal.db") as reader:
        starts = [each.body for each in reader.entries("start")]
    problems = ("", "the anchor is missing or unreadable")
    assert [{k: v for k, v in each.items() if k not in NAMES} for each in starts] == [
        {"brokers": ["fake"], "problem": problem} for problem in problems
    ]
