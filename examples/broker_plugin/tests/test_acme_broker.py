"""The standard tests of a broker, run against this one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from acme_broker.plugin import AcmeBroker

from alluse_core.ports import Broker, EvidenceSink
from alluse_core.testing import BrokerConformance, make_context


class TestAcmeBroker(BrokerConformance):
    @asynccontextmanager
    async def open_broker(self, evidence: EvidenceSink) -> AsyncIterator[Broker]:
        yield AcmeBroker(make_context(name="acme", evidence=evidence))
