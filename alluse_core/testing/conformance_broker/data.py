"""The standard tests of a broker: instruments and quotes."""

from __future__ import annotations

import math

from alluse_core.errors import (
    InstrumentNotFound,
)
from alluse_core.model import (
    Quote,
)
from alluse_core.testing.conformance_broker.base import (
    BrokerSuite,
    Desk,
)


class DataTests(BrokerSuite):
    """Definitions, snapshots and subscriptions."""

    def test_a_known_instrument_is_defined_with_a_positive_tick(self) -> None:
        async def body(desk: Desk) -> None:
            definition = await self.finish(desk.broker.define(self.instrument))
            assert definition.instrument is self.instrument
            assert definition.broker_id
            assert definition.min_tick > 0

        self.scenario(body)

    def test_an_unknown_instrument_is_not_found(self) -> None:
        async def body(desk: Desk) -> None:
            await self.raises(desk.broker.define(self.unknown_instrument), InstrumentNotFound)

        self.scenario(body)

    def test_a_snapshot_names_its_instrument_and_says_when_it_was_current(self) -> None:
        async def body(desk: Desk) -> None:
            quote = await self.quote(desk)
            assert quote.instrument is self.instrument
            assert math.isfinite(quote.confirmed_at)
            assert quote.source == desk.broker.name

        self.scenario(body)

    def test_an_instrument_without_an_answer_is_missing_from_the_snapshots(self) -> None:
        async def body(desk: Desk) -> None:
            wanted = [self.instrument, self.unknown_instrument]
            found = await self.finish(desk.broker.snapshots(wanted))
            assert self.unknown_instrument not in found

        self.scenario(body)

    def test_a_subscription_yields_new_values_until_it_is_closed(self) -> None:
        async def body(desk: Desk) -> None:
            if not desk.broker.capabilities.streams:
                raise self.cannot("the broker has no streams")
            got: list[Quote] = []
            subscription = desk.broker.subscribe(self.instrument, got.append)
            assert subscription.instrument is self.instrument
            await self.until(lambda: got, "a subscription yields a quote")
            assert all(quote.instrument is self.instrument for quote in got)
            assert len({id(quote) for quote in got}) == len(got), "each quote is a new value"
            assert math.isfinite(subscription.alive_at)
            subscription.close()
            subscription.close()
            await self.pass_time()
            seen = len(got)
            for _ in range(20):
                await self.pass_time()
            assert len(got) == seen, "nothing arrives after close"

        self.scenario(body)
