"""The broker's side of a simulation: a gateway with a market that moves."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from alluse_gateway.rate import Excess, MessageRate
from alluse_gateway.server import RATE_LIMIT, SimulatedGateway
from alluse_gateway.session import Session
from alluse_paper.exchange import Exchange
from alluse_paper.fill_model import FillModel
from alluse_paper.market import Listing, QuoteEvent

from alluse_core.clock import Clock
from alluse_core.model import Instrument

if TYPE_CHECKING:
    from alluse_sim.stories import Story

AAPL, MSFT = Instrument.stock("AAPL"), Instrument.stock("MSFT")
INSTRUMENTS = (AAPL, MSFT)
_CENTS = {AAPL: 10_000, MSFT: 30_000}
_SHOWN = 900
_THIN = (3, 4, 900)
_BEAT, _SLOW_BEAT = 0.02, 0.25
"""Seconds between two prices; a scenario lasts for minutes, most of them quiet."""


class SharedRate(MessageRate):
    """Counts into the connection's own window and into one that all connections share."""

    def __init__(self, limit: int, shared: MessageRate) -> None:
        super().__init__(limit)
        self._shared = shared

    def message(self, now: float) -> Excess | None:
        # The first message of a connection is startApi, whose handshake waits for nobody.
        if self.total:
            self._shared.message(now)
        return super().message(now)


class World(SimulatedGateway):
    """The gateway, its market, and one message rate over all its connections.

    With ``hours``, or where its story wants it, the exchange opens and closes. In a ``thin`` market
    most prices are shown with a size of which an order of ten fills in parts.
    """

    def __init__(
        self,
        seed: int,
        clock: Clock,
        story: Story | None = None,
        *,
        hours: bool = False,
        thin: bool = False,
    ) -> None:
        hours = hours or (story is not None and story.hours)
        listed = story.listed if story is not None else {}
        model = FillModel(latency_ms=2, queue=False, enforce_hours=hours, check_margin=False)
        listings = [Listing.of(AAPL, primary_exchange="NASDAQ"), Listing.of(MSFT)]
        exchange = Exchange(
            clock, [*listings, *map(Listing.of, listed)], fill_model=model, seed=seed
        )
        super().__init__(
            exchange,
            clock=clock,
            seed=seed,
            sampling=0,
            scenario=story.scenario if story is not None else None,
            time_scale=story.time_scale if story is not None else 1.0,
        )
        self.shared_rate = MessageRate(0)
        self.prices = {**_CENTS, **listed}
        self._thin = thin
        self._beat = _BEAT if story is None else _SLOW_BEAT
        for instrument in self.prices:
            self.show(instrument)

    def new_session(self) -> Session:
        """Return the protocol of the next connection, with the rate that all share."""
        session = super().new_session()
        session.rate = SharedRate(self.rate_limit, self.shared_rate)
        return session

    def show(self, instrument: Instrument, change: int = 0, size: int = _SHOWN) -> None:
        """Move an instrument's price by ``change`` cents and show it, with a size."""
        self.prices[instrument] += change
        bid = self.prices[instrument] / 100
        now = self.clock.now().timestamp()
        self.exchange.on_market(QuoteEvent(instrument, now, bid, size, round(bid + 0.02, 2), size))

    async def move(self, dice: random.Random) -> None:
        """Let prices wander for ever."""
        while True:
            instrument, change = dice.choice(INSTRUMENTS), dice.randint(-4, 4)
            # Drawn only where it matters, so that the other seeds stay what they are.
            self.show(instrument, change, dice.choice(_THIN) if self._thin else _SHOWN)
            await asyncio.sleep(self._beat)

    def let_go(self) -> None:
        """End sockets that are half open, as keep-alive does in the end."""
        for connection in sorted(self.sessions, key=lambda each: each.number):
            if connection.half_open:
                connection.abort("the peer does not answer")

    async def gone(self) -> None:
        """Wait until the gateway has noticed that every client left.

        A client id is in use until then, and the order role does not move to another.
        """
        while any(connection.alive for connection in self.sessions):
            await asyncio.sleep(0.01)

    async def heal(self) -> None:
        """End every fault, those of a scenario too."""
        control, faults = self.control, self.faults
        if self.scenario is not None:
            await self.scenario.stop()
        self.let_go()
        if faults.hears_nothing or faults.says_nothing:
            control.black_hole(False)
            control.drop()
        if faults.competing_session:
            control.competing_session(False)
        if self.rate_limit != RATE_LIMIT:
            control.pacing(RATE_LIMIT)
        control.split(0)
        control.coalesce(0)
        control.mute([])
        control.delay_acks(0)
        control.latency(0)
        control.reject(0)
        control.partial_fills(0)
        await control.resume_listening()
        if self.faults.link_lost:
            control.broadcast(1102)
