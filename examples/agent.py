"""An example agent: quotes through the cache, orders through the pipeline. For paper accounts."""

import asyncio
import logging
import uuid
from collections.abc import Sequence
from decimal import Decimal
from itertools import count

from alluse_core import AllUseError, Instrument, Order, OrderGroup, Runtime, Side

log = logging.getLogger(__name__)


class Agent:
    """Keeps 75 orders resting around the market, and trades a little every second."""

    def __init__(self, runtime: Runtime, instruments: Sequence[Instrument]) -> None:
        self.orders, self.quotes, self.instruments = runtime.orders, runtime.quotes, instruments
        self.session, self.numbers = uuid.uuid4().hex[:8], count(1)
        self.resting: list[tuple[str, int]] = []

    async def order(self, number: int, quantity: int, away: float) -> Order:
        """Return a limit order that rests ``away`` from the middle, or trades if it is negative."""
        lap, place = divmod(number, len(self.instruments))
        side = Side.BUY if lap % 2 else Side.SELL
        mid = (await self.quotes.get(self.instruments[place])).mid
        price = Decimal(mid * (1 - side.sign * away)).quantize(Decimal("0.01"))
        key = f"{self.session}/{next(self.numbers)}"
        return Order.limit(self.instruments[place], side, quantity, price, key=key)

    async def rest(self, number: int) -> None:
        order = await self.order(number, 10 + number % 90, 0.004 + number % 7 / 1000)
        self.resting.append(((await self.orders.submit(order)).key, number))

    async def bracket(self) -> None:
        entry, profit, stop = [await self.order(0, 50, away) for away in (-0.002, -0.02, 0.02)]
        group = OrderGroup.bracket(entry, take_profit=profit.limit_price, stop=stop.limit_price)
        await self.orders.submit(group)

    async def second(self, number: int) -> None:
        await self.orders.submit(await self.order(number, 10, -0.002))
        key, rested = self.resting[-1]
        await self.orders.modify(key, limit_price=(await self.order(rested, 1, 0.012)).limit_price)
        await self.orders.cancel(self.resting.pop(0)[0])
        await self.rest(number + 75)

    async def trade(self, stop: asyncio.Event) -> None:
        await asyncio.gather(*(self.rest(number) for number in range(75)))
        await self.bracket()
        for number in count(1):
            try:
                await self.second(number)
            except AllUseError as error:
                log.warning("%s", error)
            for _ in range(20):
                if stop.is_set():
                    return
                self.quotes.cached(self.instruments[number % len(self.instruments)])
                await asyncio.sleep(0.05)
