"""What an UNKNOWN order counts for: all that it may do, as if it were at work."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from desk_floor import Stage, buy, floor, placed, run, sell

from alluse_core.errors import OrderDenied
from alluse_core.model import Order, OrderGroup, OrderState
from alluse_core.ports import ALLOW, Decision, OrderView


def test_it_counts_in_full_for_whatever_is_sent_beside_it(tmp_path: Path) -> None:
    seen: list[tuple[OrderState, Decimal]] = []

    def look(order: Order, view: OrderView) -> Decision:
        seen.extend((each.state, each.remaining) for each in view.working(order.instrument))
        return ALLOW

    async def scenario() -> None:
        async with floor(tmp_path, stages=(Stage(look),)) as desk:
            desk.broker.mode = "fill"
            await placed(desk, buy("held"))
            desk.broker.mode = "lose"
            await placed(desk, sell("exit", 60))
            await desk.settle(12)
            # It may have closed 60 of the 100 already.
            with pytest.raises(OrderDenied, match="reduce-only"):
                await desk.orders.submit(sell("too much", 41, reduce_only=True))
            desk.broker.mode = "accept"
            await placed(desk, sell("what is left", 40, reduce_only=True))
            seen.clear()
            await desk.orders.submit(buy("more", 1))
            assert seen == [(OrderState.UNKNOWN, 60), (OrderState.ACCEPTED, 40)]

    run(scenario())


def test_exits_of_an_entry_that_a_person_settled_stay_as_large_as_it_may_have_opened(
    tmp_path: Path,
) -> None:
    """Nobody told what it filled: an exit that is made smaller could leave a position bare."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            group = OrderGroup.bracket(buy("entry"), take_profit="110", stop="90")
            ticket = await desk.orders.submit(group)
            await desk.settle(1)
            entry, *exits = ticket.tickets
            del desk.broker.orders[entry.order_ref]
            await desk.orders.reconcile("fake")
            assert entry.state is OrderState.UNKNOWN
            await desk.orders.resolve("entry", OrderState.CANCELED, by="Ada")
            await desk.settle(30)
            assert [each.order.quantity for each in exits] == [100, 100]
            assert {each.state for each in exits} == {OrderState.ACCEPTED}
            assert not [kind for kind, _ in desk.broker.sent if kind != "place"]

    run(scenario())
