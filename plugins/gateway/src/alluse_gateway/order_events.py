"""What the exchange says of orders, turned into what clients are told, in TWS's order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

import attrs
from alluse_paper import orders as x
from alluse_paper.holds import LOCATE, OPEN

from alluse_core.clock import Clock
from alluse_core.model import Instrument, Verb
from alluse_gateway import notices
from alluse_gateway.answers import orders as answers
from alluse_gateway.answers.contracts import ContractText
from alluse_gateway.faults import Faults
from alluse_gateway.ledger import Ledger
from alluse_gateway.order_book import Booked, OrderBook
from alluse_gateway.order_status import status_of
from alluse_gateway.order_terms import face, held_text
from alluse_gateway.session import Session

Listeners = Callable[[Booked], Iterable[Session]]
"""Returns the connected clients that hear of an order."""


class OrderEvents:
    """Tells clients what happens to orders.

    While the link is lost, events wait and the exchange goes on; with an ack delay they come
    late. They are never reordered. The ledger hears of each when it happens.
    """

    def __init__(
        self,
        book: OrderBook,
        clock: Clock,
        faults: Faults,
        ledger: Ledger,
        listeners: Listeners,
        adopt: Callable[[x.ExchangeOrder], Booked],
        position_changed: Callable[[str, Instrument], None],
        written: Callable[[Instrument], ContractText],
    ) -> None:
        self._book = book
        self._clock = clock
        self._faults = faults
        self._ledger = ledger
        self._listeners = listeners
        self._adopt = adopt
        self._position_changed = position_changed
        self._written = written
        self._waiting: deque[tuple[Booked, x.ExchangeEvent]] = deque()

    def on_event(self, event: x.ExchangeEvent) -> None:
        """Take an event of the exchange's."""
        booked = self._book.by_perm(event.order.number)
        if booked is None:
            booked = self._adopt(event.order)
        self._note(booked, event)
        delay = self._faults.ack_delay
        if self._faults.link_lost:
            self._waiting.append((booked, event))
        elif delay > 0 or self._waiting:
            self._waiting.append((booked, event))
            asyncio.get_running_loop().call_later(delay, self._tell_next)
        else:
            self._tell(booked, event)

    def release(self) -> None:
        """Tell everything that waits."""
        while self._waiting and not self._faults.link_lost:
            self._tell(*self._waiting.popleft())

    def _tell_next(self) -> None:
        if self._waiting and not self._faults.link_lost:
            self._tell(*self._waiting.popleft())

    # --- the ledger -------------------------------------------------------------------------

    def _note(self, booked: Booked, event: x.ExchangeEvent) -> None:
        facts = {
            "client_id": booked.client_id,
            "order_id": booked.order_id,
            "perm_id": booked.perm_id,
            "order_ref": booked.echo.order_ref,
        }
        if isinstance(event, x.OrderFilled):
            fill = event.execution
            for leg in fill.legs:
                self._ledger.note("leg_fill", **facts, **_execution_facts(leg))
            facts |= _execution_facts(fill)
            if fill.liquidation or event.order.request.cause:
                facts["cause"] = event.order.request.cause.value
        elif isinstance(event, x.FillCorrected):
            facts |= {
                "execution_id": event.execution.execution_id,
                "was": event.was.execution_id,
                "quantity": event.execution.quantity,
                "price": event.execution.price,
            }
        elif isinstance(event, x.CommandRefused):
            facts |= {"verb": event.verb.value, "reason": event.reason}
        elif isinstance(event, x.OrderReplaced):
            terms = event.order.request
            facts |= {
                "quantity": terms.quantity,
                "limit_price": terms.limit_price,
                "aux_price": terms.stop_price,
            }
        elif not isinstance(event, x.OrderAccepted):
            facts |= {"reason": event.reason}
        word = _WORDS[type(event)]
        if word == "canceled" and booked.doomed is not None and not booked.cancel_asked:
            word, facts = "reject", facts | {"code": booked.doomed.code}
        self._ledger.note(word, **facts)

    # --- what clients hear ------------------------------------------------------------------

    def _tell(self, booked: Booked, event: x.ExchangeEvent) -> None:
        booked.order = event.order
        _TELLERS[type(event)](self, booked, event)

    def _say(self, booked: Booked, status: str, why_held: str = "") -> None:
        """openOrder and orderStatus, to everybody who hears of the order."""
        booked.status, booked.why_held, booked.silent = status, why_held, False
        told = booked.order_status()
        for session in self._listeners(booked):
            session.send(booked.open_order(session.version))
            session.send(told)

    def _accepted(self, booked: Booked, event: x.OrderAccepted) -> None:
        if booked.stale:
            self._take_terms(booked, event.order.request)
        status, why_held = status_of(event.order)
        if booked.doomed and booked.doomed.told == "PreSubmitted":
            status = "PreSubmitted"
        self._say(booked, status, why_held)

    def _held(self, booked: Booked, event: x.OrderHeld) -> None:
        status, why_held = status_of(event.order)
        if not status:
            return
        self._say(booked, status, why_held)
        if event.reason == LOCATE:
            self._error(booked, notices.HELD_FOR_LOCATE, notices.LOCATE_TEXT)
        elif event.order.request.parent is None:
            self._error(booked, notices.ORDER_MESSAGE, held_text(booked, event))

    def _error(self, booked: Booked, code: int, text: str) -> None:
        for session in self._listeners(booked):
            session.error(booked.order_id, code, text)

    def _filled(self, booked: Booked, event: x.OrderFilled) -> None:
        fill = event.execution
        booked.fills.append(fill)
        booked.last_price = fill.price
        booked.why_held, booked.silent = "", False
        if booked.stale:
            self._take_terms(booked, event.order.request)
        complete = event.order.remaining <= 0
        if complete:
            booked.status = "Filled"
            booked.ended_at = self._clock.now()
        else:
            booked.status = "PendingCancel" if booked.cancel_asked else "Submitted"
        if event.order.request.cause.is_settlement:
            self._settled(booked, fill)
            return
        told = booked.order_status()
        paid = answers.commission_reports(fill)
        for session in self._listeners(booked):
            version = session.version
            for row in answers.executions_of(booked.echo, fill, version, self._written):
                session.send(row)
            session.send(booked.open_order(version))
            session.send(told)
            if complete:
                session.send(booked.open_order(version, with_commission=True))
                session.send(told)
            for row in paid:
                session.send(row)
        for each in fill.legs or (fill,):
            self._position_changed(each.account, each.instrument)

    def _settled(self, booked: Booked, fill: x.Fill) -> None:
        """An exercise, assignment or expiry: there is an execution, and no order was ever seen."""
        booked.status, booked.ended_at = "Filled", self._clock.now()
        paid = answers.commission_report(fill, fill.realized if fill.realized else None)
        for session in self._listeners(booked):
            session.send(answers.execution_details(booked.echo, fill, session.version))
            session.send(paid)
        self._position_changed(fill.account, fill.instrument)

    def _corrected(self, booked: Booked, event: x.FillCorrected) -> None:
        fill = event.execution
        booked.fills = [
            fill if each.execution_id == event.was.execution_id else each for each in booked.fills
        ]
        for session in self._listeners(booked):
            session.send(answers.execution_details(booked.echo, fill, session.version))
        self._position_changed(fill.account, fill.instrument)

    def _canceled(self, booked: Booked, event: x.OrderCanceled) -> None:
        if booked.doomed is not None and not booked.cancel_asked:
            doomed = booked.doomed
            self._turned_down(booked, doomed.text, doomed.code, doomed.text)
            return
        self._end(booked, "Cancelled", event.reason)
        for session in self._listeners(booked):
            session.send(booked.order_status())
            session.error(
                booked.order_id, notices.CANCELLED, f"Order Canceled - reason:{event.reason}"
            )

    def _rejected(self, booked: Booked, event: x.OrderRejected) -> None:
        text = f"Order rejected - reason:{event.reason}"
        self._turned_down(booked, event.reason, notices.REJECTED, text)

    def _turned_down(self, booked: Booked, reason: str, code: int, text: str) -> None:
        self._end(booked, "Inactive", reason)
        for session in self._listeners(booked):
            session.error(booked.order_id, code, text)
            session.send(booked.open_order(session.version))
            session.send(booked.order_status())

    def _expired(self, booked: Booked, event: x.OrderExpired) -> None:
        self._end(booked, "Cancelled", event.reason)
        for session in self._listeners(booked):
            session.send(booked.order_status())

    def _replaced(self, booked: Booked, event: x.OrderReplaced) -> None:
        # After hours an order keeps its old face until the market opens (ib_insync issue 501).
        if booked.silent_changes or event.order.reason == OPEN:
            booked.silent_changes = max(0, booked.silent_changes - 1)
            booked.stale = True
            return
        self._take_terms(booked, event.order.request)
        if not booked.silent:
            self._say(booked, booked.status, booked.why_held)

    def _take_terms(self, booked: Booked, request: x.NewOrder) -> None:
        """Show the order as the exchange has it."""
        booked.stale = False
        order_type, aux_price = face(request)
        booked.change(
            attrs.evolve(
                booked.echo,
                quantity=request.quantity,
                order_type=order_type,
                limit_price=request.limit_price,
                aux_price=aux_price,
                time_in_force=request.time_in_force.value,
                extras=booked.request.extras if booked.request else booked.echo.extras,
            )
        )

    def _refused(self, booked: Booked, event: x.CommandRefused) -> None:
        if event.verb is Verb.CANCEL:
            booked.cancel_asked = False
            code = notices.CANCEL_REFUSED
            text = (
                f"OrderId {booked.order_id} that needs to be cancelled cannot be cancelled, "
                f"state: {booked.status}."
            )
        elif event.order.state.is_terminal:
            code, text = notices.CANNOT_MODIFY, "Cannot modify a filled order."
        else:
            code, text = notices.REJECTED, f"Order rejected - reason:{event.reason}"
        for session in self._listeners(booked):
            session.error(booked.order_id, code, text)

    def _end(self, booked: Booked, status: str, reason: str) -> None:
        booked.status, booked.reason, booked.silent = status, reason, False
        booked.why_held = ""
        booked.ended_at = self._clock.now()


