"""Order requests: place, change, cancel."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs
from alluse_paper.exchange import Exchange
from alluse_paper.orders import ExchangeEvent, ExchangeOrder, NewOrder, OrderAccepted, OrderHeld

from alluse_core.clock import Clock
from alluse_core.errors import OrderNotFound
from alluse_core.model import Instrument, TimeInForce
from alluse_gateway import notices
from alluse_gateway import requests as r
from alluse_gateway.answers import orders as answers
from alluse_gateway.combos import legs_of
from alluse_gateway.contracts import ContractDesk
from alluse_gateway.faults import Faults
from alluse_gateway.ledger import Ledger
from alluse_gateway.order_book import EXTERNAL, Booked, OrderBook
from alluse_gateway.order_events import OrderEvents
from alluse_gateway.order_terms import Refusal, echo_of, new_order
from alluse_gateway.session import Session
from alluse_gateway.thin_market import ThinMarket
from alluse_gateway.what_if import margins_of


class OrderDesk:
    """Takes order requests of all clients to the one exchange.

    ``strict_ids``: an order id must lie above every id that its client has used, as TWS wants it.
    ``active_orders``: how many orders of one contract, side and account may live; 0 lifts it.
    """

    def __init__(
        self,
        clock: Clock,
        exchange: Exchange,
        contracts: ContractDesk,
        faults: Faults,
        ledger: Ledger,
        sessions: Callable[[], Iterable[Session]],
        position_changed: Callable[[str, Instrument], None],
        *,
        strict_ids: bool = True,
        active_orders: int = 0,
    ) -> None:
        self.book = OrderBook()
        self.master_client_id: int | None = None
        self.placed: Callable[[int], None] = _unheard
        self._clock = clock
        self._exchange = exchange
        self._contracts = contracts
        self._faults = faults
        self._ledger = ledger
        self._sessions = sessions
        self._strict_ids = strict_ids
        self._active_orders = active_orders
        self._thin = ThinMarket(clock, exchange)
        self.events = OrderEvents(
            self.book,
            clock,
            faults,
            ledger,
            self._listeners,
            self._adopt,
            position_changed,
            contracts.text_of,
        )

    def on_event(self, event: ExchangeEvent) -> None:
        """Take an event of the exchange's."""
        self._thin.forget(event.order.number)
        self.events.on_event(event)
        booked = self.book.by_perm(event.order.number)
        if booked is not None and booked.doomed and isinstance(event, OrderAccepted | OrderHeld):
            self._exchange.cancel(booked.perm_id, booked.doomed.text)

    def on_market(self, instrument: Instrument) -> None:
        """An instrument has moved."""
        self._thin.on_market(instrument)

    def _listeners(self, booked: Booked) -> Iterable[Session]:
        return [each for each in self._sessions() if self.hears(each, booked)]

    def hears(self, session: Session, booked: Booked) -> bool:
        """Whether a client is told of an order unasked: its own, or all for the master client."""
        if session.client_id in (booked.client_id, self.master_client_id):
            return (
                booked.client_id != EXTERNAL
                or booked.order_id != EXTERNAL
                or (session.client_id in (EXTERNAL, self.master_client_id))
            )
        return False

    def _adopt(self, order: ExchangeOrder) -> Booked:
        """Enter an order that came to the exchange past this gateway, as one made by hand."""
        listing = self._exchange.listing(order.request.instrument)
        echo = answers.OrderEcho(
            order_id=EXTERNAL,
            client_id=EXTERNAL,
            perm_id=order.number,
            parent_id=0,
            parent_perm_id=order.request.parent or 0,
            contract=self._contracts.text(listing),
            action=order.request.side.value,
            quantity=order.request.quantity,
            order_type=order.request.order_type.value,
            limit_price=order.request.limit_price,
            aux_price=order.request.stop_price,
            time_in_force=order.request.time_in_force.value,
            oca_group=order.request.oca_group,
            oca_type=3,
            account=order.request.account,
            order_ref="",
            outside_rth=order.request.outside_rth,
            good_after="",
            good_till="",
            trigger_method=0,
            extras=r.OrderExtras(legs=legs_of(listing.instrument, self._number)),
        )
        booked = Booked(EXTERNAL, EXTERNAL, order.number, None, echo, order)
        self.book.add(booked)
        if self.book.binding and not order.request.cause.is_settlement:
            self.book.bind(booked)
            for session in self._listeners(booked):
                session.send(answers.order_bound(booked.perm_id, EXTERNAL, booked.order_id))
        return booked

    def _number(self, instrument: Instrument) -> int:
        return self._exchange.listing(instrument).con_id

    # --- place and change -------------------------------------------------------------------

    def place(self, session: Session, request: r.PlaceOrder) -> None:
        """Answer placeOrder: a new order, a change of a living one, or a question (whatIf)."""
        client, order_id = session.client_id, request.request_id
        self._ledger.note(
            "place",
            client_id=client,
            order_id=order_id,
            order_ref=request.order_ref,
            symbol=request.contract.symbol or request.contract.con_id,
            side=request.action,
            quantity=request.quantity,
            order_type=request.order_type,
            limit_price=request.limit_price,
            aux_price=request.aux_price,
            time_in_force=request.time_in_force or "DAY",
            account=request.account,
            transmit=request.transmit,
            parent_id=request.parent_id,
            oca_group=request.oca_group,
            what_if=request.what_if,
        )
        given, request = request, self._preset(request)
        booked = self.book.by_client(client, order_id)
        if booked is not None:
            self._change(session, request, booked)
            return
        if self._strict_ids and order_id < self.book.next_id(client):
            self._refuse(session, request, Refusal(notices.DUPLICATE_ORDER, "Duplicate order id"))
            return
        self.book.use_id(client, order_id)
        order = self._translated(session, request)
        if isinstance(order, Refusal):
            self._refuse(session, request, order)
        elif request.what_if:
            self._what_if(session, request, order)
        else:
            self._send(session, request, order)
            if request is not given and self._faults.orders.preset_tif:
                text = notices.preset_tif(request.time_in_force)
                session.error(order_id, notices.PRESET_TIF, text)

    def _preset(self, request: r.PlaceOrder) -> r.PlaceOrder:
        """Return the order as this TWS's presets make it: the same one where they do not.

        Where there is none, an order that names no time in force is good for the day.
        """
        preset = self._faults.orders.preset_tif
        tif = preset or request.time_in_force or TimeInForce.DAY.value
        if request.time_in_force == tif:
            return request
        if preset:
            self._ledger.note(
                "preset",
                order_id=request.request_id,
                order_ref=request.order_ref,
                time_in_force=tif,
            )
        return attrs.evolve(request, time_in_force=tif)

    def _translated(self, session: Session, request: r.PlaceOrder) -> NewOrder | Refusal:
        rejection = self._faults.take_rejection(late=False)
        if rejection is not None:
            return Refusal(rejection.code, rejection.text)
        listing = self._contracts.traded(request.contract)
        if isinstance(listing, Refusal):
            return listing
        parent = None
        if request.parent_id:
            entry = self.book.by_client(session.client_id, request.parent_id)
            if entry is None:
                text = f"Can't find order with id = {request.parent_id}"
                return Refusal(notices.ORDER_NOT_FOUND, text)
            parent = entry.perm_id
        order = new_order(request, listing, self._exchange.accounts.names, parent)
        if isinstance(order, NewOrder) and self._too_many(order):
            return Refusal(notices.REJECTED, notices.too_many(self._active_orders))
        if isinstance(order, NewOrder):
            stopped = self._faults.orders.precaution(order, self._exchange.top(order.instrument))
            if stopped is not None:
                return Refusal(*stopped)
        return order

    def _too_many(self, order: NewOrder) -> bool:
        if not self._active_orders:
            return False
        key = (order.instrument, order.side, order.account)
        alive = sum(
            (each.request.instrument, each.request.side, each.request.account) == key
            for each in self._exchange.open_orders()
        )
        return alive >= self._active_orders

    def _refuse(self, session: Session, request: r.PlaceOrder, why: Refusal) -> None:
        self._ledger.note(
            "reject",
            client_id=session.client_id,
            order_id=request.request_id,
            order_ref=request.order_ref,
            perm_id=0,
            code=why.code,
            reason=why.text,
        )
        session.error(request.request_id, why.code, why.text)

    def _send(self, session: Session, request: r.PlaceOrder, order: NewOrder) -> None:
        placed = self._exchange.place(order)
        if self._faults.partial_fills > 0:
            self._faults.partial_fills -= 1
            self._thin.add(placed.number, order, self._faults.partial_fraction)
        listing = self._exchange.listing(order.instrument)
        echo = echo_of(
            request,
            order,
            self._contracts.text(listing),
            session.client_id,
            placed.number,
            order.parent or 0,
        )
        client, order_id = session.client_id, request.request_id
        booked = Booked(client, order_id, placed.number, request, echo, placed)
        booked.doomed = self._faults.take_rejection(late=True)
        self.book.add(booked)
        self._ledger.note(
            "placed",
            client_id=client,
            order_id=order_id,
            order_ref=request.order_ref,
            perm_id=placed.number,
        )

    def _what_if(self, session: Session, request: r.PlaceOrder, order: NewOrder) -> None:
        text = self._contracts.text(self._exchange.listing(order.instrument))
        parts = answers.open_order_parts(
            echo_of(request, order, text, session.client_id, 0), session.version
        )
        margins, warning = margins_of(self._exchange, order)
        session.send(answers.open_order(parts, "PreSubmitted", None, margins, warning))

    def _change(self, session: Session, request: r.PlaceOrder, booked: Booked) -> None:
        why = self._why_no_change(request, booked)
        if why is None:
            listing = booked.echo.contract.listing
            parent = booked.order.request.parent
            terms = new_order(request, listing, self._exchange.accounts.names, parent)
            if isinstance(terms, Refusal):
                why = terms
            else:
                booked.request = request
                self._replace(booked, terms)
        if why is not None:
            self._refuse(session, request, why)

    def _why_no_change(self, request: r.PlaceOrder, booked: Booked) -> Refusal | None:
        if not booked.alive:
            if booked.status == "Filled":
                return Refusal(notices.CANNOT_MODIFY, "Cannot modify a filled order.")
            return Refusal(notices.DUPLICATE_ORDER, "Duplicate order id")
        listing = self._contracts.traded(request.contract)
        echo = booked.echo
        same = (
            not isinstance(listing, Refusal)
            and listing.instrument is echo.contract.listing.instrument
            and request.action in (echo.action, "SSHORT")
            and (request.account or echo.account) == echo.account
        )
        if not same:
            text = "Order being modified does not match original order."
            return Refusal(notices.DOES_NOT_MATCH, text)
        return None

    def _replace(self, booked: Booked, terms: NewOrder) -> None:
        faults = self._faults.orders
        if faults.take("split_modifies"):
            self._split(booked, terms)
            return
        if faults.take("silent_modifies"):
            booked.silent_changes += 1
        self._exchange.replace(
            booked.perm_id,
            quantity=terms.quantity,
            limit_price=terms.limit_price,
            stop_price=terms.stop_price,
            time_in_force=terms.time_in_force,
            good_till=terms.good_till,
            outside_rth=terms.outside_rth,
            transmit=terms.transmit or None,
            order_type=terms.order_type,
            trail=terms.trail,
            trail_percent=terms.trail_percent,
            trail_limit=terms.trail_limit,
        )
        self._ledger.note(
            "replace",
            client_id=booked.client_id,
            order_id=booked.order_id,
            order_ref=booked.echo.order_ref,
            perm_id=booked.perm_id,
            quantity=terms.quantity,
            limit_price=terms.limit_price,
            aux_price=terms.stop_price,
        )

    def _split(self, booked: Booked, terms: NewOrder) -> None:
        """Do what a change during an outage has done: the old order lives on beside the new one.

        Both have the client's order id; the id now means the new one (nautilus issue 4564).
        """
        placed = self._exchange.place(attrs.evolve(terms, parent=None))
        echo = attrs.evolve(
            booked.echo,
            perm_id=placed.number,
            quantity=terms.quantity,
            limit_price=terms.limit_price,
            aux_price=terms.stop_price,
        )
        twin = Booked(
            booked.client_id, booked.order_id, placed.number, booked.request, echo, placed
        )
        self.book.add(twin)
        self._ledger.note(
            "split",
            client_id=booked.client_id,
            order_id=booked.order_id,
            order_ref=booked.echo.order_ref,
            perm_id=placed.number,
            old_perm_id=booked.perm_id,
        )

    # --- cancel -----------------------------------------------------------------------------

    def cancel(self, session: Session, request: r.CancelOrder) -> None:
        """Answer cancelOrder of an order of the client's own."""
        booked = self.book.by_client(session.client_id, request.request_id)
        self._ledger.note(
            "cancel",
            client_id=session.client_id,
            order_id=request.request_id,
            order_ref=booked.echo.order_ref if booked else "",
            perm_id=booked.perm_id if booked else 0,
        )
        name = f"OrderId {request.request_id} that needs to be cancelled"
        if booked is None:
            session.error(request.request_id, notices.CANCEL_NOT_FOUND, f"{name} is not found.")
        elif not booked.alive:
            text = f"{name} cannot be cancelled, state: {booked.status}."
            session.error(request.request_id, notices.CANCEL_REFUSED, text)
        elif booked.cancel_asked:
            text = (
                "Cancel attempted when order is not in a cancellable state.  "
                f"Order permId = {booked.perm_id}"
            )
            session.error(request.request_id, notices.NOT_CANCELLABLE, text)
        else:
            self._cancel(booked)

    def cancel_all(self, session: Session, request: r.GlobalCancel) -> None:
        """Answer reqGlobalCancel: every order of every client."""
        for booked in self.book:
            if booked.alive and not booked.cancel_asked:
                self._ledger.note(
                    "cancel",
                    client_id=session.client_id,
                    order_id=booked.order_id,
                    order_ref=booked.echo.order_ref,
                    perm_id=booked.perm_id,
                )
                self._cancel(booked)

    def _cancel(self, booked: Booked) -> None:
        try:
            self._exchange.cancel(booked.perm_id)
        except OrderNotFound:
            # The exchange forgets orders of days past; the book still has what it was told.
            return
        booked.cancel_asked = True
        if not booked.silent and not self._faults.ack_delay:
            told = booked.order_status("PendingCancel")
            for session in self._listeners(booked):
                session.send(told)


def _unheard(number: int) -> None:
    """Nobody keeps what was placed."""
