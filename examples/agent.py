"""An example agent: quotes through the cache, orders through the pipeline. For paper accounts."""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from decimal import Decimal
from itertools import count
from uuid import uuid4

from alluse_core import AllUseError, Instrument, Order, OrderGroup, Runtime, Side


class Agent:
    """Keeps 75 orders resting, 30 a share at most (IBKR: 20 a side), and trades every second."""

    def __init__(self, runtime: Runtime, instruments: Sequence[Instrument]) -> None:
        self.orders, self.quotes, self.instruments = runtime.orders, runtime.quotes, instruments
        self.numbers, self.resting = count(), list[tuple[str, int]]()

    async def order(self, number: int, away: float) -> Order:
        """Return a limit order that rests ``away`` from the middle, or trades if it is negative."""
        # The bracket has the last one for itself: what else sold it would leave its exits for more
        # than is held.
        others = self.instruments[:-1] or self.instruments
        lap, place = divmod(number, len(others))
        side, shares = (Side.BUY if lap % 2 else Side.SELL), 10 + lap % 25
        quote = await self.quotes.get(others[place] if number >= 0 else self.instruments[-1])
        if not quote.priceable:
            raise AllUseError(f"{quote.instrument} is {quote.condition.value}, no price to go by")
        price = Decimal(quote.mid * (1 - side.sign * away)).quantize(Decimal("0.01"))
        return Order.limit(quote.instrument, side, shares, price, key=uuid4().hex, outside_rth=True)

    async def rest(self) -> None:
        number = next(self.numbers)
        ticket = await self.orders.submit(await self.order(number, 0.004 + number % 7 / 1000))
        self.resting.append((ticket.key, number))

    async def bracket(self) -> None:
        entry, profit, stop = [await self.order(-1, away) for away in (-0.002, -0.02, 0.02)]
        group = OrderGroup.bracket(entry, take_profit=profit.limit_price, stop=stop.limit_price)
        await self.orders.submit(group)

    async def second(self) -> None:
        await self.rest()
        (newest, rested), (oldest, number) = self.resting[-1], self.resting.pop(0)
        await self.orders.submit(await self.order(number, -0.002))
        await self.orders.modify(newest, limit_price=(await self.order(rested, 0.012)).limit_price)
        await self.orders.cancel(oldest)

    async def tried(self, action: Awaitable[None]) -> None:
        try:
            await action
        except AllUseError as error:
            logging.getLogger(__name__).warning("%s", error)

    async def trade(self, stop: asyncio.Event) -> None:
        begin = (self.rest() for _ in range(min(75, 30 * len(self.instruments))))
        await asyncio.gather(self.tried(self.bracket()), *map(self.tried, begin))
        while not stop.is_set():
            await self.tried(self.second())
            for instrument in self.instruments:
                self.quotes.cached(instrument)
                await asyncio.sleep(1 / len(self.instruments))
