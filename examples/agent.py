"""An example agent: quotes through the cache, orders through the pipeline. For paper accounts."""

import asyncio
import uuid
from collections.abc import Sequence
from decimal import Decimal
from itertools import count

from alluse_core import AllUseError, Instrument, Order, OrderGroup, Quote, Runtime, Side

IN_FLIGHT = 75


def cents(price: float) -> Decimal:
    return Decimal(price).quantize(Decimal("0.01"))


class Agent:
    """Keeps up to 75 orders resting around the market, and trades a little every second."""

    def __init__(self, runtime: Runtime, instruments: Sequence[Instrument]) -> None:
        self.orders, self.quotes, self.instruments = runtime.orders, runtime.quotes, instruments
        self.resting: list[tuple[str, Instrument, Side]] = []
        self.session, self.numbers = uuid.uuid4().hex[:8], count(1)

    async def quote(self, instrument: Instrument) -> Quote:
        return self.quotes.cached(instrument) or await self.quotes.get(instrument)

    async def rest(self, number: int) -> None:
        instrument = self.instruments[number % len(self.instruments)]
        side = Side.BUY if number % 2 else Side.SELL
        away = 1 - side.sign * (0.004 + 0.001 * (number % 7))
        key = f"{self.session}/{next(self.numbers)}"
        price = cents((await self.quote(instrument)).mid * away)
        await self.orders.submit(Order.limit(instrument, side, 10 + number, price, key=key))
        self.resting.append((key, instrument, side))

    async def protect(self, instrument: Instrument) -> None:
        mid = (await self.quote(instrument)).mid
        key = f"{self.session}/{next(self.numbers)}"
        entry = Order.limit(instrument, Side.BUY, 50, cents(mid * 1.002), key=key)
        profit, stop = cents(mid * 1.02), cents(mid * 0.98)
        await self.orders.submit(OrderGroup.bracket(entry, take_profit=profit, stop=stop))

    async def second(self, number: int) -> None:
        instrument = self.instruments[number % len(self.instruments)]
        mid = (await self.quote(instrument)).mid
        side = Side.BUY if number % 2 else Side.SELL
        key = f"{self.session}/{next(self.numbers)}"
        price = cents(mid * (1 + side.sign * 0.002))
        await self.orders.submit(Order.limit(instrument, side, 10, price, key=key))
        key, instrument, side = self.resting[number % len(self.resting)]
        away = cents((await self.quote(instrument)).mid * (1 - side.sign * 0.006))
        await self.orders.modify(key, limit_price=away)
        await self.orders.cancel(self.resting.pop(0)[0])
        await self.rest(number)

    async def trade(self, stop: asyncio.Event) -> None:
        """Trade until ``stop`` is set. What is refused or cannot be sent is left for later."""
        await asyncio.gather(*(self.rest(number) for number in range(IN_FLIGHT)))
        await self.protect(self.instruments[0])
        for number in count(1):
            if stop.is_set():
                return
            try:
                await self.second(number)
            except AllUseError as error:
                print(f"agent: {error}")
            await asyncio.sleep(1)
