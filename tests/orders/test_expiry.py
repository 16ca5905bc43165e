"""An order that no list shows any more has expired where its own terms say so."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from desk_floor import AAPL, buy, floor, hours_pass, placed, run

from alluse_core.model import InstrumentDefinition, OrderState, TimeInForce
from alluse_core.testing import VirtualClock

S = OrderState


@pytest.mark.parametrize(
    ("terms", "after_close", "ends_as"),
    [
        ({}, True, S.EXPIRED),
        ({}, False, S.UNKNOWN),
        ({"outside_rth": True}, True, S.UNKNOWN),
        ({"time_in_force": TimeInForce.GTC}, True, S.UNKNOWN),
        ({"time_in_force": TimeInForce.GTD, "days": 0.1}, False, S.EXPIRED),
        ({"time_in_force": TimeInForce.GTD, "days": 9}, True, S.UNKNOWN),
        ({"time_in_force": TimeInForce.GTD, "days": 5 / 24}, False, S.UNKNOWN),
    ],
)
def test_an_order_that_vanished_has_expired_where_its_terms_say_so(
    tmp_path: Path, terms: dict[str, Any], after_close: bool, ends_as: OrderState
) -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        more = dict(terms)
        if "days" in more:
            more["good_till"] = clock.now() + timedelta(days=more.pop("days"))
        close = clock.now() + timedelta(hours=6)
        hours = InstrumentDefinition(AAPL, "1", liquid_hours=((clock.now(), close),))
        async with floor(tmp_path, clock=clock, definition=hours) as desk:
            ticket = await placed(desk, buy("one", **more))
            hours_pass(desk, hours=7 if after_close else 5)
            desk.broker.orders.clear()
            found = await desk.orders.reconcile("fake")
            assert ticket.state is ends_as
            assert (found.expired, found.unknown) == (
                (("one",), ()) if ends_as is S.EXPIRED else ((), ("one",))
            )

    run(scenario())


def test_a_close_at_which_it_was_accepted_ends_no_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        hours = InstrumentDefinition(
            AAPL, "1", liquid_hours=((clock.now() - timedelta(hours=1), clock.now()),)
        )
        async with floor(tmp_path, clock=clock, definition=hours) as desk:
            ticket = await placed(desk)
            desk.broker.orders.clear()
            hours_pass(desk, hours=7)
            await desk.orders.reconcile("fake")
            assert ticket.state is S.UNKNOWN

    run(scenario())


def test_without_known_hours_nothing_expires(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            desk.broker.orders.clear()
            hours_pass(desk, hours=30)
            await desk.orders.reconcile("fake")
            assert ticket.state is S.UNKNOWN

    run(scenario())
