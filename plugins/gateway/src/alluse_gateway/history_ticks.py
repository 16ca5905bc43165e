"""Historical ticks and histograms."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from alluse_paper.market import Listing

from alluse_core.model import SecurityType
from alluse_gateway import history_terms as terms
from alluse_gateway import notices
from alluse_gateway import requests as r
from alluse_gateway.answers import history as answers
from alluse_gateway.bars import BarHistory, QuoteTick, TradeTick
from alluse_gateway.contracts import ContractDesk
from alluse_gateway.history_source import HistorySource, session_days
from alluse_gateway.history_terms import DAY, WEEK
from alluse_gateway.order_terms import moment
from alluse_gateway.session import Session

MOST = 1000
"""Ticks of one answer, beyond which only the last second is completed."""

_KINDS = ("TRADES", "BID_ASK", "MIDPOINT")
_PERIOD = re.compile(r"(\d{1,3}) (day|week|month)s?")
_PERIOD_DAYS = {"day": 1, "week": 7, "month": 31}
_UNKNOWN_SIZE = 0.0


class HistoricalTicksDesk:
    """Answers reqHistoricalTicks and reqHistogramData.

    What was played is told tick by tick as long as it is kept; what came before, and the past, by
    one tick a second.
    """

    def __init__(self, contracts: ContractDesk, source: HistorySource, played: BarHistory) -> None:
        self._contracts = contracts
        self._source = source
        self._played = played

    def ticks(self, session: Session, request: r.HistoricalTicks) -> None:
        """Answer reqHistoricalTicks: 96, 97 or 98, or 162, 200, 321, 10314."""
        number = request.request_id
        listing = self._contracts.one(request.contract)
        if isinstance(listing, str):
            session.error(number, notices.NO_DEFINITION, listing)
            return
        refusal = _refused(request, listing)
        if refusal is not None:
            session.error(number, refusal.code, refusal.text)
            return
        end = moment(request.end) if request.end else None
        start = moment(request.start) if request.start else None
        if end is None and start is None:
            refusal = terms.bad_end()
            session.error(number, refusal.code, refusal.text)
            return
        if start is not None:
            rows = self._after(listing, request, start.timestamp())
        else:
            assert end is not None
            rows = self._before(listing, request, end.timestamp())
        _send(session, request, listing, rows)

    def precede(
        self, session: Session, number: int, listing: Listing, what: str, count: int
    ) -> None:
        """Send the newest ticks of a kind, before a stream of them."""
        request = r.HistoricalTicks(number, count=min(count, MOST), what=what)
        present = self._source.present
        rows = self._before(listing, request, present + 1) if math.isfinite(present) else []
        _send(session, request, listing, rows[-count:])

    def _before(
        self, listing: Listing, request: r.HistoricalTicks, end: float
    ) -> list[tuple[float, ...]]:
        """Return the last ticks before ``end``, whole seconds, oldest first."""
        span, rows = 60.0, list[tuple[float, ...]]()
        # Ticks are about as frequent as seconds; nights and weekends have none.
        while len(rows) < request.count and span < WEEK:
            span *= 4
            rows = self._rows(listing, request, end - span, end)
        if len(rows) > request.count:
            edge = int(rows[-request.count][0])
            rows = [row for row in rows if row[0] >= edge]
        return rows

    def _after(
        self, listing: Listing, request: r.HistoricalTicks, start: float
    ) -> list[tuple[float, ...]]:
        span, rows = 60.0, list[tuple[float, ...]]()
        while len(rows) < request.count and span < WEEK:
            span *= 4
            rows = self._rows(listing, request, start, start + span)
        if len(rows) > request.count:
            edge = int(rows[request.count - 1][0])
            rows = [row for row in rows if row[0] < edge + 1]
        return rows

    def _rows(
        self, listing: Listing, request: r.HistoricalTicks, start: float, end: float
    ) -> list[tuple[float, ...]]:
        trades = request.what == "TRADES"
        kept = (self._played.trades if trades else self._played.quotes).get(listing.instrument, ())
        known: Iterable[TradeTick | QuoteTick] = [row for row in kept if start <= row[0] < end]
        begins = kept[0][0] if kept else math.inf
        rows: list[tuple[float, ...]] = []
        if start < begins:
            rows = self._seconds(listing, request.what, start, min(end, begins))
        rows += known
        if request.use_rth:
            hours = self._contracts.hours(listing)
            days = session_days(hours, start, end, extended=False)
            rows = [row for row in rows if any(day.opens <= row[0] < day.closes for day in days)]
        return rows

    def _seconds(
        self, listing: Listing, what: str, start: float, end: float
    ) -> list[tuple[float, ...]]:
        if what == "TRADES":
            bars = self._source.bars(listing, what, start, end, 1, rth=False)
            return [(bar.start, bar.close, bar.volume) for bar in bars if bar.count]
        bids = self._source.bars(listing, "BID", start, end, 1, rth=False)
        asks = self._source.bars(listing, "ASK", start, end, 1, rth=False)
        by_second = {bar.start: bar.close for bar in asks}
        nothing = _UNKNOWN_SIZE
        return [
            (bar.start, bar.close, by_second[bar.start], nothing, nothing)
            for bar in bids
            if bar.start in by_second
        ]

    # --- histogram --------------------------------------------------------------------------

    def histogram(self, session: Session, request: r.Histogram) -> None:
        """Answer reqHistogramData: 89, the volume at each price, or 162, 200, 321."""
        listing = self._contracts.one(request.contract)
        found = _PERIOD.fullmatch(request.period.strip())
        if isinstance(listing, str):
            session.error(request.request_id, notices.NO_DEFINITION, listing)
            return
        if found is None:
            cause = f"{request.period!r} is not a period such as '3 days'"
            text = notices.validation("histogram", cause)
            session.error(request.request_id, notices.VALIDATION, text)
            return
        days = int(found.group(1)) * _PERIOD_DAYS[found.group(2)]
        end = self._source.present + 1
        volumes: dict[float, float] = {}
        if math.isfinite(end):
            tick = float(listing.min_tick)
            for bar in self._source.bars(
                listing, "TRADES", end - days * DAY, end, 60, rth=request.use_rth
            ):
                if bar.volume > 0:
                    price = round(round(bar.average / tick) * tick, 8)
                    volumes[price] = volumes.get(price, 0.0) + bar.volume
        if volumes:
            rows = [(price, int(size)) for price, size in sorted(volumes.items())]
            session.send(answers.histogram(request.request_id, rows))
            return
        refusal = terms.no_data(f"{listing.instrument.symbol} histogram")
        session.error(request.request_id, refusal.code, refusal.text)


def _refused(request: r.HistoricalTicks, listing: Listing) -> terms.Refusal | None:
    cause = ""
    if request.what not in _KINDS:
        cause = f"Incorrect what to show {request.what!r}. Legal ones are: {', '.join(_KINDS)}"
    elif not 1 <= request.count <= MOST:
        cause = f"the number of ticks is 1 to {MOST}"
    elif bool(request.start) == bool(request.end):
        cause = "give a start or an end, not both"
    if cause:
        return terms.Refusal(notices.VALIDATION, notices.validation("ticks", cause))
    instrument = listing.instrument
    if request.what == "TRADES" and instrument.security_type is SecurityType.FOREX:
        return terms.what_refused("TRADES", instrument.security_type, DAY, instrument.symbol)
    return None


def _send(
    session: Session,
    request: r.HistoricalTicks,
    listing: Listing,
    rows: list[tuple[float, ...]],
) -> None:
    number = request.request_id
    if request.what == "TRADES":
        exchange = listing.primary_exchange
        lasts = [(int(at), price, size, exchange) for at, price, size in rows]
        session.send(answers.ticks_last(number, lasts, True))
    elif request.what == "BID_ASK":
        quotes = [(int(at), bid, ask, _size(b), _size(a)) for at, bid, ask, b, a in rows]
        session.send(answers.ticks_bid_ask(number, quotes, True))
    else:
        mids = [(int(at), round((bid + ask) / 2, 8)) for at, bid, ask, *_ in rows]
        session.send(answers.ticks_mid(number, mids, True))


def _size(size: float) -> float:
    return size if size == size else _UNKNOWN_SIZE
