"""An order whose time ran out: the broker has no status for it, and tells the rest."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from ibkr_lab import AAPL, LIBRARIES, Lab, connected, gateway, show, until

from alluse_core.model import (
    BrokerNotice,
    BrokerStatus,
    Order,
    OrderIdentity,
    OrderReport,
    Side,
    TimeInForce,
)
from alluse_core.ports import OrderMessage


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_order_that_ran_out_of_time_ends_with_its_names_and_quantities(library: str) -> None:
    """Live it is a Cancelled that nobody asked for; later a completed order with its terms."""

    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                show(gate.exchange, AAPL, 100.0, 100.1, size=3)
                number = broker.order_id_floor
                order = Order.limit(
                    AAPL,
                    Side.BUY,
                    10,
                    "100.1",
                    key="gtd",
                    account=broker.accounts[0],
                    broker="main",
                    time_in_force=TimeInForce.GTD,
                    good_till=datetime.now(UTC) + timedelta(seconds=2),
                )
                broker.place([OrderMessage(order, "au-gtd", number)])

                def ended() -> list[OrderReport]:
                    return [
                        report
                        for report in lab.of(OrderReport)
                        if report.status is BrokerStatus.CANCELED
                    ]

                await until(ended, "the end of the order")
                live = ended()[0]
                assert live.identity.perm_id
                assert live.identity == OrderIdentity(
                    "au-gtd", live.identity.perm_id, number, broker.client_id
                )
                assert (live.filled, live.remaining) == (Decimal(3), Decimal(7))
                assert live.average_price == Decimal("100.1")
                assert live.raw_status == "Cancelled"
                # No 202 comes with it: that one would confirm a cancel.
                assert [n for n in lab.of(BrokerNotice) if n.identity is not None] == []
                (row,) = (await broker.completed_orders()).rows
                assert row.identity == OrderIdentity("au-gtd", live.identity.perm_id)
                assert row.status is BrokerStatus.CANCELED
                assert row.filled == Decimal(3)
                assert row.terms is not None
                assert row.terms.time_in_force == "GTD"
                assert row.reason
                assert (await broker.open_orders()).rows == ()

    asyncio.run(story())
