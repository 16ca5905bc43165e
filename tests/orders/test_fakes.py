"""The public fake broker passes the suite that real ones pass."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

from alluse_core.model import AccountValue, DataType, Quote
from alluse_core.ports import Broker, EvidenceSink
from alluse_core.testing import BrokerConformance
from alluse_core.testing.fakes import FakeBroker


class TestFakeBroker(BrokerConformance):
    @asynccontextmanager
    async def open_broker(self, evidence: EvidenceSink) -> AsyncIterator[Broker]:
        broker = FakeBroker(evidence)
        broker.mode = "market"
        broker.unlisted.add(self.unknown_instrument)
        broker.values.append(AccountValue("fake", "DU1", "NetLiquidation", Decimal(1), "USD"))
        broker.tick(Quote(self.instrument, 99.0, 101.0, 100.0, 100.0, data_type=DataType.LIVE))
        yield broker

    async def pass_time(self) -> None:
        import asyncio

        await asyncio.sleep(0)
