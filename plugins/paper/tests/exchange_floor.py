"""A small exchange in virtual time, for the tests of what it does with orders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from alluse_paper.exchange import Exchange
from alluse_paper.fill_model import FillModel
from alluse_paper.market import NAN, Listing, QuoteEvent, TradeEvent
from alluse_paper.orders import ExchangeEvent, ExchangeOrder, NewOrder, OrderFilled

from alluse_core.model.instrument import Instrument, Side
from alluse_core.model.order import OrderType

IBM = Instrument.stock("IBM")
EURUSD = Instrument.forex("EURUSD")
SPX = Instrument.index("SPX", "CBOE")
ACCOUNT, OTHER = "DU1000001", "DU1000002"
OPEN = datetime(2026, 1, 5, 14, 30, tzinfo=UTC).timestamp()


class StillClock:
    """A clock that tests set; without an event loop nobody sleeps on it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(OPEN + self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing sleeps on this clock")


class Floor:
    """An exchange without latency, and everything it said."""

    def __init__(
        self,
        *instruments: Instrument,
        accounts: Sequence[str] = (ACCOUNT, OTHER),
        deposit: Decimal = Decimal(10_000_000),
        **model: Any,
    ) -> None:
        self.clock = StillClock()
        model.setdefault("latency_ms", 0.0)
        self.exchange = Exchange(
            self.clock,
            [Listing.of(each) for each in instruments or (IBM, EURUSD, SPX)],
            accounts=accounts,
            fill_model=FillModel(**model),
            deposit=deposit,
        )
        self.said: list[ExchangeEvent] = []
        self.exchange.listen(self.said.append)
        self.market_time = OPEN

    def run(self) -> None:
        """Let everything under way arrive."""
        self.clock.seconds += 1.0
        self.exchange.run_due()

    def quote(
        self,
        bid: float = NAN,
        ask: float = NAN,
        bid_size: float = 100,
        ask_size: float = 100,
        instrument: Instrument = IBM,
    ) -> None:
        """Show a new top of book."""
        self.market_time += 1.0
        event = QuoteEvent(instrument, self.market_time, bid, bid_size, ask, ask_size)
        self.exchange.on_market(event)
        self.run()

    def trade(self, price: float, size: float, **more: Any) -> None:
        """Print a trade of IBM."""
        self.market_time += 1.0
        self.exchange.on_market(TradeEvent(IBM, self.market_time, price, size, **more))
        self.run()

    def place(
        self,
        side: str,
        quantity: int | str,
        price: str = "",
        *,
        stop: str = "",
        instrument: Instrument = IBM,
        account: str = ACCOUNT,
        **more: Any,
    ) -> int:
        """Place an order, let it arrive, return its number."""
        number = self.send(
            side, quantity, price, stop=stop, instrument=instrument, account=account, **more
        )
        self.run()
        return number

    def send(
        self,
        side: str,
        quantity: int | str,
        price: str = "",
        *,
        stop: str = "",
        instrument: Instrument = IBM,
        account: str = ACCOUNT,
        **more: Any,
    ) -> int:
        """Place an order that is still on its way; return its number."""
        kind = {
            (False, False): OrderType.MARKET,
            (True, False): OrderType.LIMIT,
            (False, True): OrderType.STOP,
            (True, True): OrderType.STOP_LIMIT,
        }[bool(price), bool(stop)]
        order = NewOrder(
            account,
            instrument,
            Side(side),
            Decimal(quantity),
            kind,
            Decimal(price) if price else None,
            Decimal(stop) if stop else None,
            **more,
        )
        return self.exchange.place(order).number

    def cancel(self, number: int) -> None:
        """Cancel, and let it arrive."""
        self.exchange.cancel(number)
        self.run()

    def order(self, number: int) -> ExchangeOrder:
        """Return an order as it stands."""
        return self.exchange.order(number)

    def state(self, number: int) -> str:
        """Return an order's state as text."""
        return self.order(number).state.value

    def fills(self, number: int) -> list[tuple[int, str]]:
        """Return (quantity, price) of an order's fills."""
        return [
            (int(event.execution.quantity), str(event.execution.price))
            for event in self.said
            if isinstance(event, OrderFilled) and event.order.number == number
        ]

    def words(self, number: int) -> list[str]:
        """Return the names of what was said of an order."""
        return [type(event).__name__ for event in self.said if event.order.number == number]
