"""Market depth: what stands behind the best prices.

The exchange knows a top of book only. Rows below it are drawn: one tick apart, of a size that the
price itself decides, so that a level keeps its size while it is shown. Orders never trade with
them; they walk to the next quote instead.
"""

from __future__ import annotations

import zlib

import attrs
from alluse_paper.exchange import Exchange
from alluse_paper.market import Listing, TopOfBook, is_price

from alluse_core.model import Instrument, SecurityType
from alluse_gateway import notices
from alluse_gateway import requests as r
from alluse_gateway.answers import depth as answers
from alluse_gateway.contracts import ContractDesk
from alluse_gateway.faults import Faults
from alluse_gateway.session import Session

MAX_REQUESTS = 3
"""Of one account, as IBKR begins with."""

MOST_ROWS = 20
ASK, BID = 0, 1

Row = tuple[float, float]


@attrs.define(eq=False)
class DepthLine:
    """One request, and the rows it was last sent, asks and bids."""

    session: Session
    request_id: int
    listing: Listing
    rows: int
    smart: bool
    sent: tuple[list[Row], list[Row]] = attrs.field(factory=lambda: ([], []))

    def send(self, top: TopOfBook) -> None:
        """Send the rows that differ."""
        for side in (ASK, BID):
            wanted = rows_of(self.listing, top, side, self.rows)
            shown = self.sent[side]
            for position, row in enumerate(wanted):
                if position >= len(shown):
                    self._say(position, answers.INSERT, side, row)
                elif shown[position] != row:
                    self._say(position, answers.UPDATE, side, row)
            for position in range(len(shown) - 1, len(wanted) - 1, -1):
                self._say(position, answers.DELETE, side, shown[position])
            shown[:] = wanted

    def forget(self) -> None:
        """Begin with an empty book."""
        for side in self.sent:
            side.clear()

    def _say(self, position: int, operation: int, side: int, row: Row) -> None:
        price, size = row
        number = self.request_id
        if self.smart:
            maker = self.listing.primary_exchange
            frame = answers.level_two(number, position, maker, operation, side, price, size, True)
        else:
            frame = answers.level_one(number, position, operation, side, price, size)
        self.session.send(frame)


def rows_of(listing: Listing, top: TopOfBook, side: int, count: int) -> list[Row]:
    """Return at most ``count`` (price, size) of a side, the best first; none where it is absent."""
    price, size = (top.ask, top.ask_size) if side == ASK else (top.bid, top.bid_size)
    if not is_price(price):
        return []
    tick = float(listing.min_tick) * (1 if side == ASK else -1)
    rows = [(price, size if size == size else 0.0)]
    typical = size if size == size and size > 0 else 100.0
    for level in range(1, count):
        at = round(price + level * tick, 8)
        if at <= 0:
            break
        share = 0.5 + zlib.crc32(f"{listing.instrument.id}/{at}".encode()) % 1000 / 500
        rows.append((at, float(max(1, round(typical * share)))))
    return rows


class DepthDesk:
    """Answers reqMktDepth: 12 or 13, or 200, 309, 10092."""

    def __init__(self, exchange: Exchange, contracts: ContractDesk, faults: Faults) -> None:
        self._exchange = exchange
        self._contracts = contracts
        self._faults = faults
        self._by_request: dict[tuple[Session, int], DepthLine] = {}
        self._watched: dict[Instrument, list[DepthLine]] = {}

    def subscribe(self, session: Session, request: r.MarketDepth) -> None:
        """Show the book from now on."""
        number = request.request_id
        listing = self._contracts.one(request.contract)
        if isinstance(listing, str):
            session.error(number, notices.NO_DEFINITION, listing)
            return
        if (session, number) in self._by_request:
            session.error(number, notices.DUPLICATE_TICKER, "Duplicate ticker ID")
            return
        if len(self._by_request) >= MAX_REQUESTS:
            text = f"Max number ({MAX_REQUESTS}) of market depth requests has been reached"
            session.error(number, notices.MAX_DEPTH, text)
            return
        index = listing.instrument.security_type is SecurityType.INDEX
        if index or (request.contract.exchange == "SMART" and not request.smart):
            text = (
                "Deep market data is not supported for this combination of security type/exchange"
            )
            session.error(number, notices.NO_DEPTH, text)
            return
        rows = max(1, min(request.rows or MOST_ROWS, MOST_ROWS))
        line = DepthLine(session, number, listing, rows, request.smart)
        self._by_request[(session, number)] = line
        self._arrange()
        self._show(line)

    def cancel(self, session: Session, request: r.CancelMarketDepth) -> None:
        """End one request; an unknown one is told 310."""
        if self._by_request.pop((session, request.request_id), None) is None:
            text = f"Can't find the subscribed market depth with tickerId:{request.request_id}"
            session.error(request.request_id, notices.NO_DEPTH_TICKER, text)
        self._arrange()

    def forget(self, session: Session | None = None) -> None:
        """End the requests of a client that is gone, or of all (data lost)."""
        for key in [key for key in self._by_request if session is None or key[0] is session]:
            del self._by_request[key]
        self._arrange()

    def reset(self, client: int | None = None) -> int:
        """Say 317 and begin every book anew; return how many."""
        count = 0
        for (session, number), line in tuple(self._by_request.items()):
            if client is None or session.client_id == client:
                session.error(number, notices.DEPTH_RESET, notices.DEPTH_RESET_TEXT)
                line.forget()
                self._show(line)
                count += 1
        return count

    def on_market(self, instrument: Instrument, top: TopOfBook) -> None:
        """An instrument has moved. Books are not sampled; a slow reader skips to the newest."""
        for line in self._watched.get(instrument, ()):
            if not line.session.congested and not self._faults.shows_nothing:
                line.send(top)

    def _show(self, line: DepthLine) -> None:
        top = self._exchange.top(line.listing.instrument)
        if top is not None and not self._faults.shows_nothing:
            line.send(top)

    def _arrange(self) -> None:
        self._watched = {}
        for line in self._by_request.values():
            self._watched.setdefault(line.listing.instrument, []).append(line)
