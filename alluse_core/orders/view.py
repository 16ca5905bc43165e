"""What the stages of one order may look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal

import attrs

from alluse_core.clock import Clock
from alluse_core.model import (
    AccountMode,
    Instrument,
    InstrumentDefinition,
    LinkState,
    Order,
    OrderGroup,
    Quote,
)
from alluse_core.orders.book import RECENT_SECONDS, Book
from alluse_core.ports import Broker, TradingState, WorkingOrder

QuoteLookup = Callable[[Instrument], Quote | None]
DefinitionLookup = Callable[[str, Instrument], InstrumentDefinition | None]


@attrs.define
class BookView:
    """An OrderView of the book; made for each order, read only while its stages run.

    ``without`` is the key of an order that is being changed: its old terms do not count. Where a
    broken link doubled it, what the change does not reach does.
    """

    book: Book
    clock: Clock
    broker: Broker
    account: str
    state: TradingState
    reconciling: bool
    group: OrderGroup | None
    quotes: QuoteLookup
    definitions: DefinitionLookup
    now: float
    without: str = ""

    @property
    def time(self) -> datetime:
        return self.clock.now()

    @property
    def link(self) -> LinkState:
        return self.broker.link

    @property
    def account_mode(self) -> AccountMode:
        return self.broker.account_mode(self.account)

    def quote(self, instrument: Instrument) -> Quote | None:
        return self.quotes(instrument)

    def definition(self, instrument: Instrument) -> InstrumentDefinition | None:
        return self.definitions(self.broker.name, instrument)

    def position(self, instrument: Instrument) -> Decimal:
        return self.book.position((self.broker.name, self.account), instrument)

    def working(self, instrument: Instrument | None = None) -> Sequence[WorkingOrder]:
        found = []
        for live in self.book.working((self.broker.name, self.account), instrument):
            if live.order.key != self.without:
                found.append(live.as_working())
            elif live.elder_exposed:
                found.append(attrs.evolve(live.as_working(), remaining=live.elder_exposed))
        return found

    def unknown_count(self) -> int:
        return len(self.book.unknown)

    def recent(self, seconds: float) -> Sequence[tuple[float, Order]]:
        return self.book.recent.since(self.now - min(seconds, RECENT_SECONDS))

    def account_value(self, name: str) -> Decimal | None:
        found = self.book.values.get((self.broker.name, self.account, name))
        return None if found is None else found.value

    def reduces(self, order: Order) -> bool:
        return self.book.reduces(order, self.without)
