"""The standard tests of a Broker, over both client libraries and the simulated gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ClassVar

import attrs
from alluse_gateway.requests import PlaceOrder
from facts_lab import say
from ibkr_lab import AAPL, Lab, frame, gateway, show

from alluse_core.ports import Broker, EvidenceSink, OrderMessage
from alluse_core.testing.conformance_broker import BrokerConformance, Desk

ORDER_NEWS = (3, 5, 11, 59)


class TestIbInsync(BrokerConformance):
    """ib_insync 0.9.86."""

    library = "ib_insync"
    gate: Any

    def open_broker(self, evidence: EvidenceSink) -> AbstractAsyncContextManager[Broker]:
        return self.opened(evidence)

    def open_with_two_accounts(self, evidence: EvidenceSink) -> AbstractAsyncContextManager[Broker]:
        return self.opened(evidence, ["DU1000001", "DU2"])

    @asynccontextmanager
    async def opened(
        self, evidence: EvidenceSink, accounts: Sequence[str] = ()
    ) -> AsyncIterator[Broker]:
        async with gateway() as self.gate:
            if accounts:
                self.gate.control.accounts(accounts)
            lab = Lab(port=self.gate.port, library=self.library, sink=evidence, quiet=0.02)
            yield lab.broker
            await lab.broker.close()

    async def pause_market(self, desk: Desk) -> None:
        """Nothing to do: this exchange moves when it is told to."""

    async def part_next_fill(self, desk: Desk) -> None:
        self.gate.control.partial_fills(1, "0.4")

    async def show_the_rest(self, desk: Desk) -> None:
        show(self.gate.exchange, AAPL, 100.0, 100.1)

    async def fill_after_cancel(self, desk: Desk, message: OrderMessage) -> None:
        order, quantity = message.order, self.quantity
        say(
            self.gate,
            desk.broker.client_id,
            frame(
                *(11, -1, message.order_id, 0, "AAPL", "STK", "", 0, "", "", "SMART", "USD"),
                *("AAPL", "NMS", "0000e0d5.67fe667b.01.01", "20260105 14:31:00 UTC"),
                *(
                    order.account,
                    "SMART",
                    "BOT",
                    quantity,
                    90,
                    self.identity(desk, message).perm_id,
                ),
                *(desk.broker.client_id, 0, quantity, 90, message.order_ref, "", "", "", 1),
                *self.fields_since_178(),
            ),
        )

    def fields_since_178(self) -> tuple[object, ...]:
        """Return what execDetails has behind its last field at the version that is spoken."""
        return (0,) if self.library == "ib_async" else ()

    async def repeat_callbacks(self, desk: Desk) -> None:
        self.gate.control.duplicate(ORDER_NEWS, 100)

    async def ignore_next_modify(self, desk: Desk) -> None:
        asked: Callable[[Any, Any], None] = self.gate.asked

        def keeping(session: Any, request: Any) -> None:
            if isinstance(request, PlaceOrder):
                (alive,) = self.gate.exchange.open_orders()
                request = attrs.evolve(request, limit_price=alive.request.limit_price)
            asked(session, request)

        self.gate.asked = keeping

    async def reject_next(self, desk: Desk) -> None:
        self.gate.control.reject(1, 201, "Order rejected - reason:it was told to")

    async def place_by_hand(self, desk: Desk) -> None:
        self.gate.control.manual_order("AAPL", "BUY", 1, "50")


class TestIbAsync(TestIbInsync):
    """ib_async 2.1.0."""

    library = "ib_async"


class TestWithEveryRole(TestIbInsync):
    """A connection for each role, and the warm spare."""

    roles: ClassVar[dict[str, Any]] = {
        "data_spare": True,
        "history_connections": 1,
        "contract_connections": 1,
        "watcher": True,
    }
