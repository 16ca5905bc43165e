"""What an UNKNOWN order keeps from being sent: it counts in full, as if it were at work."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from desk_floor import Stage, buy, floor, placed, run, sell

from alluse_core.errors import OrderDenied
from alluse_core.model import Order, OrderState
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
