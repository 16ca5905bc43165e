"""The standard tests of a broker: what it answers when it is asked."""

from __future__ import annotations

from alluse_core.model import (
    Side,
)
from alluse_core.testing.conformance_broker.base import (
    BrokerSuite,
    Desk,
    references,
)


class EvidenceTests(BrokerSuite):
    """Open and completed orders, executions, positions, account values."""

    def test_open_orders_hold_a_resting_order_with_its_terms(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_resting(desk)
            snapshot = await self.finish(desk.broker.open_orders())
            assert snapshot.complete
            assert snapshot.as_of.tzinfo is not None
            row = next(r for r in snapshot.rows if r.identity.order_ref == message.order_ref)
            assert row.terms is not None
            assert row.terms.quantity == self.quantity
            assert row.terms.side is Side.BUY

        self.scenario(body)

    def test_executions_on_request_are_those_that_were_told(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_marketable(desk)
            snapshot = await self.finish(desk.broker.executions())
            assert snapshot.complete
            asked = {
                row.execution_id
                for row in snapshot.rows
                if row.identity.order_ref == message.order_ref
            }
            assert asked == {fill.execution_id for fill in desk.fills(message.order_ref)}

        self.scenario(body)

    def test_a_filled_order_is_among_the_completed_ones(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_marketable(desk)
            snapshot = await self.finish(desk.broker.completed_orders())
            assert snapshot.complete
            named = message.order_ref in references(snapshot.rows)
            perm_id = self.identity(desk, message).perm_id
            assert named or perm_id in {row.identity.perm_id for row in snapshot.rows}

        self.scenario(body)

    def test_a_fill_is_in_the_positions(self) -> None:
        async def body(desk: Desk) -> None:
            before = await self.held(desk)
            await self.place_marketable(desk)
            for _ in range(100):
                if await self.held(desk) - before == self.quantity:
                    return
                await self.pass_time()
            raise AssertionError("positions do not show the fill")

        self.scenario(body)

    def test_account_values_carry_the_brokers_names(self) -> None:
        async def body(desk: Desk) -> None:
            snapshot = await self.finish(desk.broker.account_values())
            assert snapshot.complete
            assert snapshot.rows
            assert all(row.name and row.account for row in snapshot.rows)

        self.scenario(body)
