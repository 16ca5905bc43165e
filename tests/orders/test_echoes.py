"""The terms that a broker shows answer the changes that were asked for."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import attrs
from desk_floor import NODE, floor, heard, placed, run, terms_of

from alluse_core.model import BrokerNotice
from alluse_core.orders.journal import JournalReader
from alluse_core.orders.records import Kind
from alluse_core.orders.states import CommandEvent, CommandState

C = CommandState


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
            assert desk.orders._live("one").commands == ()
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


def test_an_echo_that_comes_after_a_list_with_the_old_terms_is_believed(tmp_path: Path) -> None:
    """Found by the scenario slow-acks: the change was called refused, and had been made."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            report = desk.broker.report_of(desk.broker.orders[ticket.order_ref])
            live = desk.orders._live("one")
            desk.broker.answers_modifies = False
            await desk.orders.modify("one", limit_price="98")
            await desk.settle()
            (command,) = live.commands
            desk.orders._applier.command(
                live, command, CommandEvent.REFUSE, "a list had the old terms", doubted=True
            )
            assert ticket.order.limit_price != 98
            assert report.terms is not None
            late = attrs.evolve(report, terms=attrs.evolve(report.terms, limit_price=Decimal(98)))
            desk.broker.say(late)
            assert ticket.order.limit_price == 98
            assert not ticket.known.differences
            assert not live.doubted

    run(scenario())


def test_an_echo_that_comes_after_a_restart_is_believed_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            report = desk.broker.report_of(desk.broker.orders[ticket.order_ref])
            desk.broker.answers_modifies = False
            await desk.orders.modify("one", limit_price="98")
            await desk.settle(30)
            assert not ticket.known.pending
        assert report.terms is not None
        late = attrs.evolve(report, terms=attrs.evolve(report.terms, limit_price=Decimal(98)))
        for turn in (2, 3):
            incarnation = attrs.evolve(NODE, incarnation=f"incarnation-{turn}")
            async with floor(tmp_path, broker=desk.broker, node=incarnation) as again:
                if turn == 2:
                    again.broker.say(late)
                assert again.orders.get("one").order.limit_price == 98
                assert not again.orders._live("one").doubted
            desk.broker.orders[ticket.order_ref].message = attrs.evolve(
                desk.broker.orders[ticket.order_ref].message,
                order=again.orders.get("one").order,
            )

    run(scenario())


def test_an_echo_that_differs_from_the_intent_is_said(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            report = desk.broker.report_of(desk.broker.orders[ticket.order_ref])
            assert report.terms is not None
            terms = attrs.evolve(report.terms, time_in_force="GTC", limit_price=Decimal("99"))
            desk.broker.say(attrs.evolve(report, terms=terms))
            desk.broker.say(attrs.evolve(report, terms=terms))
            assert ticket.known.differences == (
                "time in force is GTC where DAY was asked for",
                "limit price is 99 where 100 was asked for",
            )
            assert desk.count("echo_differences") == 1

    run(scenario())


def test_terms_that_neither_were_nor_were_asked_for_disprove_no_change(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            report = heard(desk)
            desk.broker.answers_modifies = False
            await desk.orders.modify("one", quantity=150)
            await desk.settle()
            desk.broker.say(BrokerNotice("fake", 201, "no", report.identity))
            desk.broker.say(terms_of(report, quantity=Decimal(120)))
            assert ticket.known.differences == ("quantity is 120 where 100 was asked for",)
            assert desk.orders._live("one").quantity == 150

    run(scenario())


def test_an_echo_brings_about_no_refused_change_but_the_one_that_it_shows(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            report = heard(desk)
            desk.broker.answers_modifies = False
            change = await desk.orders.modify("one", limit_price="98")
            await desk.settle()
            desk.broker.say(BrokerNotice("fake", 201, "no", report.identity))
            desk.broker.say(terms_of(report, limit_price=Decimal(97)))
            assert change.state is C.REFUSED
            assert ticket.order.limit_price == 100
            assert ticket.known.differences == ("limit price is 97 where 100 was asked for",)

    run(scenario())


def test_a_difference_is_said_while_a_cancel_waits_for_its_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            desk.broker.answers_cancels = False
            cancel = await desk.orders.cancel("one")
            await desk.settle()
            assert cancel.state is C.SENT
            desk.broker.say(terms_of(heard(desk), limit_price=Decimal(97)))
            assert ticket.known.differences == ("limit price is 97 where 100 was asked for",)
            assert cancel.state is C.SENT

    run(scenario())
