"""What protects a position: its quantity at the broker, or an alert that it is not there."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest
from alluse_gateway.faults import Rejection
from alluse_gateway.order_book import Booked
from alluse_sim.cuts import ends_of, tap
from museum_stage import CLIENT, Stage, play, until

from alluse_core import Order, OrderGroup, Side

Cut = Callable[[Stage, Any], Awaitable[None]]
ALERTS = {"plugins": ["alluse-ibkr", "alluse-cache", "alluse-risk", "alluse-alerts"]}


def bracket(stage: Stage) -> OrderGroup:
    price = Decimal(stage.world.prices[stage.aapl]) / 100
    entry = Order.limit(stage.aapl, Side.BUY, 10, price + Decimal("0.02"), key="bracket/entry")
    return OrderGroup.bracket(entry, take_profit=price + 5, stop=price - 5)


def at_the_broker(stage: Stage) -> tuple[Decimal, Decimal]:
    """Return (shares held, shares that a working stop would sell), by the ledger."""
    held, stops = Decimal(0), Decimal(0)
    for booked in stage.world.desks.orders.book:
        if booked.alive and booked.echo.order_type == "STP":
            stops += booked.echo.quantity
    for fill in stage.ledger.of("fill"):
        held += Decimal(str(fill["quantity"])) * (1 if fill["side"] == "BUY" else -1)
    return held, stops


def stop_of(stage: Stage) -> Booked:
    (stop,) = [each for each in stage.world.desks.orders.book if each.echo.order_type == "STP"]
    return stop


def alerted(runtime: Any) -> bool:
    return any(alert.rule == "unprotected_position" for alert in runtime.alerts.active())


async def _child_cancelled_by_hand(stage: Stage, runtime: Any) -> None:
    await runtime.orders.submit(bracket(stage))
    await until(lambda: len(stage.ledger.of("placed")) == 3, lambda: "no bracket")
    await until(lambda: bool(stage.ledger.of("fill")), lambda: "no entry")
    stop = next(e for e in stage.ledger.of("place") if e["order_type"] == "STP")
    stage.control.cancel_order(CLIENT, stop["order_id"])


async def _child_cancelled_by_the_agent(stage: Stage, runtime: Any) -> None:
    group = await runtime.orders.submit(bracket(stage))
    await until(lambda: bool(stage.ledger.of("fill")), lambda: "no entry")
    stop = next(each for each in group.tickets if each.order.stop_price is not None)
    await runtime.orders.cancel(stop.key)


@pytest.mark.parametrize("library", ["ib_insync", "ib_async"])
@pytest.mark.parametrize("cut", [_child_cancelled_by_hand, _child_cancelled_by_the_agent])
def test_a_position_that_lost_its_stop_is_an_alert_until_it_is_closed(
    library: str, cut: Cut
) -> None:
    async def story(stage: Stage) -> None:
        async with stage.process(alluse=ALERTS) as runtime:
            await cut(stage, runtime)
            await until(lambda: alerted(runtime), lambda: "nobody was told")
            assert at_the_broker(stage) == (10, 0)
            assert dict(runtime.orders.unprotected()) == {stage.aapl: 10}
            await runtime.orders.flatten()
            await until(lambda: not alerted(runtime), lambda: "the alert stays")
            assert at_the_broker(stage)[0] == 0

    play(story, library)


@pytest.mark.parametrize("library", ["ib_insync", "ib_async"])
def test_a_stop_that_is_refused_after_its_entry_filled_is_an_alert_with_the_amount(
    library: str,
) -> None:
    """The broker took the stop, held it for its entry, and answers 201 when it should work."""

    async def story(stage: Stage) -> None:
        refused = Rejection(1, 201, "Order rejected - reason:the stop price is not allowed")

        def doom(entry: Mapping[str, Any]) -> None:
            if entry["event"] == "fill":
                stop_of(stage).doomed = refused

        stage.ledger.listen(doom)
        async with stage.process(alluse=ALERTS) as runtime:
            stage.control.partial_fills(1, "0.4")
            await runtime.orders.submit(bracket(stage))
            await until(lambda: alerted(runtime), lambda: "nobody was told")
            held, stops = at_the_broker(stage)
            assert (held > 0, stops) == (True, 0)
            (told,) = [a for a in runtime.alerts.active() if a.rule == "unprotected_position"]
            assert told.value == runtime.orders.unprotected()[stage.aapl] == held
            assert runtime.orders.get("bracket/entry/stop").state.value == "REJECTED"
            (refusal,) = stage.ledger.of("reject")
            assert (refusal["perm_id"], refusal["code"]) == (stop_of(stage).perm_id, 201)
            first = stage.ledger.of("fill")[0]
            assert first["seq"] < refusal["seq"], "it was refused before there was a position"

    play(story, library)


def test_a_bracket_that_fills_in_parts_is_covered_and_no_alert() -> None:
    async def story(stage: Stage) -> None:
        stage.control.partial_fills(1, "0.4")
        async with stage.process(alluse=ALERTS) as runtime:
            await runtime.orders.submit(bracket(stage))
            await until(lambda: bool(stage.ledger.of("fill")), lambda: "no entry")
            for _ in range(20):
                await asyncio.sleep(0.5)
                held, stops = at_the_broker(stage)
                assert stops >= held
                assert not alerted(runtime)
            assert runtime.orders.unprotected() == {}

    play(story, "ib_insync")


@functools.cache
def frames_end() -> tuple[int, ...]:
    """Where each of a bracket's frames ends, in the bytes that it sends."""
    found: list[int] = []

    async def story(stage: Stage) -> None:
        async with stage.process(alluse=ALERTS) as runtime:
            said = tap(stage.network.connections[0][0])
            await runtime.orders.submit(bracket(stage))
            await until(lambda: len(stage.ledger.of("placed")) == 3, lambda: "no bracket")
            found.extend(ends_of(b"".join(said))[:3])

    play(story, "ib_insync")
    return tuple(found)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("whole", range(4))
def test_a_bracket_cut_anywhere_is_covered_or_told(whole: int, inside: bool) -> None:
    """After so many whole frames; every byte of a frame is the same: plugins/sim, test_cuts.py."""
    starts = (0, *frames_end())
    after = starts[whole] + 40 * inside

    async def story(stage: Stage) -> None:
        async with stage.process(alluse=ALERTS) as runtime:
            # The order connection is the first that a process makes.
            flow = stage.network.connections[0][0].flow
            flow.cut_after = flow.carried + after
            await runtime.orders.submit(bracket(stage))
            await asyncio.sleep(2)
            await stage.restored(runtime)
            await asyncio.sleep(10)
            assert len(stage.ledger.of("placed")) == whole
            held, stops = at_the_broker(stage)
            assert stops >= held or alerted(runtime)
            if stops >= held:
                assert not alerted(runtime)

    play(story, "ib_insync")


def test_an_unknown_order_is_an_alert() -> None:
    async def story(stage: Stage) -> None:
        async with stage.process(alluse=ALERTS) as runtime:
            stage.control.half_open(CLIENT)
            price = Decimal(50)
            order = Order.limit(stage.aapl, Side.BUY, 1, price, key="lost")
            await runtime.orders.submit(order)
            await asyncio.sleep(0.2)
            stage.world.let_go()
            await until(
                lambda: any(each.rule == "unknown_order" for each in runtime.alerts.active()),
                lambda: "nobody was told of an UNKNOWN order",
            )

    play(story, "ib_insync")
