"""An order that is larger at the broker than the runtime was told: its rest is at work."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from desk_floor import AAPL, Floor, buy, deaf, floor, run

from alluse_core.errors import KeyConflict
from alluse_core.model import BrokerStatus, Execution, OrderIdentity, OrderReport, OrderState, Side
from alluse_core.orders.states import CommandState, Event, event_of

S = OrderState
NOBODY = OrderIdentity("", 1, 0, 0)


def _report(status: BrokerStatus, filled: int | None, remaining: int | None) -> OrderReport:
    figures = [None if each is None else Decimal(each) for each in (filled, remaining)]
    return OrderReport("fake", NOBODY, status, filled=figures[0], remaining=figures[1])


@pytest.mark.parametrize(
    ("status", "filled", "remaining", "event"),
    [
        (BrokerStatus.WORKING, 100, 100, Event.PART_FILL),
        (BrokerStatus.WORKING, 100, 0, Event.FILL),
        (BrokerStatus.WORKING, 100, None, Event.FILL),
        (BrokerStatus.WORKING, 99, 1, Event.PART_FILL),
        (BrokerStatus.HELD, 100, 100, Event.PART_FILL),
        (BrokerStatus.CANCELED, 100, 100, Event.CANCEL),
        (BrokerStatus.CANCELED, 100, 0, Event.FILL),
        (BrokerStatus.CANCELED, 100, None, Event.FILL),
        (BrokerStatus.FILLED, 100, 100, Event.PART_FILL),
    ],
)
def test_a_remainder_that_is_told_outweighs_the_quantity_that_is_known(
    status: BrokerStatus, filled: int, remaining: int | None, event: Event
) -> None:
    assert event_of(_report(status, filled, remaining), Decimal(100)) is event


async def _enlarged_unheard(desk: Floor) -> Any:
    """Enlarge an order to 200 whose echo is lost, and fill 100 of it."""
    ticket = await desk.orders.submit(buy("one"))
    await desk.settle()
    with deaf(desk.broker):
        change = await desk.orders.modify("one", quantity=200)
        await desk.settle()
    with deaf(desk.broker, Execution):
        desk.broker.fill(ticket.order_ref, Decimal(100))
    return ticket, change


def test_an_order_is_not_filled_while_an_unanswered_change_may_have_enlarged_it(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket, change = await _enlarged_unheard(desk)
            assert ticket.state is S.PARTIALLY_FILLED
            assert desk.orders._live("one").exposed == 100
            desk.broker.report(desk.broker.orders[ticket.order_ref])
            await desk.orders.reconcile("fake")
            assert ticket.state is S.PARTIALLY_FILLED
            assert change.state is CommandState.CONFIRMED
            assert (ticket.order.quantity, desk.orders._live("one").exposed) == (200, 100)
            await desk.orders.cancel("one")
            await desk.settle()
            assert ticket.state is S.CANCELED

    run(scenario())


def test_an_order_whose_enlargement_did_not_take_is_filled_once_it_is_not_open_any_more(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            desk.broker.answers_modifies = False
            await desk.orders.modify("one", quantity=200)
            await desk.settle()
            with deaf(desk.broker, Execution):
                desk.broker.fill(ticket.order_ref, Decimal(100))
            assert ticket.state is S.PARTIALLY_FILLED
            await desk.settle(60)
            assert ticket.state is S.FILLED
            assert not ticket.known.pending

    run(scenario())


def test_an_order_all_of_which_was_executed_is_filled_where_no_list_has_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            desk.broker.answers_modifies = False
            await desk.orders.modify("one", quantity=200)
            await desk.settle()
            with deaf(desk.broker, Execution):
                desk.broker.fill(ticket.order_ref, Decimal(100))
            del desk.broker.orders[ticket.order_ref]
            await desk.settle(60)
            assert ticket.state is S.FILLED

    run(scenario())


def test_what_a_person_adds_to_an_order_in_tws_counts(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            held = desk.broker.orders[ticket.order_ref]
            held.message = attrs.evolve(
                held.message, order=attrs.evolve(held.message.order, quantity=Decimal(500))
            )
            desk.broker.report(held)
            live = desk.orders._live("one")
            assert live.exposed == 500
            assert ticket.known.differences
            desk.broker.fill(ticket.order_ref, Decimal(100))
            assert (ticket.state, live.exposed) == (S.PARTIALLY_FILLED, 400)
            held.message = attrs.evolve(
                held.message, order=attrs.evolve(held.message.order, quantity=Decimal(100))
            )
            held.status = BrokerStatus.FILLED
            desk.broker.report(held)
            assert (ticket.state, live.exposed) == (S.FILLED, 0)

    run(scenario())


def test_a_status_that_tells_of_more_than_was_known_is_believed_and_asked_about(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            identity = desk.broker.orders[ticket.order_ref].identity
            asked = desk.broker.queries
            status = attrs.evolve(_report(BrokerStatus.WORKING, 50, 150), identity=identity)
            desk.broker.say(status)
            assert desk.orders._live("one").exposed == 200
            await desk.settle(1)
            assert desk.broker.queries > asked
            assert desk.orders._live("one").exposed == 100

    run(scenario())


def test_an_order_called_filled_that_the_broker_works_on_lives_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            desk.broker.fill(ticket.order_ref, Decimal(100))
            assert ticket.state is S.FILLED
            held = desk.broker.orders[ticket.order_ref]
            held.message = attrs.evolve(
                held.message, order=attrs.evolve(held.message.order, quantity=Decimal(300))
            )
            held.status = BrokerStatus.WORKING
            await desk.settle(1)
            await desk.orders.reconcile("fake")
            assert ticket.state is S.PARTIALLY_FILLED
            assert desk.orders._live("one").exposed == 200

    run(scenario())


def test_a_key_whose_order_the_journal_lost_is_not_sent_again(tmp_path: Path) -> None:
    """The order is adopted under a name of its own; the key's name at the broker gives it away."""

    async def scenario() -> None:
        for name in ("first", "another"):
            (tmp_path / name).mkdir()
        async with floor(tmp_path / "first") as desk:
            await desk.orders.submit(buy("lost"))
            await desk.settle()
        for _ in range(2):
            async with floor(tmp_path / "another", broker=desk.broker) as again:
                with pytest.raises(KeyConflict, match="orphan/"):
                    await again.orders.submit(buy("lost"))
                await again.orders.submit(buy(f"other-{len(desk.broker.sent)}"))
                await again.settle()
                for ticket in again.orders.all():
                    if ticket.key.startswith("orphan/") and not ticket.state.is_terminal:
                        await again.orders.cancel(ticket.key)
                await again.settle()
        placed = [messages for kind, messages in desk.broker.sent if kind == "place"]
        keys = [message.order.key for messages in placed for message in messages]  # type: ignore[attr-defined]
        assert keys.count("lost") == 1

    run(scenario())


