"""Historical bars, schedules, head time stamps, real-time bars."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import attrs
from alluse_paper.market import Listing

from alluse_core.clock import Clock
from alluse_gateway import history_terms as terms
from alluse_gateway import notices
from alluse_gateway import requests as r
from alluse_gateway.answers import history as answers
from alluse_gateway.bars import BASE_SECONDS, KINDS, BaseBar
from alluse_gateway.contracts import ContractDesk
from alluse_gateway.faults import Faults
from alluse_gateway.history_pacing import OPEN_REQUESTS, Asked, HistoryPacing
from alluse_gateway.history_source import HistorySource, session_days
from alluse_gateway.history_terms import DAY, SMALL, Refusal, Span
from alluse_gateway.order_terms import moment
from alluse_gateway.session import Session

SMALL_BARS_KEPT = 183 * DAY
"""Seconds after which IBKR no longer has bars of 30 seconds or less."""

MAX_REAL_TIME = 60
REAL_TIME_WITHIN = 600.0
"""New requests for real-time bars in that many seconds."""


@attrs.frozen
class Wanted:
    """A request for bars that can be answered. ``end`` and ``start`` are epoch seconds."""

    request: r.HistoricalData
    listing: Listing
    seconds: int
    start: float
    end: float


@attrs.define
class LiveBars:
    """A request that is kept up to date, and its newest bar's start as it was last sent."""

    wanted: Wanted
    sent: int = 0