def _execution_facts(fill: x.Fill) -> dict[str, object]:
    return {
        "execution_id": fill.execution_id,
        "account": fill.account,
        "side": fill.side.value,
        "symbol": fill.instrument.symbol,
        "instrument": fill.instrument.id,
        "quantity": fill.quantity,
        "price": fill.price,
        "commission": fill.commission,
        "cumulative": fill.cumulative,
    }


_WORDS: dict[type, str] = {
    x.OrderAccepted: "ack",
    x.OrderHeld: "held",
    x.OrderFilled: "fill",
    x.OrderCanceled: "canceled",
    x.OrderRejected: "reject",
    x.OrderReplaced: "replaced",
    x.OrderExpired: "expired",
    x.CommandRefused: "command_refused",
    x.FillCorrected: "correction",
}

_TELLERS: dict[type, Callable[..., None]] = {
    x.OrderAccepted: OrderEvents._accepted,
    x.OrderHeld: OrderEvents._held,
    x.OrderFilled: OrderEvents._filled,
    x.OrderCanceled: OrderEvents._canceled,
    x.OrderRejected: OrderEvents._rejected,
    x.OrderReplaced: OrderEvents._replaced,
    x.OrderExpired: OrderEvents._expired,
    x.CommandRefused: OrderEvents._refused,
    x.FillCorrected: OrderEvents._corrected,
}
