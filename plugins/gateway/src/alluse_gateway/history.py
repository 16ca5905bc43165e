"""Historical bars, head time stamps, real-time bars: answered from what was replayed so far."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from alluse_paper.exchange import Exchange

from alluse_core.model import Instrument
from alluse_gateway import notices
from alluse_gateway import requests as r
from alluse_gateway.answers import history as answers
from alluse_gateway.bars import BASE_SECONDS, KINDS, BarHistory, BaseBar, merged
from alluse_gateway.contracts import ContractDesk
from alluse_gateway.faults import Faults
from alluse_gateway.order_terms import moment
from alluse_gateway.session import Session

BAR_SIZES = {
    "5 secs": 5,
    "10 secs": 10,
    "15 secs": 15,
    "30 secs": 30,
    "1 min": 60,
    "2 mins": 120,
    "3 mins": 180,
    "5 mins": 300,
    "10 mins": 600,
    "15 mins": 900,
    "20 mins": 1200,
    "30 mins": 1800,
    "1 hour": 3600,
    "2 hours": 7200,
    "3 hours": 10800,
    "4 hours": 14400,
    "8 hours": 28800,
    "1 day": 86400,
}
_UNITS = {"S": 1, "D": 86400, "W": 7 * 86400, "M": 31 * 86400, "Y": 366 * 86400}
_DURATION = re.compile(r"(\d{1,6}) ([SDWMY])")
_ALIASES = {"ADJUSTED_LAST": "TRADES"}


class HistoryDesk:
    """Answers from a :class:`BarHistory` that listens to the market."""

    def __init__(
        self, exchange: Exchange, contracts: ContractDesk, faults: Faults, history: BarHistory
    ) -> None:
        self._exchange = exchange
        self._contracts = contracts
        self._faults = faults
        self._history = history
        self._live: dict[tuple[Session, int], tuple[Instrument, str, int, bool, str]] = {}
        self._realtime: dict[tuple[Session, int], tuple[Instrument, str, int]] = {}

    def bars(self, session: Session, request: r.HistoricalData) -> None:
        """Answer reqHistoricalData: 17, or 162/321/200."""
        number = request.request_id
        listing = self._contracts.one(request.contract)
        if isinstance(listing, str):
            session.error(number, notices.NO_DEFINITION, listing)
            return
        seconds = BAR_SIZES.get(request.bar_size)
        span = _DURATION.fullmatch(request.duration.strip())
        kind = _ALIASES.get(request.what, request.what)
        end = self._end(request.end)
        if seconds is None or span is None or kind not in KINDS or end is None:
            cause = "the bar size, duration, end or whatToShow is not one that this gateway has"
            session.error(number, notices.VALIDATION, notices.validation("history", cause))
            return
        series = self._history.series(listing.instrument, kind)
        start = end - int(span.group(1)) * _UNITS[span.group(2)]
        found = merged(series.between(start, end), seconds) if series else []
        if not found or self._faults.history_farm_broken:
            text = "Historical Market Data Service error message:"
            about = f"{listing.instrument.symbol}@{listing.instrument.exchange} {request.what}"
            session.error(
                number, notices.HISTORY_ERROR, f"{text}HMDS query returned no data: {about}"
            )
            return
        zone = listing.hours.zone
        rows = [written(bar, seconds, request.epoch, session.version, zone) for bar in found]
        first, last = [_time(edge, False, session.version, zone) for edge in (start, end)]
        session.send(answers.historical_data(session.version, number, first, last, rows))
        if session.version >= 196:
            session.send(answers.historical_data_end(number, first, last))
        if request.keep_up_to_date:
            self._live[(session, number)] = (listing.instrument, kind, seconds, request.epoch, zone)

    def _end(self, text: str) -> float | None:
        """The end that was asked for, epoch seconds; the market's present where none was."""
        if not text:
            now = self._exchange.market_time
            return now + BASE_SECONDS if math.isfinite(now) else 0.0
        when = moment(text)
        return when.timestamp() if when else None

    def head(self, session: Session, request: r.HeadTimestamp) -> None:
        """Answer reqHeadTimestamp: the first price that was replayed."""
        listing = self._contracts.one(request.contract)
        if isinstance(listing, str):
            session.error(request.request_id, notices.NO_DEFINITION, listing)
            return
        kind = _ALIASES.get(request.what, request.what)
        series = self._history.series(listing.instrument, kind)
        if series is None or not series.bars:
            text = "Historical Market Data Service error message:No head time stamp"
            session.error(request.request_id, notices.HISTORY_ERROR, text)
            return
        first = datetime.fromtimestamp(series.bars[0].start, UTC)
        session.send(answers.head_timestamp(request.request_id, first, request.epoch))

    def real_time(self, session: Session, request: r.RealTimeBars) -> None:
        """Answer reqRealTimeBars: a bar of five seconds whenever one is complete."""
        listing = self._contracts.one(request.contract)
        kind = _ALIASES.get(request.what, request.what)
        if isinstance(listing, str):
            session.error(request.request_id, notices.NO_DEFINITION, listing)
        elif kind not in KINDS:
            cause = f"unknown whatToShow {request.what!r}"
            session.error(request.request_id, notices.VALIDATION, notices.validation("bars", cause))
        else:
            self._realtime[(session, request.request_id)] = (listing.instrument, kind, 0)

    def cancel(self, session: Session, request: r.CancelHistory) -> None:
        """Answer the cancels of this desk's requests; what is unknown is no error, as with TWS."""
        self._live.pop((session, request.request_id), None)
        self._realtime.pop((session, request.request_id), None)

    def forget(self, session: Session) -> None:
        """Drop the requests of a client that is gone."""
        for table in (self._live, self._realtime):
            for key in [key for key in table if key[0] is session]:
                del table[key]

    def tick(self) -> None:
        """Send what has changed to who asked to be kept up to date. Called each second."""
        if self._faults.link_lost or self._faults.history_farm_broken:
            return
        for (session, number), (instrument, kind, seconds, epoch, zone) in self._live.items():
            series = self._history.series(instrument, kind)
            if series and series.current and not session.congested:
                start = series.current.start - series.current.start % seconds
                bar = merged(series.between(start, math.inf), seconds)[-1]
                row = written(bar, seconds, epoch, session.version, zone)
                session.send(answers.historical_update(number, row))
        for key, (instrument, kind, sent) in tuple(self._realtime.items()):
            series = self._history.series(instrument, kind)
            if series is None or len(series.bars) < 2 or key[0].congested:
                continue
            bar = series.bars[-2]
            if bar.start > sent:
                self._realtime[key] = (instrument, kind, bar.start)
                row = written(bar, BASE_SECONDS, True, key[0].version, "UTC")
                key[0].send(answers.real_time_bar(key[1], bar.start, row))


def written(bar: BaseBar, seconds: int, epoch: bool, version: int, zone: str) -> answers.WrittenBar:
    """Write a bar with its time in the form that was asked for."""
    when = _day(bar.start, zone) if seconds >= 86400 else _time(bar.start, epoch, version, zone)
    return answers.WrittenBar(
        when, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.average, bar.count
    )


def _day(epoch: float, zone: str) -> str:
    return f"{datetime.fromtimestamp(epoch, ZoneInfo(zone)):%Y%m%d}"


def _time(epoch: float, as_number: bool, version: int, zone: str) -> str:
    if as_number:
        return str(int(epoch))
    if version >= 174:
        return f"{datetime.fromtimestamp(epoch, ZoneInfo(zone)):%Y%m%d %H:%M:%S} {zone}"
    return f"{datetime.fromtimestamp(epoch, UTC):%Y%m%d  %H:%M:%S}"
