"""What clients ask about orders: open ones, completed ones, executions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import attrs
from alluse_paper.orders import Fill

from alluse_core.clock import Clock
from alluse_gateway import notices
from alluse_gateway import requests as r
from alluse_gateway.answers import orders as answers
from alluse_gateway.contracts import ContractDesk
from alluse_gateway.order_book import EXTERNAL, Booked, OrderBook
from alluse_gateway.order_terms import moment
from alluse_gateway.session import Session

_DAY_ZONE = ZoneInfo("America/New_York")


class OrderQuestions:
    """Answers from the order book. ``hears`` says whether a client is told of an order unasked."""

    def __init__(
        self,
        clock: Clock,
        book: OrderBook,
        hears: Callable[[Session, Booked], bool],
        contracts: ContractDesk,
    ) -> None:
        self._clock = clock
        self._contracts = contracts
        self._book = book
        self._hears = hears
        self._cleared: datetime | None = None

    def open_orders(self, session: Session, request: r.OpenOrders) -> None:
        """Answer reqOpenOrders and reqAllOpenOrders: (5, 3) for each, then 53."""
        for booked in self._book:
            if not booked.alive:
                continue
            if not request.everyone and not self._hears(session, booked):
                continue
            if booked.silent and booked.client_id != session.client_id:
                continue
            session.send(booked.open_order(session.version))
            session.send(booked.order_status())
        session.send(answers.open_order_end())

    def auto_open_orders(self, session: Session, request: r.AutoOpenOrders) -> None:
        """Answer reqAutoOpenOrders, which only client 0 may send."""
        if session.client_id != EXTERNAL:
            text = "Only the default client (i.e 0) can auto bind orders."
            session.error(-1, notices.VALIDATION, notices.validation("order", text))
            return
        self._book.binding = request.bind
        if not request.bind:
            return
        for booked in self._book:
            if booked.alive and booked.client_id == booked.order_id == EXTERNAL:
                self._book.bind(booked)
                session.send(answers.order_bound(booked.perm_id, EXTERNAL, booked.order_id))
                session.send(booked.open_order(session.version))
                session.send(booked.order_status())

    def forget_past_days(self) -> None:
        """Drop the orders that ended on earlier days, New York time, as TWS does."""
        midnight = self.midnight()
        if midnight != self._cleared:
            self._cleared = midnight
            self._book.forget_before(midnight)

    def midnight(self) -> datetime:
        """Return when this day began, New York time."""
        now = self._clock.now().astimezone(_DAY_ZONE)
        return now.replace(hour=0, minute=0, second=0, microsecond=0)

    def completed(self, session: Session, request: r.CompletedOrders) -> None:
        """Answer reqCompletedOrders with what ended on this day, New York time."""
        midnight = self.midnight()
        for booked in self._book:
            ended = booked.ended_at
            if ended is None or ended < midnight or booked.is_settlement:
                continue
            if request.api_only and booked.order_id == EXTERNAL:
                continue
            filled = booked.order.filled
            why = booked.reason
            if booked.status == "Filled":
                why = f"Filled Size: {filled}"
            elif booked.cancel_asked:
                why = "Cancelled by Trader"
            session.send(
                answers.completed_order(
                    booked.echo,
                    session.version,
                    booked.status,
                    filled,
                    f"{ended:%Y%m%d %H:%M:%S} UTC",
                    why,
                )
            )
        session.send(answers.completed_orders_end())

    def executions(self, session: Session, request: r.Executions) -> None:
        """Answer reqExecutions: 11 for each fill of this day, 55, then 59 for each."""
        since = moment(request.since) if request.since else None
        first = self.midnight() - timedelta(days=min(max(request.days - 1, 0), 7))
        found = [
            (booked.echo, fill)
            for booked in self._book
            for whole in booked.fills
            for fill in whole.all
            if self._passes(request, booked, fill)
            and (since is None or fill.time >= since)
            and (_day(fill.time) in request.dates if request.dates else fill.time >= first)
        ]
        found.sort(key=lambda pair: pair[1].execution_id)
        for echo, fill in found:
            if fill.instrument is not echo.contract.listing.instrument:
                echo = attrs.evolve(echo, contract=self._contracts.text_of(fill.instrument))
            session.send(answers.execution_details(echo, fill, session.version, request.request_id))
        session.send(answers.execution_details_end(request.request_id))
        for _, fill in found:
            for row in () if fill.legs else answers.commission_reports(fill):
                session.send(row)

    def _passes(self, request: r.Executions, booked: Booked, fill: Fill) -> bool:
        instrument = fill.instrument
        primary = self._contracts.text_of(instrument).listing.primary_exchange
        side = {"BOT": "BUY", "SLD": "SELL"}.get(request.side, request.side)
        return (
            request.client_id in (0, booked.client_id)
            and request.account in ("", booked.echo.account)
            and request.symbol in ("", instrument.symbol)
            and request.security_type in ("", instrument.security_type.value)
            and request.exchange in ("", instrument.exchange, primary)
            and side in ("", fill.side.value)
        )


def _day(moment: datetime) -> str:
    return f"{moment.astimezone(_DAY_ZONE):%Y%m%d}"
