"""The standard tests of a broker: up, down, and asked without a link."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from decimal import Decimal
from typing import Any

from alluse_core.errors import (
    BrokerUnavailable,
    NotSent,
)
from alluse_core.model import (
    Evidence,
    LinkReport,
    LinkState,
    OrderIdentity,
    Side,
)
from alluse_core.testing.conformance import run
from alluse_core.testing.conformance_broker.base import (
    BrokerSuite,
    Desk,
    link_of,
)


class LinkTests(BrokerSuite):
    """The link, the accounts, and what holds without them."""

    def test_connecting_makes_the_link_and_the_accounts_known(self) -> None:
        async def whole() -> None:
            evidence: list[Evidence] = []
            async with self.open_broker(evidence.append) as broker:
                assert not broker.accounts, "accounts are empty before connect"
                assert link_of(broker) is not LinkState.UP, "the link is not up before connect"
                await self.finish(broker.connect())
                assert link_of(broker) is LinkState.UP
                assert broker.accounts
                if broker.capabilities.numeric_order_ids:
                    assert broker.order_id_floor > 0
                await self.finish(broker.close())
                assert link_of(broker) is LinkState.DOWN, "the link is down after close"
            assert any(
                isinstance(item, LinkReport) and item.state is LinkState.UP for item in evidence
            ), "the link's changes are evidence"

        run(whole())

    def test_closing_twice_is_harmless(self) -> None:
        async def body(desk: Desk) -> None:
            await self.finish(desk.broker.close())
            await self.finish(desk.broker.close())

        self.scenario(body)

    def test_every_account_is_judged_paper_or_live_or_unknown(self) -> None:
        async def body(desk: Desk) -> None:
            for account in desk.broker.accounts:
                assert desk.broker.account_mode(account).value in ("paper", "live", "unknown")

        self.scenario(body)

    def test_a_probe_returns_the_seconds_of_a_round_trip(self) -> None:
        async def body(desk: Desk) -> None:
            seconds = await self.finish(desk.broker.probe())
            assert 0.0 <= seconds < 60.0

        self.scenario(body)

    def test_a_query_without_a_link_raises_and_is_never_empty(self) -> None:
        async def body(desk: Desk) -> None:
            broker = desk.broker
            await self.finish(broker.close())
            queries: Sequence[Callable[[], Coroutine[Any, Any, Any]]] = (
                broker.open_orders,
                broker.completed_orders,
                broker.executions,
                broker.positions,
                broker.account_values,
                broker.probe,
                lambda: broker.snapshots([self.instrument]),
            )
            for query in queries:
                await self.raises(query(), BrokerUnavailable)

        self.scenario(body)

    def test_an_order_without_a_link_is_provably_not_sent(self) -> None:
        async def body(desk: Desk) -> None:
            message = self.message(desk, Side.BUY, Decimal(1), "late")
            await self.finish(desk.broker.close())
            sends: Sequence[Callable[[], None]] = (
                lambda: desk.broker.place([message]),
                lambda: desk.broker.cancel(OrderIdentity(order_ref="ref-late")),
                lambda: desk.broker.modify(message, OrderIdentity(order_ref="ref-late")),
            )
            for send in sends:
                try:
                    send()
                except NotSent:
                    continue
                raise AssertionError("a message without a link raises NotSent")

        self.scenario(body)
