"""Tick-by-tick data: every change, unsampled, to the few who ask for it."""

from __future__ import annotations

import math

from alluse_paper.exchange import Exchange
from alluse_paper.market import TopOfBook, is_price

from alluse_core.model import Instrument
from alluse_gateway import notices
from alluse_gateway import requests as r
from alluse_gateway.answers import ticks
from alluse_gateway.contracts import ContractDesk
from alluse_gateway.faults import Faults
from alluse_gateway.history_ticks import HistoricalTicksDesk
from alluse_gateway.session import Session

MAX_REQUESTS = 5
"""Requests of one client at a time; IBKR allows one for every twenty lines of market data."""

_LAST = {"Last": 1, "AllLast": 2}
_HISTORY = {
    "Last": "TRADES",
    "AllLast": "TRADES",
    "BidAsk": "BID_ASK",
    "MidPoint": "MIDPOINT",
}
_KINDS = frozenset({*_LAST, "BidAsk", "MidPoint"})


class TickByTickDesk:
    """Answers reqTickByTickData from what the exchange shows from then on."""

    def __init__(
        self,
        exchange: Exchange,
        contracts: ContractDesk,
        faults: Faults,
        history: HistoricalTicksDesk,
    ) -> None:
        self._exchange = exchange
        self._history = history
        self._contracts = contracts
        self._faults = faults
        self._requests: dict[tuple[Session, int], tuple[Instrument, str]] = {}
        self._watched: dict[Instrument, list[tuple[Session, int, str]]] = {}
        self._shown: dict[Instrument, tuple[tuple[float, ...], tuple[float, ...]]] = {}

    def subscribe(self, session: Session, request: r.TickByTick) -> None:
        """Answer reqTickByTickData."""
        number = request.request_id
        listing = self._contracts.one(request.contract)
        if isinstance(listing, str):
            session.error(number, notices.NO_DEFINITION, listing)
        elif request.kind not in _KINDS:
            cause = f"unknown tick type {request.kind!r}"
            session.error(number, notices.VALIDATION, notices.validation("ticks", cause))
        elif (session, number) in self._requests:
            session.error(number, notices.DUPLICATE_TICKER, "Duplicate ticker ID")
        elif sum(owner is session for owner, _ in self._requests) >= MAX_REQUESTS:
            text = "Max number of tick-by-tick requests has been reached"
            session.error(number, notices.MAX_TICK_BY_TICK, text)
        else:
            self._requests[(session, number)] = (listing.instrument, request.kind)
            self._arrange()
            if request.count > 0:
                what = _HISTORY[request.kind]
                self._history.precede(session, number, listing, what, request.count)

    def cancel(self, session: Session, number: int) -> None:
        """End one request; an unknown one is no error."""
        if self._requests.pop((session, number), None) is not None:
            self._arrange()

    def forget(self, session: Session | None = None) -> None:
        """End the requests of a client that is gone, or of all (data lost)."""
        gone = [key for key in self._requests if session is None or key[0] is session]
        for key in gone:
            del self._requests[key]
        if gone:
            self._arrange()

    def _arrange(self) -> None:
        self._watched = {}
        for (session, number), (instrument, kind) in self._requests.items():
            self._watched.setdefault(instrument, []).append((session, number, kind))

    def on_market(self, instrument: Instrument, top: TopOfBook) -> None:
        """An instrument has moved. A slow reader loses ticks, as with market data lines."""
        watchers = self._watched.get(instrument)
        if not watchers or self._faults.shows_nothing:
            return
        quote = (top.bid, top.ask, top.bid_size, top.ask_size)
        trade = (top.last, top.volume)
        nothing = (math.nan,)
        quote_before, trade_before = self._shown.get(instrument, (nothing, nothing))
        self._shown[instrument] = (quote, trade)
        for session, number, kind in watchers:
            if session.congested:
                continue
            if kind in _LAST and trade != trade_before and is_price(top.last):
                size = top.last_size if top.last_size == top.last_size else 0.0
                second = int(top.time)
                session.send(ticks.tick_by_tick_last(number, _LAST[kind], second, top.last, size))
            elif quote != quote_before:
                self._send_quote(session, number, kind, top)

    def _send_quote(self, session: Session, number: int, kind: str, top: TopOfBook) -> None:
        second = int(top.time)
        if kind == "MidPoint" and is_price(top.mid):
            session.send(ticks.tick_by_tick_mid(number, second, top.mid))
        elif kind == "BidAsk" and is_price(top.bid) and is_price(top.ask):
            sizes = [size if size == size else 0.0 for size in (top.bid_size, top.ask_size)]
            session.send(ticks.tick_by_tick_quote(number, second, top.bid, top.ask, *sizes))
