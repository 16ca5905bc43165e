"""Market data: who watches what, which lines are refused, and when one ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from alluse_paper.exchange import Exchange
from alluse_paper.market import Listing, TopOfBook, is_price

from alluse_core.model import Instrument, SecurityType
from alluse_gateway import notices
from alluse_gateway import requests as r
from alluse_gateway.answers import ticks
from alluse_gateway.contracts import ContractDesk
from alluse_gateway.faults import Faults
from alluse_gateway.generic_ticks import Figures, GenericTicks, wanted
from alluse_gateway.market_line import Extra, Line
from alluse_gateway.option_ticks import OptionTicks
from alluse_gateway.sampling import SAMPLING, STOCK_SAMPLING, Sampler
from alluse_gateway.session import Session

if TYPE_CHECKING:
    from alluse_gateway.option_model import OptionModel

SNAPSHOT_WAIT = 11.0
"""Seconds after which a snapshot ends although nothing was seen."""

_OPTION = SecurityType.OPTION

BBO_MAP = "9c0001"
"""The name of the one map of exchange letters, which reqSmartComponents tells."""

LINES = 100
"""Streaming lines that an account begins with."""


class MarketDesk:
    """Market data of all clients.

    ``sampling`` overrides the seconds between updates of every kind of instrument. ``entitled``
    False makes data delayed: refused with 354, or sent as delayed to who asked for that; without
    ``delayed`` data refused with 10168. ``snapshot_seconds`` is how long a snapshot waits for more
    after its first ticks, at most 11. ``regulatory`` snapshots, which cost money, are refused
    unless allowed.
    """

    def __init__(
        self,
        exchange: Exchange,
        contracts: ContractDesk,
        faults: Faults,
        *,
        sampling: float | None = None,
        lines: int = LINES,
        entitled: bool = True,
        delayed: bool = True,
        snapshot_seconds: float = 0.0,
        regulatory: bool = False,
        figures: Figures,
        option_model: OptionModel | None,
    ) -> None:
        self.entitled = entitled
        self.lines = lines
        self._delayed = delayed
        self._snapshot_seconds = min(snapshot_seconds, SNAPSHOT_WAIT)
        self._regulatory = regulatory
        self._figures = figures
        self._option_model = option_model
        self._exchange = exchange
        self._contracts = contracts
        self._faults = faults
        self._by_request: dict[tuple[Session, int], Line] = {}
        self._watched: dict[Instrument, list[tuple[Session, int, Line]]] = {}
        self._stale: set[Session] = set()
        self._sampling = sampling
        self._samplers: dict[float, Sampler] = {}

    # --- the market moves -------------------------------------------------------------------

    def on_market(self, instrument: Instrument) -> None:
        """An instrument has moved."""
        if instrument in self._watched:
            self._sampler(instrument.security_type).changed(instrument)

    def _sampler(self, kind: SecurityType) -> Sampler:
        seconds = SAMPLING.get(kind, STOCK_SAMPLING) if self._sampling is None else self._sampling
        sampler = self._samplers.get(seconds)
        if sampler is None:
            sampler = self._samplers[seconds] = Sampler(seconds, self._flush)
        return sampler

    def _flush(self, changed: Iterable[Instrument]) -> None:
        if self._faults.shows_nothing:
            return
        for instrument in changed:
            top = self._exchange.top(instrument)
            watchers = self._watched.get(instrument)
            if top is None or not watchers:
                continue
            for session, request_id, line in tuple(watchers):
                if session.congested:
                    self._stale.add(session)
                    continue
                line.send(top)
                if line.snapshot and _shown(top):
                    self._finish_soon(session, request_id, line)

    def refresh(self, session: Session | None = None) -> None:
        """Send every line, of one client or all, what it has missed."""
        if session is not None and session not in self._stale:
            return
        self._stale.discard(session) if session else self._stale.clear()
        for (owner, _), line in tuple(self._by_request.items()):
            if (session is None or owner is session) and not owner.congested:
                top = self._exchange.top(line.instrument)
                if top is not None:
                    line.send(top)

    # --- requests ---------------------------------------------------------------------------

    def subscribe(self, session: Session, request: r.MarketData) -> None:
        """Answer reqMktData."""
        number = request.request_id
        listing = self._contracts.one(request.contract)
        if isinstance(listing, str):
            session.error(number, notices.NO_DEFINITION, listing)
            return
        if (session, number) in self._by_request:
            session.error(number, notices.DUPLICATE_TICKER, "Duplicate ticker ID")
            return
        streaming = sum(not line.snapshot for line in self._by_request.values())
        if not request.snapshot and streaming >= self.lines:
            session.error(number, notices.MAX_TICKERS, "Max number of tickers has been reached")
            return
        kind = self._data_kind(session, number, listing.instrument)
        if not kind:
            return
        generic = self._generic(session, request)
        if generic is None:
            return
        instrument = listing.instrument
        undisclosed = float(self._exchange.fill_model.undisclosed_size)
        snapshot = request.snapshot or request.regulatory
        line = Line(session, number, instrument, snapshot, kind > 2, undisclosed)
        self._by_request[(session, number)] = line
        self._watched.setdefault(instrument, []).append((session, number, line))
        self._equip(session, line, listing, generic)
        exchanges = BBO_MAP if listing.instrument.exchange == "SMART" else ""
        session.send(ticks.tick_parameters(number, listing.min_tick, exchanges))
        session.send(ticks.market_data_type(number, kind))
        if self._faults.competing_session:
            session.error(number, notices.COMPETING_SESSION, notices.COMPETING_TEXT)
        self._begin(session, number, line)

    def _equip(
        self, session: Session, line: Line, listing: Listing, generic: frozenset[int]
    ) -> None:
        extras: list[Extra] = []
        if self._option_model is not None and listing.instrument.security_type is _OPTION:
            extras.append(OptionTicks(session, line.writer, self._option_model, listing.instrument))
        if generic:
            asked = GenericTicks(session, line.writer, listing, generic, self._figures)
            extras.append(asked)
            if not self._faults.shows_nothing:
                asked.begin()
        line.extras = tuple(extras)

    def _generic(self, session: Session, request: r.MarketData) -> frozenset[int] | None:
        """The generic ticks asked for; None, and told why, where the request is not allowed."""
        found = wanted(request.generic_ticks)
        cause = found if isinstance(found, str) else ""
        if not cause and found and request.snapshot:
            cause = "Snapshot market data subscription is not applicable to generic ticks"
        if cause or isinstance(found, str):
            text = notices.validation("bQ", cause)
            session.error(request.request_id, notices.VALIDATION, text)
            return None
        if request.regulatory and not self._regulatory:
            text = "Regulatory snapshots cost money and are not permitted here."
            session.error(request.request_id, notices.NO_REGULATORY_SNAPSHOT, text)
            return None
        return found

    def _data_kind(self, session: Session, number: int, instrument: Instrument) -> int:
        """1 live, 2 frozen, 3 delayed, 4 delayed and frozen, 0 refused."""
        asked = session.market_data_type
        frozen = asked in (2, 4) and not self._is_open(instrument)
        if self.entitled:
            return 2 if frozen else 1
        text = "Requested market data is not subscribed."
        if not self._delayed:
            text = f"{text} Delayed market data is not enabled."
            session.error(number, notices.NO_DELAYED_DATA, text)
            return 0
        if asked in (3, 4):
            session.error(number, notices.DELAYED_DATA, f"{text} Displaying delayed market data.")
            return 4 if frozen else 3
        session.error(number, notices.NOT_SUBSCRIBED, f"{text} Delayed market data is available.")
        return 0

    def _is_open(self, instrument: Instrument) -> bool:
        now = self._exchange.market_time
        if now != now:
            return False
        hours = self._exchange.hours(self._exchange.listing(instrument))
        return hours.is_open(datetime.fromtimestamp(now, UTC), extended=True)

    def _begin(self, session: Session, number: int, line: Line) -> None:
        top = self._exchange.top(line.instrument)
        paused = self._faults.shows_nothing or session.congested
        if top is not None and not paused:
            line.send(top)
            if line.snapshot and _shown(top):
                self._finish_soon(session, number, line)
                return
        if line.snapshot:
            loop = asyncio.get_running_loop()
            loop.call_later(SNAPSHOT_WAIT, self._give_up, session, number, line)

    def _finish_soon(self, session: Session, number: int, line: Line) -> None:
        if self._snapshot_seconds > 0:
            loop = asyncio.get_running_loop()
            loop.call_later(self._snapshot_seconds, self._give_up, session, number, line)
        else:
            self._finish(session, number)

    def _give_up(self, session: Session, number: int, line: Line) -> None:
        if self._by_request.get((session, number)) is line:
            self._finish(session, number)

    def _finish(self, session: Session, number: int) -> None:
        self._drop(session, number)
        session.send(ticks.snapshot_end(number))

    def cancel(self, session: Session, request: r.CancelMarketData) -> None:
        """Answer cancelMktData."""
        if not self._drop(session, request.request_id):
            text = f"Can't find EId with tickerId:{request.request_id}"
            session.error(request.request_id, notices.NO_TICKER, text)

    def set_type(self, session: Session, request: r.MarketDataType) -> None:
        """Answer reqMarketDataType: kept for the lines that follow."""
        if request.kind not in (1, 2, 3, 4):
            session.error(
                -1, notices.VALIDATION, notices.validation("type", "unknown market data type")
            )
            return
        session.market_data_type = request.kind

    # --- what the control interface does ------------------------------------------------------

    def become(self, kind: int, client: int | None = None) -> int:
        """Let every line go on as data of another type; return how many."""
        chosen = self._chosen(client)
        for _, line in chosen:
            line.become(kind)
        return len(chosen)

    def compete(self) -> int:
        """Tell every line that another session of the user has the data; return how many."""
        chosen = self._chosen(None)
        for session, line in chosen:
            session.error(line.request, notices.COMPETING_SESSION, notices.COMPETING_TEXT)
        return len(chosen)

    def fail(self, client: int | None = None) -> int:
        """End every line with 10182; return how many."""
        chosen = self._chosen(client)
        for session, line in chosen:
            self._drop(session, line.request)
            text = notices.LIVE_UPDATES_TEXT
            session.error(line.request, notices.LIVE_UPDATES_FAILED, text)
        return len(chosen)

    def lend(self) -> None:
        """Send what can be borrowed to every line that asked for it."""
        for line in self._by_request.values():
            for extra in line.extras:
                if isinstance(extra, GenericTicks) and not self._faults.shows_nothing:
                    extra.lend()

    def _chosen(self, client: int | None) -> list[tuple[Session, Line]]:
        return [
            (session, line)
            for (session, _), line in self._by_request.items()
            if client is None or session.client_id == client
        ]

    def _drop(self, session: Session, number: int) -> bool:
        line = self._by_request.pop((session, number), None)
        if line is None:
            return False
        left = [row for row in self._watched[line.instrument] if row[2] is not line]
        if left:
            self._watched[line.instrument] = left
        else:
            del self._watched[line.instrument]
        return True

    def forget(self, session: Session | None = None) -> None:
        """Drop the lines of one client, or of all (data lost, 1101)."""
        for owner, number in tuple(self._by_request):
            if session is None or owner is session:
                self._drop(owner, number)
        self._stale.discard(session) if session else self._stale.clear()

    def close(self) -> None:
        """Stop sampling."""
        for sampler in self._samplers.values():
            sampler.close()


def _shown(top: TopOfBook) -> bool:
    return is_price(top.bid) or is_price(top.ask) or is_price(top.last)
