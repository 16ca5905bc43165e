"""The standard tests of a broker: orders and what is told of them."""

from __future__ import annotations

from decimal import Decimal

import attrs

from alluse_core.model import (
    BrokerStatus,
    Commission,
    OrderReport,
    Side,
)
from alluse_core.testing.conformance_broker.base import (
    BrokerSuite,
    Desk,
    filled_quantity,
    references,
    whole_price,
)


class OrderTests(BrokerSuite):
    """Placing, changing and cancelling."""

    def test_a_resting_order_is_reported_under_its_reference(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_resting(desk)
            report = desk.reports(message.order_ref)[-1]
            assert report.broker == desk.broker.name
            assert not desk.fills(message.order_ref)

        self.scenario(body)

    def test_a_marketable_order_fills_and_each_execution_has_its_own_id(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_marketable(desk)
            fills = desk.fills(message.order_ref)
            assert all(fill.execution_id and fill.price > 0 for fill in fills)
            assert len({fill.execution_id for fill in fills}) == len(fills)
            assert {fill.side for fill in fills} == {Side.BUY}
            assert all(fill.instrument is self.instrument for fill in fills)
            await self.until(
                lambda: BrokerStatus.FILLED in desk.statuses(message.order_ref),
                "a filled order is reported as filled",
            )

        self.scenario(body)

    def test_a_commission_names_an_execution_that_happened(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_marketable(desk)
            ids = {fill.execution_id for fill in desk.fills(message.order_ref)}
            await self.until(
                lambda: any(
                    isinstance(item, Commission) and item.execution_id in ids
                    for item in desk.evidence
                ),
                "a fill's commission arrives",
            )

        self.scenario(body)

    def test_filled_quantities_never_shrink_in_the_evidence(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_marketable(desk)
            filled = [r.filled for r in desk.reports(message.order_ref) if r.filled is not None]
            assert filled == sorted(filled), "evidence of one order arrives in order"

        self.scenario(body)

    def test_a_canceled_order_is_reported_as_canceled(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_resting(desk)
            desk.broker.cancel(self.identity(desk, message))
            await self.until(
                lambda: BrokerStatus.CANCELED in desk.statuses(message.order_ref),
                "a cancel is confirmed by evidence",
            )
            rows = (await self.finish(desk.broker.open_orders())).rows
            assert message.order_ref not in references(rows)

        self.scenario(body)

    def test_a_modified_order_shows_its_new_price(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_resting(desk)
            assert message.order.limit_price is not None
            price = message.order.limit_price - 1
            changed = attrs.evolve(message, order=attrs.evolve(message.order, limit_price=price))
            desk.broker.modify(changed, self.identity(desk, message))
            shown: list[Decimal | None] = []
            for _ in range(50):
                snapshot = await self.finish(desk.broker.open_orders())
                shown = [
                    row.terms.limit_price
                    for row in snapshot.rows
                    if row.identity.order_ref == message.order_ref and row.terms is not None
                ]
                if shown == [price]:
                    return
                await self.pass_time()
            raise AssertionError(f"open orders show {shown}, not [{price}]")

        self.scenario(body)

    def test_an_order_keeps_the_identity_that_the_broker_gave_it(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_resting(desk)
            desk.broker.cancel(self.identity(desk, message))
            await self.until(
                lambda: BrokerStatus.CANCELED in desk.statuses(message.order_ref),
                "the cancel is confirmed",
            )
            perm_ids = {r.identity.perm_id for r in desk.reports(message.order_ref)} - {0}
            assert len(perm_ids) <= 1, "one order has one permanent id"
            numbers = {r.identity.order_id for r in desk.reports(message.order_ref)} - {0}
            assert numbers <= {message.order_id}

        self.scenario(body)

    def test_an_order_id_that_was_used_lies_below_the_floor(self) -> None:
        async def body(desk: Desk) -> None:
            if not desk.broker.capabilities.numeric_order_ids:
                raise self.cannot("the broker has no numeric order ids")
            message = await self.place_resting(desk)
            assert desk.broker.order_id_floor > message.order_id, "a used id is below the floor"

        self.scenario(body)

    def test_a_cancel_right_behind_its_place_ends_the_order(self) -> None:
        async def body(desk: Desk) -> None:
            quote = await self.quote(desk)
            message = self.message(desk, Side.BUY, whole_price(quote.bid * 0.9), "brief")
            desk.broker.place([message])
            desk.broker.cancel(self.identity(desk, message))
            await self.until(
                lambda: BrokerStatus.CANCELED in desk.statuses(message.order_ref),
                "a cancel does not overtake its place",
            )
            rows = (await self.finish(desk.broker.open_orders())).rows
            assert message.order_ref not in references(rows)

        self.scenario(body)

    def test_a_cancel_of_a_filled_order_changes_nothing(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_marketable(desk)
            await self.until(
                lambda: BrokerStatus.FILLED in desk.statuses(message.order_ref), "it is filled"
            )
            desk.broker.cancel(self.identity(desk, message))
            for _ in range(20):
                await self.pass_time()
            assert BrokerStatus.CANCELED not in desk.statuses(message.order_ref)
            assert filled_quantity(desk.fills(message.order_ref)) == self.quantity

        self.scenario(body)

    def test_orders_of_one_intent_are_all_reported_in_their_order(self) -> None:
        async def body(desk: Desk) -> None:
            quote = await self.quote(desk)
            price = whole_price(quote.bid * 0.9)
            both = [self.message(desk, Side.BUY, price - n, f"pair-{n}") for n in range(2)]
            desk.broker.place(both)
            await self.until(
                lambda: all(BrokerStatus.WORKING in desk.statuses(m.order_ref) for m in both),
                "both orders of one intent work",
            )
            wanted = [message.order_ref for message in both]
            seen = [
                item.identity.order_ref
                for item in desk.evidence
                if isinstance(item, OrderReport) and item.identity.order_ref in wanted
            ]
            assert list(dict.fromkeys(seen)) == wanted

        self.scenario(body)

    def test_the_brokers_terms_carry_what_a_preset_could_change(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_resting(desk)
            rows = (await self.finish(desk.broker.open_orders())).rows
            (row,) = [r for r in rows if r.identity.order_ref == message.order_ref]
            order, terms = message.order, row.terms
            assert terms is not None
            assert terms.account == order.account
            assert terms.time_in_force == order.time_in_force.value
            assert terms.outside_rth == order.outside_rth

        self.scenario(body)