def test_a_lost_key_is_known_when_its_order_has_left_memory_and_every_list(tmp_path: Path) -> None:
    async def scenario() -> None:
        for name in ("first", "another"):
            (tmp_path / name).mkdir()
        async with floor(tmp_path / "first") as desk:
            await desk.orders.submit(buy("lost"))
            await desk.settle()
        async with floor(tmp_path / "another", broker=desk.broker) as again:
            (orphan,) = again.orders.all()
            await again.orders.cancel(orphan.key)
            await again.settle()
            assert orphan.state is S.CANCELED
        desk.broker.orders.clear()
        async with floor(tmp_path / "another", broker=desk.broker) as third:
            assert third.orders.all() == []
            with pytest.raises(KeyConflict, match="orphan/"):
                await third.orders.submit(buy("lost"))
            await third.orders.submit(buy("another"))

    run(scenario())


def test_a_key_of_which_only_fills_are_known_is_not_sent_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            reference = desk.orders._desk.references.of("lost")
            identity = OrderIdentity(reference, 77, 5, 1)
            desk.broker.say(
                Execution(
                    "fake",
                    identity,
                    "x.01",
                    "DU1",
                    AAPL,
                    Side.BUY,
                    Decimal(5),
                    Decimal(9),
                    desk.clock.now(),
                )
            )
            with pytest.raises(KeyConflict, match=reference):
                await desk.orders.submit(buy("lost"))
            await desk.orders.submit(buy("another"))

    run(scenario())


@pytest.mark.parametrize(("remaining", "state"), [(None, S.PARTIALLY_FILLED), (0, S.FILLED)])
def test_a_status_without_a_remainder_leaves_open_what_an_unanswered_change_may_have_added(
    tmp_path: Path, remaining: int | None, state: OrderState
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            desk.broker.answers_modifies = False
            await desk.orders.modify("one", quantity=150)
            await desk.settle()
            identity = desk.broker.orders[ticket.order_ref].identity
            status = _report(BrokerStatus.WORKING, 100, remaining)
            desk.broker.say(attrs.evolve(status, identity=identity))
            assert ticket.state is state

    run(scenario())


def test_an_enlarged_order_that_is_cancelled_with_a_rest_is_cancelled_and_not_filled(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket, _ = await _enlarged_unheard(desk)
            identity = desk.broker.orders[ticket.order_ref].identity
            status = _report(BrokerStatus.CANCELED, 100, 100)
            desk.broker.say(attrs.evolve(status, identity=identity))
            assert (ticket.state, ticket.known.filled) == (S.CANCELED, 100)

    run(scenario())
