"""What happens to an order at the exchange, from its arrival to its end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import attrs

from alluse_core.clock import Clock
from alluse_core.errors import InstrumentNotFound, OrderNotFound
from alluse_core.model.instrument import Instrument
from alluse_core.model.order import OrderState, TimeInForce, Verb
from alluse_paper.accounts import Accounts
from alluse_paper.agenda import Agenda
from alluse_paper.book import Book
from alluse_paper.checks import refusal
from alluse_paper.clearing import Clearing
from alluse_paper.combos import ComboBook, touches
from alluse_paper.commissions import CommissionSchedule
from alluse_paper.fill_model import FillModel
from alluse_paper.groups import Groups
from alluse_paper.holds import LOCATE, Holds
from alluse_paper.market import NAN
from alluse_paper.orders import (
    ZERO,
    CommandRefused,
    ExchangeEvent,
    ExchangeOrder,
    Fill,
    FillCorrected,
    NewOrder,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderHeld,
    OrderRejected,
    OrderReplaced,
)
from alluse_paper.register import Register
from alluse_paper.reservations import Reservations
from alluse_paper.sessions import Sessions, day_end
from alluse_paper.working import Working

_AT_ONCE = (TimeInForce.IOC, TimeInForce.FOK, TimeInForce.OPG)


class Desk:
    """Drives every order through the books. Owned by the exchange.

    ``register`` holds the orders, ``holds`` knows why one waits. Execution ids start from the
    clock's wall time, as order numbers do.
    """

    def __init__(
        self,
        clock: Clock,
        agenda: Agenda,
        accounts: Accounts,
        model: FillModel,
        commissions: CommissionSchedule,
        seed: int,
        *,
        book: Callable[[Instrument], Book],
        emit: Callable[[ExchangeEvent], None],
    ) -> None:
        self.market_time = NAN
        self._clock, self._agenda, self._accounts = clock, agenda, accounts
        self._model = model
        self._book, self._emit = book, emit
        self._groups = Groups()
        self.register = Register(clock, self._groups.forget)
        self.sessions = Sessions(model.enforce_hours)
        self.holds = Holds(clock, accounts, self._groups, self.sessions)
        self._reservations = Reservations(accounts, lambda each: book(each).top.mark)
        self._to_release: list[Working] = []
        epoch = int(clock.now().timestamp())
        prefix = f"{(epoch ^ seed * 0x9E3779B1) & 0xFFFFFFFF:08x}"
        self._clearing = Clearing(accounts, commissions, prefix)
        self._priority = 0

    # --- what the caller asks for --------------------------------------------------------------

    def settle(self, request: NewOrder) -> ExchangeOrder:
        """Fill a settlement at the price it names (``limit_price``), past the market."""
        order = self.register.take_down(request)
        order.arrived = True
        self.filled(order, request.quantity, request.limit_price or ZERO)
        self._release()
        return order.snapshot()

    def correct(self, execution_id: str, quantity: Decimal, price: Decimal) -> Fill:
        """Put another fill in the place of one of this day that is no combo's nor a leg's."""
        was = self.register.fill(execution_id)
        order = None if was is None else self.register.orders.get(was.number)
        if was is None or order is None or was.legs:
            raise OrderNotFound(f"there is no execution {execution_id!r} of this day")
        order.changed_at = self._clock.now()
        fill = self._clearing.correct(order, was, quantity, price, order.changed_at)
        self.register.replace_fill(was, fill)
        order.executions[order.executions.index(was)] = fill
        self._emit(FillCorrected(order.snapshot(), fill, was))
        return fill

    def located(self, instrument: Instrument) -> None:
        """Shares can be borrowed again: let go on what waits for them."""
        for order in self.register.open_orders():
            if touches(order.request.instrument, instrument) and order.reason == LOCATE:
                self._proceed(order)
        self._release()

    def arrive(self, order: Working) -> None:
        """The order has reached the exchange: take it or reject it."""
        order.arrived = True
        reason = self._refusal(order) or self._shortage(order)
        if reason:
            self._end(order, OrderState.REJECTED, reason)
            return
        parent = self._parent_of(order)
        self._groups.join(order, parent)
        if self._groups.is_spent(order):
            self._end(order, OrderState.CANCELED, "another order of its OCA group has filled")
            return
        if parent is not None and not parent.is_open:
            self._carry_out(*self._groups.after_end(parent), parent)
        self._reservations.hold(order)
        if order.request.time_in_force is TimeInForce.GTD:
            self._arrange_expiry(order)
        if order.request.good_after is not None:
            self._arrange_start(order, order.request.good_after)
        self._proceed(order)
        if order.transmitted:
            self._transmit_family(order)
        self._release()

    def replace(self, order: Working, changes: Mapping[str, Any]) -> None:
        """New terms have reached the exchange."""
        if not order.is_open:
            self._refuse_command(order, Verb.MODIFY, f"the order is {order.state.value}")
            return
        request = attrs.evolve(order.request, **changes)
        reason = refusal(request, self._book(request.instrument).listing, self._clock.now())
        if not reason and request.quantity <= order.filled:
            reason = f"the quantity {request.quantity} is not above the filled {order.filled}"
        if reason:
            self._refuse_command(order, Verb.MODIFY, reason)
            return
        self._apply_terms(order, request)
        if "good_till" in changes:
            self._arrange_expiry(order)
        if request.transmit and not order.transmitted:
            order.transmitted = True
            self._proceed(order)
            self._transmit_family(order)
        self._release()

    def cancel(self, order: Working, reason: str) -> None:
        """A cancel has reached the exchange."""
        if not order.is_open:
            self._refuse_command(order, Verb.CANCEL, f"the order is {order.state.value}")
            return
        self._end(order, OrderState.CANCELED, reason or "cancelled on request", requested=True)
        self._release()

    # --- what the market does -------------------------------------------------------------------

    def filled(self, order: Working, quantity: Decimal, price: Decimal) -> None:
        """A book has filled ``quantity`` of an order."""
        request = order.request
        book = self._book(request.instrument)
        legs = book.leg_prices(request.side, price) if isinstance(book, ComboBook) else ()
        order.changed_at = self._clock.now()
        fill = self._clearing.fill(order, quantity, price, legs, order.changed_at)
        order.executions.append(fill)
        self.register.add_fill(fill)
        done = order.remaining == 0
        order.state = OrderState.FILLED if done else OrderState.PARTIALLY_FILLED
        if done:
            self._retire(order)
        else:
            self._reservations.hold(order)
        self._emit(OrderFilled(order.snapshot(), fill))
        self._carry_out(*self._groups.after_fill(order, quantity), order)
        if self._groups.has_no_block(order):
            self._tell_siblings_later(order, quantity)
        self._to_release.extend(self._groups.children_of(order))
        if request.parent is not None:
            self._to_release.append(order)

    def _tell_siblings_later(self, order: Working, quantity: Decimal) -> None:
        def tell() -> None:
            self._carry_out(*self._groups.siblings_after_fill(order, quantity), order)
            self._release()

        self._agenda.enter(self._clock.monotonic() + self._model.latency_ms / 1000, tell)

    def triggered(self, order: Working) -> None:
        """A stop has been hit: it becomes a market or limit order."""
        order.changed_at = self._clock.now()
        self._emit(OrderAccepted(order.snapshot()))
        self._to_release.append(order)

    def start_day(self, book: Book) -> None:
        """The market has passed the end of a book's day, or shows its first event."""
        if math.isfinite(book.day_end):
            book.start_day()
        book.day_end = day_end(book.listing, self.market_time)

    def after_event(self, book: Book, first: bool) -> None:
        """Finish what a market event has set off."""
        if first and self.sessions.binds_at(self.market_time):
            self._date_all()
        for at, number in self.sessions.ended(self.market_time):
            self._end_session(at, number)
        if book.waiting:
            self._open_session(book)
        if self._to_release:
            self._release()

    def restore(self, shown: Iterable[ExchangeOrder]) -> None:
        """Go on with orders of an earlier exchange, in the order of their numbers.

        Nothing is said of them: they are as they were. Numbers go on above theirs.
        """
        orders, fills = self.register.take_back(shown)
        self._clearing.resume(fills)
        for order in orders:
            self._groups.join(order, self._parent_of(order))
        for order in orders:
            if order.is_open:
                self._reservations.hold(order)
                if order.request.time_in_force is TimeInForce.GTD:
                    self._arrange_expiry(order)
                if order.request.good_after is not None:
                    self._arrange_start(order, order.request.good_after)
                self._proceed(order)
        self._release()

    # --- from arrival to the book ---------------------------------------------------------------

    def _proceed(self, order: Working) -> None:
        """Let an order work, or say what it waits for."""
        if not order.is_open or order.in_book:
            return
        book = self._book(order.request.instrument)
        reason = self.holds.reason(order, book, self.market_time)
        if not reason:
            self._work(order, book)
        elif order.reason != reason or order.state is not OrderState.HELD:
            self._set(order, OrderState.HELD, reason)
            self._emit(OrderHeld(order.snapshot(), reason, self.holds.until(order, reason)))

    def _work(self, order: Working, book: Book) -> None:
        state = OrderState.PARTIALLY_FILLED if order.filled else OrderState.ACCEPTED
        if order.state is not state or order.reason:
            self._set(order, state, "")
            self._emit(OrderAccepted(order.snapshot()))
        self._priority += 1
        order.priority = self._priority
        tif = order.request.time_in_force
        waits_for_stop = order.is_stop
        if (
            tif is TimeInForce.FOK
            and not waits_for_stop
            and book.available(order) < order.remaining
        ):
            self._end(order, OrderState.CANCELED, "FOK: the whole quantity is not there at once")
            return
        book.enter(order)
        if tif in _AT_ONCE and order.is_open and not order.is_stop:
            self._end(order, OrderState.CANCELED, f"{tif.value}: the rest could not fill at once")

    def _transmit_family(self, order: Working) -> None:
        for member in self._groups.transmitted_by(order):
            if not member.transmitted:
                member.transmitted = True
                self._proceed(member)

    def _release(self) -> None:
        """Let orders go on that a fill or a trigger has set free, until nothing changes."""
        while self._to_release:
            order = self._to_release.pop(0)
            if order.in_book and not order.is_stop:
                self._book(order.request.instrument).take(order)
            elif not order.in_book:
                self._proceed(order)

    def _apply_terms(self, order: Working, request: NewOrder) -> None:
        old = order.request
        book = self._book(request.instrument)
        keeps_place = (
            request.limit_price == old.limit_price
            and request.stop_price == old.stop_price
            and request.quantity <= old.quantity
            and request.order_type is old.order_type
            and (request.trail, request.trail_percent) == (old.trail, old.trail_percent)
        )
        back = order.in_book and not keeps_place
        if back:
            book.leave(order)
        order.request = request
        if request.order_type is not old.order_type:
            order.triggered, order.trail_stop = False, None
        order.changed_at = self._clock.now()
        self._reservations.hold(order)
        self._emit(OrderReplaced(order.snapshot()))
        if back:
            self._proceed(order)

    # --- sessions -----------------------------------------------------------------------------

    def _date_all(self) -> None:
        """The market has told its time for the first time: bind waiting orders to its hours."""
        for order in self.register.open_orders():
            if order.arrived and order.in_book:
                book = self._book(order.request.instrument)
                if not self.sessions.bind(order, book.listing, self.market_time):
                    book.leave(order)
                    self._proceed(order)

    def rebind(self) -> None:
        """Hours have changed: bind every order that has come to its session anew."""
        for order in self.register.open_orders():
            book = self._book(order.request.instrument)
            if not order.arrived or self.sessions.bind(order, book.listing, self.market_time):
                continue
            if order.in_book:
                book.leave(order)
                self._proceed(order)

    def _open_session(self, book: Book) -> None:
        for order in tuple(book.waiting):
            if order.opens_at <= self.market_time:
                book.waiting.remove(order)
                self._to_release.append(order)

    def _end_session(self, at: float, number: int) -> None:
        order = self.register.still_open(number)
        if order is None or order.expires_at != at:
            return
        if order.request.time_in_force in (TimeInForce.DAY, *_AT_ONCE):
            self._end(order, OrderState.EXPIRED, "the session has closed")
            return
        book = self._book(order.request.instrument)
        book.leave(order)
        if order in book.waiting:
            book.waiting.remove(order)
        self._to_release.append(order)

    def _arrange_expiry(self, order: Working) -> None:
        good_till = order.request.good_till
        if good_till is None:
            return
        delay = (good_till - self._clock.now()).total_seconds()

        def expire() -> None:
            if order.is_open and order.request.good_till == good_till:
                self._end(order, OrderState.EXPIRED, f"good till {good_till.isoformat()}")
                self._release()

        self._agenda.enter(self._clock.monotonic() + max(0.0, delay), expire)

    def _arrange_start(self, order: Working, starts: datetime) -> None:
        delay = (starts - self._clock.now()).total_seconds()

        def start() -> None:
            if order.is_open and order.request.good_after == starts:
                self._proceed(order)
                self._release()

        self._agenda.enter(self._clock.monotonic() + max(0.0, delay), start)

    # --- refusing and ending ---------------------------------------------------------------------

    def _refusal(self, order: Working) -> str:
        request = order.request
        if not self._accounts.knows(request.account):
            return f"there is no account {request.account!r}"
        try:
            listing = self._book(request.instrument).listing
        except InstrumentNotFound as error:
            return str(error)
        if request.parent is not None:
            parent = self.register.orders.get(request.parent)
            if parent is None or parent.request.instrument is not request.instrument:
                return f"there is no parent order {request.parent} in this instrument"
            if parent.state.is_terminal and parent.filled == 0:
                return f"its parent order {request.parent} is {parent.state.value}"
        is_late = self.sessions.is_open(listing, self.market_time)
        if request.time_in_force is TimeInForce.OPG and is_late:
            return "an OPG order must come before the open"
        return refusal(request, listing, self._clock.now())

    def _parent_of(self, order: Working) -> Working | None:
        parent = order.request.parent
        return self.register.orders.get(parent) if parent else None

    def _shortage(self, order: Working) -> str:
        return self._reservations.shortage(order) if self._model.check_margin else ""

    def _refuse_command(self, order: Working, verb: Verb, reason: str) -> None:
        self._emit(CommandRefused(order.snapshot(), verb, reason))

    def _carry_out(
        self, cancel: list[Working], reduce: list[tuple[Working, Decimal]], cause: Working
    ) -> None:
        for order in cancel:
            # The end of one may have ended another: an entry takes its exits along.
            if order.is_open:
                self._end(order, OrderState.CANCELED, f"with order {cause.number} of its group")
        for order, quantity in reduce:
            self._apply_terms(order, attrs.evolve(order.request, quantity=quantity))

    def _end(
        self, order: Working, state: OrderState, reason: str, *, requested: bool = False
    ) -> None:
        self._set(order, state, reason)
        self._retire(order)
        shown = order.snapshot()
        if state is OrderState.REJECTED:
            self._emit(OrderRejected(shown, reason))
        elif state is OrderState.EXPIRED:
            self._emit(OrderExpired(shown, reason))
        else:
            self._emit(OrderCanceled(shown, reason, requested))
        self._carry_out(*self._groups.after_end(order), order)

    def _retire(self, order: Working) -> None:
        self._reservations.release(order)
        self.register.end(order)
        if order.state is not OrderState.REJECTED:
            book = self._book(order.request.instrument)
            book.leave(order)
            if order in book.waiting:
                book.waiting.remove(order)

    def _set(self, order: Working, state: OrderState, reason: str) -> None:
        order.state, order.reason = state, reason
        order.changed_at = self._clock.now()
