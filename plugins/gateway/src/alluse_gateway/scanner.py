"""Scans of the simulated market: instruments ranked by what the exchange shows of them."""

from __future__ import annotations

import math
from collections.abc import Callable

from alluse_paper.exchange import Exchange
from alluse_paper.market import Listing, TopOfBook, is_price

from alluse_core.model import SecurityType
from alluse_gateway import notices
from alluse_gateway import requests_reference as q
from alluse_gateway.answers import reference as answers
from alluse_gateway.session import Session

MOST_ROWS = 50
MOST_SCANS = 10
"""IBKR's limits: rows of one scan, and scans of one client at a time."""

REFRESH_S = 30

Rank = Callable[[TopOfBook], float]


def _gain(top: TopOfBook) -> float:
    price = top.last if is_price(top.last) else top.mark
    return price / top.close - 1 if is_price(top.close) else math.nan


def _gap(top: TopOfBook) -> float:
    return top.open / top.close - 1 if is_price(top.open) and is_price(top.close) else math.nan


SCANS: dict[str, tuple[str, Rank]] = {
    "TOP_PERC_GAIN": ("Top % Gainers", _gain),
    "TOP_PERC_LOSE": ("Top % Losers", lambda top: -_gain(top)),
    "MOST_ACTIVE": ("Most Active", lambda top: top.volume),
    "HOT_BY_VOLUME": ("Hot Contracts by Volume", lambda top: top.volume),
    "HIGH_OPEN_GAP": ("Top Gap at Open", _gap),
    "LOW_OPEN_GAP": ("Bottom Gap at Open", lambda top: -_gap(top)),
}
"""Scan codes: their names, and what they rank by, the greatest first."""

_KINDS = {
    "STK": SecurityType.STOCK,
    "FUT.US": SecurityType.FUTURE,
    "IND.US": SecurityType.INDEX,
    "CASH": SecurityType.FOREX,
}
_LOCATIONS = {"STK": "STK.US.MAJOR", "FUT.US": "FUT.US", "IND.US": "IND.US", "CASH": "CASH"}


class ScannerDesk:
    """Answers scans, and again every half minute until they are cancelled."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._scans: dict[tuple[Session, int], q.ScannerSubscription] = {}
        self._seconds = 0

    def parameters(self, session: Session, request: q.ScannerParameters) -> None:
        """Answer reqScannerParameters."""
        session.send(answers.scanner_parameters(parameters_xml()))

    def subscribe(self, session: Session, request: q.ScannerSubscription) -> None:
        """Answer reqScannerSubscription: 20, or 162 or 321."""
        number = request.request_id
        if request.code not in SCANS or request.instrument not in _KINDS:
            cause = "the scan code or instrument is not one of the scanner parameters"
            session.error(number, notices.VALIDATION, notices.validation("scanner", cause))
        elif (session, number) in self._scans:
            session.error(number, notices.DUPLICATE_TICKER, "Duplicate ticker ID")
        elif sum(owner is session for owner, _ in self._scans) >= MOST_SCANS:
            text = f"API scanner subscriptions are limited to {MOST_SCANS}"
            session.error(number, notices.HISTORY_ERROR, notices.HISTORY_TEXT + text)
        else:
            self._scans[(session, number)] = request
            self._answer(session, request)

    def cancel(self, session: Session, request: q.CancelScanner) -> None:
        """End a scan; TWS confirms it by error 162."""
        number = request.request_id
        if self._scans.pop((session, number), None) is None:
            text = f"No scanner subscription found for ticker id:{number}"
            session.error(number, notices.NO_SCAN, text)
        else:
            text = f"API scanner subscription cancelled: {number}"
            session.error(number, notices.HISTORY_ERROR, notices.HISTORY_TEXT + text)

    def forget(self, session: Session) -> None:
        """A client is gone."""
        for key in [key for key in self._scans if key[0] is session]:
            del self._scans[key]

    def tick(self) -> None:
        """A second has passed."""
        self._seconds = (self._seconds + 1) % REFRESH_S
        if self._seconds == 0:
            for (session, _), request in self._scans.items():
                self._answer(session, request)

    def _answer(self, session: Session, request: q.ScannerSubscription) -> None:
        session.send(answers.scanner_data(request.request_id, self._ranked(request)))

    def _ranked(self, request: q.ScannerSubscription) -> list[Listing]:
        kind, rank = _KINDS[request.instrument], SCANS[request.code][1]
        found: list[tuple[float, str, Listing]] = []
        for listing in self._exchange.listings:
            top = self._exchange.top(listing.instrument)
            if listing.instrument.security_type is not kind or top is None:
                continue
            value = rank(top)
            if value == value and _within(request, top):
                found.append((-value, listing.instrument.id, listing))
        found.sort(key=lambda each: each[:2])
        rows = MOST_ROWS if request.rows < 0 else min(request.rows, MOST_ROWS)
        return [listing for _, _, listing in found[:rows]]


def _within(request: q.ScannerSubscription, top: TopOfBook) -> bool:
    price = top.last if is_price(top.last) else top.mark
    if request.above_price is not None and not price > float(request.above_price):
        return False
    if request.below_price is not None and not price < float(request.below_price):
        return False
    return not request.above_volume or top.volume > request.above_volume


def parameters_xml() -> str:
    """Return what can be scanned for, in the form of TWS's own document."""
    instruments = "".join(
        f"<Instrument><name>{kind.value}</name><type>{name}</type></Instrument>"
        for name, kind in _KINDS.items()
    )
    locations = "".join(
        f"<Location><displayName>{code}</displayName><locationCode>{code}</locationCode>"
        f"<instruments>{name}</instruments></Location>"
        for name, code in _LOCATIONS.items()
    )
    scans = "".join(
        f"<ScanType><displayName>{name}</displayName><scanCode>{code}</scanCode>"
        f"<instruments>{','.join(_KINDS)}</instruments></ScanType>"
        for code, (name, _) in SCANS.items()
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ScanParameterResponse>'
        f"<InstrumentList>{instruments}</InstrumentList><LocationTree>{locations}</LocationTree>"
        f"<ScanTypeList>{scans}</ScanTypeList></ScanParameterResponse>"
    )
