"""The simulated exchange: takes orders, matches them with a market, says what became of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from random import Random

from alluse_core.clock import Clock
from alluse_core.errors import OrderNotFound
from alluse_core.model.instrument import Instrument, Right, SecurityType, Side
from alluse_core.model.order import OrderType, TimeInForce
from alluse_paper.accounts import Accounts, AccountState
from alluse_paper.agenda import Agenda
from alluse_paper.book import Book
from alluse_paper.books import Books
from alluse_paper.catalog import Catalog
from alluse_paper.channels import Channels
from alluse_paper.combos import touches
from alluse_paper.commissions import CommissionSchedule
from alluse_paper.desk import Desk
from alluse_paper.fill_model import FillModel
from alluse_paper.hours import Hours
from alluse_paper.margin import MarginRates
from alluse_paper.market import (
    NAN,
    HaltEvent,
    Listing,
    MarketEvent,
    QuoteEvent,
    TopOfBook,
    TradeEvent,
)
from alluse_paper.orders import Cause, ExchangeEvent, ExchangeOrder, Fill, NewOrder
from alluse_paper.settlement import Expiries, expire, last_close
from alluse_paper.working import Working

Listener = Callable[[ExchangeEvent], None]
MarketListener = Callable[[Instrument], None]


class Exchange:
    """A price-time matching engine over a market's top of book.

    Orders and commands travel to it, and its events back, with the delays of ``fill_model``; the
    two directions are streams, so nothing overtakes. No listener is called inside ``place``,
    ``replace`` or ``cancel``. What an order cannot be is told as OrderRejected, what a command
    cannot do as CommandRefused. What is random is drawn from ``seed``.

    Without a running event loop nothing moves until :meth:`run_due` is called.
    """

    def __init__(
        self,
        clock: Clock,
        listings: Iterable[Listing],
        *,
        accounts: Sequence[str] = ("DU1000001",),
        fill_model: FillModel | None = None,
        seed: int = 0,
        deposit: Decimal = Decimal(1_000_000),
        margin: MarginRates | None = None,
        commissions: CommissionSchedule | None = None,
    ) -> None:
        self.fill_model = fill_model or FillModel()
        self.market_time = NAN
        self._catalog = Catalog(listings)
        self._expiries = Expiries(self._catalog.all, last_close)
        self._agenda = Agenda(clock)
        self._channels = Channels(clock, self._agenda, self.fill_model, Random(seed))
        self._listeners: tuple[Listener, ...] = ()
        self._market_listeners: tuple[MarketListener, ...] = ()
        self._changed: Callable[[int], None] | None = None
        self.accounts = Accounts(accounts, self._mark, deposit=deposit, margin=margin)
        self.accounts.rate_from(
            listing.instrument
            for listing in self._catalog.all
            if listing.instrument.security_type is SecurityType.FOREX
        )
        self._desk = Desk(
            clock,
            self._agenda,
            self.accounts,
            self.fill_model,
            commissions or CommissionSchedule(),
            seed,
            book=self._book,
            emit=self._emit,
        )
        desk = self._desk
        self._books = Books(self._catalog, self.fill_model, desk.filled, desk.triggered)

    # --- what is listed and shown --------------------------------------------------------------

    @property
    def listings(self) -> tuple[Listing, ...]:
        """Everything that is listed."""
        return self._catalog.all

    def listing(self, instrument: Instrument) -> Listing:
        """Return the listing of ``instrument``, or of the same one under another exchange's name.

        Raises InstrumentNotFound.
        """
        return self._catalog.resolve(instrument)

    def listing_by_con_id(self, con_id: int) -> Listing | None:
        """Return the listing with this contract number, or None."""
        return self._catalog.by_con_id(con_id)

    def find(
        self,
        symbol: str = "",
        security_type: SecurityType | None = None,
        exchange: str = "",
        currency: str = "",
        expiry: date | None = None,
        strike: Decimal | None = None,
        right: Right | None = None,
    ) -> tuple[Listing, ...]:
        """Return the listings that fit everything given; empty and None fit anything."""
        return self._catalog.find(symbol, security_type, exchange, currency, expiry, strike, right)

    def top(self, instrument: Instrument) -> TopOfBook | None:
        """Return what is shown of ``instrument``; None where it is not listed.

        The object changes with the market: read it, do not keep it.
        """
        return self._books.top(instrument)

    # --- orders -------------------------------------------------------------------------------

    def place(self, request: NewOrder) -> ExchangeOrder:
        """Send an order; return it as SUBMITTED with its number."""
        order = self._desk.register.take_down(request)
        self._channels.send(lambda: self._desk.arrive(order))
        return order.snapshot()

    def replace(
        self,
        number: int,
        *,
        quantity: Decimal | None = None,
        limit_price: Decimal | None = None,
        stop_price: Decimal | None = None,
        time_in_force: TimeInForce | None = None,
        good_till: datetime | None = None,
        outside_rth: bool | None = None,
        transmit: bool | None = None,
        order_type: OrderType | None = None,
        trail: Decimal | None = None,
        trail_percent: Decimal | None = None,
        trail_limit: Decimal | None = None,
    ) -> None:
        """Send new terms for a live order; None keeps a term.

        A new price, another type or more quantity costs the order its place in the queue; less
        quantity does not.
        Raises OrderNotFound for a number that was never given out.
        """
        order = self._known(number)
        terms = {
            "quantity": quantity,
            "limit_price": limit_price,
            "stop_price": stop_price,
            "time_in_force": time_in_force,
            "good_till": good_till,
            "outside_rth": outside_rth,
            "transmit": transmit,
            "order_type": order_type,
            "trail": trail,
            "trail_percent": trail_percent,
            "trail_limit": trail_limit,
        }
        changes = {name: value for name, value in terms.items() if value is not None}
        self._channels.send(lambda: self._desk.replace(order, changes))

    def cancel(self, number: int, reason: str = "") -> None:
        """Send a cancel. Raises OrderNotFound for a number that was never given out."""
        order = self._known(number)
        self._channels.send(lambda: self._desk.cancel(order, reason))

    def order(self, number: int) -> ExchangeOrder:
        """Return an order as it stands at the exchange now. Raises OrderNotFound."""
        return self._known(number).snapshot()

    def knows(self, number: int) -> bool:
        """Whether ``number`` is an order's, open or ended today."""
        return number in self._desk.register.orders

    def open_orders(self) -> tuple[ExchangeOrder, ...]:
        """Return every order that has not ended, those on their way included."""
        return tuple(order.snapshot() for order in self._desk.register.open_orders())

    def completed_orders(self) -> tuple[ExchangeOrder, ...]:
        """Return the orders that ended on the current UTC day, in the order they ended."""
        return tuple(order.snapshot() for order in self._desk.register.ended_today())

    def executions(self) -> tuple[Fill, ...]:
        """Return the fills of the current UTC day in the order of time, a combo's legs after it."""
        return self._desk.register.executions_today()

    # --- what happens to accounts past the market ---------------------------------------------

    def unlocate(self, instrument: Instrument) -> None:
        """From now on nobody lends ``instrument``: sales of what is not held wait.

        Raises InstrumentNotFound.
        """
        self._desk.holds.unlocated.add(self.listing(instrument).instrument)

    def is_unlocated(self, instrument: Instrument) -> bool:
        """Whether sales that open a short position wait for shares to be located."""
        return instrument in self._desk.holds.unlocated

    def locate(self, instrument: Instrument) -> None:
        """Shares of ``instrument`` can be borrowed (again): what waits for them goes on.

        Raises InstrumentNotFound.
        """
        self._desk.holds.unlocated.discard(self.listing(instrument).instrument)
        self._desk.located(self.listing(instrument).instrument)

    def correct(self, execution_id: str, *, quantity: Decimal, price: Decimal) -> Fill:
        """Correct an execution of this day; quantity 0 busts it. Raises OrderNotFound.

        The account is put right by a trade back at the old price and one at the new, so where
        the position has changed since, profit may move between realised and open.
        """
        return self._desk.correct(execution_id, quantity, price)

    def liquidate(self, account: str, instrument: Instrument, quantity: Decimal) -> ExchangeOrder:
        """Close ``quantity`` (positive) of a position at the market, as a broker's own order."""
        held = self.accounts.position(account, instrument)
        side = Side.SELL if held > 0 else Side.BUY
        return self.place(
            NewOrder(
                account,
                instrument,
                side,
                quantity,
                OrderType.MARKET,
                outside_rth=True,
                cause=Cause.LIQUIDATION,
            )
        )

    def settle(
        self,
        account: str,
        instrument: Instrument,
        side: Side,
        quantity: Decimal,
        price: Decimal,
        cause: Cause,
    ) -> ExchangeOrder:
        """Change a position past the market, as an exercise, an assignment or an expiry does."""
        return self._desk.settle(
            NewOrder(
                account,
                instrument,
                side,
                quantity,
                OrderType.MARKET,
                limit_price=price,
                cause=cause,
            )
        )

    # --- to go on later -----------------------------------------------------------------------

    def on_change(self, changed: Callable[[int], None]) -> None:
        """Call ``changed`` with the number of each order that becomes different, when it does.

        That is before listeners hear of it. One caller at a time.
        """
        self._changed = changed

    def restore(
        self, orders: Iterable[ExchangeOrder], accounts: Mapping[str, AccountState]
    ) -> None:
        """Go on with the orders and accounts of an earlier exchange; accounts unknown are left."""
        for name, state in accounts.items():
            if self.accounts.knows(name):
                self.accounts.restore(name, state)
        self._desk.restore(orders)

    # --- the market ---------------------------------------------------------------------------

    def on_market(self, event: MarketEvent) -> None:
        """Take one market event: show it, and match what it reaches.

        Events of instruments that are not listed are passed over.
        """
        instrument = event.instrument
        book = self._books.listed(instrument)
        if book is None:
            return
        first = math.isnan(self.market_time)
        self.market_time = self._desk.market_time = event.time
        if event.time >= book.quiet[0] and event.time < book.quiet[1]:
            # Nothing is shown, and time goes on: what the session binds ends with it.
            self._desk.after_event(book, first)
            return
        if event.time >= book.day_end:
            self._desk.start_day(book)
        if type(event) is QuoteEvent:
            book.on_quote(event)
        elif type(event) is TradeEvent:
            book.on_trade(event)
        elif isinstance(event, HaltEvent):
            self._set_halt(book, event.halted)
        self._desk.after_event(book, first)
        if self._books.any_combos:
            self._move_combos(book)
        if event.time >= self._expiries.next:
            self._expire()
        for listener in self._market_listeners:
            listener(instrument)

    def halt(
        self, instrument: Instrument, halted: bool = True, *, volatility: bool = False
    ) -> None:
        """Stop or resume trading in one instrument. Raises InstrumentNotFound.

        ``volatility``: it is a pause after a large move and not a regulator's halt.
        """
        book = self._book(instrument)
        book.top.volatility_halt = halted and volatility
        self._set_halt(book, halted)
        for listener in self._market_listeners:
            listener(book.listing.instrument)

    def hours(self, listing: Listing) -> Hours:
        """Return the trading hours of ``listing`` as they are now."""
        return self._desk.sessions.hours(listing)

    def close_early(self, calendar: str, at: float) -> tuple[Instrument, ...]:
        """End the session of everything on ``calendar`` at market time ``at``, epoch seconds.

        Orders are bound to the shorter session, and what the market would show from then until
        the next session is not shown. Returns what it concerns; nothing where the calendar is
        nobody's or no session is on at ``at``.
        """
        found: list[Instrument] = []
        changed: list[tuple[Listing, Hours]] = []
        for listing in self._catalog.all:
            if self.hours(listing).calendar != calendar:
                continue
            shortened = self._desk.sessions.shortened(listing, at)
            if shortened is not None:
                changed.append((listing, shortened[0]))
                self._book(listing.instrument).quiet = (at, shortened[1])
                found.append(listing.instrument)
        for listing, shorter in changed:
            self._desk.sessions.change(listing, shorter)
        self._desk.rebind()
        return tuple(found)

    # --- listening ----------------------------------------------------------------------------

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Send every order event to ``listener``; return what ends that."""
        self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            self._listeners = tuple(each for each in self._listeners if each is not listener)

        return unsubscribe

    def market_listen(self, listener: MarketListener) -> Callable[[], None]:
        """Call ``listener`` with the instrument whose top has changed; return what ends that.

        It runs inside ``on_market``, for every event: be quick.
        """
        self._market_listeners = (*self._market_listeners, listener)

        def unsubscribe() -> None:
            self._market_listeners = tuple(
                each for each in self._market_listeners if each is not listener
            )

        return unsubscribe

    def ping(self, answered: Callable[[], None]) -> None:
        """Send a message to the exchange and call ``answered`` when its answer is back."""
        self._channels.send(lambda: self._channels.answer(answered))

    def run_due(self) -> int:
        """Carry out what is due by now; return how many messages moved. For use without a loop."""
        return self._agenda.run_due()

    def close(self) -> None:
        """Stop: what is under way is dropped."""
        self._agenda.close()
        self._listeners = ()
        self._market_listeners = ()

    # --- inside -------------------------------------------------------------------------------

    def _expire(self) -> None:
        """Settle what has expired by now, and end the orders for it."""
        for instrument in self._expiries.due(self.market_time):
            for order in self.open_orders():
                if touches(order.request.instrument, instrument):
                    self._desk.cancel(self._known(order.number), f"{instrument} has expired")
            for account in self.accounts.names:
                expire(self, account, instrument)

    def _book(self, instrument: Instrument) -> Book:
        return self._books.of(instrument)

    def _move_combos(self, book: Book) -> None:
        """Bring the combos that a book is a leg of up to date, where orders stand in them."""
        for combo in self._books.busy_combos(book.listing.instrument):
            combo.on_legs()
            self._desk.after_event(combo, False)

    def _mark(self, instrument: Instrument) -> float:
        return self._books.mark(instrument)

    def _set_halt(self, book: Book, halted: bool) -> None:
        book.top.halted = halted
        if not halted:
            book.match()
        self._move_combos(book)

    def _known(self, number: int) -> Working:
        order = self._desk.register.orders.get(number)
        if order is None:
            raise OrderNotFound(
                f"the simulated exchange never gave out the order number {number}",
                hint="numbers of orders that ended before today are forgotten",
            )
        return order

    def _emit(self, event: ExchangeEvent) -> None:
        if self._changed is not None:
            self._changed(event.order.number)
        self._channels.answer(lambda: self._deliver(event))

    def _deliver(self, event: ExchangeEvent) -> None:
        for listener in self._listeners:
            listener(event)
