"""The standard tests of a broker: what a venue does of its own."""

from __future__ import annotations

from decimal import Decimal

import attrs

from alluse_core.model import BrokerNotice, BrokerStatus, Evidence, Quote, Side
from alluse_core.ports import OrderMessage
from alluse_core.testing.conformance import run
from alluse_core.testing.conformance_broker.base import (
    BrokerSuite,
    Desk,
    filled_quantity,
    whole_price,
)

_ENDED = {BrokerStatus.CANCELED, BrokerStatus.REJECTED, BrokerStatus.FILLED}


class VenueTests(BrokerSuite):
    """Pauses, parts, late and repeated news, changes that do not take, orders of others."""

    def test_a_symbol_that_does_not_tick_for_long_is_not_stale(self) -> None:
        async def body(desk: Desk) -> None:
            if not desk.broker.capabilities.streams:
                raise self.cannot("the broker has no streams")
            got: list[Quote] = []
            subscription = desk.broker.subscribe(self.instrument, got.append)
            await self.until(lambda: got, "a subscription yields a quote")
            await self.pause_market(desk)
            await self.pass_time()
            for _ in range(3):
                told, alive = len(got), subscription.alive_at
                await self.until(
                    lambda before=alive: subscription.alive_at > before,  # type: ignore[misc]
                    "the stream of a quiet symbol is confirmed to be alive",
                )
                assert len(got) == told, "no quote is invented while nobody quotes"
            subscription.close()

        self.scenario(body)

    def test_an_order_that_fills_in_parts_tells_each_part_once(self) -> None:
        async def body(desk: Desk) -> None:
            quote = await self.quote(desk)
            await self.part_next_fill(desk)
            message = self.message(desk, Side.BUY, whole_price(quote.ask * 1.05), "parts")
            desk.broker.place([message])
            reference = message.order_ref
            await self.until(lambda: desk.fills(reference), "the first part fills")
            first = filled_quantity(desk.fills(reference))
            assert 0 < first < self.quantity, "the first part is less than the whole"
            assert BrokerStatus.FILLED not in desk.statuses(reference)
            await self.show_the_rest(desk)
            await self.until(
                lambda: filled_quantity(desk.fills(reference)) == self.quantity, "the rest fills"
            )
            ids = [fill.execution_id for fill in desk.fills(reference)]
            assert len(set(ids)) == len(ids) >= 2, "each part has an execution of its own"
            await self.until(
                lambda: BrokerStatus.FILLED in desk.statuses(reference), "the order is filled"
            )

        self.scenario(body)

    def test_a_fill_after_a_cancel_is_told_all_the_same(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_resting(desk, "late")
            desk.broker.cancel(self.identity(desk, message))
            await self.until(
                lambda: BrokerStatus.CANCELED in desk.statuses(message.order_ref),
                "the cancel is confirmed",
            )
            await self.fill_after_cancel(desk, message)
            await self.until(
                lambda: filled_quantity(desk.fills(message.order_ref)) == self.quantity,
                "a fill that comes after the cancel is evidence",
            )

        self.scenario(body)

    def test_news_that_comes_twice_names_the_same_executions(self) -> None:
        async def body(desk: Desk) -> None:
            await self.repeat_callbacks(desk)
            message = await self.place_marketable_twice_told(desk)
            fills = desk.fills(message.order_ref)
            once = {fill.execution_id: fill.quantity for fill in fills}
            assert len(fills) > len(once), "the venue did say it twice"
            assert sum(once.values(), Decimal(0)) == self.quantity
            assert len({(fill.execution_id, fill.price, fill.time) for fill in fills}) == len(once)
            rows = (await self.finish(desk.broker.executions())).rows
            asked = [row for row in rows if row.identity.order_ref == message.order_ref]
            assert {row.execution_id for row in asked} == set(once)

        self.scenario(body)

    def test_a_modify_that_did_not_take_shows_in_the_brokers_own_terms(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_resting(desk, "echo")
            price = message.order.limit_price
            assert price is not None
            await self.ignore_next_modify(desk)
            order = attrs.evolve(message.order, limit_price=price - 1)
            desk.broker.modify(attrs.evolve(message, order=order), self.identity(desk, message))
            for _ in range(10):
                await self.pass_time()
            rows = (await self.finish(desk.broker.open_orders())).rows
            mine = [row for row in rows if row.identity.order_ref == message.order_ref]
            assert [row.terms and row.terms.limit_price for row in mine] == [price]

        self.scenario(body)

    def test_a_rejected_order_ends_with_the_brokers_reason(self) -> None:
        async def body(desk: Desk) -> None:
            quote = await self.quote(desk)
            await self.reject_next(desk)
            message = self.message(desk, Side.BUY, whole_price(quote.bid * 0.9), "refused")
            desk.broker.place([message])

            def refused() -> bool:
                return BrokerStatus.REJECTED in desk.statuses(message.order_ref) or any(
                    isinstance(item, BrokerNotice)
                    and item.identity is not None
                    and message.order_id == item.identity.order_id
                    for item in desk.evidence
                )

            await self.until(refused, "a reject is told")
            reasons = [
                item.reason
                for item in desk.reports(message.order_ref)
                if item.status is BrokerStatus.REJECTED
            ] + [item.text for item in desk.evidence if isinstance(item, BrokerNotice)]
            assert any(reasons), "a reject has the broker's reason"
            assert not desk.fills(message.order_ref)
            rows = (await self.finish(desk.broker.open_orders())).rows
            assert message.order_ref not in {row.identity.order_ref for row in rows}

        self.scenario(body)

    def test_an_order_placed_by_hand_is_among_the_open_ones_and_not_ours(self) -> None:
        async def body(desk: Desk) -> None:
            message = await self.place_resting(desk, "ours")
            await self.place_by_hand(desk)
            for _ in range(50):
                rows = (await self.finish(desk.broker.open_orders())).rows
                others = [row for row in rows if row.identity.order_ref != message.order_ref]
                if others:
                    break
                await self.pass_time()
            (other,) = others
            assert not other.identity.order_ref
            assert other.identity.perm_id
            assert other.status not in _ENDED

        self.scenario(body)

    def test_each_of_two_accounts_holds_what_was_bought_for_it(self) -> None:
        async def whole() -> None:
            evidence: list[Evidence] = []
            async with self.open_with_two_accounts(evidence.append) as broker:
                await self.finish(broker.connect())
                try:
                    desk = Desk(broker, evidence, max(1, broker.order_id_floor))
                    await self.bought_for_the_second(desk)
                finally:
                    await self.finish(broker.close())

        run(whole())

    async def bought_for_the_second(self, desk: Desk) -> None:
        """Buy for the second account; the fill, the position and the values name it alone."""
        first, second = desk.broker.accounts
        quote = await self.quote(desk)
        message = self.message(desk, Side.BUY, whole_price(quote.ask * 1.05), "second")
        message = attrs.evolve(message, order=attrs.evolve(message.order, account=second))
        desk.broker.place([message])
        await self.until(
            lambda: filled_quantity(desk.fills(message.order_ref)) == self.quantity, "it fills"
        )
        assert {fill.account for fill in desk.fills(message.order_ref)} == {second}
        held: dict[str, Decimal] = {}
        for _ in range(100):
            rows = (await self.finish(desk.broker.positions())).rows
            held = {r.account: r.quantity for r in rows if r.instrument is self.instrument}
            if held:
                break
            await self.pass_time()
        assert held == {second: self.quantity}
        values = (await self.finish(desk.broker.account_values())).rows
        assert {row.account for row in values} == {first, second}

    async def place_marketable_twice_told(self, desk: Desk) -> OrderMessage:
        """Place a marketable order and wait until its fills have come again."""
        quote = await self.quote(desk)
        message = self.message(desk, Side.BUY, whole_price(quote.ask * 1.05), "twice")
        desk.broker.place([message])

        def told_twice() -> bool:
            fills = desk.fills(message.order_ref)
            ids = {fill.execution_id: fill.quantity for fill in fills}
            return sum(ids.values(), Decimal(0)) == self.quantity and len(fills) >= 2 * len(ids)

        await self.until(told_twice, "every execution is told twice")
        return message