class HistoryDesk:
    """Answers from a market's past and from what was played since.

    ``seconds`` is how long an answer takes; ``pacing`` holds clients to IBKR's rules.
    """

    def __init__(
        self,
        clock: Clock,
        contracts: ContractDesk,
        faults: Faults,
        source: HistorySource,
        *,
        seconds: float = 0.0,
        pacing: bool = True,
    ) -> None:
        self._clock = clock
        self._contracts = contracts
        self._faults = faults
        self._source = source
        self._seconds = seconds
        self._pacing = HistoryPacing() if pacing else None
        self._pending: dict[tuple[Session, int], asyncio.TimerHandle] = {}
        self._live: dict[tuple[Session, int], LiveBars] = {}
        self._realtime: dict[tuple[Session, int], tuple[Listing, str, bool, int]] = {}
        self._realtime_asked: list[float] = []

    # --- bars -------------------------------------------------------------------------------

    def bars(self, session: Session, request: r.HistoricalData) -> None:
        """Answer reqHistoricalData: 17 or 106, or 162, 200, 321, 322, 10314."""
        number = request.request_id
        listing = self._contracts.one(request.contract)
        if isinstance(listing, str):
            session.error(number, notices.NO_DEFINITION, listing)
            return
        wanted = self._understood(request, listing)
        if isinstance(wanted, Refusal):
            session.error(number, wanted.code, wanted.text)
            return
        refusal = self._too_many(wanted)
        if refusal:
            session.error(number, refusal.code, refusal.text)
        elif self._seconds > 0:
            loop = asyncio.get_running_loop()
            handle = loop.call_later(self._seconds, self._answer, session, wanted)
            self._pending[(session, number)] = handle
        else:
            self._answer(session, wanted)

    def _understood(self, request: r.HistoricalData, listing: Listing) -> Wanted | Refusal:
        seconds, span = terms.bar_seconds(request.bar_size), terms.span_of(request.duration)
        if isinstance(seconds, Refusal):
            return seconds
        if isinstance(span, Refusal):
            return span
        kind, symbol = listing.instrument.security_type, listing.instrument.symbol
        refusal = terms.what_refused(request.what, kind, seconds, symbol)
        if refusal is None and request.keep_up_to_date:
            refusal = terms.live_refused(request.end, request.what, seconds)
        if refusal is not None:
            return refusal
        end = self._end(request.end)
        if end is None:
            return terms.bad_end()
        if math.isnan(end):
            return terms.no_data(_about(listing, request.what))
        start = self._start(span, end, listing, rth=request.use_rth)
        length = min(end - start, span.count if span.unit == "S" else math.inf)
        refusal = terms.length_refused(seconds, length)
        return refusal or Wanted(request, listing, seconds, start, end)

    def _start(self, span: Span, end: float, listing: Listing, *, rth: bool) -> float:
        return span.start(end, self._contracts.hours(listing), extended=not rth)

    def _end(self, text: str) -> float | None:
        """The end that was asked for, epoch seconds; the market's present where none was."""
        if not text:
            now = self._source.present
            # Bars begin before they end: the present second belongs to the answer.
            return now + 1 if math.isfinite(now) else math.nan
        when = moment(text)
        return when.timestamp() if when else None

    def _too_many(self, wanted: Wanted) -> Refusal | None:
        if self._pacing is None:
            return None
        if len(self._pending) + len(self._live) >= OPEN_REQUESTS:
            text = "Only 50 simultaneous API historical data requests allowed."
            cause = f"Error processing request.-'bQ' : cause - {text}"
            return Refusal(notices.PROCESSING, cause)
        if wanted.seconds > SMALL:
            return None
        request = wanted.request
        asked = Asked(
            same=attrs.evolve(request, request_id=-1),
            family=(wanted.listing.con_id, request.contract.exchange, request.what),
            weight=2 if request.what == "BID_ASK" else 1,
        )
        taken = self._pacing.take(asked, self._clock.monotonic())
        return None if taken else terms.paced()

    def _answer(self, session: Session, wanted: Wanted) -> None:
        request = wanted.request
        self._pending.pop((session, request.request_id), None)
        if request.what == terms.SCHEDULE:
            self._schedule(session, wanted)
            return
        found = self._found(wanted)
        if not found or self._faults.history_farm_broken:
            refusal = terms.no_data(_about(wanted.listing, request.what))
            session.error(request.request_id, refusal.code, refusal.text)
            return
        zone = self._contracts.hours(wanted.listing).zone
        rows = [self._written(bar, wanted, session.version) for bar in found]
        edges = [_time(edge, False, session.version, zone) for edge in (wanted.start, wanted.end)]
        first, last = edges
        number = request.request_id
        session.send(answers.historical_data(session.version, number, first, last, rows))
        if session.version >= 196:
            session.send(answers.historical_data_end(number, first, last))
        if request.keep_up_to_date:
            self._live[(session, request.request_id)] = LiveBars(wanted, found[-1].start)

    def _found(self, wanted: Wanted) -> list[BaseBar]:
        request, start, end = wanted.request, wanted.start, wanted.end
        if wanted.seconds <= SMALL and math.isfinite(self._source.present):
            start = max(start, self._source.present - SMALL_BARS_KEPT)
        if start >= end:
            return []
        if request.what in terms.VOLATILITIES:
            if request.what == "OPTION_IMPLIED_VOLATILITY":
                return []
            return self._source.volatility(wanted.listing, start, end)
        return self._source.bars(
            wanted.listing, request.what, start, end, wanted.seconds, rth=request.use_rth
        )

    def _written(self, bar: BaseBar, wanted: Wanted, version: int) -> answers.WrittenBar:
        zone = self._contracts.hours(wanted.listing).zone
        if wanted.seconds >= DAY and wanted.listing.hours.open >= wanted.listing.hours.close:
            # A session that begins on the evening before has the date on which it ends.
            bar = attrs.evolve(bar, start=bar.start + 12 * 3600)
        return written(bar, wanted.seconds, wanted.request.epoch, version, zone)

    def _schedule(self, session: Session, wanted: Wanted) -> None:
        hours = self._contracts.hours(wanted.listing)
        extended = not wanted.request.use_rth
        days = session_days(hours, wanted.start, wanted.end, extended=extended)
        if not days:
            refusal = terms.no_data(_about(wanted.listing, terms.SCHEDULE))
            session.error(wanted.request.request_id, refusal.code, refusal.text)
            return
        rows = [
            (_stamp(day.opens, hours.zone), _stamp(day.closes, hours.zone), f"{day.day:%Y%m%d}")
            for day in days
        ]
        number = wanted.request.request_id
        session.send(answers.historical_schedule(number, rows[0][0], rows[-1][1], hours.zone, rows))

    # --- head time stamp --------------------------------------------------------------------

    def head(self, session: Session, request: r.HeadTimestamp) -> None:
        """Answer reqHeadTimestamp: the first price that is known."""
        listing = self._contracts.one(request.contract)
        if isinstance(listing, str):
            session.error(request.request_id, notices.NO_DEFINITION, listing)
            return
        kind, symbol = listing.instrument.security_type, listing.instrument.symbol
        refusal = terms.what_refused(request.what, kind, DAY, symbol)
        found = math.nan if refusal else self._source.head(listing, request.what)
        if refusal:
            session.error(request.request_id, refusal.code, refusal.text)
        elif math.isnan(found):
            text = "Historical Market Data Service error message:No head time stamp"
            session.error(request.request_id, notices.HISTORY_ERROR, text)
        else:
            first = datetime.fromtimestamp(found, UTC)
            session.send(answers.head_timestamp(request.request_id, first, request.epoch))

    # --- real-time bars ---------------------------------------------------------------------

    def real_time(self, session: Session, request: r.RealTimeBars) -> None:
        """Answer reqRealTimeBars: a bar of five seconds whenever one is complete, or 200, 420."""
        listing = self._contracts.one(request.contract)
        if isinstance(listing, str):
            session.error(request.request_id, notices.NO_DEFINITION, listing)
            return
        number, what = request.request_id, request.what
        kind, symbol = listing.instrument.security_type, listing.instrument.symbol
        refusal = terms.what_refused(what, kind, BASE_SECONDS, symbol)
        now = self._clock.monotonic()
        self._realtime_asked = [at for at in self._realtime_asked if now - at < REAL_TIME_WITHIN]
        if what not in KINDS:
            cause = f"Incorrect what to show {what!r} of real-time bars"
            session.error(number, notices.VALIDATION, notices.validation("bars", cause))
        elif refusal is not None:
            text = f"Invalid Real-time Query:No {what} of {symbol}/{kind.value}"
            session.error(number, notices.REAL_TIME_QUERY, text)
        elif self._pacing is not None and len(self._realtime_asked) >= MAX_REAL_TIME:
            text = "Invalid Real-time Query:Historical data request pacing violation"
            session.error(number, notices.REAL_TIME_QUERY, text)
        else:
            self._realtime_asked.append(now)
            self._realtime[(session, number)] = (listing, what, request.use_rth, 0)

    # --- ending -----------------------------------------------------------------------------

    def cancel(self, session: Session, request: r.CancelHistory) -> None:
        """End a request of this desk.

        Bars that were waited for or kept up to date end with 162; an unknown cancelHistoricalData
        is answered by 366, other unknown cancels are no error, as with TWS.
        """
        key = (session, request.request_id)
        pending = self._pending.pop(key, None)
        if pending is not None:
            pending.cancel()
        if pending is not None or self._live.pop(key, None) is not None:
            refusal = terms.cancelled(request.request_id)
            session.error(request.request_id, refusal.code, refusal.text)
        elif self._realtime.pop(key, None) is None and request.bars:
            text = f"No historical data query found for ticker id:{request.request_id}"
            session.error(request.request_id, notices.NO_HISTORY_QUERY, text)

    def forget(self, session: Session) -> None:
        """Drop the requests of a client that is gone."""
        for key in [key for key in self._pending if key[0] is session]:
            self._pending.pop(key).cancel()
        for table in (self._live, self._realtime):
            for key in [key for key in table if key[0] is session]:
                del table[key]

    def fail_live(self, client: int | None = None) -> int:
        """End all bars that are kept up to date with 10182; return how many."""
        ended = 0
        for table in (self._live, self._realtime):
            for session, number in list(table):
                if client is None or session.client_id == client:
                    del table[(session, number)]
                    text = notices.LIVE_UPDATES_TEXT
                    session.error(number, notices.LIVE_UPDATES_FAILED, text)
                    ended += 1
        return ended

    def close(self) -> None:
        """Answer nothing more."""
        for handle in self._pending.values():
            handle.cancel()
        self._pending.clear()

    # --- the market moves -------------------------------------------------------------------

    def tick(self) -> None:
        """Send what has changed to who asked to be kept up to date. Called each second."""
        if self._faults.link_lost or self._faults.history_farm_broken:
            return
        for (session, number), live in self._live.items():
            if not session.congested:
                self._update(session, number, live)
        for key in tuple(self._realtime):
            if not key[0].congested:
                self._real_time_bar(key)

    def _update(self, session: Session, number: int, live: LiveBars) -> None:
        wanted = live.wanted
        found = self._source.bars(
            wanted.listing,
            wanted.request.what,
            float(live.sent),
            math.inf if wanted.seconds < DAY else self._source.present + 1,
            wanted.seconds,
            rth=wanted.request.use_rth,
        )
        for bar in found:
            live.sent = bar.start
            session.send(
                answers.historical_update(number, self._written(bar, wanted, session.version))
            )

    def _real_time_bar(self, key: tuple[Session, int]) -> None:
        listing, what, rth, sent = self._realtime[key]
        now = self._source.present
        since = max(float(sent), now - 60.0)
        found = self._source.bars(listing, what, since, now + 1, BASE_SECONDS, rth=rth)
        if len(found) < 2 or found[-2].start <= sent:
            return
        bar = found[-2]
        self._realtime[key] = (listing, what, rth, bar.start)
        row = written(bar, BASE_SECONDS, True, key[0].version, "UTC")
        key[0].send(answers.real_time_bar(key[1], bar.start, row))


def _about(listing: Listing, what: str) -> str:
    return f"{listing.instrument.symbol}@{listing.instrument.exchange} {what}"


def written(bar: BaseBar, seconds: int, epoch: bool, version: int, zone: str) -> answers.WrittenBar:
    """Write a bar with its time in the form that was asked for."""
    when = _day(bar.start, zone) if seconds >= DAY else _time(bar.start, epoch, version, zone)
    return answers.WrittenBar(
        when, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.average, bar.count
    )


def _day(epoch: float, zone: str) -> str:
    return f"{datetime.fromtimestamp(epoch, ZoneInfo(zone)):%Y%m%d}"


def _stamp(epoch: float, zone: str) -> str:
    return f"{datetime.fromtimestamp(epoch, ZoneInfo(zone)):%Y%m%d-%H:%M:%S}"


def _time(epoch: float, as_number: bool, version: int, zone: str) -> str:
    if as_number:
        return str(int(epoch))
    if version >= 174:
        return f"{datetime.fromtimestamp(epoch, ZoneInfo(zone)):%Y%m%d %H:%M:%S} {zone}"
    return f"{datetime.fromtimestamp(epoch, UTC):%Y%m%d  %H:%M:%S}"
