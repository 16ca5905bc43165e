"""The broker's limit holds over a restart, and what waited when the link dropped is unsent."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from pathlib import Path

import pytest
from alluse_ibkr.client_ids import ClientIdLocks
from ibkr_lab import AAPL, LIBRARIES, Lab, connected, gateway, until

from alluse_core.clock import SystemClock
from alluse_core.errors import NotSent
from alluse_core.model import LinkState, Order, Side
from alluse_core.orders.pacing import SlidingWindowPacer
from alluse_core.ports import OrderMessage, Priority

both = pytest.mark.parametrize("library", LIBRARIES)


def message(number: int, account: str) -> OrderMessage:
    order = Order.limit(AAPL, Side.BUY, 1, 50, key=f"k{number}", account=account, broker="main")
    return OrderMessage(order, f"au-{number}", number)


def test_a_stamp_is_waited_out_and_an_old_one_is_not(tmp_path: Path) -> None:
    locks = ClientIdLocks(tmp_path, "localhost", 4002)
    assert locks.rest(1000.0) == 0.0
    locks.take(17)
    assert locks.rest(1000.0) == 0.0
    locks.stamp(17, 1000.0)
    locks.stamp(17, 1000.1)
    locks.close()
    after = ClientIdLocks(tmp_path, "localhost", 4002)
    assert after.rest(1000.1) == pytest.approx(1.15)
    assert after.rest(1000.1) - 1.0 > 0.1, "a message up to the next stamp may be newer than it"
    assert after.rest(1002.0) == 0.0
    assert after.rest(900.0) == 0.0, "a clock that was set back is not waited for"
    assert ClientIdLocks(tmp_path, "localhost", 7497).rest(1000.1) == 0.0


@both
def test_over_an_immediate_restart_no_sliding_second_holds_more_than_the_limit(
    library: str, tmp_path: Path
) -> None:
    async def run(port: int, count: int) -> None:
        pacer = SlidingWindowPacer(SystemClock(), 50)
        lab = Lab(port=port, library=library, pacer=pacer, client_id_dir=str(tmp_path))
        async with connected(lab) as broker:
            first = broker.order_id_floor
            for number in range(first, first + count):
                await pacer.turn(Priority.ORDER)
                broker.place([message(number, broker.accounts[0])])
            await broker.probe()

    async def story() -> None:
        async with gateway() as gate:
            await run(gate.port, 40)
            await run(gate.port, 12)
            times = sorted(entry["at"] for entry in gate.ledger.of("place"))
            assert len(times) == 52
            most = max(n + 1 - bisect_left(times, at - 1.0) for n, at in enumerate(times))
            assert most <= 50
            gap = times[40] - times[39]
            assert gap > 1.0
            assert gate.ledger.of("rate") == []

    asyncio.run(asyncio.wait_for(story(), 20))


@both
def test_orders_that_wait_for_their_turn_when_the_link_drops_are_each_reported_unsent(
    library: str,
) -> None:
    """The library's queue is gone with the socket; ours hands each order back."""

    async def story() -> None:
        async with gateway() as gate:
            pacer = SlidingWindowPacer(SystemClock(), 50)
            lab = Lab(port=gate.port, library=library, pacer=pacer)
            async with connected(lab) as broker:
                first = broker.order_id_floor
                unsent: list[OrderMessage] = []

                async def send(each: OrderMessage) -> None:
                    await pacer.turn(Priority.ORDER)
                    try:
                        broker.place([each])
                    except NotSent:
                        unsent.append(each)

                account = broker.accounts[0]
                waiting = [message(number, account) for number in range(first, first + 60)]
                sending = [asyncio.ensure_future(send(each)) for each in waiting]
                await until(lambda: gate.ledger.of("place"), "the first order")
                await gate.control.pause_listening()
                broker._orders.session.drop("by the test")
                pacer.limit(0)
                await asyncio.gather(*sending)
                await gate.control.resume_listening()
                await until(lambda: broker.link is LinkState.UP, "the reconnection")
                held = {row.identity.order_ref for row in (await broker.open_orders()).rows}
                assert unsent
                # What was written and lost on the way is not known to be unsent.
                assert held.isdisjoint(each.order_ref for each in unsent)
                for each in unsent:
                    broker.place([each])
                rows = (await broker.open_orders()).rows
                names = [row.identity.order_ref for row in rows]
                assert len(names) == len(set(names))
                assert {each.order_ref for each in unsent} <= set(names)

    asyncio.run(asyncio.wait_for(story(), 20))
