"""The standard tests of a Broker, over both client libraries and the simulated gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from ibkr_lab import Lab, gateway

from alluse_core.ports import Broker, EvidenceSink
from alluse_core.testing.conformance_broker import BrokerConformance


class TestIbInsync(BrokerConformance):
    """ib_insync 0.9.86."""

    library = "ib_insync"

    def open_broker(self, evidence: EvidenceSink) -> AbstractAsyncContextManager[Broker]:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Broker]:
            async with gateway() as gate:
                lab = Lab(port=gate.port, library=self.library, sink=evidence)
                yield lab.broker
                await lab.broker.close()

        return opened()


class TestIbAsync(TestIbInsync):
    """ib_async 2.1.0."""

    library = "ib_async"
